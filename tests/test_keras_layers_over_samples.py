"""Layers of layers that go by the whole batch, as those that normalize by its moments do."""

import operator

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf
from minicnn.keras._names import NotInMinicnn


class _Modulated(layers.Layer):
    """SPADE, of GauGAN: images normalized by the moments of their batch, then scaled and moved by a drawing."""

    def __init__(self, moments, **kwargs):
        super().__init__(**kwargs)
        self.moments = moments
        self.gamma, self.beta = layers.Conv2D(4, 3, padding="same"), layers.Conv2D(4, 3, padding="same")

    def call(self, x, drawing):
        return self.moments(x, self.gamma(drawing), self.beta(drawing))


def _by_ops(x, gamma, beta):
    mean, variance = ops.moments(x, axes=(0, 1, 2), keepdims=True)
    return gamma * ((x - mean) / ops.sqrt(variance + 1e-5)) + beta


def _by_tensorflow(x, gamma, beta):
    mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5)


def _by_the_largest(x, gamma, beta):
    return gamma * (x / ops.max(ops.abs(x), axis=0, keepdims=True)) + beta


def _by_another_tensor(x, gamma, beta):
    mean = ops.mean(gamma, axis=(0, 1, 2))
    return gamma * ((x - mean) * ops.rsqrt(ops.var(gamma, axis=(0, 1, 2)) + 1e-5)) + beta


_OF_A_BATCH = {  # what Keras 3.15 predicts of batches of 4, two losses of fit, and sums of gradients' amounts
    _by_ops: ([0.4723, 0.7845, -0.8778, 0.5712], [1.7034, 0.6282], [0.979, 0, 1.411, 0.053, 1.658, 0.437, 5.289]),
    _by_tensorflow: (
        [0.4723, 0.7845, -0.8778, 0.5712],
        [1.7034, 0.6282],
        [0.979, 0, 1.411, 0.053, 1.658, 0.437, 5.289],
    ),
    _by_the_largest: ([0.3699, 0.5574, -0.7655, 0.5378], [1.6776, 0.6277], [0.833, 0.059, 0.864, 0.036, 1.823, 0.432]),
    _by_another_tensor: (
        [0.3983, 0.679, -0.8004, 0.5924],
        [1.7373, 0.6375],
        [0.894, 0.069, 1.246, 0.109, 1.846, 0.442],
    ),
}


@pytest.mark.parametrize("moments", _OF_A_BATCH, ids=lambda moments: moments.__name__)
def test_a_layer_of_layers_that_goes_by_the_whole_batch(moments):
    image, drawing = keras.Input((6, 6, 2)), keras.Input((6, 6, 3))
    y = ops.tanh(_Modulated(moments)(layers.Conv2D(4, 3, padding="same")(image), drawing))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(y))
    model = keras.Model([image, drawing], layers.Dense(3)(y))
    model.set_weights([np.random.RandomState(k).randn(*w.shape) * 0.3 for k, w in enumerate(model.get_weights())])
    x = [np.random.RandomState(5).randn(7, 6, 6, 2).astype("float32")]
    x += [np.random.RandomState(6).randn(7, 6, 6, 3).astype("float32")]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    predicted, losses, amounts = _OF_A_BATCH[moments]
    np.testing.assert_allclose(model.predict(x, batch_size=4).ravel()[:4], predicted, atol=2e-4)
    targets = np.random.RandomState(7).randn(7, 3)
    history = model.fit(x, targets, batch_size=4, shuffle=False, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], losses, atol=2e-4)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(x) ** 2)
    gradients = tape.gradient(loss, model.trainable_weights)
    np.testing.assert_allclose([np.abs(g).sum() for g in gradients][: len(amounts)], amounts, atol=2e-3)


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_numbers_over_all_samples_are_compared_one_by_one(name):
    compare = getattr(operator, name)

    class Chosen(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inside = layers.Activation("relu")

        def call(self, x):
            y = self.inside(x)
            most = ops.max(y, axis=0)
            large = ops.where(compare(most, 1.0), 2.0, 3.0)
            return ops.where(compare(y, most), y, -1.0) + 10 * ops.where(compare(most, y), y, -1.0) * large

    x = np.random.default_rng(0).integers(-1, 3, (3, 5)).astype("float32")
    inputs = keras.Input((5,))
    y = np.maximum(x, 0)
    most = y.max(axis=0)
    expected = np.where(compare(y, most), y, -1)
    expected = expected + 10 * np.where(compare(most, y), y, -1) * np.where(compare(most, 1), 2, 3)
    np.testing.assert_array_equal(keras.Model(inputs, Chosen()(inputs))(x), expected)


class _Numbered(layers.Layer):
    """A layer of layers that numbers its samples, as spatial transformers do for `tf.gather_nd`."""

    def __init__(self, function):
        super().__init__()
        self.function, self.dense = function, layers.Dense(5)

    def call(self, x):
        x = self.dense(x)
        return self.function(x, tf.shape(x)[0])


def _placed(x, count):
    rows = tf.tile(tf.range(count)[:, None], [1, 5])
    return x * tf.gather_nd(x, tf.stack([rows, tf.cast(x * 0 + 1, tf.int32)], -1))


def _chosen(x, count):
    best = tf.cast(tf.argmax(x, -1), tf.int32)
    return x - tf.gather_nd(x, tf.stack([tf.range(count), best], axis=1))[:, None]


def _added(x, count):
    numbers = tf.reshape(tf.range(0, count), [count, 1])
    return x + 0.1 * tf.cast(tf.tile(numbers, (1, 5)), tf.float32)


_NUMBERED = {  # what Keras 3.15 predicts of the last two of 7 samples in batches of 4, and two losses of fit
    _placed: ([-0.6456, -5.6512, -0.0306, 1.1014], [5.8921, 1.1899]),
    _chosen: ([1.5934, 3.805, 2.096, -1.4383], [14.0496, 3.0878]),
    _added: ([0.6913, 3.3001, 0.4673, -2.35], [10.4934, 3.0055]),
}


@pytest.mark.parametrize("function", _NUMBERED, ids=lambda function: function.__name__)
def test_a_layer_of_layers_that_numbers_its_samples(function):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layers.Dense(2)(_Numbered(function)(layers.Dense(3)(inputs))))
    model.set_weights([np.random.RandomState(k).randn(*w.shape) * 0.5 for k, w in enumerate(model.get_weights())])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x = np.random.RandomState(8).randn(7, 2).astype("float32")
    predicted, losses = _NUMBERED[function]
    np.testing.assert_allclose(model.predict(x, batch_size=4).ravel()[-4:], predicted, atol=2e-4)
    targets = np.random.RandomState(9).randn(7, 2)
    history = model.fit(x, targets, batch_size=4, shuffle=False, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], losses, rtol=2e-4)


@pytest.mark.parametrize(
    "numbers",
    [
        lambda count: tf.range(count),
        lambda count: tf.range(0, count),
        lambda count: tf.range(start=0, limit=count, delta=1),
        lambda count: ops.arange(count),
        lambda count: ops.arange(0, stop=count),
        lambda count: keras.backend.arange(0, count),
    ],
)
@pytest.mark.parametrize("base", [layers.Layer, keras.Model])
def test_the_numbers_of_the_samples_are_not_none(base, numbers):
    class Summing(base):
        def __init__(self):
            super().__init__()
            self.inside = layers.Activation("relu")

        def call(self, x):
            return self.inside(x) + tf.reduce_sum(tf.cast(numbers(tf.shape(x)[0]), tf.float32))

    if base is keras.Model:
        with pytest.warns(UserWarning, match="range to the number of samples, which is None"):
            model = Summing()
            given = model(np.zeros((4, 2)))
    else:
        inputs = keras.Input((2,))
        given = keras.Model(inputs, Summing()(inputs))(np.zeros((4, 2)))
    np.testing.assert_array_equal(given, np.full((4, 2), 0 + 1 + 2 + 3))


_BY_COUNT = {  # what a call makes of its input x (4, 3) and of how many samples that has, and by NumPy
    "a mean": (lambda x, count: x / tf.cast(count, tf.float32), lambda x: x / 4),
    "a root": (lambda x, count: x * tf.sqrt(tf.cast(count, x.dtype)), lambda x: x * 2),
    "a covariance": (lambda x, count: x - tf.reduce_sum(x, 0) / ops.cast(count, "float32"), lambda x: x - x.mean(0)),
    "ones": (lambda x, count: x + ops.ones((count, 1)), lambda x: x + 1),
    "zeros": (lambda x, count: ops.concatenate([x, ops.zeros((count, 2))], -1), lambda x: np.pad(x, [(0, 0), (0, 2)])),
    "full": (lambda x, count: x * ops.full(shape=(count, 3), fill_value=5.0), lambda x: x * 5),
    "a slice": (lambda x, count: tf.slice(x, [0, 1], [count, 2]), lambda x: x[:, 1:]),
    "the rest": (lambda x, count: tf.slice(x, [0, 1], [-1, 1]), lambda x: x[:, 1:2]),
    "steps": (lambda x, count: tf.strided_slice(x, [0, 0], [count, 3], [1, 2]), lambda x: x[:, ::2]),
    "all": (lambda x, count: x[0:count, 1:] + x[0:, :2] + x[::1, :2], lambda x: x[:, 1:] + 2 * x[:, :2]),
}


@pytest.mark.parametrize("name", _BY_COUNT)
@pytest.mark.parametrize("base", [layers.Layer, keras.Model])
@pytest.mark.filterwarnings("ignore:.*runs on arrays")
def test_a_call_goes_by_how_many_samples_there_are(base, name):
    function, expected = _BY_COUNT[name]

    class Counting(base):
        def __init__(self):
            super().__init__()
            self.inside = layers.Activation("relu")

        def call(self, x):
            return function(self.inside(x), tf.shape(x)[0])

    x = np.arange(12, dtype="float32").reshape(4, 3)
    inputs = keras.Input((3,))
    model = Counting() if base is keras.Model else keras.Model(inputs, Counting()(inputs))
    np.testing.assert_allclose(model(x), expected(x), rtol=1e-6)


def test_numbers_to_none_outside_of_a_call_are_refused():
    x = keras.Input((2,))
    for number in (tf.range, ops.arange):
        with pytest.raises(TypeError, match=r"range to the number of samples.*Received: a?range\(None\)"):
            number(tf.shape(x)[0])


class _OverSamples(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function, self.dense = function, layers.Dense(3, kernel_initializer="ones")

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(3,), initializer="ones")

    def call(self, x):
        y = self.dense(x)
        return self.function(self, y, ops.mean(y, axis=0, keepdims=True))


def _with_penalty(layer, y, mean):
    layer.add_loss(ops.sum(mean**2))
    return y


@pytest.mark.parametrize(
    ("function", "received"),
    [
        (lambda layer, y, mean: mean, "one that call returns"),
        (lambda layer, y, mean: (y - mean, mean), "one that call returns"),
        (lambda layer, y, mean: y + mean * layer.scale, "a weight, which meets a tensor first"),
        (lambda layer, y, mean: y + layer.scale * mean, "a weight, which meets a tensor first"),
        (_with_penalty, "add_loss"),
    ],
)
def test_what_is_no_tensor_of_a_graph_is_refused_there_and_computed_on_arrays(function, received):
    with pytest.raises(NotInMinicnn, match=received):
        _OverSamples(function)(keras.Input((2,)))

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = _OverSamples(function)

        def call(self, x):
            return self.inner(x)

    x = np.array([[1, 2], [3, 5], [0, 1]], "float32")
    y = np.repeat(x.sum(1, keepdims=True), 3, 1)  # (3, 3), of a kernel of ones
    expected = function(
        type("Layer", (), {"scale": 1.0, "add_loss": staticmethod(lambda _: None)}), y, y.mean(0, keepdims=True)
    )
    with pytest.warns(UserWarning, match="runs on arrays"):
        given = Model()(x)
    for one, other in zip(*((v if isinstance(v, tuple) else (v,)) for v in (given, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("count", [lambda: ops.arange(3, None), lambda: tf.range(3, limit=None)])
def test_an_end_that_is_none_may_be_the_default(count):
    """So in a `call` it is the number of samples behind a start of 0 alone."""
    np.testing.assert_array_equal(count(), [0, 1, 2])

    class Counting(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x) + tf.cast(count(), tf.float32)

    x = keras.Input((3,))
    with pytest.raises((TypeError, ValueError), match=r"number of samples|size that is"):
        keras.Model(x, Counting()(x))
