"""Functions of ``keras.ops`` give on a tape what they give beside one, and NaN and infinities are what they are."""

import math
import subprocess
import sys

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

ops = keras.ops


def _taped(function, x):
    """(what a function gives on a tape, the gradient of its sum)."""
    x = tf.Variable(np.asarray(x, "float32"))
    with tf.GradientTape() as tape:
        made = function(x)
        total = tf.reduce_sum(made)
    return np.asarray(made), np.asarray(tape.gradient(total, x))


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("q", [0, 0.1, 1 / 3, 0.5, 0.9, 1])
def test_quantiles_are_the_same_on_a_tape(method, q):
    for x in ([1.0, 2, 3, 4], [3.0, 1, 2], [5.0, 4, 3, 2, 1]):
        made, _ = _taped(lambda x: ops.quantile(x, q, method=method), x)
        np.testing.assert_allclose(made, ops.quantile(np.array(x, "float32"), q, method=method), rtol=1e-6)


def test_a_quantile_beside_an_infinity_is_finite_on_a_tape():
    made, slope = _taped(lambda x: ops.quantile(x, 0.25, method="higher"), [-np.inf, 1, 2])
    np.testing.assert_array_equal([made, *slope], [1, 0, 1, 0])


@pytest.mark.parametrize("q", [-0.1, 1.5, np.nan])
def test_shares_beyond_all_numbers_are_refused_on_a_tape_too(q):
    with pytest.raises(ValueError, match="0"):
        ops.quantile(np.arange(4.0), q)
    with pytest.raises(ValueError, match="shares are from 0 to 1"):
        _taped(lambda x: ops.quantile(x, q), [1.0, 2, 3])


@pytest.mark.parametrize("name", ["nanmax", "nanmin"])
def test_extremes_of_nan_alone_are_nan_on_a_tape(name):
    made, slope = _taped(lambda x: getattr(ops, name)(x, axis=1), [[np.nan, np.nan], [1, np.nan]])
    np.testing.assert_array_equal(made, [np.nan, 1])
    np.testing.assert_array_equal(slope, [[0, 0], [1, 0]])


def test_powers_in_rows_have_gradients():
    """4, 21, 50: as in Keras 3.15.1, of weights 1 to 9."""
    weights = np.arange(1, 10, dtype="float32").reshape(3, 3)
    _, slope = _taped(lambda x: ops.vander(x) * weights, [1.0, 2, 3])
    np.testing.assert_allclose(slope, [4, 21, 50])


def test_the_length_of_nothing_has_no_gradient_that_is_nan():
    x = np.array([0.0, 3, 0], "float32")
    made, slope = _taped(lambda x: ops.hypot(x, np.array([0.0, 4, 2], "float32")), x)
    np.testing.assert_allclose([made, slope], [[0, 5, 2], [0, 0.6, 0]], rtol=1e-6)


def test_floor_division_of_tensors_is_tensorflows():
    """TensorFlow 2.21's results, which are tensors also where some are not finite."""
    x, y = tf.constant([1.0, 6, -1, np.inf, -1, 1]), tf.constant([0.1, 0.1, np.inf, 1, 0, 0.3])
    expected = [10, 60, 0, np.inf, -np.inf, 3]
    for made in (x // y, x // y.numpy(), x.numpy() // y):
        np.testing.assert_array_equal(made.numpy(), np.array(expected, "float32"))
    assert (tf.constant([np.inf]) // 1.0).numpy().dtype == "float32"
    assert (1 // tf.constant([0.0, 0.1])).numpy().tolist() == [np.inf, 10]


def test_floor_division_is_the_same_on_a_tape_and_of_a_models_tensors():
    expected = np.array([10, 60], "float32")
    for divided in (lambda x: x // 0.1, lambda x: tf.math.floordiv(x, 0.1), lambda x: x * 2 // 0.2):
        np.testing.assert_array_equal(_taped(divided, [1, 6])[0], expected)
    np.testing.assert_array_equal(_taped(lambda x: tf.constant([1.0, 6]) // x, [0.1, 0.1])[0], expected)
    x = keras.Input((2,))
    made = keras.Model(x, tf.constant([1.0, 6]) // x).predict(np.full((1, 2), 0.1, "float32"), verbose=0)
    np.testing.assert_array_equal(made, [expected])
    np.testing.assert_array_equal(tf.math.floordiv(tf.constant([7, -8]), 3), [2, -3])


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 5e-7), ("float64", 2e-15)])
def test_the_complement_of_erf_keeps_its_digits(dtype, rtol):
    x = np.linspace(-6, 6, 999).astype(dtype)
    made = ops.erfc(x)
    assert made.dtype == dtype
    np.testing.assert_allclose(made, [math.erfc(each) for each in x], rtol)
    np.testing.assert_array_equal(ops.erfc(np.array([np.nan, np.inf, -np.inf], dtype)), [np.nan, 0, 2])
    assert ops.erfc(np.array(0.9, dtype)).shape == ()


def test_functions_take_losses_in_bfloat16_where_numpy_has_no_such_dtype():
    code = """
from minicnn import keras
import numpy as np, sys
loss = keras.losses.MeanSquaredError(dtype="bfloat16")(np.zeros((2, 2)), np.ones((2, 2)))
assert loss.dtype == "bfloat16" and "ml_dtypes" not in sys.modules
print(*(float(f(loss, 1)) for f in (keras.ops.add, keras.ops.mod, keras.ops.hypot)), float(keras.ops.sqrt(loss)))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2.0", "0.0", "1.4140625", "1.0"], done.stderr  # 1.4140625: in bfloat16


def test_a_model_written_before_it_was_compiled_says_nothing_of_an_optimizer(tmp_path, recwarn):
    @keras.saving.register_keras_serializable("uncompiled")
    class Own(keras.Sequential):
        def get_compile_config(self):
            return {"rate": 0.5}

        def compile_from_config(self, config):
            self.compile(keras.optimizers.Adam(config["rate"]), "mse")

    Own([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "own.keras")
    again = keras.models.load_model(tmp_path / "own.keras")
    assert float(again.optimizer.learning_rate) == 0.5 and not [w for w in recwarn if "begins anew" in str(w.message)]


# ------------------------------------------------------------------------------------------------------ decompositions

SIGNS = np.random.default_rng(1).normal(size=(2, 4, 4))  # what outputs are multiplied with, (N, rows, columns)
TALL = np.random.default_rng(0).normal(size=(2, 4, 3))  # (N, rows, columns)
SYMMETRIC = TALL.transpose(0, 2, 1) @ TALL + np.diag([1.0, 2.0, 4.0])  # (N, 3, 3)


def _weighed(*outputs):
    """A sum with weights of the outputs' sizes, for which the signs of vectors, which are anything, do not count."""
    return sum(ops.sum(ops.abs(each) * SIGNS[:, : np.shape(each)[-2], : np.shape(each)[-1]]) for each in outputs)


OF_DECOMPOSITIONS = {
    "eigh, values": (SYMMETRIC, lambda x: ops.sum(ops.eigh(x)[0] ** 3)),
    "eigh, vectors": (SYMMETRIC, lambda x: _weighed(ops.eigh(x)[1])),
    "eigvalsh": (SYMMETRIC, lambda x: ops.sum(tf.linalg.eigvalsh(x) ** 3)),
    "svd, values": (TALL, lambda x: ops.sum(ops.svd(x, compute_uv=False) ** 3)),
    "svd, tall": (TALL, lambda x: _weighed(*ops.svd(x, full_matrices=False)[::2])),
    "svd, wide": (TALL.transpose(0, 2, 1), lambda x: _weighed(*tf.linalg.svd(x)[1:])),
    "svd, square": (SYMMETRIC + TALL[:, :3], lambda x: _weighed(*ops.svd(x)[::2]) + ops.sum(ops.svd(x)[1])),
    "qr, tall": (TALL, lambda x: _weighed(*ops.qr(x))),
    "qr, square": (TALL[:, :3], lambda x: _weighed(*tf.linalg.qr(x))),
    "expm": (TALL[:, :3], lambda x: _weighed(tf.linalg.expm(x))),
}


@pytest.mark.parametrize("name", OF_DECOMPOSITIONS)
def test_gradients_of_decompositions_are_slopes(name):
    x, function = OF_DECOMPOSITIONS[name]
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        total = function(variable)
    slopes = np.asarray(tape.gradient(total, variable))
    direction = np.random.default_rng(2).normal(size=x.shape)
    if x is SYMMETRIC:  # which they stay; the lower half has the gradient of both
        direction = direction + direction.transpose(0, 2, 1)
        assert not np.triu(slopes, 1).any()
        np.testing.assert_allclose(np.linalg.eigh(np.tril(x))[0], np.linalg.eigh(x)[0])
    step = 1e-6 * direction
    expected = (float(function(x + step)) - float(function(x - step))) / 2e-6
    assert (slopes * direction).sum() == pytest.approx(expected, rel=1e-5)


def test_gradients_of_eigenvalues_are_those_of_tensorflow():
    """Numbers of TensorFlow 2.21, whose lower half has the gradient of both."""
    x = tf.Variable([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])
    with tf.GradientTape() as tape:
        total = ops.sum(ops.eigh(x)[0] ** 2)
    np.testing.assert_allclose(tape.gradient(total, x), [[8, 0, 0], [4, 6, 0], [2, 0.8, 4]], rtol=1e-5, atol=1e-5)


def test_what_has_no_gradient_of_decompositions_is_refused():
    x = tf.Variable(TALL)
    with tf.GradientTape():
        with pytest.raises(TypeError, match="full_matrices=False"):
            ops.svd(x)
        with pytest.raises(TypeError, match="more rows than columns"):
            ops.qr(x, "complete")


@pytest.mark.parametrize("name", OF_DECOMPOSITIONS)
def test_gradients_of_gradients_of_decompositions_are_refused(name):
    x, function = OF_DECOMPOSITIONS[name]
    x = tf.Variable(x)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            total = function(x)
        penalty = ops.sum(inner.gradient(total, x) ** 2)
    with pytest.raises(
        NotImplementedError, match=f"'{name.split(',')[0].replace('eigvalsh', 'eigh')}' has no gradient"
    ):
        outer.gradient(penalty, x)


def test_equal_eigenvalues_have_a_gradient_and_their_vectors_none():
    x = tf.Variable(np.eye(2))
    with tf.GradientTape() as tape:
        values, vectors = ops.eigh(x)
        total = ops.sum(values) + ops.sum(vectors)
    np.testing.assert_array_equal(tape.gradient(total, x), np.eye(2))
