"""Layers of layers whose `call` makes samples of the windows of images, and takes them out of the samples again.

The numbers are those of these classes in Keras 3.15.1 on TensorFlow 2.21, with `wave` as weights and `X` as
data: run them there.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

X = np.sin(np.arange(8 * 8 * 8 * 3) * 0.7).reshape(8, 8, 8, 3).astype("float32")


def wave(*shape, step=0.7, scale=1.0):
    """Numbers that are no pattern."""
    return (np.sin(np.arange(np.prod(shape)) * step) * scale).reshape(shape).astype("float32")


def windows_of(x, size):
    """(N, H, W, C) as (N · windows, size, size, C)."""
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height // size, size, width // size, size, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, size, size, channels))


def images_of(windows, size, height, width):
    """And back."""
    channels = windows.shape[-1]
    x = ops.reshape(windows, (-1, height // size, width // size, size, size, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))


class WindowAttention(layers.Layer):
    """Swin's, with a mask for each of the windows, which it takes out of the samples for a moment."""

    def __init__(self, heads=2, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.qkv, self.projection, self.dropout = layers.Dense(24), layers.Dense(8), layers.Dropout(0.0)
        self.table = self.add_weight(shape=(9, heads), initializer="zeros")
        places = np.stack(np.meshgrid(np.arange(2), np.arange(2), indexing="ij")).reshape(2, -1)
        index = ((places[:, :, None] - places[:, None] + 1) * [[[3]], [[1]]]).sum(0)
        self.index = keras.Variable(index, shape=index.shape, dtype="int", trainable=False)

    def call(self, x, mask=None):
        _, size, channels = x.shape
        qkv = ops.reshape(self.qkv(x), (-1, size, 3, self.heads, channels // self.heads))
        qkv = ops.transpose(qkv, (2, 0, 3, 1, 4))
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q * 0.5) @ ops.transpose(k, (0, 1, 3, 2))  # (N · windows, heads, size, size)
        bias = ops.reshape(ops.take(self.table, ops.reshape(self.index, (-1,)), axis=0), (size, size, -1))
        scores = scores + ops.expand_dims(ops.transpose(bias, (2, 0, 1)), axis=0)
        if mask is not None:
            count = mask.shape[0]
            masks = ops.cast(ops.expand_dims(ops.expand_dims(mask, axis=1), axis=0), "float32")
            scores = ops.reshape(scores, (-1, count, self.heads, size, size)) + masks
            scores = ops.reshape(scores, (-1, self.heads, size, size))
        scores = self.dropout(keras.activations.softmax(scores, axis=-1))
        made = ops.reshape(ops.transpose(scores @ v, (0, 2, 1, 3)), (-1, size, channels))
        return self.dropout(self.projection(made))


class Block(layers.Layer):
    """A block of Swin on (N, 8, 8, 8), with windows of 2 × 2."""

    def __init__(self, shift=0, mask_dtype=None, **kwargs):
        super().__init__(**kwargs)
        self.shift, self.mask_dtype = shift, mask_dtype
        self.before, self.attention, self.behind = layers.LayerNormalization(), WindowAttention(), layers.Dense(8)

    def build(self, input_shape):
        mask = np.sin(np.arange(16 * 16)).reshape(16, 4, 4)
        self.mask = None
        if self.shift:
            self.mask = keras.Variable(mask.astype(self.mask_dtype), dtype=self.mask_dtype, trainable=False)

    def call(self, x, training=False):
        moved = ops.roll(self.before(x), shift=[-self.shift] * 2, axis=[1, 2])
        windows = ops.reshape(windows_of(moved, 2), (-1, 4, 8))
        windows = ops.reshape(self.attention(windows, mask=self.mask), (-1, 2, 2, 8))
        return x + self.behind(ops.roll(images_of(windows, 2, 8, 8), shift=[self.shift] * 2, axis=[1, 2]))


class Normalized(layers.Layer):
    """A convolution and a batch normalization of windows: the moments are of all of them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolve, self.normalize = layers.Conv2D(3, 2, padding="same"), layers.BatchNormalization(momentum=0.5)

    def call(self, x, training=None):
        return images_of(self.normalize(self.convolve(windows_of(x, 4)), training=training), 4, 8, 8)


class Attending(layers.Layer):
    """The library's attention within windows, and one layer on two kinds of them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention, self.dense = layers.MultiHeadAttention(2, 2), layers.Dense(3, activation="tanh")

    def call(self, x):
        one, other = (ops.reshape(windows_of(part, 4), (-1, 16, 3)) for part in (x, x * 2.0))
        both = self.attention(self.dense(one), other) + self.dense(other)
        return images_of(ops.reshape(both, (-1, 4, 4, 3)), 4, 8, 8)


class Means(layers.Layer):
    """One row of numbers for each window."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3, activation="tanh")

    def call(self, x):
        return ops.reshape(ops.mean(self.dense(windows_of(x, 4)), axis=(1, 2)), (-1, 4, 3))


def model_of(*parts):
    picture = keras.Input((8, 8, 3))
    x = layers.Dense(8)(picture) if isinstance(parts[0], Block) else picture
    for part in parts:
        x = part(x)
    model = keras.Model(picture, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))
    for number, weight in enumerate(model.trainable_weights):
        weight.assign(wave(*weight.shape, step=0.37 + 0.1 * (number % 13), scale=0.2))
    return model


CASES = {
    "swin": lambda: model_of(Block(), Block(1, "float32")),
    "a mask in float64": lambda: model_of(Block(1, "float64")),
    "batch normalization": lambda: model_of(Normalized()),
    "attention": lambda: model_of(Attending()),
    "means": lambda: model_of(Means()),
}
NUMBERS = {  # two losses of `fit`, and the first prediction then
    "swin": ([1.39313, 1.390967], [0.237693, 0.268111, 0.262673, 0.231523]),
    "a mask in float64": ([1.390007, 1.388871], [0.261106, 0.266484, 0.236653, 0.235757]),
    "batch normalization": ([1.391315, 1.390691], [0.217877, 0.254142, 0.270662, 0.257319]),
    "attention": ([1.400509, 1.398619], [0.216652, 0.282834, 0.278814, 0.2217]),
    "means": ([1.392049, 1.39195], [0.211367, 0.242598, 0.269084, 0.27695]),
}
OWN = {cls.__name__: cls for cls in (Block, Normalized, Attending, Means)}


@pytest.mark.parametrize("name", CASES)
def test_a_model_of_such_layers_trains_as_in_keras(name):
    model = CASES[name]()
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(X, np.arange(8) % 4, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    losses, first = NUMBERS[name]
    np.testing.assert_allclose(history["loss"], losses, atol=3e-6)
    np.testing.assert_allclose(model.predict(X, verbose=0)[0], first, atol=3e-6)


@pytest.mark.parametrize("name", ["swin", "attention", "means"])
def test_files_hold_its_weights(name, tmp_path):
    model = CASES[name]()
    expected = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in model.trainable_weights:
        weight.assign(weight * 0)
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)
    if name != "swin":  # whose mask is a variable that its class makes
        read = keras.models.load_model(tmp_path / "model.keras", custom_objects=OWN)
        np.testing.assert_array_equal(read.predict(X, verbose=0), expected)


class Dense(layers.Layer):
    """A dense layer of windows as rows."""

    def __init__(self, size, kernel):
        super().__init__()
        self.size, self.dense = size, layers.Dense(kernel.shape[1], use_bias=False)
        self.kernel = kernel

    def build(self, input_shape):
        self.dense.build((None, self.kernel.shape[0]))
        self.dense.set_weights([self.kernel])

    def call(self, x):
        _, height, width, channels = x.shape
        rows = ops.reshape(windows_of(x, self.size), (-1, self.size**2 * channels))
        return images_of(
            ops.reshape(self.dense(rows), (-1, 1, 1, self.kernel.shape[1])), 1, height // self.size, width // self.size
        )


@given(size=st.integers(2, 3), counts=st.tuples(st.integers(1, 3), st.integers(1, 3)), channels=st.integers(1, 2))
def test_windows_are_where_numpy_cuts_them(size, counts, channels):
    height, width = (size * count for count in counts)
    x, kernel = wave(2, height, width, channels), wave(size * size * channels, 3, step=0.3)
    image = keras.Input((height, width, channels))
    model = keras.Model(image, Dense(size, kernel)(image))
    expected = np.empty((2, *counts, 3))
    for n, i, j in np.ndindex(2, *counts):
        window = x[n, i * size : (i + 1) * size, j * size : (j + 1) * size]
        expected[n, i, j] = window.ravel().astype(float) @ kernel.astype(float)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)


def test_gradients_go_back_through_windows_and_are_differentiated_again():
    model, x = CASES["means"](), tf.convert_to_tensor(X[:2])
    kernel = model.trainable_weights[0]
    with tf.GradientTape() as outer:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(model(x) ** 2)
        by_x = tape.gradient(loss, x)
        size = tf.reduce_sum(by_x**2)
    by_kernel = outer.gradient(size, kernel)

    def of(kernel_value):
        kernel.assign(kernel_value)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(model(x) ** 2)
        return float(tf.reduce_sum(tape.gradient(loss, x) ** 2))

    start, step = kernel.numpy(), wave(*kernel.shape, step=0.9)
    difference = (of(start + 0.02 * step) - of(start - 0.02 * step)) / 0.04
    np.testing.assert_allclose(np.sum(by_kernel * step), difference, rtol=2e-2)


class Given(layers.Layer):
    """Hands a layer within what is no tensor."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Masked()

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")

    def call(self, x):
        return self.inner(self.inner(x, np.array([1.0, 0.0, 2.0], "float32")), self.scale)


class Masked(layers.Layer):
    def __init__(self):
        super().__init__()
        self.activate = layers.ReLU()

    def call(self, x, mask):
        return self.activate(x * mask)


def test_a_layer_within_takes_arrays_and_weights_beside_tensors():
    layer, image = Given(), keras.Input((4, 3))
    model = keras.Model(image, layer(image))
    layer.scale.assign([2.0, 1.0, -1.0])
    x = wave(2, 4, 3)
    np.testing.assert_allclose(model.predict(x, verbose=0), np.maximum(x * [1, 0, 2], 0) * [2, 1, 0], atol=1e-6)
    assert len(model.trainable_weights) == 1


class Dropping(layers.Layer):
    """A layer within that is given an array, and acts as the model around does unless it is told."""

    def __init__(self, way, told):
        super().__init__()
        self.inner, self.told = DroppingInside(way), told

    def call(self, x, training=None):
        told = {"passed": {"training": training}, "not": {}, "always": {"training": True}}[self.told]
        return self.inner(x, np.ones(4, "float32"), **told)


class DroppingInside(layers.Layer):
    def __init__(self, way):
        super().__init__()
        self.way, self.dropout = way, layers.Dropout(0.5)

    def call(self, x, mask, training=None):
        x = x * mask
        if self.way == "doubles":
            return x * 2.0 if training else x * 1.0 + 0.0
        if self.way == "hands on":
            return self.dropout(x, training=training)
        return self.dropout(x) if training else x


@pytest.mark.parametrize("told", ["passed", "not", "always"])
@pytest.mark.parametrize("way", ["branches", "hands on"])
def test_dropout_in_a_layer_within_acts_in_training(way, told):
    image, x = keras.Input((4,)), np.ones((200, 4), "float32")
    model = keras.Model(image, Dropping(way, told)(image))
    zeros = [np.mean(np.asarray(model(x, training=training)) == 0) for training in (False, True)]
    np.testing.assert_allclose(zeros, [0.5 * (told == "always"), 0.5], atol=0.15)


class OnWindows(layers.Layer):
    """A layer within that takes windows out of the samples for a moment, and drops some of their numbers."""

    def __init__(self):
        super().__init__()
        self.inner = Outside()

    def call(self, x):
        return images_of(ops.reshape(self.inner(ops.reshape(windows_of(x, 4), (-1, 16, 3))), (-1, 4, 4, 3)), 4, 8, 8)


class Outside(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dropout, self.dense = layers.Dropout(0.5), layers.Dense(3, kernel_initializer="identity")
        self.windows = self.dropout.windows = 4  # names of a user's own

    def call(self, x, training=None):
        x = ops.reshape(self.dense(x), (-1, 4, 16, 3))
        if training:
            x = self.dropout(x)
        return self.dense(ops.reshape(x * np.arange(1.0, 5.0, dtype="float32")[:, None, None], (-1, 16, 3)))


def test_a_layer_within_drops_numbers_of_windows_that_it_takes_out():
    image = keras.Input((8, 8, 3))
    model, x = keras.Model(image, OnWindows()(image)), np.ones((20, 8, 8, 3), "float32")
    places = np.kron(np.arange(1.0, 5.0).reshape(2, 2), np.ones((4, 4)))[:, :, None]  # (8, 8, 1)
    np.testing.assert_allclose(model.predict(x, verbose=0), x * places)
    made = np.asarray(model(x, training=True))
    np.testing.assert_allclose(np.mean(made == 0), 0.5, atol=0.15)
    np.testing.assert_allclose(made[made != 0], (2 * x * places)[made != 0])


def test_a_layer_within_that_computes_something_else_in_training_says_so():
    image = keras.Input((4,))
    with pytest.raises(ValueError, match=r"layer 'dropping_inside.*something else in training"):
        Dropping("doubles", "not")(image)


def test_a_layer_within_may_give_what_it_is_given():
    class Same(layers.Layer):
        def __init__(self):
            super().__init__()
            self.unused = layers.ReLU()

        def call(self, x, mask, training=None):
            return x

    class Handing(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.inner = layers.Dense(4, kernel_initializer="identity"), Same()

        def call(self, x):
            return self.inner(self.dense(x), np.ones(4, "float32"), training=False)

    image, x = keras.Input((4,)), wave(3, 4)
    np.testing.assert_array_equal(keras.Model(image, Handing()(image)).predict(x, verbose=0), x)


class Ending(layers.Layer):
    def __init__(self, **options):
        super().__init__()
        self.dense, self.ends = layers.Dense(3, **options), not options

    def call(self, x):
        made = self.dense(windows_of(x, 4))
        return made if self.ends else images_of(made, 4, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"), [({}, "takes them out again"), ({"activity_regularizer": "l2"}, "adds to the loss")]
)
def test_what_a_graph_of_windows_cannot_be_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        Ending(**options)(keras.Input((8, 8, 3)))
