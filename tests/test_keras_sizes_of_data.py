"""Functional models that compute with open sizes, ``tf.shape(x)[1]``: they are those of each batch, as in Keras 2."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf

shapes = st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(2, 9))


def begun():
    """An input with open sizes, and a layer whose weights are numbers that differ."""
    image, layer = keras.Input((None, None, 3)), layers.Conv2D(4, 1)
    x = layer(image)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return image, x, layer


def of_layer(x, layer):
    kernel, bias = layer.get_weights()
    return x.astype(np.float64) @ kernel[0, 0] + bias  # (N, H, W, 4)


def pictures(shape):
    return np.random.default_rng(sum(shape)).normal(size=(*shape, 3)).astype(np.float32)


def doubled(y):
    return y.repeat(2, axis=1).repeat(2, axis=2)


CASES = {  # what a script writes, and the same by NumPy
    "halves exchanged": (
        lambda x: tf.concat([x[:, tf.shape(x)[1] // 2 :], x[:, : tf.shape(x)[1] // 2]], axis=1),
        lambda y: np.concatenate([y[:, y.shape[1] // 2 :], y[:, : y.shape[1] // 2]], axis=1),
    ),
    "cut to another tensor": (
        lambda x: layers.UpSampling2D()(x)[:, : tf.shape(x)[1], 1 : tf.shape(x)[2]],
        lambda y: doubled(y)[:, : y.shape[1], 1 : y.shape[2]],
    ),
    "cut by a Lambda": (
        lambda x: layers.Lambda(lambda t: t[0][:, : tf.shape(t[1])[1], : K.shape(t[1])[2]])(
            [layers.UpSampling2D()(x), x]
        ),
        lambda y: doubled(y)[:, : y.shape[1], : y.shape[2]],
    ),
    "sizes unpacked": (
        lambda x: (lambda n, h, w, c: layers.UpSampling2D()(x)[:, :h, :w])(*tf.unstack(tf.shape(x))),
        lambda y: doubled(y)[:, : y.shape[1], : y.shape[2]],
    ),
    "places in a row and back": (
        lambda x: tf.reshape(
            layers.ReLU()(tf.reshape(x, (-1, tf.shape(x)[1] * tf.shape(x)[2], 4))),
            (tf.shape(x)[0], tf.shape(x)[1], tf.shape(x)[2], 4),
        ),
        lambda y: np.maximum(y, 0),
    ),
    "one size is left": (
        lambda x: tf.reshape(x, (-1, tf.shape(x)[1], tf.shape(x)[2] * 4)),
        lambda y: y.reshape(*y.shape[:2], -1),
    ),
    "zeros of all sizes": (
        lambda x: tf.concat([x, tf.zeros(tf.shape(x)) + 1.0], axis=-1),
        lambda y: np.concatenate([y, np.ones_like(y)], axis=-1),
    ),
    "mean by a sum": (
        lambda x: tf.reduce_sum(x, [1, 2]) / tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32),
        lambda y: y.mean(axis=(1, 2)),
    ),
    "all sizes as floats": (
        lambda x: (lambda s: tf.reduce_sum(x, [1, 2]) / (s[1] * s[2]))(tf.cast(tf.shape(x), tf.float32)),
        lambda y: y.mean(axis=(1, 2)),
    ),
    "rows counted": (
        lambda x: x * tf.cast(tf.range(tf.shape(x)[1]), tf.float32)[None, :, None, None],
        lambda y: y * np.arange(y.shape[1])[:, None, None],
    ),
    "tiled": (
        lambda x: tf.tile(tf.reshape(tf.reduce_max(x, [1, 2]), (-1, 1, 1, 4)), [1, tf.shape(x)[1], tf.shape(x)[2], 1]),
        lambda y: np.broadcast_to(y.max(axis=(1, 2), keepdims=True), y.shape),
    ),
    "resized to twice the size": (
        lambda x: tf.image.resize(x, tf.shape(x)[1:3] * 2, method="nearest"),
        doubled,
    ),
    "resized to the larger side": (
        lambda x: tf.shape(tf.image.resize(x, [tf.maximum(tf.shape(x)[1], tf.shape(x)[2])] * 2))[1] * tf.ones_like(x),
        lambda y: np.full(y.shape, max(y.shape[1:3])),
    ),
    "more zeros, fewer rows": (
        lambda x: tf.pad(x, [[0, 0], [0, tf.shape(x)[1] % 2], [0, 0], [0, 0]])[:, 1:],
        lambda y: np.pad(y, [(0, 0), (0, y.shape[1] % 2), (0, 0), (0, 0)])[:, 1:],
    ),
}


@pytest.mark.parametrize("name", CASES)
@given(st.lists(shapes, min_size=1, max_size=3))
def test_sizes_are_those_of_each_batch(name, several):
    of_tensors, of_arrays = CASES[name]
    image, x, layer = begun()
    model = keras.Model(image, of_tensors(x))
    for shape in several:
        batch = pictures(shape)
        right = of_arrays(of_layer(batch, layer))
        for found in (model.predict(batch, verbose=0), model(batch)):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"resized to the larger side"}))
def test_gradients_against_differences(name):
    """Of a step of SGD on half of the sum of squares."""
    of_tensors, of_arrays = CASES[name]
    image, x, layer = begun()
    model = keras.Model(image, of_tensors(x))
    batch = pictures((2, 3, 4))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    kernel, bias = (w.astype(np.float64) for w in layer.get_weights())
    model.fit(batch, np.zeros(np.shape(model(batch))), batch_size=2, verbose=0)
    step = kernel - layer.get_weights()[0]

    def loss(kernel):
        return np.mean(of_arrays(batch.astype(np.float64) @ kernel[0, 0] + bias) ** 2)

    for place in [(0, 0, 0, 1), (0, 0, 2, 3)]:
        move = np.zeros_like(kernel)
        move[place] = 1e-6
        slope = (loss(kernel + move) - loss(kernel - move)) / 2e-6
        np.testing.assert_allclose(step[place], slope, rtol=2e-3, atol=1e-4)


def test_attention_over_places():
    image, x, layer = begun()
    shape = tf.shape(x)
    rows = tf.reshape(x, [shape[0], shape[1] * shape[2], 4])
    scores = tf.nn.softmax(tf.matmul(rows, rows, transpose_b=True))
    model = keras.Model(image, x + tf.reshape(tf.matmul(scores, rows), shape))
    for sizes in ((2, 3, 5), (1, 4, 4)):
        batch = pictures(sizes)
        y = of_layer(batch, layer)
        flat = y.reshape(len(y), -1, 4)
        e = np.exp(flat @ flat.transpose(0, 2, 1) - np.max(flat @ flat.transpose(0, 2, 1), axis=-1, keepdims=True))
        right = y + (e / e.sum(axis=-1, keepdims=True) @ flat).reshape(y.shape)
        np.testing.assert_allclose(model.predict(batch, verbose=0), right, rtol=1e-3, atol=1e-4)


def test_a_reshape_into_more_samples_is_refused():
    """TensorFlow makes twice as many samples of it."""
    image, x, _ = begun()
    rows = tf.reshape(x, (-1, tf.shape(x)[1] * tf.shape(x)[2], 4))
    model = keras.Model(image, tf.reshape(rows, (-1, tf.shape(rows)[1] // 2, 4)))
    with pytest.raises((ValueError, TypeError)):
        model.predict(pictures((2, 4, 4)), verbose=0)


def test_copies_compute_with_their_own():
    image, x, _ = begun()
    rows = tf.reshape(x, (-1, tf.shape(x)[1] * tf.shape(x)[2], 4))
    model = keras.Model(image, layers.UpSampling1D()(rows)[:, : tf.shape(x)[1], : tf.shape(x)[2]])
    for twin in (copy.deepcopy(model), keras.models.clone_model(model)):
        twin.set_weights(model.get_weights())
        batch = pictures((2, 5, 3))
        np.testing.assert_array_equal(twin.predict(batch, verbose=0), model.predict(batch, verbose=0))


def test_they_decide_nothing_and_are_no_numbers():
    _, x, _ = begun()
    size = tf.shape(x)[1]
    with pytest.raises(TypeError, match="decides no if"):
        bool(size)
    for use in (int, float, lambda size: np.zeros(size), lambda size: layers.UpSampling2D(size)(x)):
        with pytest.raises((TypeError, ValueError)):
            use(size)


def test_no_file_holds_them(tmp_path):
    image, x, _ = begun()
    model = keras.Model(image, x[:, : tf.shape(x)[1] // 2])
    for name in ("a.keras", "a.safetensors"):
        with pytest.raises((TypeError, ValueError, NotImplementedError), match="function"):
            model.save(tmp_path / name)
    model.save_weights(tmp_path / "a.weights.h5")


def test_a_lambda_that_cuts_is_one_layer():
    image, x, _ = begun()
    cut = layers.Lambda(lambda t: t[0][:, : tf.shape(t[1])[1], : tf.shape(t[1])[2]] * 2.0, name="cut")
    model = keras.Model(image, cut([layers.UpSampling2D()(x), x]))
    assert model.get_layer("cut") is cut and model.layers[-1] is cut
