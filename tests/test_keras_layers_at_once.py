"""Layers of layers that fold places into samples run on arrays, in models with a `call`. Expected: Keras 3.15.1."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

L = keras.layers
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4, 4, 3)).astype("float32"), RNG.integers(0, 3, 12)

pytestmark = pytest.mark.filterwarnings("ignore:call of model")


class Rows(L.Layer):
    """Its layers get each pixel as a sample."""

    def __init__(self):
        super().__init__()
        self.d = L.Dense(5)

    def call(self, x):
        return ops.reshape(self.of_pixels(ops.reshape(x, (ops.shape(x)[0] * 16, 3))), (ops.shape(x)[0], 4, 4, 5))

    def of_pixels(self, pixels):
        return self.d(pixels)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 4, 4, 5)


class Normalized(Rows):
    def __init__(self):
        super().__init__()
        self.b = L.BatchNormalization()

    def of_pixels(self, pixels):
        return self.b(self.d(pixels))


class Nested(Rows):
    def __init__(self):
        L.Layer.__init__(self)
        self.p = Normalized()
        self.c = L.Dense(5, activation="relu")

    def call(self, x):
        return self.c(self.p(x))


class WithWeight(Rows):
    def build(self, input_shape):
        self.w = self.add_weight(name="w", shape=(3, 3), initializer="glorot_uniform", trainable=True)

    def of_pixels(self, pixels):
        return self.d(ops.matmul(pixels, self.w))


class WithVariable(WithWeight):
    def build(self, input_shape):
        self.w = tf.Variable(tf.ones((3, 3)), name="w")  # once, though `call` is tried with tensors and arrays


class Adds(Rows):
    def of_pixels(self, pixels):
        made = self.d(pixels)
        self.add_loss(0.1 * ops.mean(ops.square(made)))
        return made


class Windows(L.Layer):
    """Attention within windows of 2 × 2 pixels."""

    def __init__(self):
        super().__init__()
        self.e = L.Dense(8)
        self.a = L.MultiHeadAttention(2, 4)
        self.n = L.LayerNormalization()

    def call(self, x):
        z = self.e(x)
        w = ops.transpose(ops.reshape(z, (-1, 2, 2, 2, 2, 8)), (0, 1, 3, 2, 4, 5))
        w = ops.reshape(w, (-1, 4, 8))
        w = ops.reshape(self.a(self.n(w), self.n(w)), (-1, 2, 2, 2, 2, 8))
        return z + ops.reshape(ops.transpose(w, (0, 1, 3, 2, 4, 5)), (-1, 4, 4, 8))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 4, 4, 8)


class Heads(L.Layer):
    """Attention with the heads among the samples."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = L.Dense(8), L.Dense(8), L.Dense(8)

    def split(self, t, count):
        t = ops.transpose(ops.reshape(t, (count, -1, 2, 4)), (0, 2, 1, 3))
        return ops.reshape(t, (count * 2, -1, 4))

    def call(self, x):
        count = ops.shape(x)[0]
        x = ops.reshape(x, (count, 16, 3))
        q, k, v = (self.split(layer(x), count) for layer in (self.q, self.k, self.v))
        o = ops.matmul(ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) / 2.0), v)
        o = ops.transpose(ops.reshape(o, (count, 2, -1, 4)), (0, 2, 1, 3))
        return ops.reshape(o, (count, 16, 8))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 16, 8)


class Classifier(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.p = layer
        self.f = L.Flatten()
        self.o = L.Dense(3, activation="softmax")

    def call(self, x, training=False):
        return self.o(self.f(self.p(x, training=training)))


def begun(cls):
    model = Classifier(cls())
    model(X[:2])
    rng = np.random.default_rng(5)
    model.set_weights([abs(rng.normal(size=w.shape)).astype("float32") * 0.3 for w in model.get_weights()])
    return model


CASES = [  # predicted, losses of fit, sum of weights, evaluated, losses of a loop
    (Normalized, 7.0721, [1.1399, 1.0855], 65.365, 1.0561, [1.1408, 1.0593, 1.0113]),
    (Nested, 5.4320, [1.1034, 1.0522], 72.122, 1.0404, [1.1182, 1.0353, 1.0067]),
    (WithWeight, 3.8083, [1.2653, 1.1812], 62.742, 1.1297, [1.2778, 1.1698, 1.0928]),
    (WithVariable, 3.8083, [1.2653, 1.1812], 62.742, 1.1297, [1.2778, 1.1698, 1.0928]),
    (Adds, 3.2175, [1.6763, 1.4095], 60.674, 1.2417, [1.7057, 1.504, 1.34]),
    (Windows, 0.0133, [4.2307, 1.3721], 170.873, 1.0299, [5.596, 2.7819, 1.6161]),
    (Heads, 4.1405, [1.3939, 1.201], 111.569, 1.1216, [1.4601, 1.243, 1.0965]),
]


@pytest.mark.parametrize(("cls", "predicted", "losses", "total", "evaluated", "in_loop"), CASES)
def test_they_train_in_a_models_class(cls, predicted, losses, total, evaluated, in_loop):
    model = begun(cls)
    assert np.abs(model.predict(X, verbose=0)[:, 0]).sum() == pytest.approx(predicted, abs=1e-3)
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    history = model.fit(X, Y, batch_size=6, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], losses, atol=3e-4)
    assert sum(np.abs(w).sum() for w in model.get_weights()) == pytest.approx(total, abs=5e-3)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(evaluated, abs=3e-4)

    model, optimizer, found = begun(cls), keras.optimizers.Adam(0.01), []
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = loss_of(Y, model(X, training=True)) + sum(model.losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        found.append(float(loss))
    np.testing.assert_allclose(found, in_loop, atol=3e-4)


def test_one_alone_takes_any_number_of_samples():
    layer = Rows()
    assert layer(X).shape == (12, 4, 4, 5)
    whole = np.asarray(layer(X))
    np.testing.assert_allclose(layer(X[:5]), whole[:5], rtol=1e-6)
    assert len(layer.weights) == 2


def test_a_model_of_tensors_says_where_it_runs():
    with pytest.raises(TypeError, match=r"size that is None.*a keras\.Model with a call of its own"):
        Rows()(L.Input((4, 4, 3)))


def test_a_fault_of_its_own_is_told():
    class Wrong(Rows):
        def of_pixels(self, pixels):
            return ops.reshape(self.d(pixels), (-1, 7))

    with pytest.raises((TypeError, ValueError)):
        Classifier(Wrong())(X)


def test_a_lambda_that_folds_is_told_by_its_samples():
    i = L.Input((4, 4, 3))
    model = keras.Model(i, L.Lambda(lambda x: np.reshape(np.asarray(x), (-1, 4, 3)), output_shape=(4, 3))(i))
    with pytest.raises(
        ValueError, match=r"as many samples as it gets: 12; TimeDistributed.*Received: shape \(48, 4, 3\)"
    ):
        model.predict(X, verbose=0)
    model = keras.Model(i, L.Lambda(lambda x: np.asarray(x)[:1] * 2, output_shape=(4, 4, 3))(i))
    with pytest.raises(ValueError, match=r"Received: shape \(1, 4, 4, 3\)"):  # which would be there for all
        model.predict(X, verbose=0)


def test_an_attribute_that_is_none_is_not_taken_for_a_size():
    class Activated(L.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.activation = L.Dense(2), None

        def call(self, x):
            return self.activation(self.dense(x))

    with pytest.raises(TypeError, match=r"^'NoneType' object is not callable$"):
        Activated()(keras.Input((3,)))


def test_a_layer_that_fails_on_arrays_as_well_says_why():
    class Fails(Rows):
        def of_pixels(self, pixels):
            return ops.matmul(self.d(pixels), np.ones((4, 2), "float32"))  # (N · 16, 5) by (4, 2)

    with pytest.raises(TypeError, match="the number of samples") as caught:
        Fails()(X)
    assert "matmul" in str(caught.value.__cause__)
