"""Dense layers and convolutions on tiles against float64: emulated, bit for bit, where the processor has none."""

import numpy as np
import pytest

pytest.importorskip("numba")

from hypothesis import given, note
from hypothesis import strategies as st
from kernel_checks import Output, aligned, few, in_shape, normal, out_shape, pooled_windows, seeds, windows

from minicnn.backends.numba.convolution import tile_forward as convolution
from minicnn.backends.numba.convolution import tile_gradients as gradients
from minicnn.backends.numba.machine.pool import pool as threads
from minicnn.backends.numba.tiles import dense
from minicnn.backends.reference import ops as reference
from minicnn.bfloat16 import round_to_bfloat16, widen
from minicnn.geometry import RELU_OFF, make_window

# The most of the sum of the products' sizes: each factor is rounded to 8, 16 or 24 bits, and two pieces leave out the
# product of the smaller ones. Then what rounding an output adds.
LIMITS, ROUNDED = {1: 2.02 * 2.0**-8, 2: 3.02 * 2.0**-16, 3: 2e-6}, 2.0**-8
KINDS = pytest.mark.parametrize("kind", [1, 2, 3, "bfloat16"])  # pieces of float32, or arrays of bfloat16

channel_counts = st.sampled_from([1, 3, 6, 16, 17, 32, 40])
filter_counts = st.sampled_from([1, 10, 16, 33, 48])


class Case:
    """Arrays as a kernel gets them, and float64's results for the same numbers."""

    def __init__(self, kind, seed):
        self.pieces, self.halves = (1, True) if kind == "bfloat16" else (kind, False)
        self.rng = np.random.default_rng(seed)

    def numbers(self, *shape):
        """(as the kernel gets them, in float64)."""
        values = normal(self.rng, *shape)
        return self.given(values)

    def given(self, values):
        array = aligned(round_to_bfloat16(values)) if self.halves else aligned(values)
        return array, (widen(array) if self.halves else array).astype(np.float64)

    def output(self, shape):
        return Output(shape, np.uint16 if self.halves else np.float32)

    def check(self, output, exact, sizes):
        """`sizes` is the same sum over absolute values, that of a bias among them, which is rounded with it."""
        output.check()
        found = widen(output.array) if output.array.dtype == np.uint16 else output.array
        limit = LIMITS[self.pieces] * np.abs(sizes).max(initial=0)
        if output.array.dtype == np.uint16:
            limit += ROUNDED * np.abs(exact).max(initial=0)
        assert np.abs(found - exact).max(initial=0) <= limit + 1e-37


def floats(shape):
    return Output(shape, np.float32)


def array_of(output):
    return None if output is None else output.array


# ------------------------------------------------------------------------------------------------------- dense


@KINDS
@few
@given(
    st.sampled_from([1, 5, 33, 130]),
    st.sampled_from([1, 7, 40, 530, 1100]),
    st.sampled_from([1, 10, 17, 48, 150]),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_dense(kind, n, width, units, relu, has_bias, seed):
    note(f"seed {seed}")
    case = Case(kind, seed)
    x, x64 = case.numbers(n, width)
    kernel, bias = normal(case.rng, width, units), normal(case.rng, units)
    k64, y = kernel.astype(np.float64), case.output((n, units))
    assert dense.dense(x, kernel, bias if has_bias else None, y.array, relu, case.pieces)
    exact = x64 @ k64 + (bias if has_bias else 0)
    case.check(y, np.maximum(exact, 0) if relu else exact, abs(x64) @ abs(k64) + (abs(bias) if has_bias else 0))

    dy, dy64 = case.numbers(n, units)
    dy64 = np.where(exact > 0, dy64, 0) if relu else dy64
    y_given = case.given(exact.astype(np.float32))[0] if relu else None
    dx, dkernel, dbias = case.output(x.shape), floats(kernel.shape), floats((units,))
    outputs = dx.array, dkernel.array, dbias.array
    assert dense.dense_backward(x, kernel, y_given, dy, outputs, case.pieces)
    case.check(dx, dy64 @ k64.T, abs(dy64) @ abs(k64).T)
    case.check(dkernel, x64.T @ dy64, abs(x64).T @ abs(dy64))
    case.check(dbias, dy64.sum(0), abs(dy64).sum(0))


# -------------------------------------------------------------------------------------------------- convolution


@KINDS
@few
@given(windows(), channel_counts, filter_counts, st.integers(1, 3), st.booleans(), st.booleans(), seeds)
def test_convolution(kind, window, channels, filters, n, relu, has_bias, seed):
    note(f"seed {seed}")
    case = Case(kind, seed)
    x, x64 = case.numbers(*in_shape(n, window, channels))
    kernel = normal(case.rng, window.kernel_height, window.kernel_width, channels, filters)
    bias, k64 = normal(case.rng, filters) if has_bias else None, kernel.astype(np.float64)
    shape = out_shape(n, window, filters)
    y, exact, sizes = case.output(shape), np.empty(shape), np.empty(shape)
    assert convolution.conv2d(x, kernel, bias, (y.array, None), window, None, relu, case.pieces)
    reference.conv2d(x64, k64, None if bias is None else bias.astype(np.float64), exact, window, relu=relu)
    reference.conv2d(abs(x64), abs(k64), None if bias is None else abs(bias.astype(np.float64)), sizes, window)
    case.check(y, exact, sizes)


@KINDS
@few
@given(
    windows(),
    channel_counts,
    filter_counts,
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["", "x", "kernel"]),
    seeds,
)
def test_gradients_of_a_convolution(kind, window, channels, filters, n, relu, unwanted, seed):
    note(f"seed {seed}")
    case = Case(kind, seed)
    x, x64 = case.numbers(*in_shape(n, window, channels))
    kernel = normal(case.rng, window.kernel_height, window.kernel_width, channels, filters)
    dy, dy64 = case.numbers(*out_shape(n, window, filters))
    y, y64 = case.numbers(*dy.shape) if relu else (None, None)
    dx = None if unwanted == "x" else case.output(x.shape)
    dkernel, dbias = (None, None) if unwanted == "kernel" else (floats(kernel.shape), floats((filters,)))
    own = array_of(dx), array_of(dkernel), array_of(dbias)
    assert gradients.conv2d_backward(x, kernel, (dy, y, None), own, window, None, case.pieces)
    results = []
    for change in (np.asarray, abs):
        results.append([np.empty(x.shape), np.empty(kernel.shape), np.empty(filters)])
        operands = change(x64), change(kernel.astype(np.float64)), y64, change(dy64)
        reference.conv2d_backward(*operands, *results[-1], window, relu=relu)
    for output, exact, sizes in zip((dx, dkernel, dbias), *results, strict=True):
        if output is not None:
            case.check(output, exact, sizes)


@KINDS
@few
@given(pooled_windows(), channel_counts, filter_counts, st.integers(1, 3), st.booleans(), seeds)
def test_convolution_with_pooling(kind, windows, channels, filters, n, relu, seed):
    note(f"seed {seed}")
    (window, pool), case = windows, Case(kind, seed)
    x, x64 = case.numbers(*in_shape(n, window, channels))
    kernel, bias = (
        normal(case.rng, window.kernel_height, window.kernel_width, channels, filters),
        normal(case.rng, filters),
    )
    shape, operands = out_shape(n, pool, filters), (x64, kernel.astype(np.float64))
    y, winner, exact = case.output(shape), Output(shape, np.uint8), np.empty(shape)
    assert convolution.conv2d(x, kernel, bias, (y.array, winner.array), window, pool, relu, case.pieces)
    reference.conv2d_pool(*operands, bias.astype(np.float64), exact, np.empty(shape, np.uint8), window, pool, relu)
    sizes = np.empty(out_shape(n, window, filters))
    reference.conv2d(*map(abs, operands), None, sizes, window)
    case.check(y, exact, sizes)
    winner.check()
    found, limit = winner.array, LIMITS[case.pieces] * sizes.max()
    unpooled = np.empty(sizes.shape)
    reference.conv2d(*operands, bias.astype(np.float64), unpooled, window)
    assert (abs(value_of(unpooled, found, pool) - exact)[found < pool.taps] <= 2 * limit).all()
    assert (exact[found == RELU_OFF] <= limit).all()
    assert relu or (found < pool.taps).all()


def value_of(images, winner, pool):
    """What is at the winner of each cell."""
    padding = (pool.pad_top, pool.pad_bottom + pool.stride_y), (pool.pad_left, pool.pad_right + pool.stride_x)
    padded = np.pad(images, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    tap = np.minimum(winner, pool.taps - 1)
    n, y, x, c = np.indices(winner.shape)
    return padded[n, y * pool.stride_y + tap // pool.kernel_width, x * pool.stride_x + tap % pool.kernel_width, c]


@KINDS
@few
@given(windows(smallest=9), channel_counts, filter_counts, st.sampled_from([(2, 2), (1, 3), (3, 2)]), seeds)
def test_gradients_behind_pooling(kind, window, channels, filters, cell, seed):
    note(f"seed {seed}")
    pool, case = make_window((window.out_height, window.out_width), cell, cell, "valid"), Case(kind, seed)
    x, x64 = case.numbers(*in_shape(2, window, channels))
    kernel = normal(case.rng, window.kernel_height, window.kernel_width, channels, filters)
    dy, dy64 = case.numbers(*out_shape(2, pool, filters))
    winner = case.rng.choice([*range(pool.taps), RELU_OFF], size=dy.shape).astype(np.uint8)
    dx, dkernel, dbias = case.output(x.shape), floats(kernel.shape), floats((filters,))
    own = dx.array, dkernel.array, dbias.array
    assert gradients.conv2d_backward(x, kernel, (dy, None, aligned(winner)), own, window, pool, case.pieces)
    results = []
    for change in (np.asarray, abs):
        results.append([np.empty(x.shape), np.empty(kernel.shape), np.empty(filters)])
        operands = change(x64), change(kernel.astype(np.float64)), winner, change(dy64)
        reference.conv2d_pool_backward(*operands, *results[-1], window, pool)
    for output, exact, sizes in zip((dx, dkernel, dbias), *results, strict=True):
        case.check(output, exact, sizes)


# ------------------------------------------------------------------------------------------------ what is promised

PROMISED = {2: 1e-5, 1: 5e-3}  # of the largest result: "high", "medium"
AS_FLOAT32 = 3  # "highest": so many times the error, in mean square, of float32's sums, one product after the other


def windows_of(images):
    """Of images (N, H, W, C): what 3 x 3 taps see, framed with zeros; (N·H·W, 9·C)."""
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (3, 3), axis=(1, 2))  # (N, H, W, C, 3, 3)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * images.shape[-1])


def in_sequence(left, right):
    """Their product, in float32, by a sum in the order of the terms."""
    total = np.zeros((len(left), right.shape[1]), np.float32)
    for k in range(len(right)):
        total += left[:, k, None] * right[k]
    return total


@pytest.mark.parametrize("pieces", [3, *PROMISED])
def test_errors_are_as_promised(rng, pieces):
    """A second convolution of a small network, and the dense layer behind it."""
    window = make_window((14, 14), (3, 3), (1, 1), "same")
    x, kernel, dy = normal(rng, 4, 14, 14, 32), normal(rng, 3, 3, 32, 64), normal(rng, 4, 14, 14, 64)
    y, dx, dk, db = (np.empty(shape, np.float32) for shape in (dy.shape, x.shape, kernel.shape, 64))
    convolution.conv2d(x, kernel, None, (y, None), window, None, False, pieces)
    gradients.conv2d_backward(x, kernel, (dy, None, None), (dx, dk, db), window, None, pieces)
    matrix, weights, outputs = normal(rng, 32, 1152), normal(rng, 1152, 128), np.empty((32, 128), np.float32)
    dense.dense(matrix, weights, None, outputs, False, pieces)
    turned, flat_dy = kernel[::-1, ::-1].swapaxes(2, 3), dy.reshape(-1, 64)
    products = [
        (y, windows_of(x), kernel.reshape(-1, 64)),
        (dx, windows_of(dy), turned.reshape(-1, 32)),
        (dk, windows_of(x).T, flat_dy),
        (db, np.ones((1, len(flat_dy)), np.float32), flat_dy),
        (outputs, matrix, weights),
    ]
    for found, left, right in products:
        exact = left.astype(np.float64) @ right.astype(np.float64)
        error = found.reshape(exact.shape) - exact
        if pieces in PROMISED:
            assert abs(error).max() <= PROMISED[pieces] * abs(exact).max()
        else:
            assert np.square(error).mean() <= AS_FLOAT32**2 * np.square(in_sequence(left, right) - exact).mean()


# ------------------------------------------------------------------------------------------- threads, rare numbers


@pytest.fixture
def each_number_of_threads():
    """Calls a function with one to four threads."""
    before = threads().threads

    def run(function):
        results = []
        for count in (1, 2, 3, 4):
            threads().use(count)
            results.append(function())
        return results

    yield run
    threads().use(before)


def test_results_are_the_same_for_any_number_of_threads(rng, each_number_of_threads):
    window = make_window((9, 9), (3, 3), (1, 1), "same")
    x, kernel, dy = normal(rng, 37, 9, 9, 20), normal(rng, 3, 3, 20, 33), normal(rng, 37, 9, 9, 33)
    matrix, weights = normal(rng, 40, 1620), normal(rng, 1620, 200)

    def everything():
        out = [np.empty_like(a) for a in (dy, x, kernel, kernel[0, 0, 0])]
        convolution.conv2d(x, kernel, None, (out[0], None), window, None, True, 2)
        gradients.conv2d_backward(x, kernel, (dy, out[0], None), out[1:], window, None, 2)
        y, dx, dw = np.empty((40, 200), np.float32), np.empty_like(matrix), np.empty_like(weights)
        dense.dense(matrix, weights, None, y, True, 2)
        dense.dense_backward(matrix, weights, y, y, (dx, dw, None), 2)
        return [*out, y, dx, dw]

    first, *others = each_number_of_threads(everything)
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert np.array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3.4e38])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_what_is_not_finite_is_noticed(rng, bad, pieces):
    """Where a kernel returns True its results are those of float32; the largest numbers are infinite in bfloat16."""
    window = make_window((7, 7), (3, 3), (1, 1), "same")
    x, kernel, dy = normal(rng, 2, 7, 7, 20), normal(rng, 3, 3, 20, 33), normal(rng, 2, 7, 7, 33)
    y, dx, dkernel = np.empty_like(dy), np.empty_like(x), np.empty_like(kernel)
    broken = x.copy()
    broken[1, 3, 3, 7] = bad
    assert not convolution.conv2d(broken, kernel, None, (y, None), window, None, False, pieces)
    assert not gradients.conv2d_backward(broken, kernel, (dy, None, None), (None, dkernel, None), window, None, pieces)
    broken = dy.copy()
    broken[0, 6, 6, 32] = bad
    assert not gradients.conv2d_backward(x, kernel, (broken, None, None), (dx, None, None), window, None, pieces)
    matrix, weights = normal(rng, 3, 40), normal(rng, 40, 10)
    matrix[2, 39] = bad
    assert not dense.dense(matrix, weights, None, np.empty((3, 10), np.float32), False, pieces)
