"""Functions of keras.ops: the dtypes of their results, and those that set places or normalize."""

import math

import numpy as np
import pytest

from minicnn.keras import ops
from minicnn.keras import tensorflow as tf


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool", "float32", "float64"])
def test_results_have_keras_dtypes(dtype):
    x = np.array([[1, 2, 0], [4, 0, 6]]).astype(dtype)
    floats = "float64" if dtype == "float64" else "float32"
    for name in ("argmax", "argmin", "argsort", "count_nonzero", "size"):
        assert getattr(ops, name)(x).dtype == "int32", name
    for name in ("mean", "std", "var", "median", "average", "floor", "ceil", "cbrt"):
        made = getattr(ops, name)(x)
        assert made.dtype == floats, name
        expected = getattr(np, name)(x.astype("float64"))
        np.testing.assert_allclose(made, expected, rtol=1e-5)
    assert ops.divide(x, np.int32(2)).dtype == ops.quantile(x, 0.5).dtype == ops.percentile(x, 50.0).dtype == floats
    assert ops.add(x, 2.5).dtype == floats
    sums = {"int64": "int64", "uint8": "uint32", "float32": "float32", "float64": "float64"}
    assert ops.sum(x).dtype == ops.prod(x).dtype == sums.get(dtype, "int32")
    if dtype in ("int32", "int64", "uint8"):
        assert ops.floor_divide(x, x + 1).dtype == ops.mod(x, x + 1).dtype == dtype
    np.testing.assert_array_equal(ops.diff(x), x[:, 1:] ^ x[:, :-1] if dtype == "bool" else np.diff(x))


def test_places_that_are_set_or_added_to_are_differentiated(rng):
    x, new = rng.normal(size=(3, 4)), rng.normal(size=(2, 2))
    expected = x.copy()
    expected[1:, 1:3] = new
    np.testing.assert_array_equal(ops.slice_update(x, [1, 1], new), expected)
    with pytest.raises(ValueError, match="within the array"):
        ops.slice_update(x, [2, 1], new)
    made = ops.scatter(np.array([[1], [3], [1]]), np.array([1.0, 2.0, 5.0]), (5,))
    assert made.tolist() == [0, 6, 0, 2, 0]
    a, b = tf.Variable(x), tf.Variable(new)
    values = tf.Variable(np.array([1.0, 2.0, 5.0]))
    with tf.GradientTape() as tape:
        loss = ops.sum(ops.square(ops.slice_update(a, [1, 1], b)))
        loss = loss + ops.sum(ops.square(ops.scatter(np.array([[1], [3], [1]]), values, (5,))))
    of_a, of_b, of_values = tape.gradient(loss, [a, b, values])
    outside = 2 * x
    outside[1:, 1:3] = 0
    np.testing.assert_allclose(of_a, outside, rtol=1e-5)
    np.testing.assert_allclose(of_b, 2 * new, rtol=1e-5)
    np.testing.assert_allclose(of_values, [12, 4, 12], rtol=1e-5)


def test_normalizations_as_functions(rng):
    x, gamma, beta = rng.normal(size=(4, 5, 3)), rng.normal(size=3), rng.normal(size=3)
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-7)
    np.testing.assert_allclose(ops.layer_normalization(x, gamma, beta), normal * gamma + beta, rtol=1e-9)
    both = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 0.5)
    np.testing.assert_allclose(ops.layer_normalization(x, axis=[1, 2], epsilon=0.5), both, rtol=1e-9)
    root = x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-7)
    scale = rng.normal(size=5)
    np.testing.assert_allclose(ops.rms_normalization(x, scale, axis=1), root * scale[:, None], rtol=1e-9)
    mean, variance = rng.normal(size=5), rng.uniform(1, 2, 5)
    expected = (x - mean[:, None]) / np.sqrt(variance + 1e-3)[:, None] * scale[:, None] + mean[:, None]
    np.testing.assert_allclose(ops.batch_normalization(x, mean, variance, 1, mean, scale), expected, rtol=1e-9)
    z = np.array([0.0, 0.5, 2.0])
    series = sum((z / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(20))
    np.testing.assert_allclose(ops.i0(z), series, rtol=1e-7)


# Function, arguments' dtypes, and the dtype of Keras 3.15.1's result.
_NARROW_AND_MIXED = [
    *[
        (name, (dtype,), dtype)
        for name in ("relu", "relu6", "cumsum", "cumprod")
        for dtype in ("uint8", "int8", "int64")
    ],
    *[
        (name, ("float16",), "float16")
        for name in ("relu", "elu", "sigmoid", "softmax", "softplus", "log_softmax", "selu")
    ],
    *[(name, ("float16", "int32"), "float16") for name in ("add", "multiply", "divide", "maximum", "matmul", "power")],
    *[(name, ("bool",), "int32") for name in ("square",)],
    *[(name, ("bool", "bool"), "int32") for name in ("mod", "floor_divide", "fmod")],
    *[(name, ("uint8", "uint8"), "float32") for name in ("heaviside", "ldexp", "nextafter")],
    *[("deg2rad", ("int64",), "float64"), ("angle", ("uint8",), "float32"), ("matmul", ("int8", "int8"), "int32")],
    *[("nanargmax", ("int64",), "int32"), ("nonzero", ("int64",), "int32"), ("norm", ("int32",), "float32")],
]


@pytest.mark.parametrize(("name", "given", "dtype"), _NARROW_AND_MIXED)
def test_dtypes_of_narrow_and_mixed_numbers(name: str, given: tuple[str, ...], dtype: str) -> None:
    x = np.array([[1, 1, 3], [2, 1, 1], [1, 1, 2]])
    made = getattr(ops, name)(*(x.astype(each) for each in given))
    assert str(np.asarray(made[0] if isinstance(made, tuple) else made).dtype) == dtype


def test_products_of_eight_bits_do_not_overflow() -> None:
    x = np.full((2, 2), 100, "int8")
    np.testing.assert_array_equal(ops.matmul(x, x), np.full((2, 2), 20_000))
    np.testing.assert_array_equal(ops.cast(np.ones(2, "float16"), "float32").dtype, np.float32)


def test_a_norm_by_its_name_and_places_that_keep_their_axis() -> None:
    x = np.array([[3, 0], [0, 4]])
    assert [str(np.asarray(ops.norm(x, kind)).dtype) for kind in ("fro", "nuc", None)] == ["float32"] * 3
    np.testing.assert_array_equal(ops.argmax(x, 1, True), [[0], [1]])
    np.testing.assert_array_equal(ops.argmin(x, 0, True), [[1, 0]])
