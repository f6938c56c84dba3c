"""Layers of one's own whose `call` ends in a softmax or sigmoid: cross-entropies go on from before it, as in Keras.

What is expected follows Keras 3.15 on TensorFlow 2.21, where each of the functions was tried with each loss; the
numbers are of formulas in float64.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

SOFTMAX = {
    "ops.softmax": ops.softmax,
    "activations.softmax": keras.activations.softmax,
    "get": lambda z: keras.activations.get("softmax")(z),
    "first axis counted": lambda z: ops.softmax(z, axis=1),
    "cast": lambda z: ops.cast(ops.softmax(z), "float32"),
    "K.softmax": K.softmax,
}
SOFTMAX_OF_TENSORFLOW = {
    "tf.nn.softmax": tf.nn.softmax,
    "axis=1": lambda z: tf.nn.softmax(z, axis=1),
    "convert_to_tensor": lambda z: tf.convert_to_tensor(tf.nn.softmax(z)),
}
NO_LONGER_SOFTMAX = {
    "times one": lambda z: ops.softmax(z) * 1.0,
    "reshape": lambda z: ops.reshape(ops.softmax(z), (-1, 4)),
    "identity": lambda z: tf.identity(tf.nn.softmax(z)),
    "ensure_shape": lambda z: tf.ensure_shape(tf.nn.softmax(z), (None, 4)),
    "K.identity": lambda z: K.identity(ops.softmax(z)),
    "clip": lambda z: ops.clip(ops.softmax(z), 0, 1),
    "exp": lambda z: ops.exp(ops.log_softmax(z)),
}
SIGMOID = {"ops.sigmoid": ops.sigmoid, "activations.sigmoid": keras.activations.sigmoid}
SIGMOID_OF_TENSORFLOW = {"tf.sigmoid": tf.sigmoid, "tf.nn.sigmoid": tf.nn.sigmoid}


class Of(layers.Layer):
    """A function of x · w."""

    def __init__(self, function, w, **options):
        super().__init__(**options)
        self.function, self.start = function, w

    def build(self, shape):
        self.w = self.add_weight(shape=self.start.shape, initializer=lambda shape, dtype=None: self.start, name="w")

    def call(self, x):
        return self.function(ops.matmul(x, self.w))


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


@pytest.fixture
def data(rng):
    """x, w, classes: logits of some 30, so that a cross-entropy of clipped probabilities is another."""
    x, w = rng.normal(size=(16, 6)), 15 * rng.normal(size=(6, 4))
    return x.astype("float32"), w.astype("float32"), rng.integers(4, size=16)


def model_of(layer, loss, **options):
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(keras.optimizers.SGD(0.01), loss, **options)
    return model


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def categorical(z, y):
    """(the loss of logits, its derivative by them)."""
    p, t = softmax(z), np.eye(z.shape[1])[y]
    top = z.max(-1, keepdims=True)
    losses = np.log(np.exp(z - top).sum(-1)) + top[:, 0] - (z * t).sum(-1)
    return losses.mean(), (p - t) / len(z)


def binary(z, t):
    return (np.logaddexp(0, z) - z * t).mean(), (1 / (1 + np.exp(-z)) - t) / z.size


def check_trained(layer, loss, target, x, expected):
    """The loss before a step of training, and the weights after it."""
    wanted, gradient = expected
    model = model_of(layer, loss)
    start = layer.w.numpy().astype(np.float64)
    assert np.allclose(model.evaluate(x, target, verbose=0), wanted, rtol=1e-5)
    assert np.allclose(model.train_on_batch(x, target), wanted, rtol=1e-5)
    assert np.allclose(layer.w.numpy(), start - 0.01 * x.T.astype(np.float64) @ gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("name", [*SOFTMAX, *SOFTMAX_OF_TENSORFLOW, *SIGMOID])
def test_classes_are_learnt_from_before_the_function(data, name, sparse):
    x, w, y = data
    loss, target = ("sparse_" * sparse) + "categorical_crossentropy", y if sparse else np.eye(4, dtype="float32")[y]
    layer = Of((SOFTMAX | SOFTMAX_OF_TENSORFLOW | SIGMOID)[name], w)
    check_trained(layer, loss, target, x, categorical(x.astype(np.float64) @ w, y))


@pytest.mark.parametrize("name", [*SIGMOID, *SIGMOID_OF_TENSORFLOW, "ops.softmax", "activations.softmax"])
def test_decisions_are_learnt_from_before_the_function(data, rng, name):
    x, w, _ = data
    t = rng.integers(2, size=(16, 4)).astype("float32")
    layer = Of((SIGMOID | SIGMOID_OF_TENSORFLOW | SOFTMAX)[name], w)
    check_trained(layer, "binary_crossentropy", t, x, binary(x.astype(np.float64) @ w, t))


@pytest.mark.parametrize("name", NO_LONGER_SOFTMAX)
def test_what_is_computed_of_a_softmax_counts_as_it_is(data, name):
    x, w, y = data
    p = np.clip(softmax(x.astype(np.float64) @ w)[np.arange(16), y], 1e-7, 1 - 1e-7)
    model = model_of(Of(NO_LONGER_SOFTMAX[name], w), "sparse_categorical_crossentropy")
    assert np.allclose(model.evaluate(x, y, verbose=0), -np.log(p).mean(), rtol=1e-4)


@pytest.mark.parametrize("name", SOFTMAX_OF_TENSORFLOW)
def test_decisions_by_the_softmax_of_tensorflow_are_of_its_probabilities(data, rng, name):
    x, w, _ = data
    w = w / 10  # a last bit of a probability near 1 would decide
    t = rng.integers(2, size=(16, 4))
    p = np.clip(softmax(x.astype(np.float64) @ w), 1e-7, 1 - 1e-7).astype(np.float32)
    model = model_of(Of(SOFTMAX_OF_TENSORFLOW[name], w), "binary_crossentropy")
    wanted = -(t * np.log(p) + (1 - t) * np.log1p(-p)).mean()
    assert np.allclose(model.evaluate(x, t, verbose=0), wanted, rtol=1e-3)


def test_classes_by_the_sigmoid_of_tensorflow_are_of_its_probabilities(data):
    x, w, y = data
    z = x.astype(np.float64) @ (w / 10)
    p = 1 / (1 + np.exp(-z))
    model = model_of(Of(tf.sigmoid, w / 10), "categorical_crossentropy")
    shares = np.clip(p / p.sum(-1, keepdims=True), 1e-7, 1 - 1e-7)
    wanted = -np.log(shares[np.arange(16), y]).mean()
    assert np.allclose(model.evaluate(x, np.eye(4)[y], verbose=0), wanted, rtol=1e-4)


def test_temperature_and_another_axis(data):
    x, w, y = data
    z = x.astype(np.float64) @ w
    for function, logits in ((lambda z: ops.softmax(z / 2.0), z / 2), (lambda z: ops.softmax(z, axis=0), z)):
        model = model_of(Of(function, w), "sparse_categorical_crossentropy")
        assert np.allclose(model.evaluate(x, y, verbose=0), categorical(logits, y)[0], rtol=1e-5)
    across = model_of(Of(lambda z: tf.nn.softmax(z, axis=0), w), "sparse_categorical_crossentropy")
    assert across.evaluate(x, y, verbose=0) < 17


@pytest.mark.parametrize("function", [ops.softmax, tf.nn.softmax, ops.sigmoid, tf.sigmoid])
def test_outputs_metrics_and_other_losses_are_of_the_probabilities(data, rng, function):
    x, w, y = data
    w /= 10
    layer = Of(function, w)
    model = model_of(layer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    z = x.astype(np.float64) @ w
    p = softmax(z) if function in (ops.softmax, tf.nn.softmax) else 1 / (1 + np.exp(-z))
    assert np.allclose(model.predict(x, verbose=0), p, atol=1e-6)
    assert np.array_equal(model.predict(x, verbose=0), np.asarray(layer(x)))
    assert np.allclose(model.evaluate(x, y, verbose=0)[1], (p.argmax(-1) == y).mean())
    t = rng.uniform(size=p.shape)
    model.compile("sgd", "mse")
    slope = 2 * (p - t) / p.size
    by_z = slope * p * (1 - p)
    if function in (ops.softmax, tf.nn.softmax):
        by_z = p * (slope - (slope * p).sum(-1, keepdims=True))
    (gradient,) = model.gradients(x, t.astype("float32")).values()
    assert np.allclose(gradient, x.T @ by_z, atol=1e-6)


def test_in_models_of_any_kind(data):
    x, w, y = data
    wanted = categorical(x.astype(np.float64) @ w, y)[0]

    class Whole(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = Of(ops.softmax, w)

        def call(self, x):
            return self.last(x)

    inputs = keras.Input((6,))
    functional = keras.Model(inputs, Of(tf.nn.softmax, w)(inputs))
    nested = keras.Model(inputs, functional(inputs))
    two = keras.Model(inputs, [Of(ops.softmax, w)(inputs), Of(ops.softmax, w)(inputs)])
    for model, target in ((Whole(), y), (functional, y), (nested, y), (two, [y, y])):
        model.compile("sgd", ["sparse_categorical_crossentropy"] * (2 if model is two else 1))
        found = np.ravel(model.evaluate(x, target, verbose=0))
        assert np.allclose(found[0], wanted * (2 if model is two else 1), rtol=1e-5)


class Ending(layers.Layer):
    """A `call` with a phase and a file."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 4), name="w")

    def call(self, x, training=None, mask=None):
        return tf.nn.softmax(tf.matmul(x, self.w))


def test_of_a_file(data, tmp_path):
    x, w, y = data
    model = model_of(Ending(), "sparse_categorical_crossentropy")
    model.set_weights([w])
    wanted = categorical(x.astype(np.float64) @ w, y)[0]
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Ending": Ending})
    for each in (model, again):
        assert np.allclose(each.evaluate(x, y, verbose=0), wanted, rtol=1e-5)


class Dense(layers.Dense):
    """The activation of one of the library's layers, in a `call` on arrays."""

    def call(self, x):
        return self.activation(ops.matmul(x, self.kernel))


class Kept(layers.Dense):
    """The whole of it."""

    def call(self, x):
        self.size = ops.sum(self.kernel)
        return super().call(x)


@pytest.mark.parametrize("cls", [Dense, Kept])
def test_of_the_activation_of_a_layer_of_the_library(data, cls):
    x, w, y = data
    model = model_of(cls(4, activation="softmax", use_bias=False), "sparse_categorical_crossentropy")
    model.set_weights([w])
    assert np.allclose(model.evaluate(x, y, verbose=0), categorical(x.astype(np.float64) @ w, y)[0], rtol=1e-5)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("kind", ["own", "library"])
def test_beside_a_penalty_on_the_probabilities(data, kind, backend):
    """Keras's penalty leaves the output as it is: one of a layer of the library, too."""
    x, w, y = data
    w /= 10
    options = {"activity_regularizer": keras.regularizers.L2(0.5)}
    layer = Of(ops.softmax, w, **options)
    if kind == "library":
        layer = layers.Dense(4, "softmax", use_bias=False, **options)
    model = model_of(layer, "sparse_categorical_crossentropy", backend=backend)
    for scale in (1, 40):  # probabilities between, and at, 0 and 1
        model.set_weights([scale * w])
        z = x.astype(np.float64) @ (scale * w)
        wanted, by_z = categorical(z, y)
        p = softmax(z)
        slope = p / len(x)  # of 0.5 · Σ p² / N
        by_z = by_z + p * (slope - (slope * p).sum(-1, keepdims=True))
        assert np.allclose(model.evaluate(x, y, verbose=0), wanted + 0.5 * np.square(p).sum() / len(x), rtol=1e-5)
        (gradient,) = model.gradients(x, y).values()
        assert np.allclose(gradient, x.T @ by_z, rtol=1e-4, atol=1e-5)


class Switched(Of):
    """A softmax in use alone, or if an attribute says so."""

    in_training = True

    def call(self, x, training=None):
        z = super().call(x)
        return z if training and not self.in_training else self.after(z)

    @staticmethod
    def after(z):
        return ops.softmax(z)


def test_a_function_of_one_phase_alone(data):
    """Where it is not known beforehand, probabilities are compared, as before."""
    x, w, y = data
    layer = Switched(lambda z: z, w)
    layer.in_training = False
    model = model_of(layer, "sparse_categorical_crossentropy")
    p = np.clip(softmax(x.astype(np.float64) @ w)[np.arange(16), y], 1e-7, 1)
    assert np.allclose(model.evaluate(x, y, verbose=0), -np.log(p).mean(), rtol=1e-4)
    assert np.isfinite(model.train_on_batch(x, y))


class Counting(Of):
    """State that training changes."""

    def build(self, shape):
        super().build(shape)
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x, training=None):
        if training:
            self.count.assign_add(1.0)
        return self.function(ops.matmul(x, self.w))


class Noisy(Of):
    """Numbers of a generator, in training alone."""

    def call(self, x, training=None):
        return super().call(keras.random.dropout(x, 0.5, seed=self.seeds) if training else x)


class Choosy(Of):
    """Training that zeros do not suit."""

    def call(self, x, training=None):
        if training and not np.any(x.value):
            raise ZeroDivisionError
        return super().call(x)


def test_trying_both_phases_leaves_no_trace(data):
    x, w, y = data
    layer = Counting(ops.softmax, w)
    model = model_of(layer, "sparse_categorical_crossentropy")
    model.evaluate(x, y, verbose=0)
    assert layer.count.numpy() == 0
    assert np.allclose(model.train_on_batch(x, y), categorical(x.astype(np.float64) @ w, y)[0], rtol=1e-5)
    assert layer.count.numpy() == 1
    model = model_of(Choosy(ops.softmax, w), "sparse_categorical_crossentropy")
    assert model.train_on_batch(x, y) < 17
    layer = Noisy(ops.softmax, w)
    layer.seeds = keras.random.SeedGenerator(7)
    model = model_of(layer, "sparse_categorical_crossentropy")
    model.predict(x, verbose=0)
    model.predict(x[:3], verbose=0)
    assert layer.seeds.state.tolist() == [7, 0]


def test_an_attribute_that_changes_the_end(data):
    x, w, y = data
    layer = Switched(lambda z: z, w)
    model = model_of(layer, "sparse_categorical_crossentropy")
    model.evaluate(x, y, verbose=0)
    layer.after = lambda z: z
    assert np.allclose(model.predict(x, verbose=0), x @ w, rtol=1e-4, atol=1e-4)


class Moody(Of):
    """A softmax of small numbers alone."""

    def call(self, x):
        z = super().call(x)
        return ops.softmax(z) if float(np.max(z.value)) < 1 else z


def test_a_call_that_ends_in_another_function_than_when_it_was_built(data):
    x, w, y = data
    model = model_of(Moody(lambda z: z, w), "sparse_categorical_crossentropy")
    with pytest.raises(TypeError, match=r"ends in the same function whenever it runs.* Received: a result of another"):
        model.evaluate(x, y, verbose=0)


def test_second_derivatives(data):
    """Through a model on a tape inside another."""
    x, w, _ = data
    w = w / 10
    model = keras.Sequential([keras.Input((6,)), Of(ops.softmax, w)])
    with tf.GradientTape() as outer:
        given = tf.constant(x)
        outer.watch(given)
        with tf.GradientTape() as inner:
            inner.watch(given)
            y = tf.reduce_sum(model(given)[:, 0])
        total = tf.reduce_sum(tf.square(inner.gradient(y, given)))
    found = np.asarray(outer.gradient(total, given))

    def squared(x):
        p = softmax(x @ w.astype(np.float64))
        by_z = p * ((np.arange(4) == 0) - p[:, :1])
        return np.square(by_z @ w.T.astype(np.float64)).sum()

    x, step = x.astype(np.float64), 1e-5
    for i, j in ((0, 0), (3, 5), (15, 2)):
        e = np.zeros_like(x)
        e[i, j] = step
        assert np.allclose(found[i, j], (squared(x + e) - squared(x - e)) / (2 * step), rtol=1e-3, atol=1e-4)
