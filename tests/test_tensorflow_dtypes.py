"""What functions of ``tf`` give of each dtype: dtypes and numbers are those of TensorFlow 2.21."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

WHOLE = [[1, 2, 0], [3, 1, 2]]
COMPLEX = np.array(WHOLE) + 1j * (np.array(WHOLE) - 1)


@pytest.mark.parametrize(
    ("function", "dtype", "expected"),
    [
        (tf.abs, "complex128", "float64"),
        (tf.abs, "complex64", "float32"),
        (tf.math.reduce_std, "complex128", "float64"),
        (tf.math.reduce_variance, "complex128", "float64"),
        (ops.abs, "complex128", "float64"),
        (tf.nn.gelu, "float16", "float16"),
        (ops.gelu, "float16", "float16"),
        (lambda x: tf.linalg.trace(x[:, :2]), "int32", "int32"),
        (lambda x: tf.linalg.trace(x[:, :2]), "uint8", "uint8"),
        (lambda x: tf.divide(x, x + 1), "int32", "float64"),
        (lambda x: tf.math.truediv(x, x + 1), "int64", "float64"),
        (lambda x: tf.divide(x, x + 1), "uint8", "float32"),
        (lambda x: x / 2, "uint8", "float32"),
        (lambda x: x / 2, "int16", "float32"),
        (lambda x: x / 2, "int32", "float64"),
        (lambda x: x / (x + 1), "int8", "float32"),
    ],
)
def test_dtypes(function, dtype, expected):
    assert function(tf.constant(np.array(WHOLE).astype(dtype))).dtype == expected


def test_quotients_of_whole_numbers():
    made = tf.divide(tf.constant([1, 7]), tf.constant([3, 2]))
    assert made.numpy().tolist() == [1 / 3, 3.5]


def test_the_norm_of_whole_numbers_is_whole():
    for dtype in ("int8", "int32", "int64", "uint8"):
        made = tf.math.reduce_euclidean_norm(tf.constant(WHOLE, dtype))
        assert made.dtype == dtype
        assert int(made) == 4  # of 4.3589


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_have_lengths(dtype):
    x = tf.constant(COMPLEX.astype(dtype))
    assert tf.norm(x, axis=-1).dtype == dtype
    np.testing.assert_allclose(tf.norm(x, axis=-1), [7**0.5, 19**0.5], rtol=1e-6)
    np.testing.assert_allclose(tf.math.reduce_euclidean_norm(x), 26**0.5, rtol=1e-6)
    np.testing.assert_allclose(tf.math.l2_normalize(x, -1)[0], COMPLEX[0] / 7**0.5, rtol=1e-6)
    np.testing.assert_allclose(tf.linalg.normalize(x, axis=-1)[0][1], COMPLEX[1] / 19**0.5, rtol=1e-6)
    made = tf.math.squared_difference(x, tf.zeros_like(x))
    assert made.dtype == dtype
    np.testing.assert_allclose(made, np.abs(COMPLEX) ** 2, rtol=1e-6)
    mean, variance = tf.nn.moments(x, [0])
    assert mean.dtype == variance.dtype == dtype
    np.testing.assert_allclose(mean, [2 + 1j, 1.5 + 0.5j, 1], rtol=1e-6)
    np.testing.assert_allclose(variance, [2, 0.5, 2], rtol=1e-6)


def test_the_adjoint_is_conjugated():
    x = tf.constant(COMPLEX)
    expected = COMPLEX.conj().T
    np.testing.assert_array_equal(tf.linalg.adjoint(x), expected)
    np.testing.assert_array_equal(tf.linalg.matrix_transpose(x, conjugate=True), expected)
    np.testing.assert_array_equal(tf.linalg.matrix_transpose(x), COMPLEX.T)
    np.testing.assert_allclose(tf.matmul(x, x, adjoint_b=True), COMPLEX @ expected)
    np.testing.assert_allclose(tf.linalg.matmul(x, x, adjoint_a=True), expected @ COMPLEX)
    square = COMPLEX[:, :2]
    np.testing.assert_allclose(tf.linalg.inv(square, adjoint=True), np.linalg.inv(square.conj().T))
    np.testing.assert_allclose(tf.linalg.solve(square, square, adjoint=True), np.linalg.solve(square.conj().T, square))


def test_moments_of_whole_numbers_are_cut_off():
    mean, variance = tf.nn.moments(tf.constant([[1, 2, 0], [3, 1, 5]]), [0])
    assert mean.dtype == variance.dtype == "int32"
    assert mean.numpy().tolist() == [2, 1, 2]
    assert variance.numpy().tolist() == [1, 0, 6]  # about the mean that is cut off: (4 + 9) / 2


@pytest.mark.parametrize(("dtype", "least"), [("uint8", 0), ("int8", -128), ("int64", -(2**63))])
def test_the_largest_come_first(dtype, least):
    x = tf.constant(np.array([1, least, 2, 1], dtype))
    values, places = tf.math.top_k(x, 4)
    assert values.numpy().tolist() == [2, 1, 1, least]
    assert places.numpy().tolist() == [2, 0, 3, 1]
    assert tf.argsort(x, direction="DESCENDING").numpy().tolist() == [2, 0, 3, 1]
    assert tf.sort(x, direction="DESCENDING").numpy().tolist() == [2, 1, 1, least]
    assert ops.top_k(np.array([1, least, 2, 1], dtype), 1)[0].tolist() == [2]


@pytest.mark.parametrize("dtype", ["int16", "int8", "uint8", "int32", "float16", "bool"])
def test_cosine_transforms_take_floats(dtype):
    for function in (tf.signal.dct, tf.signal.mfccs_from_log_mel_spectrograms):
        with pytest.raises(TypeError, match=r"takes float32 or float64: tf\.cast.*Received: numbers of"):
            function(tf.constant(np.array([[100, 7, 3]]).astype(dtype)))
    assert tf.signal.dct(tf.constant([100.0, 7, 3], "float64")).dtype == "float64"


@pytest.mark.parametrize("options", [{"num_mel_bins": 0}, {"num_spectrogram_bins": 0}, {"dtype": "int32"}])
def test_no_matrix_of_mel_frequencies(options):
    with pytest.raises(ValueError, match="Received"):
        tf.signal.linear_to_mel_weight_matrix(**options)


def test_squares_of_complex_numbers_on_a_tape_are_those_of_their_lengths(rng):
    sound, gradients = tf.constant(rng.normal(size=16).astype("float32")), []
    for square in (lambda x: tf.abs(x) ** 2, lambda x: tf.math.real(tf.math.squared_difference(x, 0 * x))):
        with tf.GradientTape() as tape:
            tape.watch(sound)
            total = tf.reduce_sum(square(tf.signal.stft(sound, 8, 4)))
        gradients.append(np.asarray(tape.gradient(total, sound)))
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
    assert np.abs(gradients[0]).max() > 1


@pytest.mark.parametrize("value, dtype", [(2.5, "int32"), ([1, 2.5], "uint8"), (3, "bool"), (np.nan, "int64")])
def test_variables_keep_the_kind_of_pythons_numbers(value, dtype):
    with pytest.raises(TypeError, match="keep their kind"):
        tf.Variable(value, dtype=dtype)
    assert tf.Variable(np.asarray(value), dtype=dtype).dtype == dtype  # arrays are cast
    assert tf.keras.Variable(value, dtype=dtype).dtype == dtype  # and by Keras everything is


def test_what_is_no_tensor():
    for make in (tf.constant, tf.convert_to_tensor, tf.keras.ops.convert_to_tensor):
        with pytest.raises(ValueError, match="a tensor is made of numbers"):
            make(None)
    with pytest.raises(ValueError, match="in the range of float32"):
        tf.constant(1e40)
    assert tf.constant(1e40, "float64") == 1e40 and np.isposinf(tf.constant(np.inf))
    with pytest.raises(TypeError, match="a text is no bool"):
        tf.constant("a", "bool")


def test_whole_numbers_of_32_bits_beside_signed_ones():
    ops = tf.keras.ops
    small, large = np.array([-1, 2], "int32"), np.array([2**31, 2**32 - 1], "uint32")
    for made, expected in (
        (ops.add(small, large), [2**31 - 1, 2**32 + 1]),
        (ops.subtract(small.astype("int8"), large), [-(2**31) - 1, 3 - 2**32]),
        (ops.maximum(small.astype("int16"), large), [2**31, 2**32 - 1]),
        (ops.where([True, False], small, large), [-1, 2**32 - 1]),
    ):
        assert made.dtype == "int64"
        np.testing.assert_array_equal(made, expected)
    assert ops.sum(large).dtype == "uint32" and ops.add(large, large).dtype == "uint32"


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32"])
def test_rectified_whole_numbers_stay_exact(dtype):
    x = np.array([3, 2**24 + 1, 7], dtype)
    x[0] -= 6 if dtype != "uint32" else 3
    expected = [0, 2**24 + 1, 7]
    for relu in (tf.nn.relu, tf.keras.activations.relu, tf.keras.ops.relu):
        made = relu(x)
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, expected)
    for relu in (tf.nn.relu6, tf.keras.activations.relu6, tf.keras.ops.relu6):
        np.testing.assert_array_equal(relu(x), [0, 6, 6])


@pytest.mark.parametrize("name", ["relu", "gelu", "softplus", "softmax", "exponential", "sigmoid", "tanh"])
def test_activations_of_half_precision_stay_that(name):
    x = np.array([[-2, 0, 20]], "float16")
    made = getattr(tf.keras.activations, name)(x)
    assert made.dtype == np.float16
    exact = getattr(tf.keras.activations, name)(x.astype("float64"))
    with np.errstate(over="ignore"):  # exp(20) is infinite in float16, as in Keras
        np.testing.assert_allclose(made, np.asarray(exact).astype("float16"), rtol=2e-3)


_ROWS = np.array([[1.0, 2.5]])
_OF_FLOAT = [
    lambda: tf.constant(_ROWS, dtype=float),
    lambda: tf.convert_to_tensor(_ROWS, float),
    lambda: tf.cast(_ROWS, float),
    lambda: tf.cast(_ROWS, "float"),
    lambda: tf.Variable(_ROWS, dtype=float),
    lambda: tf.zeros((2,), float),
    lambda: tf.ones((2,), dtype=float),
    lambda: tf.zeros_like(_ROWS, dtype=float),
    lambda: tf.range(3, dtype=float),
    lambda: tf.one_hot([1], 3, dtype=float),
    lambda: tf.eye(2, dtype=float),
    lambda: tf.random.normal((2,), dtype=float),
    lambda: tf.random.Generator.from_seed(1).uniform((2,), dtype=float),
    lambda: tf.strings.to_number("1", float),
    lambda: tf.image.convert_image_dtype(np.ones((2, 2, 3), "uint8"), float),
    lambda: tf.sequence_mask([1], 2, dtype=float),
    lambda: tf.math.bincount([0], dtype=float),
    lambda: tf.io.decode_raw(np.ones(2, "float32").tobytes(), float),
    lambda: tf.as_dtype(float).type(0),
    lambda: tf.math.count_nonzero(_ROWS, dtype=float),
    lambda: tf.random.gamma((2,), 1.0, dtype=float),
    lambda: tf.numpy_function(lambda x: x, [_ROWS], float),
    lambda: tf.py_function(lambda x: x, [_ROWS], "float"),
    lambda: tf.io.parse_tensor(tf.io.serialize_tensor(_ROWS.astype("float32")), float),
    lambda: tf.bitcast(np.ones(2, "int32"), float),
    lambda: next(iter(tf.data.Dataset.from_generator(lambda: [1.5], float))),
    lambda: next(iter(tf.data.Dataset.from_generator(lambda: [1.5], output_signature=tf.TensorSpec((), float)))),
    lambda: keras.ops.cast(_ROWS, float),
    lambda: keras.ops.zeros((2,), float),
    lambda: keras.ops.arange(3, dtype=float),
    lambda: keras.ops.multi_hot([1], 3, dtype=float),
    lambda: keras.random.uniform((2,), dtype=float),
    lambda: keras.backend.variable(_ROWS, dtype=float),
    lambda: keras.backend.zeros((2,), dtype=float),
]


@pytest.mark.parametrize("make", _OF_FLOAT)
def test_pythons_float_is_float32_as_in_tensorflow(make):
    """TensorFlow 2.21 and Keras 3.15 say float32 of each, NumPy float64."""
    assert np.dtype(make().dtype.name) == np.float32


def test_bytes_of_pythons_float_are_those_of_float32():
    assert np.asarray(tf.io.decode_raw(np.array([1.5, 2], "float32").tobytes(), float)).tolist() == [1.5, 2.0]


@pytest.mark.parametrize("dtype", [float, np.float32, None])
def test_a_dtype_is_that_of_python_or_numpy(dtype):
    """As in Keras 3.15.1; None is the dtype of models."""
    x = np.arange(4, dtype="float32").reshape(2, 2)
    assert keras.ops.cast(np.arange(3.0), dtype).dtype == "float32"
    assert keras.layers.Dense(2, dtype=dtype)(x).dtype == "float32"
    assert keras.layers.Rescaling(2.0, dtype=dtype).compute_dtype == "float32"
    assert keras.metrics.Mean(dtype=dtype).dtype in ("float32", dtype)
    assert float(keras.losses.MeanSquaredError(dtype=dtype)(x, x + 1)) == 1
    assert dtype is None or keras.random.categorical(x, 3, dtype=dtype).dtype == "float32"


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda x: tf.argmax(x, 1, output_type=None), "int64"),
        (lambda x: tf.argmin(x, 1, output_type=None), "int64"),
        (lambda x: tf.shape(x, out_type=None), "int32"),
        (lambda x: tf.size(x, out_type=None), "int32"),
        (lambda x: tf.searchsorted(x[0], x[0], out_type=None), "int32"),
        (lambda x: tf.saturate_cast(x, "float"), "float32"),
        (lambda x: tf.saturate_cast(x, float), "float32"),
    ],
)
def test_none_for_a_dtype_is_the_default_and_float_is_float32(call, dtype):
    """As TensorFlow 2.21 has them: None was NumPy's default, or the numbers' own."""
    assert call(np.arange(6, dtype="float64").reshape(2, 3)).dtype == dtype


def test_a_spec_says_what_arrays_fit():
    spec = tf.TensorSpec((None, 4), float, name="x")
    assert (spec.shape.as_list(), spec.dtype, spec.name) == ([None, 4], tf.float32, "x")
    assert spec.dtype == "float32" and spec.dtype.name == "float32"
    assert repr(spec) == "TensorSpec(shape=(None, 4), dtype=tf.float32, name='x')"
    assert repr(tf.TensorSpec.from_tensor(np.zeros((6, 4), "int32"))) == (
        "TensorSpec(shape=(6, 4), dtype=tf.int32, name=None)"
    )
    assert tf.TensorSpec.from_spec(spec, name="y") == tf.TensorSpec((None, 4), "float32", "y")
    fits = {(6, 4): True, (4,): False, (6, 5): False}
    assert {shape: spec.is_compatible_with(np.zeros(shape, "float32")) for shape in fits} == fits
    assert not spec.is_compatible_with(np.zeros((6, 4), "int32"))
    assert tf.TensorSpec(None).is_compatible_with(np.zeros((6, 4, 2), "float32"))
    assert spec.is_compatible_with(tf.TensorSpec((2, None)))


def test_a_spec_of_any_shape():
    spec = tf.TensorSpec(None, "int32")
    assert repr(spec) == "TensorSpec(shape=<unknown>, dtype=tf.int32, name=None)"
    other = tf.TensorSpec([2], "int32")
    assert spec.is_compatible_with(spec) and spec.is_compatible_with(other) and other.is_compatible_with(spec)
    assert not other.is_compatible_with(tf.TensorSpec(None))
    ragged = [[1], [2, 3]]
    for options in (
        {"output_signature": spec},
        {"output_types": tf.int32, "output_shapes": tf.TensorShape(None)},
    ):
        dataset = tf.data.Dataset.from_generator(lambda: iter(ragged), **options)
        assert [part.tolist() for part in dataset.as_numpy_iterator()] == ragged
