"""Layers and models whose `call` computes with sizes that are open: each batch's own, as in Keras."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf


class Attention(layers.Layer):
    """Self-attention of a picture's places, as in a GAN; sizes by `tf.shape`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.query, self.key, self.value = (layers.Conv2D(c, 1) for c in (4, 4, 3))
        self.gamma = self.add_weight(shape=(1,), initializer="ones", name="gamma")

    def call(self, x):
        shape = tf.shape(x)
        count, height, width = shape[0], shape[1], shape[2]
        q, k, v = (
            tf.reshape(layer(x), (count, height * width, channels))
            for layer, channels in ((self.query, 4), (self.key, 4), (self.value, 3))
        )
        scores = tf.nn.softmax(tf.matmul(q, k, transpose_b=True))
        return x + self.gamma * tf.reshape(tf.matmul(scores, v), (count, height, width, 3))


def attended(x, layer):
    """The same by formulas, in float64."""
    flat = x.reshape(len(x), -1, 3).astype(np.float64)  # (N, HW, 3)
    named = {name: np.asarray(w, np.float64) for name, w in zip("gqakbvc", layer.get_weights(), strict=True)}
    q, k, v = (flat @ named[w][0, 0] + named[b] for w, b in ("qa", "kb", "vc"))
    scores = q @ k.transpose(0, 2, 1)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return x + named["g"] * ((scores / scores.sum(axis=-1, keepdims=True)) @ v).reshape(x.shape)


class Halved(layers.Layer):
    """What another layer of these gives, cut to half of it around the middle."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = Attention()

    def call(self, x):
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        return self.attention(x)[:, height // 4 : height - height // 4, width // 4 : width - width // 4]


class Network(keras.Model):
    """A model that computes with them itself, too."""

    def __init__(self):
        super().__init__()
        self.halved = Halved()

    def call(self, x):
        made, (height, width) = self.halved(x), ops.shape(x)[1:3]
        return tf.concat([made, made], axis=1)[:, : height // 2 + 1] * (height * width)


def pictures(*shape):
    return np.random.default_rng(sum(shape)).normal(size=(*shape, 3)).astype(np.float32)


def cut(x):
    height, width = x.shape[1:3]
    return x[:, height // 4 : height - height // 4, width // 4 : width - width // 4]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9)), min_size=1, max_size=3))
def test_layers_in_functional_models(shapes):
    image = keras.Input((None, None, 3))
    layer = Halved()
    model = keras.Model(image, layer(image))
    assert model.output_shape == (None, None, None, 3)
    for shape in shapes:
        x = pictures(*shape)
        right = cut(attended(x, layer.attention))
        for found in (model.predict(x, verbose=0), model(x), model.predict_on_batch(x), layer(x)):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)


def test_one_size_that_is_open():
    image = keras.Input((None, 8, 3))
    layer = Attention()
    model = keras.Model(image, layer(image))
    assert model.output_shape == (None, None, 8, 3)
    x = pictures(2, 5, 8)
    np.testing.assert_allclose(model.predict(x, verbose=0), attended(x, layer), rtol=1e-4, atol=1e-4)


def built(model):
    model.build((None, None, None, 3))
    return model


def called(model):
    image = keras.Input((None, None, 3))
    return keras.Model(image, model(image))


@pytest.mark.parametrize("begun", [built, called], ids=["build", "on a tensor"])
def test_models_with_a_call(begun):
    network = Network()
    model = begun(network)
    for shape in ((2, 8, 8), (3, 6, 9), (2, 8, 8)):
        x = pictures(*shape)
        half = cut(attended(x, network.halved.attention))
        right = np.concatenate([half, half], axis=1)[:, : shape[1] // 2 + 1] * (shape[1] * shape[2])
        np.testing.assert_allclose(model.predict(x, verbose=0), right, rtol=1e-4, atol=1e-2)


def test_gradients_are_those_of_the_sizes_of_a_batch():
    """Of a step of SGD, against differences of the formula."""
    image = keras.Input((None, None, 3))
    layer = Attention()
    model = keras.Model(image, layer(image))
    x = pictures(2, 3, 4)
    before = layer.get_weights()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(x, np.zeros_like(x), epochs=1, batch_size=2, verbose=0)
    steps = [old - new for old, new in zip(before, layer.get_weights(), strict=True)]
    rng, h = np.random.default_rng(0), 1e-3

    def loss(at, place, move):
        moved = [np.array(w, np.float64) for w in before]
        moved[at][place] += move

        class Holder:
            def get_weights(self):
                return moved

        return np.mean(attended(x, Holder()) ** 2)

    for at, step in enumerate(steps):
        place = tuple(rng.integers(0, size) for size in step.shape)
        slope = (loss(at, place, h) - loss(at, place, -h)) / (2 * h)
        np.testing.assert_allclose(step[place], slope, rtol=1e-3, atol=1e-5)


def test_training_and_sizes_that_change():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(Halved()(image)))
    model.compile("sgd", "mse")
    for shape in ((4, 8, 8), (4, 4, 12)):
        model.fit(pictures(*shape), np.zeros((4, 3)), epochs=1, batch_size=2, verbose=0)
        assert np.isfinite(model.evaluate(pictures(*shape), np.zeros((4, 3)), verbose=0))
    with tf.GradientTape() as tape:
        loss = ops.sum(ops.square(model(pictures(2, 5, 7))))
    assert all(np.any(np.asarray(g)) for g in tape.gradient(loss, model.trainable_variables)[:2])


def test_positions_of_sequences():
    class Placed(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.places = layers.Dense(4), layers.Embedding(50, 4)

        def call(self, x):
            return self.dense(x) + self.places(tf.range(start=0, limit=tf.shape(x)[1], delta=1))

    series = keras.Input((None, 3))
    layer = Placed()
    model = keras.Model(series, layer(series))
    for length in (5, 9):
        x = pictures(2, length)  # (N, L, 3)
        kernel, bias = layer.dense.get_weights()
        right = x @ kernel + bias + layer.places.get_weights()[0][:length]
        np.testing.assert_allclose(model.predict(x, verbose=0), right, rtol=1e-4, atol=1e-5)


def test_weights_that_go_by_a_size_are_refused():
    class Flat(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            shape = tf.shape(x)
            return self.dense(tf.reshape(x, (-1, shape[1] * shape[2] * 3)))

    image = keras.Input((None, None, 3))
    with pytest.raises((TypeError, ValueError), match="size that is None"):
        Flat()(image)


class Cropped(keras.Model):
    """Half of what a convolution gives, around the middle."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(2, 3, padding="same")

    def call(self, x):
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        return self.conv(x)[:, height // 4 : height - height // 4, width // 4 : width - width // 4]


def test_files(tmp_path):
    pytest.importorskip("onnx")
    image = keras.Input((None, None, 3))
    model = keras.Model(image, Attention()(image))
    with pytest.raises(ValueError, match="give the model's Input its sizes"):
        model.export(tmp_path / "a.onnx", format="onnx")
    network = built(Cropped())
    with pytest.warns(UserWarning, match="for the number 120 alone"):
        network.save(tmp_path / "a.safetensors")
    back = keras.models.load_model(tmp_path / "a.safetensors")
    x = pictures(2, 120, 120)
    np.testing.assert_allclose(back.predict(x, verbose=0), network.predict(x, verbose=0), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="120"):
        back.predict(pictures(2, 60, 60), verbose=0)
    with pytest.warns(UserWarning, match="for the number 120 alone"):
        network.save_weights(tmp_path / "a.weights.h5")
    other = built(Cropped())
    with pytest.warns(UserWarning, match="for the number 120 alone"):
        other.load_weights(tmp_path / "a.weights.h5")
    x = pictures(2, 6, 6)
    np.testing.assert_array_equal(other.predict(x, verbose=0), network.predict(x, verbose=0))
