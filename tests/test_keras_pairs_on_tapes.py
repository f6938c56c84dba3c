"""Functions of pairs and rows of numbers, of matrices and of colours, have the gradients of finite differences.

What is differenced is NumPy's function, or one of Python's colorsys, in float64, not the one on the tape.
"""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import keras
from minicnn.keras import tensorflow as tf

ops = keras.ops


def _slope(of_numpy, xs, at, seed):
    """The gradient of Σ seed · of_numpy(*xs) by one of the arrays, by central differences."""
    made = np.zeros_like(xs[at])
    for place in np.ndindex(made.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = [x.copy() for x in xs]
            moved[at][place] += step
            ends.append(np.sum(seed * of_numpy(*moved)))
        made[place] = (ends[0] - ends[1]) / 2e-6
    return made


def _check(function, of_numpy, *xs, frozen=()):
    """Values and gradients on a tape, in float64."""
    xs = [np.asarray(x, "float64") for x in xs]
    expected = np.asarray(of_numpy(*xs))
    seed = np.cos(np.arange(expected.size)).reshape(expected.shape)
    variables = [tf.Variable(x, dtype="float64") for x in xs]
    with tf.GradientTape() as tape:
        made = function(*variables)
        total = tf.reduce_sum(made * seed)
    np.testing.assert_allclose(np.asarray(made), expected, rtol=1e-9, atol=1e-12)
    for at, slope in enumerate(tape.gradient(total, variables)):
        if at in frozen:
            assert slope is None or not np.any(slope)
        else:
            np.testing.assert_allclose(np.asarray(slope), _slope(of_numpy, xs, at, seed), rtol=1e-5, atol=1e-6)


def _numbers(*shape, k=0.7):
    return np.sin(np.arange(np.prod(shape, dtype=int)) * k + 0.3).reshape(shape)


PAIRS = [  # name, function of NumPy, the arrays, those without a gradient
    ("fmin", np.fmin, (_numbers(3, 4), _numbers(4, k=1.3) - 0.1), ()),
    ("fmax", np.fmax, (_numbers(3, 4), _numbers(3, 1, k=1.3) - 0.1), ()),
    ("fmod", np.fmod, (9 * _numbers(3, 4), _numbers(3, 4, k=1.3) + 2), ()),
    ("heaviside", np.heaviside, (np.array([-1.0, 0, 2]), np.array([5.0, 6, 7])), (0,)),
    ("kron", np.kron, (_numbers(2, 3), _numbers(3, 2, k=0.4)), ()),
    ("kron", np.kron, (_numbers(4), _numbers(2, 3, k=0.4)), ()),
    ("kron", np.kron, (_numbers(2, 1, 3), _numbers(2, k=0.4)), ()),
    ("linspace", np.linspace, (_numbers(2, 3), _numbers(3, k=0.4)), ()),
    ("lstsq", lambda a, b: np.linalg.lstsq(a, b, None)[0], (_numbers(5, 3, k=1.7) + np.eye(5, 3), _numbers(5, 2)), ()),
    (
        "solve_triangular",
        lambda a, b: np.linalg.solve(np.triu(a), b),
        (_numbers(3, 3) + 2 * np.eye(3), _numbers(3)),
        (),
    ),
]


@pytest.mark.parametrize(("name", "of_numpy", "xs", "frozen"), PAIRS)
def test_pairs(name, of_numpy, xs, frozen):
    _check(getattr(ops, name), of_numpy, *xs, frozen=frozen)


@pytest.mark.parametrize(
    ("of_two", "expected"),
    [(ops.fmin, [[1, 2, np.nan], [1, 0, 0], [0, 1, 1]]), (ops.fmax, [[1, 3, np.nan], [1, 1, 0], [0, 0, 1]])],
)
def test_the_number_beside_nan_has_the_gradient(of_two, expected):
    first, second = tf.Variable([1.0, 3, np.nan]), tf.Variable([np.nan, 2, np.nan])
    with tf.GradientTape() as tape:
        made = of_two(first, second)
        total = tf.reduce_sum(made)
    np.testing.assert_array_equal([made, *tape.gradient(total, [first, second])], expected)


def _correlated(a, b, mode):
    """``np.correlate``, but for "same", which is the middle of "full" as Keras 3.15.1 on TensorFlow cuts it out."""
    if mode != "same":
        return np.correlate(a, b, mode)
    begin = (min(len(a), len(b)) - 1) // 2
    return np.correlate(a, b, "full")[begin : begin + max(len(a), len(b))]


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from(["valid", "same", "full"]))
@settings(deadline=None, max_examples=60)
def test_correlations_of_all_lengths(n, m, mode):
    xs = (_numbers(n), _numbers(m, k=0.4))
    _check(lambda a, b: ops.correlate(a, b, mode), lambda a, b: _correlated(a, b, mode), *xs)


@pytest.mark.parametrize("options", [{"endpoint": False}, {"axis": -1}, {"num": 1}, {"num": 1, "endpoint": False}])
def test_options_of_linspace(options):
    _check(lambda a, b: ops.linspace(a, b, **options), lambda a, b: np.linspace(a, b, **options), [1.0, 2], [5.0, 9])


def test_sinc_has_a_slope_of_0_at_0():
    _check(ops.sinc, np.sinc, [-2.5, -1, 0, 0.3, 2])


def test_the_next_number_grows_with_the_first():
    x = tf.Variable([1.0, -2])
    with tf.GradientTape() as tape:
        made = ops.nextafter(x, np.array([2.0, -3], "float32"))
        total = tf.reduce_sum(made * [3.0, 4])
    np.testing.assert_array_equal(np.asarray(tape.gradient(total, x)), [3, 4])


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 5, 3)])
def test_pseudo_inverses(shape):
    _check(ops.pinv, np.linalg.pinv, _numbers(*shape, k=1.7) + np.eye(*shape[-2:]))


def test_the_gradient_of_a_pseudo_inverse_is_differentiated_again():
    """Of x = [[t], [2t]], whose pseudo-inverse is [1, 2] / (5t): the second derivative of its sum is 6 / (5t³)."""
    t = tf.Variable(2.0, dtype="float64")
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            total = tf.reduce_sum(ops.pinv(tf.reshape(tf.stack([t, 2 * t]), (2, 1))))
        slope = inner.gradient(total, t)
    np.testing.assert_allclose(float(slope), -3 / 20, rtol=1e-9)
    np.testing.assert_allclose(float(outer.gradient(slope, t)), 6 / 40, rtol=1e-9)


@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("shape", [(3, 5), (2, 2, 3)])
def test_wide_matrices_have_gradients_through_qr(shape, part, mode):
    x = _numbers(*shape, k=1.7) + np.eye(*shape[-2:])
    _check(lambda a: ops.qr(a, mode)[part], lambda a: np.linalg.qr(a)[part], x)


@pytest.mark.parametrize("shape", [(3, 7), (7,)])
def test_correlations_of_rows(shape):
    _check(ops.corrcoef, np.corrcoef, _numbers(*shape, k=1.7))


@pytest.mark.parametrize("upper", [False, True])
def test_inverses_from_triangles(upper):
    """What is in the other half does not count."""
    x = _numbers(2, 3, 3) + 2 * np.eye(3)

    def inverse(t):
        t = np.triu(t) if upper else np.tril(t)
        across = np.swapaxes(t, -1, -2)
        return np.linalg.inv(across @ t if upper else t @ across)

    np.testing.assert_allclose(ops.cholesky_inverse(x, upper=upper), inverse(x), rtol=1e-9)
    _check(lambda t: ops.cholesky_inverse(t, upper), inverse, x)


def test_triangles_are_solved_for_columns_and_rows():
    a, b = _numbers(2, 3, 3) + 2 * np.eye(3), _numbers(2, 3, 4)
    np.testing.assert_allclose(np.tril(a) @ ops.solve_triangular(a, b, lower=True), b, rtol=1e-9)
    np.testing.assert_allclose(np.triu(a)[0] @ ops.solve_triangular(a[0], b[0, :, 0]), b[0, :, 0], rtol=1e-9)


CHOICES = ([[True, False, False], [True, True, False]], [[1.0, 2, 3], [4.0, 5, 6]])


def test_choices_on_a_tape():
    conditions, choices = CHOICES
    first, second = map(tf.Variable, choices)
    with tf.GradientTape() as tape:
        made = ops.select([np.array(conditions[0]), first < 3], [first * 2, second * 3], 9.0)
        total = tf.reduce_sum(made)
    np.testing.assert_array_equal([made, *tape.gradient(total, [first, second])], [[2, 15, 9], [2, 0, 0], [0, 3, 0]])


def test_choices_among_tensors_of_a_model_and_in_its_file(tmp_path):
    i = keras.Input((4,))
    model = keras.Model(i, ops.select([i > 2, i < -2], [i * 2, i * 3.0], 0.5))
    x = np.array([[-3.0, -1, 1, 3]], "float32")
    model.save(tmp_path / "m.keras")
    for each in (model, keras.models.load_model(tmp_path / "m.keras")):
        np.testing.assert_array_equal(each.predict(x, verbose=0), [[-9, 0.5, 0.5, 6]])


COLOURS = [[0.9, 0.2, 0.4], [0.1, 0.7, 0.3], [0.2, 0.3, 0.8], [0.8, 0.7, 0.1], [0.6, 0.1, 0.5], [0.0, 0.3, 0.5]]


def _each(function):
    return lambda x: np.array([function(*row) for row in x.reshape(-1, 3)]).reshape(x.shape)


@pytest.mark.parametrize("room", [ops.image, tf.image])
def test_colours_have_gradients(room):
    _check(room.rgb_to_hsv, _each(colorsys.rgb_to_hsv), [COLOURS])
    hsv = _each(colorsys.rgb_to_hsv)(np.array([COLOURS]))
    _check(room.hsv_to_rgb, _each(colorsys.hsv_to_rgb), hsv)


def test_colours_of_grey_and_black_pixels_have_no_gradient_that_is_nan():
    x = tf.Variable([[0.5, 0.5, 0.5], [0, 0, 0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.image.rgb_to_hsv(x))
    assert np.isfinite(np.asarray(tape.gradient(total, x))).all()


def test_colours_of_a_models_tensors():
    i = keras.Input((2, 3, 3))
    x = np.array(COLOURS, "float32").reshape(1, 2, 3, 3)
    made = keras.Model(i, ops.image.rgb_to_hsv(i)).predict(x, verbose=0)
    np.testing.assert_allclose(made, _each(colorsys.rgb_to_hsv)(x), atol=1e-6)
    back = keras.Model(i, ops.image.hsv_to_rgb(ops.image.rgb_to_hsv(i)))
    np.testing.assert_allclose(back.predict(x, verbose=0), x, atol=1e-6)


def test_numbers_beyond_bfloat16_are_its_largest():
    """3.3895314e38 is (2 - 2⁻⁷) · 2¹²⁷."""
    largest = (2 - 2**-7) * 2.0**127
    made = ops.cast(ops.saturate_cast(np.array([3.4e38, -3.4e38, 1.00390625, 2]), "bfloat16"), "float64")
    np.testing.assert_array_equal(np.asarray(made), [largest, -largest, 1, 2])
    np.testing.assert_array_equal(ops.cast(ops.saturate_cast(np.arange(3), "bfloat16"), "float32"), [0, 1, 2])


@pytest.mark.parametrize("n", range(1, 7))
@pytest.mark.parametrize("m", range(1, 7))
def test_the_middle_of_a_correlation_is_keras_s_whichever_row_is_the_shorter_one(n, m):
    """As Keras 3.15.1 on TensorFlow, from which the first numbers are, of ``ops.correlate(…, mode="same")``.

    ``np.correlate`` has [19, 12, 4, 1, 2]: it exchanges the two rows, and the middle is to the right.
    """
    assert np.asarray(ops.correlate([1.0, 2.0], [1.0, 0.0, 2.0, 5.0, 7.0], mode="same")).tolist() == [7, 19, 12, 4, 1]
    first, second = np.arange(1.0, n + 1) ** 2 + 1, np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0])[:m]
    shift = (n + m - 1 - max(n, m)) // 2 - (m - 1)  # sum over k of first[i + shift + k] * second[k]
    places = [[(i + shift + k, k) for k in range(m) if 0 <= i + shift + k < n] for i in range(max(n, m))]
    expected = [sum(first[i] * second[k] for i, k in each) for each in places]
    np.testing.assert_allclose(ops.correlate(first, second, mode="same"), expected)
    x = tf.Variable(first)
    with tf.GradientTape():  # recorded, it has other formulas
        y = ops.correlate(x, second, mode="same")
    np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-6)
