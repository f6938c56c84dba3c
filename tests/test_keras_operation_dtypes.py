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
        assert made.dtype == ("float64" if (name, dtype) == ("cbrt", "int64") else floats), name
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


# Function, arguments, and the result of Keras 3.15.1 with TensorFlow 2.21.
_BYTES = np.array([1, 100, -128], "int8")
_ODD = [
    ("mod", (_BYTES, 7), np.array([1, 2, 5], "int32")),
    ("mod", (_BYTES, _BYTES), np.array([0, 0, 0], "int8")),
    ("fmod", (_BYTES, -3), np.array([1, 1, -2], "int32")),
    ("bitwise_and", (np.array([255, 7], "uint8"), -2), np.array([254, 6], "int32")),
    ("gcd", (np.array([12, 9], "uint8"), 300), np.array([12, 3], "int32")),
    ("left_shift", (2, np.array([1, 3], "uint8")), np.array([4, 16], "int32")),
    ("left_shift", (np.array([1, 3], "uint8"), 2), np.array([4, 12], "uint8")),
    ("floor_divide", (np.array([250, 7], "uint8"), True), np.array([250, 7], "uint8")),
    ("floor_divide", (np.array([True, False]), -3), np.array([-1, 0], "int32")),
    ("hypot", (np.array([3, 5], "int64"), np.array([4, 12], "int64")), np.array([5.0, 13.0])),
    ("hypot", (np.float32([3e30]), np.float32([-4e30])), np.float32([5e30])),
    ("cbrt", (np.array([27], "int64"),), np.array([3.0])),
    ("cbrt", (np.array([27], "int32"),), np.float32([3.0])),
    ("correlate", (np.array([2], "uint32"), np.array([3], "int8")), np.array([6.0])),
    ("vander", (np.array([1, 7], "int8"), 4), np.array([[1, 1, 1, 1], [87, 49, 7, 1]], "int8")),
    ("vander", (np.array([2, 3], "uint8"),), np.array([[2, 1], [3, 1]], "uint8")),
    ("vander", (np.float32([2, 0.5]), 3, True), np.float32([[1, 2, 4], [1, 0.5, 0.25]])),
    ("angle", (np.float32([-0.0, 0.0, np.nan, -2.0, -np.inf]),), np.float32([0, 0, 0, np.pi, np.pi])),
    ("nextafter", (np.array([1], "int8"), np.array([1], "int8")), np.float32([1])),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), _ODD, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(_ODD)])
def test_odd_dtypes_give_what_keras_gives(name, arguments, expected):
    made = getattr(ops, name)(*arguments)
    assert made.dtype == expected.dtype
    np.testing.assert_allclose(made, expected, rtol=1e-15)  # the last bit of NumPy's cbrt goes by the processor


def test_the_rest_of_erf_has_all_its_digits():
    x = np.array([0.5, 2.0, 3.0, 5.0, 9.0])
    np.testing.assert_allclose(ops.erfc(x.astype("float32")), np.vectorize(math.erfc)(x), rtol=1e-6)
    np.testing.assert_array_equal(ops.erfc(np.float32([np.inf, -np.inf, np.nan])), np.float32([0, 2, np.nan]))


def test_what_is_recorded_of_hypot_does_not_overflow():
    with tf.GradientTape() as tape:
        x = tf.constant([3e30, 0.0])
        tape.watch(x)
        total = tf.reduce_sum(ops.hypot(x, tf.constant([4e30, 2.0])) * tf.constant([1e-30, 1.0]))
    np.testing.assert_allclose(total.numpy(), 7.0, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(total, x), [0.6e-30, 0.0], rtol=1e-6)


def test_floor_division_of_tensors_is_the_floor_of_the_quotient():
    """NumPy has NaN for an infinite quotient; TensorFlow's numbers, noted down."""
    x = tf.constant([np.inf, -np.inf, 1.0, np.nan, -7.0])
    np.testing.assert_array_equal(x // 2.0, [np.inf, -np.inf, 0, np.nan, -4])
    np.testing.assert_array_equal(
        x // tf.constant([2.0, -2.0, 0.0, 1.0, 0.0]), [np.inf, np.inf, np.inf, np.nan, -np.inf]
    )
    np.testing.assert_array_equal(2.0 // tf.constant([0.0, 1.5]), [np.inf, 1])
    x //= 2.0
    np.testing.assert_array_equal(x, [np.inf, -np.inf, 0, np.nan, -4])
    assert (tf.constant([7, -7]) // 2).numpy().tolist() == [3, -4]


def test_casts_of_what_an_unsigned_dtype_has_no_number_for():
    """TensorFlow 2.21's on an x86 processor; NumPy leaves them to the processor, and changes its mind by the length."""
    x = [np.inf, -np.inf, np.nan, -1.5, 300.7, 5e9, 1e20]
    for length in (1, 64):
        numbers = np.tile(np.float32(x), length)
        for function in (tf.cast, ops.cast):
            narrow, wide = (np.asarray(function(numbers, dtype)).reshape(length, -1) for dtype in ("uint32", "uint64"))
            assert narrow.tolist() == [[0, 0, 0, 4294967295, 300, 705032704, 0]] * length
            assert wide.tolist() == [[2**63, 2**63, 2**63, 2**64 - 1, 300, 5000000000, 2**63]] * length


def test_a_cast_to_bfloat16_rounds():
    x = np.array([1.2345, -3.0078125, 0.1], "float32")
    expected = [1.234375, -3.0, 0.10009765625]  # eight bits of the mantissa, as TensorFlow has them
    np.testing.assert_array_equal(ops.cast(x, "bfloat16"), expected)
    np.testing.assert_array_equal(ops.cast(x.astype("float64"), "bfloat16"), expected)
    with tf.GradientTape() as tape:
        t = tf.constant(x)
        tape.watch(t)
        total = tf.reduce_sum(ops.cast(t, "bfloat16") * 3.0)
    np.testing.assert_allclose(total.numpy(), 3 * np.sum(expected), rtol=1e-6)
    np.testing.assert_array_equal(tape.gradient(total, t), [3, 3, 3])


def test_a_tensor_is_not_cut_off_by_a_constant_of_another_dtype():
    fractions = tf.constant([1.5, 2.0])
    for function in (tf.constant, tf.convert_to_tensor):
        with pytest.raises(TypeError, match="keeps its dtype"):
            function(fractions, dtype=tf.int32)
        assert function(np.array([1.5, 2.0]), dtype=tf.int32).numpy().tolist() == [1, 2]
        assert function(tf.constant([1.0, 2.0]), dtype="int32").numpy().tolist() == [1, 2]


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
def test_one_number_that_is_made_has_the_dtype_of_models(name):
    """float32 in Keras 3.15.1, so that a sum that begins with `ops.zeros(())` is, too."""
    made = getattr(ops, name)(())
    assert made.dtype == np.float32 and made.shape == ()
    assert getattr(ops, f"{name}_like")(made).dtype == np.float32
    total = getattr(ops, name)(())
    for number in range(3):
        total = total + ops.cast(number, "float32")
    assert total.dtype == (np.ones(3, "float32") * made).dtype == ops.maximum(made, 0.0).dtype == np.float32
    assert getattr(ops, name)((), "int32").dtype == np.int32
    assert getattr(ops, name)((), dtype="float64").dtype == np.float64
