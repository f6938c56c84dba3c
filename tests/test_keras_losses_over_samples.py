"""Losses of a model of tensors that go by means, variances and extremes over the samples; the numbers are Keras 3.15's.

There a layer adds the same with `add_loss`.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

rng = np.random.default_rng(0)
rng.normal(size=(16, 8, 8, 2)), rng.integers(0, 3, 16)
X = rng.normal(size=(16, 5)).astype("float32")

CASES = {  # loss of a tensor (N, 3) → losses of `fit`, Σ and Σ|·| of the kernel behind it
    "variance": (lambda z: ops.sum(ops.var(z, axis=0)), [1.731317, 1.075381], [-0.94518, 1.2329]),
    "mean": (lambda z: ops.sum(ops.square(ops.mean(z, axis=0))), [1.916007, 0.965646], [-1.12311, 1.46534]),
    "deviation": (lambda z: ops.mean(ops.std(z, axis=0)), [1.772915, 1.207718], [-1.00505, 1.36903]),
    "tf": (lambda z: tf.reduce_sum(tf.square(tf.reduce_mean(z, axis=0))), [1.916007, 0.965646], [-1.12311, 1.46534]),
    "moments": (lambda z: tf.reduce_sum(tf.nn.moments(z, [0])[1]), [1.731317, 1.075381], [-0.94518, 1.2329]),
    "centred": (
        lambda z: ops.sum(ops.square(z - ops.mean(z, axis=0, keepdims=True))),
        [4.855915, 28.038141],
        [3.94317, 10.02548],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_they_are_trained_by(name):
    of, losses, sums = CASES[name]
    x = keras.Input((5,))
    z = layers.Dense(3)(x)
    model = keras.Model(x, z)
    first = np.random.default_rng(7)
    model.set_weights([(first.normal(size=w.shape) * 0.3).astype("float32") for w in model.get_weights()])
    model.add_loss(of(z))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(X, np.ones((16, 3), "float32"), batch_size=8, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-4)
    kernel = model.get_weights()[0]
    np.testing.assert_allclose([kernel.sum(), np.abs(kernel).sum()], sums, rtol=1e-3)


def test_a_layer_that_sees_all_samples_is_a_lambda():
    x = keras.Input((5,))
    with pytest.raises(TypeError, match="computed over the samples"):
        layers.Dense(2)(ops.mean(x, axis=0, keepdims=True))
    centred = keras.Model(x, layers.Lambda(lambda t: t - ops.mean(t, axis=0, keepdims=True))(x))
    np.testing.assert_allclose(centred.predict(X, verbose=0), X - X.mean(axis=0), atol=1e-6)


ROWS = {  # of targets and outputs, number by number
    "MeanSquaredError": lambda y, p: (y - p) ** 2,
    "MeanAbsoluteError": lambda y, p: abs(y - p),
    "BinaryCrossentropy": lambda y, p: -(y * np.log(p) + (1 - y) * np.log(1 - p)),
    "Hinge": lambda y, p: np.maximum(0, 1 - (2 * y - 1) * p),
}


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", None])
@pytest.mark.parametrize("weights", [None, 2.0, [1.0, 2.0, 0.0, 0.5, 1.0], [0.0] * 5])
@pytest.mark.parametrize("name", ROWS)
def test_vectors_are_one_row_whose_mean_is_the_loss(name, weights, reduction):
    """In Keras 3.15 as well: ``MeanSquaredError(reduction="sum")(y, p)`` of y and p (5,) is 0.212, and no sum of five.

    Weights multiply that number, and are what the reduction goes over.
    """
    y, p = np.array([0.0, 1, 1, 0, 1]), np.array([0.2, 0.6, 0.4, 0.7, 0.9])
    value = ROWS[name](y, p).mean()
    weighted = value if weights is None else value * np.array(weights)
    if np.ndim(weights) == 0 or reduction is None:  # a single number is not reduced
        expected = weighted
    elif reduction == "mean_with_sample_weight":
        expected = value if np.sum(weights) else 0.0
    else:
        expected = weighted.sum() if reduction == "sum" else weighted.mean()
    loss = getattr(keras.losses, name)(reduction=reduction)
    for given in ((y, p), (y.astype("float32"), p.astype("float32")), (y.tolist(), p.tolist())):
        np.testing.assert_allclose(loss(*given, sample_weight=weights), expected, rtol=1e-5)
    x = tf.Variable(p, dtype="float32")
    with tf.GradientTape() as tape:
        found = loss(y, x * 1, sample_weight=weights)
        total = tf.reduce_sum(found)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    step = 1e-6
    slopes = [(ROWS[name](y, p + step * e).mean() - ROWS[name](y, p - step * e).mean()) / (2 * step) for e in np.eye(5)]
    np.testing.assert_allclose(tape.gradient(total, x), np.sum(expected) / value * np.array(slopes), rtol=1e-4)


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
@pytest.mark.parametrize("name", [*ROWS, "Loss"])
def test_what_a_loss_is_called_with_is_checked(name, shape):
    class Loss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(y_true - y_pred, axis=-1)

    loss, y = (Loss if name == "Loss" else getattr(keras.losses, name))(reduction="sum"), np.full(shape, 0.5)
    called = rf"a loss is called as {name}\(…\)\(y_true, y_pred, sample_weight=None\). Received: "
    with pytest.raises(TypeError, match=called + "got an unexpected keyword argument 'sample_weights'"):
        loss(y, y, sample_weights=np.ones(5))
    with pytest.raises(TypeError, match=called + "multiple values for argument 'y_pred'"):
        loss(y, y, y_pred=y)
    with pytest.raises(TypeError, match=called + "too many positional arguments"):
        loss(y, y, np.ones(5), 3)
    with pytest.raises(TypeError, match=called + "missing a required argument: 'y_pred'"):
        loss(y)
    assert float(loss(y_pred=y, y_true=y, sample_weight=np.ones(5))) == float(loss(y, y, np.ones(5)))


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", None])
def test_no_weights_at_all_are_an_error(reduction):
    y, weights = np.array([0.2, 0.8]), tf.Variable(np.zeros((0,), np.float32))
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    for given in (np.array([]), []):
        with pytest.raises(ValueError, match=r"an array of at least one. Received: shape \(0,\)"):
            loss(y, y, sample_weight=given)
    with pytest.raises(ValueError, match="an array of at least one"), tf.GradientTape():
        loss(y, y, sample_weight=weights)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none", "mean_with_sample_weight"])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.0, 0.5]])
@pytest.mark.parametrize("name", ["KLDivergence", "CosineSimilarity", "Poisson"])
def test_outputs_of_one_axis_beside_targets_in_a_column_are_a_row_for_each_sample(name, weights, reduction):
    """Keras 3.15.1 makes (N,) of outputs (N, 1) where targets are (N, 1): each sample has a loss of its own."""
    targets, outputs = np.array([0.5, 0.25, 0.75, 0.125]), np.array([0.25, 0.5, 0.625, 1.0])
    rows = {
        "KLDivergence": targets * np.log(targets / outputs),
        "CosineSimilarity": -np.ones(4),
        "Poisson": outputs - targets * np.log(outputs),
    }[name]
    weighted = rows * (1.0 if weights is None else weights)
    total = 4.0 if weights is None or reduction == "sum_over_batch_size" else np.sum(weights)
    expected = {"sum": weighted.sum(), "none": weighted}.get(reduction, weighted.sum() / total)
    loss = getattr(keras.losses, name)(reduction=reduction)
    np.testing.assert_allclose(loss(targets[:, None], outputs, sample_weight=weights), expected, rtol=1e-5)
    variable = tf.Variable(outputs)
    with tf.GradientTape() as tape:
        recorded = keras.ops.sum(loss(targets[:, None], variable * 1.0, sample_weight=weights))
    assert tape.gradient(recorded, variable).shape == (4,)
    np.testing.assert_allclose(recorded, np.sum(expected), rtol=1e-5)
