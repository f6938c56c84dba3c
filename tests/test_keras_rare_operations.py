"""Functions of keras.ops that scripts call rarely: against their definitions, and differences of finite steps."""

import math

import numpy as np
import pytest

from minicnn import keras
from minicnn.differentiation import Recorded, gradients
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

RNG = np.random.default_rng(3)
A, B = RNG.normal(size=(2, 3, 4))
ROUND = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 3.0]])
IDS = np.array([2, 0, 2])
GAPS = np.array([[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]], bool)

VALUES = {
    "erf": (lambda x: ops.erf(x), np.vectorize(math.erf)),
    "erfc": (lambda x: ops.erfc(x), np.vectorize(math.erfc)),
    "erfinv": (lambda x: ops.erf(ops.erfinv(np.tanh(x) * 0.999)), lambda x: np.tanh(x) * 0.999),
    "logaddexp2": (lambda x: ops.logaddexp2(x, B), lambda x: np.log2(2**x + 2**B)),
    "exp2": (lambda x: ops.exp2(x), lambda x: 2**x),
    "cbrt": (lambda x: ops.cbrt(x) ** 3, lambda x: x),
    "hypot": (lambda x: ops.hypot(x, B), lambda x: np.hypot(x, B)),
    "deg2rad": (lambda x: ops.rad2deg(ops.deg2rad(x)), lambda x: x),
    "diff": (lambda x: ops.diff(x, 2, 1), lambda x: np.diff(x, 2, 1)),
    "flips": (lambda x: ops.fliplr(ops.flipud(x)), lambda x: x[::-1, ::-1]),
    "append": (lambda x: ops.append(x, B, axis=0), lambda x: np.append(x, B, 0)),
    "ptp": (lambda x: ops.ptp(x, axis=1), lambda x: np.ptp(x, axis=1)),
    "trapezoid": (lambda x: ops.trapezoid(x, [0.0, 1.0, 3.0, 3.5]), lambda x: (x[:, 1:] + x[:, :-1]) / 2 @ [1, 2, 0.5]),
    "divide_no_nan": (lambda x: ops.divide_no_nan(x, np.maximum(B, 0)), lambda x: np.where(B > 0, x / B, 0)),
    "inv": (lambda x: ops.inv(x[:, :3] + 5 * np.eye(3)), lambda x: np.linalg.inv(x[:, :3] + 5 * np.eye(3))),
    "solve": (lambda x: ops.solve(ROUND + 0 * x[:, :3], x), lambda x: np.linalg.inv(ROUND) @ x),
    "psnr": (lambda x: ops.psnr(x, B, 2.0), lambda x: -10 * np.log10(((x - B) ** 2).mean() / 4)),
    "segment_sum": (lambda x: ops.segment_sum(x, IDS, 4), lambda x: np.array([x[1], 0 * x[0], x[0] + x[2], 0 * x[0]])),
    "sort": (lambda x: ops.sort(x, axis=0), lambda x: np.sort(x, 0)),
    "argsort": (lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1), lambda x: np.sort(x, 1)),
    "median": (lambda x: ops.median(x, axis=1), lambda x: np.median(x, 1)),
    "median of all": (lambda x: ops.median(x, keepdims=True), lambda x: np.median(x, keepdims=True)),
    "quantile": (lambda x: ops.quantile(x, [0.3, 0.9], axis=0), lambda x: np.quantile(x, [0.3, 0.9], 0)),
    "quantile kept": (
        lambda x: ops.quantile(x, 0.4, axis=(0, 1), method="higher", keepdims=True),
        lambda x: np.quantile(x, 0.4, (0, 1), method="higher", keepdims=True),
    ),
    "segment_max": (lambda x: ops.segment_max(x, IDS, 3)[::2], lambda x: np.array([x[1], np.maximum(x[0], x[2])])),
    "segment_min": (lambda x: ops.segment_min(x, IDS, 3)[::2], lambda x: np.array([x[1], np.minimum(x[0], x[2])])),
    "segment_prod": (
        lambda x: ops.segment_prod(x, IDS, 4),
        lambda x: np.array([x[1], 0 * x[0] + 1, x[0] * x[2], 0 * x[0] + 1]),
    ),
    "tf.math.segment_max": (
        lambda x: tf.math.segment_max(x, [0, 0, 2]),
        lambda x: np.array([np.maximum(x[0], x[1]), 0 * x[0], x[2]]),
    ),
    "triangles": (lambda x: ops.tril(x, 1) + 2 * ops.triu(x, k=-1), lambda x: np.tril(x, 1) + 2 * np.triu(x, k=-1)),
    "triangles of a row": (lambda x: ops.tril(x[0], 1) + ops.triu(x[1]), lambda x: np.tril(x[0], 1) + np.triu(x[1])),
    "trace": (lambda x: ops.trace(x, offset=1), lambda x: np.trace(x, 1)),
    "trace of each": (lambda x: ops.trace(ops.stack([x, B]), 0, 1, 2), lambda x: np.array([np.trace(x), np.trace(B)])),
    "diag": (lambda x: ops.diag(x[0], 1) + ops.diag(x[1], k=-1), lambda x: np.diag(x[0], 1) + np.diag(x[1], -1)),
    "diag of a matrix": (lambda x: ops.diag(x, -1), lambda x: np.diag(x, -1)),
    "diagflat": (lambda x: ops.diagflat(x, 2), lambda x: np.diagflat(x, 2)),
    "outer": (lambda x: ops.outer(x, B), lambda x: np.outer(x, B)),
    "inner": (lambda x: ops.inner(x, ops.stack([B, x])), lambda x: np.inner(x, np.stack([B, x]))),
    "inner of rows": (lambda x: ops.inner(x[0], x[1]), lambda x: np.inner(x[0], x[1])),
    "vdot": (lambda x: ops.vdot(x, B), lambda x: np.vdot(x, B)),
    "hstack": (lambda x: ops.hstack([x, B]), lambda x: np.hstack([x, B])),
    "hstack of rows": (lambda x: ops.hstack([x[0], x[1], B[0]]), lambda x: np.hstack([x[0], x[1], B[0]])),
    "vstack": (lambda x: ops.vstack([x[0], B[0], x[1]]), lambda x: np.vstack([x[0], B[0], x[1]])),
    "dstack": (lambda x: ops.dstack([x, B]), lambda x: np.dstack([x, B])),
    "dstack of rows": (lambda x: ops.dstack([x[0], x[1]]), lambda x: np.dstack([x[0], x[1]])),
    "meshgrid": (lambda x: ops.meshgrid(x[0], x[1])[1], lambda x: np.meshgrid(x[0], x[1])[1]),
    "meshgrid by ij": (
        lambda x: ops.meshgrid(x[0], x[1], B[0], indexing="ij")[1],
        lambda x: np.meshgrid(x[0], x[1], B[0], indexing="ij")[1],
    ),
    "copy": (lambda x: ops.copy(x), lambda x: x),
    "array": (lambda x: ops.array(x) * ops.conj(ops.real(x)), lambda x: x * x),
    "det": (lambda x: ops.det(x[:, :3] + 3 * np.eye(3)), lambda x: np.linalg.det(x[:, :3] + 3 * np.eye(3))),
    "logdet": (
        lambda x: ops.logdet(x[:, :3] + 3 * np.eye(3)),
        lambda x: np.log(np.linalg.det(x[:, :3] + 3 * np.eye(3))),
    ),
    "slogdet": (
        lambda x: ops.slogdet(x[:, :3] - 3 * np.eye(3))[1],
        lambda x: np.log(-np.linalg.det(x[:, :3] - 3 * np.eye(3))),
    ),
    "cholesky": (
        lambda x: ops.cholesky(ops.matmul(x, ops.transpose(x)) + ROUND),
        lambda x: np.linalg.cholesky(x @ x.T + ROUND),
    ),
    "cross": (lambda x: ops.cross(x[:, :3], x[:, 1:]), lambda x: np.cross(x[:, :3], x[:, 1:])),
    "nansum": (
        lambda x: ops.nansum(ops.where(GAPS, np.nan, x), axis=1),
        lambda x: np.nansum(np.where(GAPS, np.nan, x), 1),
    ),
    "nanmean": (
        lambda x: ops.nanmean(ops.where(GAPS, np.nan, x), axis=0, keepdims=True),
        lambda x: np.nanmean(np.where(GAPS, np.nan, x), 0, keepdims=True),
    ),
    "nanmax": (
        lambda x: ops.nanmax(ops.where(GAPS, np.nan, x), axis=1),
        lambda x: np.nanmax(np.where(GAPS, np.nan, x), 1),
    ),
    "nanmin": (lambda x: ops.nanmin(ops.where(GAPS, np.nan, x)), lambda x: np.nanmin(np.where(GAPS, np.nan, x))),
    "nanprod": (
        lambda x: ops.nanprod(ops.where(GAPS, np.nan, x), axis=1),
        lambda x: np.nanprod(np.where(GAPS, np.nan, x), 1),
    ),
    "cumulative_logsumexp": (lambda x: tf.math.cumulative_logsumexp(x, 1), lambda x: np.logaddexp.accumulate(x, 1)),
    "cumulative_logsumexp turned": (
        lambda x: tf.math.cumulative_logsumexp(x, 0, exclusive=True, reverse=True)[:2],
        lambda x: np.logaddexp.accumulate(x[::-1], 0)[::-1][1:],
    ),
    "lbeta": (
        lambda x: tf.math.lbeta(tf.exp(x)),
        lambda x: np.vectorize(math.lgamma)(np.exp(x)).sum(-1) - np.vectorize(math.lgamma)(np.exp(x).sum(-1)),
    ),
    "unsorted_segment_sqrt_n": (
        lambda x: tf.math.unsorted_segment_sqrt_n(x, IDS, 4),
        lambda x: np.array([x[1], 0 * x[0], (x[0] + x[2]) / np.sqrt(2), 0 * x[0]]),
    ),
    "eigvalsh": (
        lambda x: tf.linalg.eigvalsh(tf.matmul(x, x, transpose_b=True) + ROUND),
        lambda x: np.linalg.eigvalsh(x @ x.T + ROUND),
    ),
    "triangular_solve": (
        lambda x: tf.linalg.triangular_solve(x[:, :3] + 3 * np.eye(3), x, lower=False, adjoint=True),
        lambda x: np.linalg.inv(np.triu(x[:, :3] + 3 * np.eye(3))).T @ x,
    ),
    "cholesky_solve": (
        lambda x: tf.linalg.cholesky_solve(x[:, :3] + 3 * np.eye(3), x),
        lambda x: np.linalg.inv(np.tril(x[:, :3] + 3 * np.eye(3)) @ np.tril(x[:, :3] + 3 * np.eye(3)).T) @ x,
    ),
    "tensor_diag": (
        lambda x: tf.linalg.tensor_diag(x),
        lambda x: np.einsum("ij,ik,jl->ijkl", x, np.eye(3), np.eye(4)),
    ),
    "tensor_diag_part": (lambda x: tf.linalg.tensor_diag_part(x[:, :3]), lambda x: np.diagonal(x[:, :3])),
    "log_poisson_loss": (
        lambda x: tf.nn.log_poisson_loss(np.exp(B), x, compute_full_loss=True),
        lambda x: (
            np.exp(x)
            - x * np.exp(B)
            + np.where(B > 0, np.exp(B) * B - np.exp(B) + np.log(2 * np.pi * np.exp(B)) / 2, 0)
        ),
    ),
    "space_to_batch": (
        lambda x: tf.space_to_batch(tf.reshape(x, (1, 3, 4, 1)), [2, 2], [[1, 0], [0, 0]]),
        lambda x: np.array(
            [
                [[0 * x[0, ::2], x[1, ::2]]],
                [[0 * x[0, 1::2], x[1, 1::2]]],
                [[x[0, ::2], x[2, ::2]]],
                [[x[0, 1::2], x[2, 1::2]]],
            ]
        )[:, 0, ..., None],
    ),
    "batch_to_space": (
        lambda x: tf.batch_to_space(tf.reshape(x, (4, 3, 1, 1)), [2, 2], [[0, 1], [1, 0]]),
        lambda x: np.stack([x.ravel()[3:6], x.ravel()[9:]], 1).reshape(1, 6, 1, 1)[:, :5],
    ),
    "glu": (lambda x: ops.glu(x), lambda x: x[:, :2] / (1 + np.exp(-x[:, 2:]))),
    "tanh_shrink": (lambda x: ops.tanh_shrink(x), lambda x: x - np.tanh(x)),
    "squareplus": (lambda x: ops.squareplus(x), lambda x: (x + np.sqrt(x * x + 4)) / 2),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_and_gradients(name):
    function, formula = VALUES[name]
    np.testing.assert_allclose(function(A), formula(A), rtol=1e-9, atol=1e-9)
    weights = RNG.normal(size=np.shape(formula(A)))
    with tf.GradientTape() as tape:
        x = tf.constant(A)
        tape.watch(x)
        total = tf.reduce_sum(function(x) * weights)
    gradient, step = np.asarray(tape.gradient(total, x)), RNG.normal(size=A.shape)
    ends = [(formula(A + sign * 1e-6 * step) * weights).sum() for sign in (1, -1)]
    np.testing.assert_allclose((gradient * step).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name", ["erf", "erfc", "erfinv", "inv", "det", "logdet", "slogdet", "cross", "sort", "segment_max"]
)
def test_gradients_of_gradients(name):
    function, formula = VALUES[name]
    if name == "erfinv":  # of which the entry has erf behind it
        function, formula = (lambda x: ops.erfinv(ops.tanh(x))), (lambda x: np.asarray(ops.erfinv(np.tanh(x))))
    weights, step = RNG.normal(size=np.shape(formula(A))), RNG.normal(size=A.shape)
    x = tf.constant(A)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            total = tf.reduce_sum(function(x) * weights)
        slope = tf.reduce_sum(inner.gradient(total, x) * step)
    found = outer.gradient(slope, x)
    low, middle, high = ((formula(A + h * step) * weights).sum() for h in (-1e-4, 0, 1e-4))
    bent = 0.0 if found is None else (np.asarray(found) * step).sum()
    np.testing.assert_allclose(bent, (low - 2 * middle + high) / 1e-8, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: ops.diag(ops.stack([x, x])),
            r"^diag takes a row or a matrix\. Received: an array of shape \(2, 3, 4\)$",
        ),
        (lambda x: ops.diag(x[0, 0]), r"^diag takes a row or a matrix\. Received: an array of shape \(\)$"),
        (
            lambda x: ops.meshgrid(x[0], x[1], indexing="yx"),
            r"`indexing` must be one of 'xy', 'ij'\. Received: indexing='yx'",
        ),
    ],
)
def test_what_numpy_refuses_is_refused_on_a_tape(function, message):
    with tf.GradientTape() as tape:
        x = tf.constant(A)
        tape.watch(x)
        with pytest.raises(ValueError, match=message):
            function(x)


COUNTS = {
    "count_nonzero": (lambda x: ops.count_nonzero(x > 0, axis=1), lambda x: (x > 0).sum(1)),
    "tf.math.count_nonzero": (lambda x: tf.math.count_nonzero(tf.nn.relu(x), 0), lambda x: (x > 0).sum(0)),
    "logical_xor": (lambda x: ops.logical_xor(x > 0, B > 0), lambda x: (x > 0) != (B > 0)),
    "isin": (lambda x: ops.isin(ops.round(x), [0.0, 1.0]), lambda x: (np.round(x) == 0) | (np.round(x) == 1)),
    "signbit": (lambda x: ops.signbit(x), lambda x: x < 0),
    "isposinf": (lambda x: ops.isposinf(x / 0), lambda x: x > 0),
    "nanargmax": (lambda x: ops.nanargmax(x, axis=1), lambda x: x.argmax(1)),
    "isclose": (lambda x: ops.isclose(x, A), lambda x: x == A),
    "digitize": (lambda x: ops.digitize(x, np.array([-1.0, 0.5])), lambda x: (x >= -1) * 1 + (x >= 0.5)),
    "nonzero": (lambda x: ops.nonzero(x > 0)[1], lambda x: np.argwhere(x > 0)[:, 1]),
    "matrix_rank": (lambda x: ops.matrix_rank(x), lambda x: 3),
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_counts_and_questions_in_a_loss_are_numbers_without_gradients(name):
    function, formula = COUNTS[name]
    with tf.GradientTape() as tape:
        x = tf.constant(A)
        tape.watch(x)
        found = np.asarray(function(x))
        total = tf.reduce_sum(x * x * float(found.sum()))
    np.testing.assert_array_equal(found, formula(A))
    np.testing.assert_allclose(np.asarray(tape.gradient(total, x)), 2 * A * np.sum(formula(A)))


@pytest.mark.parametrize("cast", [ops.saturate_cast, tf.saturate_cast])
def test_a_saturated_cast_to_floats_has_the_gradient_of_what_is_not_cut_off(cast):
    with tf.GradientTape() as tape:
        x = tf.constant([1.0, -2.0, 1e6])
        tape.watch(x)
        made = cast(x, "float16")
        total = tf.reduce_sum(tf.cast(made, "float32") * [3.0, 4.0, 5.0]) + tf.reduce_sum(cast(x, "float32"))
    np.testing.assert_array_equal(np.asarray(made), np.float16([1, -2, 65504]))
    np.testing.assert_array_equal(np.asarray(tape.gradient(total, x)), [4, 5, 1])


def test_parts_of_complex_arrays():
    z = np.array([1 + 2j, 3 - 1j])
    np.testing.assert_array_equal(ops.real(z), [1, 3])
    np.testing.assert_array_equal(ops.conj(z), [1 - 2j, 3 + 1j])
    np.testing.assert_array_equal(ops.conjugate(ops.array(z)), [1 - 2j, 3 + 1j])
    with tf.GradientTape() as tape:
        x = tf.constant([1.0, 2.0])
        tape.watch(x)
        y = tf.complex(x, 3 * x)
        total = tf.reduce_sum(ops.real(y * ops.conj(y)))  # 10 · x²
    np.testing.assert_allclose(np.asarray(tape.gradient(total, x)), [20, 40])


def test_hard_negatives_are_counted_in_a_loss():
    """The loss of SSD's detectors in Keras: of the boxes with nothing in them, three times as many as the others."""

    def loss(y_true, y_pred):
        losses = tf.reduce_sum(tf.square(y_true - y_pred), axis=-1)  # (N, boxes)
        positives = tf.reduce_max(y_true[:, :, 1:], axis=-1)
        negatives = losses * y_true[:, :, 0]
        kept = tf.minimum(
            3 * tf.cast(tf.reduce_sum(positives), tf.int32), tf.math.count_nonzero(negatives, dtype=tf.int32)
        )
        _, places = tf.nn.top_k(tf.reshape(negatives, [-1]), k=kept, sorted=False)
        chosen = tf.scatter_nd(tf.expand_dims(places, 1), tf.ones_like(places), tf.shape(tf.reshape(negatives, [-1])))
        chosen = tf.cast(tf.reshape(chosen, tf.shape(negatives)), tf.float32)
        return tf.reduce_sum(losses * positives, -1) + tf.reduce_sum(losses * chosen, -1)

    kernel = np.float32([[0.5, -0.25], [0.75, 0.5]])
    x = np.float32([[[1, 2], [0, 1], [3, 1], [1, 1], [2, 0]]])  # (1, 5 boxes, 2)
    y = np.float32([[[0, 1], [1, 0], [1, 0], [1, 0], [1, 0]]])
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([kernel])
    model.compile(keras.optimizers.SGD(0.125), loss)
    model.train_on_batch(x, y)
    apart = x[0] @ kernel - y[0]  # of each box
    squares = (apart**2).sum(1)
    counted = [0, *sorted(range(1, 5), key=lambda i: -squares[i])[:3]]
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.125 * 2 * x[0][counted].T @ apart[counted], rtol=1e-6)


def test_ends_of_the_inverse_of_erf():
    np.testing.assert_array_equal(ops.erfinv([-1.0, 0.0, 1.0, 1.5]), np.array([-np.inf, 0, np.inf, np.nan], "float32"))
    grown = ops.erfinv(np.array([1 - 1e-15, 1e-300]))
    np.testing.assert_allclose(grown, [5.675905294449437, 0.886226925452758e-300], rtol=1e-4)


def test_dtypes_are_keras_s():
    assert ops.hamming(5).dtype == np.float32 and ops.nonzero(A)[0].dtype == np.int32
    assert ops.exp2(A).dtype == np.float64 and ops.bitwise_not(np.int64(3)) == -4
    assert ops.saturate_cast([-1.0, 300.0], "uint8").tolist() == [0, 255]
    assert ops.size(A) == 12 and ops.ndim(A) == 2


def test_segments():
    none = np.full(4, np.finfo("float64").min)
    np.testing.assert_array_equal(ops.segment_max(A, IDS), np.stack([A[1], none, np.maximum(A[0], A[2])]))
    np.testing.assert_array_equal(ops.segment_sum([1, 2, 3, 4], [0, -1, 9, 0], 2), [5, 0])
    with pytest.raises(ValueError, match="one number for each part"):
        ops.segment_sum(A, [0, 1])


def test_the_gradient_of_a_logarithm_that_is_none_is_none():
    """TensorFlow: ``tf.linalg.logdet`` of a matrix with a determinant below 0 is NaN, and so is its gradient."""
    x = tf.Variable(np.stack([np.eye(3), np.eye(3)[[1, 0, 2]]]))
    with tf.GradientTape() as tape:
        logarithms = ops.logdet(x)
    np.testing.assert_array_equal(np.asarray(logarithms), [0, np.nan])
    np.testing.assert_array_equal(tape.gradient(logarithms, x), [np.eye(3), np.full((3, 3), np.nan)])


def test_matrices():
    np.testing.assert_allclose(ops.logdet(ROUND), np.log(np.linalg.det(ROUND)))
    u, s, v = ops.svd(A, full_matrices=False)
    np.testing.assert_allclose((u * s) @ v, A)
    lower = ops.linalg.cholesky(ROUND)
    np.testing.assert_allclose(lower @ lower.T, ROUND)
    np.testing.assert_allclose(ROUND @ ops.solve(ROUND, A[:, 0]), A[:, 0])


def test_of_a_models_tensor():
    x = keras.Input((4,))
    model = keras.Model(x, [ops.erf(x), ops.celu(x), ops.glu(x)])
    made = model.predict(A, verbose=0)
    for got, expected in zip(
        made, (np.vectorize(math.erf)(A), np.where(A > 0, A, np.expm1(A)), VALUES["glu"][1](A)), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mean", "sum", "max", "min", "std", "var", "prod", "any", "all"])
@pytest.mark.parametrize("axes", [[1, 2], np.arange(1, 4)])
def test_axes_are_a_list_or_an_array(name, axes, rng):
    x = rng.normal(size=(2, 3, 4, 5))
    expected = getattr(np, name)(x, axis=tuple(axes))
    function = getattr(keras.backend, name)
    np.testing.assert_allclose(function(x, axis=axes), expected)
    np.testing.assert_allclose(function(x, axes), expected)


def test_a_loss_that_averages_over_a_list_of_axes(rng):
    x, y = (rng.normal(size=(4, 2, 3, 1)).astype("float32") for _ in range(2))
    model = keras.Sequential([keras.Input((2, 3, 1)), keras.layers.Rescaling(1.0)])

    def apart(y_true, y_pred):
        return keras.backend.mean(keras.backend.square(y_true - y_pred), axis=[1, 2, 3])

    model.compile("sgd", apart, metrics=[apart])
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), [np.mean((x - y) ** 2)] * 2, rtol=1e-5)


@pytest.mark.parametrize(("left", "right"), [((4, 3), (5, 3, 2)), ((2, 4, 3), (2, 5, 3, 2)), ((3,), (4, 3, 2))])
def test_dot_with_more_than_two_axes(left, right, rng):
    """As minibatch discrimination has it: ``K.dot(x, self.W)`` sums over the last axis but one."""
    a, b, seed = rng.normal(size=left), rng.normal(size=right), rng.normal(size=(*left[:-1], *right[:-2], right[-1]))
    x, w = tf.Variable(a.astype("float32")), tf.Variable(b.astype("float32"))
    with tf.GradientTape() as tape:
        made = keras.backend.dot(x, w)
        loss = tf.reduce_sum(made * seed.astype("float32"))
    np.testing.assert_allclose(made.numpy(), np.dot(a, b), rtol=1e-4, atol=1e-5)
    flat = np.moveaxis(b, -2, 0).reshape(left[-1], -1)  # (C, F)
    rows, seeds = a.reshape(-1, left[-1]), seed.reshape(-1, flat.shape[1])  # (N, C), (N, F)
    of_b = np.moveaxis((rows.T @ seeds).reshape(left[-1], *right[:-2], right[-1]), 0, -2)
    for found, expected in zip(tape.gradient(loss, [x, w]), [(seeds @ flat.T).reshape(left), of_b], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_devices_by_their_experimental_names():
    config = tf.config.experimental
    config.set_visible_devices(config.list_physical_devices("GPU")[2:], "GPU")
    assert config.get_visible_devices() == tf.config.get_visible_devices()
    assert config.list_logical_devices("CPU") == tf.config.list_logical_devices("CPU")


def test_names_of_tensorflows_generated_files():
    """Editors complete imports by them."""
    from minicnn.keras.tensorflow._api.v2.image import ResizeMethod
    from minicnn.keras.tensorflow._api.v2.keras.layers import Dense

    assert ResizeMethod.BILINEAR == tf.image.ResizeMethod.BILINEAR
    assert Dense is keras.layers.Dense


def test_hot_rows_are_dense():
    """Which Keras says with ``sparse=False``; sparse ones are refused."""
    ops = keras.ops
    np.testing.assert_array_equal(ops.one_hot([0, 2], 3, sparse=False), np.eye(3)[[0, 2]])
    np.testing.assert_array_equal(ops.multi_hot([[0, 2], [1, 1]], 3, sparse=False), [[1, 0, 1], [0, 1, 0]])
    for function in (ops.one_hot, ops.multi_hot):
        with pytest.raises(ValueError, match="sparse"):
            function([[0, 2]], 3, sparse=True)


@pytest.mark.parametrize("axis", [-1, 1])
def test_hot_rows_of_a_models_tensor(axis):
    """As the codes of a VQ-VAE go into a PixelCNN."""
    codes = keras.Input((2,), dtype="int32")
    rows = keras.ops.one_hot(codes, 3, axis=axis)
    assert tuple(rows.shape) == ((None, 2, 3) if axis == -1 else (None, 3, 2))
    given = np.array([[0, 2], [1, 1]])
    expected = np.eye(3)[given] if axis == -1 else np.eye(3)[given].transpose(0, 2, 1)
    np.testing.assert_array_equal(keras.Model(codes, rows).predict(given, verbose=0), expected)


def test_numpy_of_tensorflow_is_what_ops_have():
    x, at = np.arange(6.0).reshape(2, 3), np.array([[2], [0]])
    assert tf.experimental.numpy.take_along_axis(x, at, axis=1).tolist() == [[2], [3]]
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        total = tf.experimental.numpy.sum(tf.experimental.numpy.square(variable))
    assert np.array_equal(tape.gradient(total, variable), 2 * x)
    assert tf.experimental.numpy.experimental_enable_numpy_behavior() is None
    with pytest.raises(AttributeError, match=r"tf\.experimental\.numpy\.frombuffer"):
        _ = tf.experimental.numpy.frombuffer


@pytest.mark.parametrize(
    "axes, shape",
    [(0, (2,)), (1, (3, 4)), (2, (4, 3, 2)), ((1, 0), (4, 2)), (([2, 1], [0, 1]), (3, 4)), (([-1], [-2]), (3, 2))],
)
def test_tensordot_is_differentiated(axes, shape):
    """Of tensors, with the values of NumPy's; both gradients against differences in float64."""
    draw = np.random.default_rng(5).normal
    x, w = draw(size=(2, 4, 3)), draw(size=shape)
    inputs = keras.Input((4, 3))
    for function in (keras.ops.tensordot, tf.tensordot):
        model = keras.Model(inputs, function(inputs, w, axes))
        np.testing.assert_allclose(model.predict(x, verbose=0), np.tensordot(x, w, axes), rtol=1e-4, atol=1e-5)
    given = [Recorded(x), Recorded(w)]
    made = keras.ops.tensordot(*given, axes=axes)
    slope, found = draw(size=made.shape), []
    for part, gradient in zip(given, gradients(made, slope, given), strict=True):
        step = draw(size=part.shape)
        both = [[p.value + sign * 1e-6 * step if p is part else p.value for p in given] for sign in (1, -1)]
        difference = (np.tensordot(*both[0], axes) - np.tensordot(*both[1], axes)) / 2e-6
        found.append(np.isclose((difference * slope).sum(), (step * gradient).sum(), rtol=1e-5))
    assert all(found)


PICTURES = np.random.default_rng(6).normal(size=(2, 6, 8, 3)).astype("float32")
MOVED = {
    "crop": (lambda x: tf.image.crop_to_bounding_box(x, 1, 2, 3, 4), PICTURES[:, 1:4, 2:6]),
    "pad": (lambda x: tf.image.pad_to_bounding_box(x, 1, 2, 9, 10), np.pad(PICTURES, [(0, 0), (1, 2), (2, 0), (0, 0)])),
    "middle": (lambda x: tf.image.central_crop(x, 0.5), PICTURES[:, 1:5, 2:6]),
    "both": (
        lambda x: tf.image.resize_with_crop_or_pad(x, 4, 10),
        np.pad(PICTURES[:, 1:5], [(0, 0), (0, 0), (1, 1), (0, 0)]),
    ),
    "cropped": (lambda x: keras.ops.image.crop_images(x, 1, 2, 2, 2), PICTURES[:, 1:4, 2:6]),
}


@pytest.mark.parametrize("name", MOVED)
def test_pictures_of_a_model_are_cut_and_padded(name, tmp_path):
    """By layers: arrays give the same, and files hold them."""
    move, expected = MOVED[name]
    inputs = keras.Input((6, 8, 3))
    model = keras.Model(inputs, move(inputs))
    assert np.array_equal(model.predict(PICTURES, verbose=0), expected) and np.array_equal(move(PICTURES), expected)
    model.save(tmp_path / "m.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "m.keras").predict(PICTURES, verbose=0), expected)
    with pytest.raises(ValueError, match=r"of a known size\. Received: "):
        MOVED["crop"][0](keras.Input((None, 8, 3)))


UNARY = [
    *("arccosh", "arcsinh", "arctan", "cos", "cosh", "exp", "expm1", "log", "log10", "log1p", "log2", "reciprocal"),
    *("sin", "sinh", "sqrt", "tan", "tanh"),
]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "bool"])
def test_functions_with_fractions_take_whole_numbers_as_floats(dtype):
    """Pixels, for one: NumPy computes these of single bytes in half precision, and a reciprocal in whole numbers."""
    x = np.array([[1, 3, 5, 2]]).astype(dtype)
    wide = x.astype(np.float64)
    for name in UNARY:
        found = getattr(ops, name)(x)
        assert found.dtype == np.float32, name
        np.testing.assert_allclose(found, getattr(np, name)(wide), rtol=2e-6, err_msg=name)
    np.testing.assert_allclose(ops.rsqrt(x), wide**-0.5, rtol=2e-6)
    np.testing.assert_allclose(ops.logsumexp(x, axis=1), np.log(np.exp(wide).sum(axis=1)), rtol=2e-6)
    np.testing.assert_allclose(ops.arctan2(x, x), np.arctan2(wide, wide), rtol=2e-6)
    np.testing.assert_allclose(ops.logaddexp(x, x), np.logaddexp(wide, wide), rtol=2e-6)
    np.testing.assert_allclose(ops.hypot(x * x, x), np.hypot(wide * wide, wide), rtol=2e-6)


def test_the_hypotenuse_of_large_bytes_does_not_overflow():
    assert ops.hypot(np.uint8([200]), np.uint8([200]))[0] == pytest.approx(200 * 2**0.5)


def test_identity_is_a_unit_matrix():
    np.testing.assert_array_equal(ops.identity(3), np.eye(3))
    assert ops.identity(2).dtype == np.float32 and ops.identity(2, dtype="int32").dtype == np.int32
    x = np.arange(3.0)
    np.testing.assert_array_equal(ops.identity(x), x)


FLOATS, INTS, BOOLS = [[1.0, 2.0], [3.0, 4.0]], [1, 2, 3], [True, False]


@pytest.mark.parametrize(
    ("name", "given", "dtype"),
    [
        *((name, (FLOATS,), "float32") for name in ("gelu", "logsumexp", "rsqrt", "deg2rad", "exp2", "diff", "relu")),
        *((name, (FLOATS,), "float32") for name in ("stop_gradient", "det", "trapezoid", "floor", "fabs", "cbrt")),
        *((name, (1.5,), "float32") for name in ("gelu", "logsumexp", "rsqrt", "rad2deg", "stop_gradient", "exp")),
        *((name, (FLOATS, FLOATS), "float32") for name in ("floor_divide", "binary_crossentropy", "logaddexp2")),
        *((name, (INTS,), "float32") for name in ("floor", "ceil", "fabs", "deg2rad", "exp2", "cos")),
        *((name, (INTS,), "int32") for name in ("relu", "relu6", "diff", "stop_gradient", "square", "abs")),
        *((name, (BOOLS,), "float32") for name in ("sin", "tanh", "sqrt", "log", "arctan", "floor", "fabs", "exp2")),
        *((name, (3,), "float32") for name in ("floor", "ceil", "fabs")),
        ("square", (BOOLS,), "int32"),
        ("pad", ([1.0, 2.0], 1), "float32"),
        ("floor_divide", ([1.0, 2.0], 2), "float32"),
    ],
)
def test_lists_and_numbers_of_pythons_are_arrays_of_kerass_dtypes(name, given, dtype):
    """The dtypes are those of Keras 3.15 on TensorFlow, the numbers those of arrays."""
    made = getattr(ops, name)(*given)
    assert made.dtype == dtype
    kind = "float32" if dtype == "float32" else "int32"
    arrays = [x if (name, x) == ("pad", 1) else np.asarray(x, kind) for x in given]
    np.testing.assert_allclose(made, getattr(ops, name)(*arrays), rtol=1e-6)


def test_binary_crossentropy_of_lists_is_that_of_float32():
    made = ops.binary_crossentropy([0.0, 1.0], [1.0, 0.0])
    np.testing.assert_allclose(made, [15.9424, 16.1181], rtol=2e-2)  # as near to 0 and 1 as float32 gets
    assert made.dtype == "float32"


def test_arguments_by_their_places():
    x = np.arange(12, dtype="float32").reshape(3, 4)
    np.testing.assert_array_equal(ops.quantile(x, 0.5, 1, "linear", True), [[1.5], [5.5], [9.5]])
    np.testing.assert_array_equal(ops.quantile(x, [0.5, 1.0], 0, "nearest", True)[:, :, 0], [[4], [8]])
    np.testing.assert_array_equal(ops.percentile(x, 50, 1, "lower", True), [[1], [5], [9]])
    x[0, 0] = np.nan
    for name, expected in (("nanmax", [3, 7, 11]), ("nansum", [6, 22, 38]), ("nanargmin", [1, 0, 0])):
        made = getattr(ops, name)(x, 1, True)
        np.testing.assert_array_equal(made, np.reshape(expected, (3, 1)))
    numbers = ops.unique(np.array([3, 1, 3]), True)
    assert numbers.tolist() == [1, 3]


def test_what_is_empty_holds_zeros():
    assert not ops.empty((50,)).any() and not ops.empty_like(np.ones(50, "float32")).any()


def test_places_in_a_list():
    assert ops.take_along_axis([[1.0, 2.0], [3.0, 4.0]], [[1], [0]], axis=1).tolist() == [[2], [3]]
    assert ops.take_along_axis(np.array([[1, 2]]), [[1, 1]], 1).tolist() == [[2, 2]]


PICTURE = np.array([200, 200, 100], "uint8")
SIGNAL = np.array([100, 120, 3, -90], "int8")
OF_NARROW = {  # (call, what Keras 3.15.1 with TensorFlow gives, its dtype)
    "trapezoid": (lambda: ops.trapezoid(PICTURE), 350, "float32"),
    "trapezoid at places": (lambda: ops.trapezoid(PICTURE, x=np.array([0, 1, 3])), 500, "float32"),
    "correlate": (lambda: ops.correlate(SIGNAL, SIGNAL[:2], "full"), [12000, 24400, 12360, -10500, -9000], "float32"),
    "correlate, mixed": (lambda: ops.correlate(PICTURE, SIGNAL[:2], mode="same"), [24000, 44000, 32000], "float32"),
    "correlate, int64": (lambda: ops.correlate(PICTURE.astype("int64"), SIGNAL[:2]), [44000, 32000], "float64"),
    "angle": (lambda: ops.angle(SIGNAL), [0, 0, 0, 3.1415927], "float32"),
    "einsum": (lambda: ops.einsum("i,i->i", np.arange(3), np.ones(3, "float32")), [0, 1, 2], "float32"),
    "einsum, half": (lambda: ops.einsum("i,i->", np.arange(3), np.ones(3, "float16")), 3, "float16"),
    "resize": (lambda: ops.image.resize(np.eye(2, dtype="float16")[..., None], (2, 1))[:, 0, 0], [0.5, 0.5], "float16"),
}


@pytest.mark.parametrize("name", OF_NARROW)
def test_numbers_of_few_bits_do_not_overflow_and_have_kerass_dtypes(name):
    call, expected, dtype = OF_NARROW[name]
    made = call()
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    assert made.dtype == dtype


def test_hues_beyond_one_are_those_at_its_ends():
    """Keras 3.15.1 with TensorFlow."""
    colours = np.array([[[1.3, 0.5, 0.75], [-0.2, 0.5, 0.75], [1.0, 0.5, 0.75], [2.2, 3.0, 2.0]]], "float32")
    expected = [[[0.75, 0.375, 0.375]] * 3 + [[2, -4, -4]]]
    np.testing.assert_allclose(ops.image.hsv_to_rgb(colours), expected, rtol=1e-5)


def test_moments_along_all_axes():
    mean, variance = ops.moments(np.arange(4, dtype="float32").reshape(2, 2), axes=None)
    assert (float(mean), float(variance)) == (1.5, 1.25)


def test_gradients_at_ties_and_zeros_of_segments():
    """TensorFlow's: equal extremes share a gradient, a number below the first segment has none."""
    x = tf.constant([[1.0], [1.0], [0.0], [3.0], [5.0]])
    ids = np.array([0, 0, 0, 1, -1])
    for function, expected in (
        (ops.segment_max, [0.5, 0.5, 0, 2, 0]),
        (ops.segment_min, [0, 0, 1, 2, 0]),
        (ops.segment_prod, [0, 0, 1, 2, 0]),  # by the zero, the product of the others
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(function(x, ids, 2) * tf.constant([[1.0], [2.0]]))
        np.testing.assert_array_equal(np.ravel(tape.gradient(total, x)), expected)


def test_orders_of_a_models_tensors_train(rng):
    """By the median and the largest number of each sample: a step of SGD against a finite difference."""
    x, y = rng.normal(size=(2, 5)).astype("float32"), rng.normal(size=(2, 1)).astype("float32")
    tensor = keras.Input((5,))
    hidden = keras.layers.Dense(4, use_bias=False, name="hidden")(tensor)
    largest = ops.take_along_axis(hidden, ops.argsort(hidden, axis=1), axis=1)[:, 3:]
    model = keras.Model(tensor, ops.expand_dims(ops.median(hidden, axis=1), 1) + 2.0 * largest)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()[0].astype("float64")

    def loss(kernel):
        made = np.sort(x @ kernel, axis=1)
        return np.mean((made[:, 1:3].mean(1) + 2 * made[:, 3] - y[:, 0]) ** 2)

    np.testing.assert_allclose(
        model.predict(x, verbose=0),
        (lambda m: m[:, 1:3].mean(1) + 2 * m[:, 3])(np.sort(x @ before, 1))[:, None],
        rtol=1e-5,
    )
    model.train_on_batch(x, y)
    moved = (before - model.get_weights()[0]) / 0.1
    step = rng.normal(size=before.shape)
    slope = (loss(before + 1e-6 * step) - loss(before - 1e-6 * step)) / 2e-6
    np.testing.assert_allclose((moved * step).sum(), slope, rtol=1e-3)


def test_powers_of_and_by_a_models_tensors(tmp_path):
    x, y = np.array([[0.5, -1.0, 2.0]], "float32"), np.array([[2.0, 3.0, -1.0]], "float32")
    a, b = keras.Input((3,)), keras.Input((3,))
    by = np.array([1.0, 2.0, 3.0])
    model = keras.Model([a, b], [2**a, 2.5**a, a**b, by**a, a**by, a**2, np.float32(3) ** a])
    model.save(tmp_path / "powers.keras")
    expected = [2**x, 2.5**x, x**y, by**x, x**by, x**2, 3**x]
    for each in (model, keras.models.load_model(tmp_path / "powers.keras")):
        for made, right in zip(each.predict([x, y], verbose=0), expected, strict=True):
            np.testing.assert_allclose(made, right, rtol=1e-5)


def test_places_along_an_axis_that_are_computed(tmp_path):
    x, y = RNG.normal(size=(2, 2, 3, 4)).astype("float32")
    a, b = keras.Input((3, 4)), keras.Input((3, 4))
    largest = ops.expand_dims(ops.argmax(a, axis=1), 1)
    model = keras.Model(
        [a, b], [ops.take_along_axis(a, ops.argsort(b, axis=2), axis=2), ops.take_along_axis(b, largest, 1)]
    )
    model.save(tmp_path / "places.keras")
    expected = np.take_along_axis(x, np.argsort(y, 2), 2), np.take_along_axis(y, x.argmax(1)[:, None], 1)
    for each in (model, keras.models.load_model(tmp_path / "places.keras")):
        for made, right in zip(each.predict([x, y], verbose=0), expected, strict=True):
            np.testing.assert_array_equal(made, right)
    with pytest.raises(TypeError, match="whole numbers"):
        ops.take_along_axis(x, np.full((2, 3, 1), 0.5), 2)


def test_functions_of_matrices_without_gradients():
    root = tf.linalg.sqrtm(tf.constant(ROUND))
    np.testing.assert_allclose(root @ root, ROUND, rtol=1e-9)
    with pytest.raises(NotImplementedError, match="symmetric"):
        tf.linalg.sqrtm(np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(NotImplementedError, match="negative"):
        tf.linalg.sqrtm(np.diag([1.0, -2.0]))
    values, vectors = np.linalg.eigh(ROUND)
    for factor in (1.0, -20.0, 0.0):
        expected = vectors * np.exp(factor * values) @ vectors.T
        np.testing.assert_allclose(tf.linalg.expm(factor * ROUND), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(tf.linalg.tensordot(A, B, [[0], [0]]), A.T @ B, rtol=1e-9)


def test_whole_numbers_divided_towards_zero_and_bytes_of_numbers():
    """TensorFlow 2.21's."""
    x = tf.constant([7, -7, 5])
    assert tf.truncatediv(x, tf.constant([-2, 2, 3])).numpy().tolist() == [-3, -3, 1]
    assert tf.truncatemod(x, 2).numpy().tolist() == [1, -1, 1]
    assert tf.bitcast(tf.constant([1.0, -2.0]), tf.int32).numpy().tolist() == [1065353216, -1073741824]
    assert tf.bitcast(tf.constant([1, 256]), tf.uint8).numpy().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert tf.bitcast(tf.constant([[1, 2, 0, 0]], tf.uint8), tf.int32).numpy().tolist() == [513]
    assert tf.math.accumulate_n([x, x, x]).numpy().tolist() == [21, -21, 15]


def test_whether_there_are_gpus_is_asked_in_keras_2_by_their_names(monkeypatch):
    """`K.tensorflow_backend._get_available_gpus()`, in which TensorFlow's names end like that."""
    monkeypatch.setattr(tf.config, "_is_there", lambda kind: True)
    assert keras.backend.tensorflow_backend._get_available_gpus() == ["/device:GPU:0"]
    monkeypatch.setattr(tf.config, "_is_there", lambda kind: kind == "CPU")
    assert keras.backend.tensorflow_backend._get_available_gpus() == []


def test_the_number_of_tensorflows_threads_is_that_of_nobody():
    tf.config.threading.set_intra_op_parallelism_threads(2)
    assert tf.config.threading.get_intra_op_parallelism_threads() == 0
    assert tf.config.threading.get_inter_op_parallelism_threads() == 0
