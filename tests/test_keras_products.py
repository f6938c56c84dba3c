"""Products and log-sums of powers in losses and layers. Expected: Keras 3.15.1, finite differences, NumPy."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

L = keras.layers
X = np.random.default_rng(0).random(size=(12, 6)).astype("float32")
LOSSES = {  # loss of h (N, 4) and o (N, 6) → what Keras 3.15.1 gives in three epochs
    "a product of each sample": (lambda h, o: ops.mean(ops.prod(o, axis=-1)), [0.0167, 0.0166, 0.0164]),
    "a product of all": (lambda h, o: ops.prod(o + 0.5), [0.8002, 0.1496, 0.1082]),
    "a log-sum of each sample": (lambda h, o: ops.mean(ops.logsumexp(h, axis=-1)), [1.2624, 1.1864, 1.1089]),
    "a log-sum of all": (lambda h, o: ops.logsumexp(h), [2.7224, 2.6459, 2.5678]),
    "the same of K": (lambda h, o: K.logsumexp(h), [2.7224, 2.6459, 2.5678]),
}


def hidden_and_output(i):
    h = L.Dense(4, activation="tanh", name="h")(i)
    return h, L.Dense(6, activation="sigmoid", name="o")(h)


def losses_of(model):
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=w.shape).astype("float32") * 0.3 for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.05), None)
    return model.fit(X, batch_size=5, epochs=3, verbose=0, shuffle=False).history["loss"]


@pytest.mark.parametrize("case", LOSSES)
def test_a_model_of_tensors_trains_by_them(case):
    loss, expected = LOSSES[case]
    i = L.Input((6,))
    h, o = hidden_and_output(i)
    model = keras.Model(i, o)
    model.add_loss(loss(h, o))
    np.testing.assert_allclose(losses_of(model), expected, atol=1e-4)


@pytest.mark.parametrize("case", LOSSES)
def test_a_layer_adds_them_to_the_loss(case):
    loss, expected = LOSSES[case]

    class Adds(L.Layer):
        def call(self, inputs):
            self.add_loss(loss(*inputs))
            return inputs[1]

        def compute_output_shape(self, input_shape):
            return input_shape[1]

    i = L.Input((6,))
    np.testing.assert_allclose(losses_of(keras.Model(i, Adds()(list(hidden_and_output(i))))), expected, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_log_sums_of_infinite_numbers():
    """Of places that are all masked, by -inf, TensorFlow has -inf, not NaN; gradients of others are what they were."""
    x = np.array([[-np.inf, -np.inf], [np.inf, 1], [1, 2], [np.nan, 1]], "float32")
    expected = np.array([-np.inf, np.inf, 2.3132617, np.nan])
    for function in (ops.logsumexp, tf.reduce_logsumexp):
        np.testing.assert_allclose(function(x, axis=1), expected, rtol=1e-6)
        assert function(x[:3]) == np.inf and function(x[0]) == -np.inf
    i = L.Input((2,))
    np.testing.assert_allclose(
        keras.Model(i, ops.logsumexp(i, axis=-1)).predict(x[:3], verbose=0), expected[:3], rtol=1e-6
    )
    variable = tf.Variable(x[[2, 2]] - np.array([[0, np.inf], [0, 0]], "float32"))
    with tf.GradientTape() as tape:
        made = tf.reduce_logsumexp(variable, axis=1)
    np.testing.assert_allclose(tape.gradient(made, variable), [[1, 0], [0.26894143, 0.7310586]], rtol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), [1]])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_the_gradient_of_a_product_is_that_of_differences(axis, keepdims, zeros):
    rng = np.random.default_rng(3)
    x = rng.uniform(0.5, 1.5, size=(2, 3, 4))
    x.reshape(-1)[:zeros] = 0.0
    of_numpy = tuple(axis) if isinstance(axis, list) else axis
    weights = rng.normal(size=np.shape(np.prod(x, axis=of_numpy, keepdims=keepdims)))

    def total(x):
        return float(np.sum(weights * np.prod(x, axis=of_numpy, keepdims=keepdims)))

    expected, step = np.zeros_like(x), 1e-6
    for place in np.ndindex(x.shape):
        there, back = x.copy(), x.copy()
        there[place] += step
        back[place] -= step
        expected[place] = (total(there) - total(back)) / (2 * step)
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        made = tf.reduce_sum(weights * ops.prod(variable, axis=axis, keepdims=keepdims))
    np.testing.assert_allclose(tape.gradient(made, variable), expected, atol=1e-7)


def test_the_second_gradient_of_a_product_goes_on():
    x = tf.Variable(np.array([2.0, 3.0, 5.0]))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            made = ops.prod(x)
        gradient = inner.gradient(made, x)
        first = gradient[0]
    np.testing.assert_allclose(gradient, [15.0, 10.0, 6.0])
    np.testing.assert_allclose(outer.gradient(first, x), [0.0, 5.0, 3.0])


@pytest.mark.parametrize("ending", [".keras", ".h5", "json"])
def test_files_hold_them(ending, tmp_path):
    pytest.importorskip("h5py")
    i = L.Input((6,))
    h, o = hidden_and_output(i)
    model = keras.Model(i, [ops.prod(o, axis=-1, keepdims=True), ops.logsumexp(h, axis=1)])
    if ending == "json":
        again = keras.models.model_from_json(model.to_json())
        again.set_weights(model.get_weights())
    else:
        model.save(tmp_path / f"m{ending}")
        again = keras.models.load_model(tmp_path / f"m{ending}")
    values = np.prod(keras.Model(i, o).predict(X, verbose=0), axis=1, keepdims=True)
    for model_ in (model, again):
        np.testing.assert_allclose(model_.predict(X, verbose=0)[0], values, rtol=1e-5)
    logs = np.log(np.exp(keras.Model(i, h).predict(X, verbose=0)).sum(axis=1))
    np.testing.assert_allclose(again.predict(X, verbose=0)[1], logs, rtol=1e-5)
