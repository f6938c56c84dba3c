"""Numbers in pieces and in tiles, as products on tiles read them: each against a loop over single numbers."""

import numpy as np
import pytest

pytest.importorskip("numba")

from kernel_checks import aligned

from minicnn.backends.numba.machine.finite import all_finite
from minicnn.backends.numba.machine.launch import parallel_kernel, serial_kernel
from minicnn.backends.numba.machine.memory import add, copy, part_of, transpose
from minicnn.backends.numba.tiles.packing import (
    Numbers,
    Part,
    Tiles,
    numbers_of,
    pack_matrix,
    pack_transposed,
    take_masked,
)
from minicnn.bfloat16 import round_to_bfloat16, widen

NAN, INF = np.nan, np.inf


def pieces_of(number, count):
    """Bits of the pieces of one number."""
    bits, left = [], np.float32(number)
    for _ in range(count):
        bits.append(round_to_bfloat16(left))
        left = np.float32(left - widen(bits[-1]))
    return bits


def numbers(rng, *shape):
    """(what a kernel is given, the same as float32), of float32 and of bfloat16."""
    values = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(np.float32)
    bits = round_to_bfloat16(values)
    return [(aligned(values), values), (aligned(bits), widen(bits))]


@parallel_kernel
def _pack(pool, out, source, is_half, rows, columns, pieces):
    packed = pack_matrix(pool, Numbers(source, is_half), rows, columns, pieces)
    copy(packed, 0, len(packed), out, 0)


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("columns", [1, 16, 21, 48])
def test_right_tiles_are_pairs_of_rows(rng, pieces, columns):
    for given, values in numbers(rng, 40, columns):
        order = rng.permutation(64) % 45  # 40 and more: rows of zeros
        rows = np.where(order < 40, order * columns, -1).astype(np.int64)
        tiles = -(-columns // 16)
        out = aligned(np.full(2 * tiles * pieces * 512, 7, np.uint16))
        source, is_half = numbers_of(given)
        _pack(out, source, is_half, rows, columns, pieces)
        expected = np.zeros((2, tiles, pieces, 16, 16, 2), np.uint16)
        for k, row in enumerate(order):
            for column in range(columns if row < 40 else 0):
                bits = pieces_of(values[row, column], pieces)
                expected[k // 32, column // 16, :, k % 32 // 2, column % 16, k % 2] = bits
        np.testing.assert_array_equal(out, expected.reshape(-1))


@serial_kernel
def _pack_part(out, source, is_half, start, row, rows, columns, is_left, beside, piece, pieces):
    pack_transposed(
        Numbers(source, is_half), Part(start, row, rows, columns), is_left, Tiles(out, 0, beside, piece), pieces
    )


@pytest.mark.parametrize("is_left", [True, False])
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("columns", [3, 32, 50])
@pytest.mark.parametrize("is_whole", [True, False])
def test_tiles_of_a_transposed_part(rng, is_left, pieces, columns, is_whole):
    width, most = (16, 32) if is_left else (32, 16)
    rows, row = (most if is_whole else most - 5) + 1, columns + 3
    for given, values in numbers(rng, rows + 1, row):
        tiles = -(-columns // width)
        out = aligned(np.full(tiles * pieces * 512, 7, np.uint16))
        source, is_half = numbers_of(given)
        _pack_part(out, source, is_half, row + 2, row, rows - 1, columns, is_left, 512, tiles * 512, pieces)
        expected = np.zeros((pieces, tiles, 16, 32), np.uint16)  # left: [column, row]; right: pairs [k pair, row, 2]
        flat = values.reshape(-1)
        for i in range(rows - 1):
            for j in range(columns):
                bits = pieces_of(flat[row + 2 + i * row + j], pieces)
                where = (j % 16, i) if is_left else (j % 32 // 2, 2 * i + j % 2)
                expected[(slice(None), j // width, *where)] = bits
        np.testing.assert_array_equal(out, expected.reshape(-1))


@serial_kernel(typed=3)
def _take(out, dy, y, start, count):
    take_masked(dy, y, start, count, out, 1)


def test_a_gradient_passes_where_the_output_is_positive_or_nan(rng):
    for given, values in numbers(rng, 40):
        y = np.tile(np.array([1, 0, -0.0, -2, NAN, INF, -INF, 1e-3], np.float32), 5)
        own = aligned(round_to_bfloat16(y)) if given.dtype == np.uint16 else aligned(y)
        for outputs, lives in ((own, (y > 0) | np.isnan(y)), (own[:0], np.full(40, True))):
            out = aligned(np.full(40, 5, np.float32))
            _take(out, given, outputs, 3, 35)
            expected = [5, *np.where(lives, values, 0)[3:38], 5, 5, 5, 5]
            np.testing.assert_array_equal(out, np.array(expected, np.float32))


@serial_kernel
def _add(out, source, turned):
    own = part_of(out, 2, 20)
    add(source, 3, 18, own, 1)
    own[0] = len(own)
    transpose(source, 5, 25, 20, 23, turned, 1, 21)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_of_arrays(rng, dtype):
    source, out, turned = (aligned(rng.random(size).astype(dtype)) for size in (520, 30, 500))
    expected, expected_turned = out.copy(), turned.copy()
    expected[3:21] += source[3:21]
    expected[2] = 20
    for i in range(20):
        for j in range(23):
            expected_turned[1 + j * 21 + i] = source[5 + i * 25 + j]
    _add(out, source, turned)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(turned, expected_turned)


@serial_kernel
def _is_finite(array, start, count):
    return all_finite(array, start, count)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_is_not_finite_counts_inside_of_a_part_alone(dtype, bad):
    for place in range(60):
        array = aligned(np.full(60, np.finfo(dtype).max, dtype))
        array[place] = bad
        for start, count in ((0, 60), (3, 40), (3, 16), (20, 1), (20, 0)):
            assert _is_finite(array, start, count) == (not start <= place < start + count)
