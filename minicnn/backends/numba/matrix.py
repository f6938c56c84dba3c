"""The one matrix product behind convolution and dense layers, and the scratch memory of the kernels.

Every sum of these layers has the form ``out[i, j] = sum over k of left[i, k] · right[k, j]`` where the place of left[i, k]
in memory is a sum of a part that depends on i and a part that depends on k. Tables hold both parts, so that stride,
dilation, padding and transposition are a matter of tables (`tables.py`) and never of another loop.
"""

import numpy as np

from minicnn.backends.numba.launch import part
from minicnn.backends.numba.simd import lanes_of, multiply_tile
from minicnn.backends.numba.tiles import ROWS, WIDTH

_CACHE_LINE, _VECTOR_SLACK = 64, 64


@part
def scratch(size, like):
    """Uninitialised 1-D array of the dtype of `like`, aligned and with room behind it for a vector load."""
    itemsize = like.itemsize
    raw = np.empty(size + (_CACHE_LINE + _VECTOR_SLACK) // itemsize, like.dtype)
    first = (-raw.ctypes.data % _CACHE_LINE) // itemsize
    return raw[first : first + size]


@part
def floor_of(relu, like):
    """The least value that an output may take."""
    return like.dtype.type(0.0) if relu else like.dtype.type(-np.inf)


@part
def multiply(
    a, a_start, a_rows, a_inner, b, b_start, b_inner, inner_first, inner_last, bias, accumulate,
    out, out_start, out_rows, row_first, row_last, columns, floor,
):  # fmt: skip
    """out[i, j] = max(floor, first + sum over k of a[i, k] · b[k, j]), where first is bias[j], or out[i, j] if `accumulate`.

    Parameters
    ----------
    a, b, bias, out : 1-D arrays
        a[i, k] is at ``a_start + a_rows[i] + a_inner[k]``, b[k, j] at ``b_start + b_inner[k] + j``, out[i, j] at
        ``out_start + out_rows[i] + j``.
    inner_first, inner_last : int
        The range of k.
    row_first, row_last : int
        The range of i. The row tables go on to a multiple of `tiles.ROWS` rows from `row_first`, repeating the last row:
        it is computed several times rather than by a loop of its own.
    columns : int
        j is below it.
    """
    lanes = lanes_of(out)
    row_last = row_first + (row_last - row_first + ROWS - 1) // ROWS * ROWS
    column = 0
    while column < columns:
        row = row_first
        while row < row_last:
            row += multiply_tile(
                a, a_start, a_rows, a_inner, b, b_start, b_inner, inner_first, inner_last, bias, accumulate,
                out, out_start, out_rows, row, row_last - row, column, columns - column, floor,
            )  # fmt: skip
        column += WIDTH * lanes if columns - column > lanes else lanes
