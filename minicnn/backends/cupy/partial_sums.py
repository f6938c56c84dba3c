"""Sums in a fixed order: parts whose number depends on shapes alone first, then the parts."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import MOST_BLOCKS, Array, Maybe, launch

LANES, BLOCK_ROWS = 32, 8  # LANES and ROWS in common.cu
LEAST_ROWS, MOST_PARTS = 32, 256  # of a part; parts


def column_sums(matrix: Array, out: Array) -> None:
    """out[c] = sum over rows of matrix (rows, C)."""
    rows, channels = matrix.shape
    count = max(1, min(rows // LEAST_ROWS, MOST_PARTS))
    parts = cupy.empty((count, channels), matrix.dtype)
    grid, sizes = (-(-channels // LANES), count), (np.int64(rows), np.int32(channels))
    launch("partial_sums", "column_sums", matrix.dtype, grid, LANES * BLOCK_ROWS, matrix, parts, *sizes)
    add_parts(parts, out)


def add_parts(
    parts: Array,
    out: Array,
    bias: Maybe = None,
    relu: bool = False,
    count: int | None = None,
    stride: int | None = None,
) -> None:
    """out = the sum of the parts, in their order, + bias, ReLU.

    Parameters
    ----------
    parts : (parts, …), or, with `count` and `stride`, what begins with the first part
    out : written
    bias : (channels,) or None
    relu : bool
    count, stride : int, optional
        Number of parts, elements from part to part; default: as the shapes say.
    """
    count, stride = count or len(parts), stride or out.size
    channels = 1 if bias is None else bias.size
    sizes = np.int32(count), np.int64(stride), np.int64(out.size)
    arguments = parts, *sizes, bias, np.int32(channels), np.int32(relu), out
    launch("partial_sums", "add_parts", out.dtype, *grid_for_parts(count, out.size), *arguments)


def grid_for_parts(count: int, size: int) -> tuple[tuple[int], int]:
    """(grid, threads) of a kernel that calls ``sum_of_parts`` of common.cu for `count` parts of `size` elements."""
    lines = 4
    while lines < 32 and lines * 4 <= count:
        lines *= 2
    return (min(-(-int(size) // LANES), MOST_BLOCKS),), LANES * lines
