"""Sums over the rows of a matrix, in a fixed order: parts of fixed size first, then the parts."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import grid_for_parts, launch, launch_over

LANES, BLOCK_ROWS = 32, 8  # LANES and ROWS in sums.cu
LEAST_ROWS, MOST_PARTS = 32, 256  # of a part; parts


def column_sums(matrix, out) -> None:
    """out[c] = sum over rows of matrix (rows, C)."""
    parts = sum_parts("column_sums", matrix, matrix)
    finish("finish_sums", parts, out)


def sum_parts(name, like, *arrays, outputs=1):
    """Launch a kernel that sums columns; returns the parts (parts, C), a list of them for several outputs.

    Parameters
    ----------
    name : str
        A kernel whose parameters are `arrays`, the parts, the numbers of rows and of columns.
    like : (rows, C)
    """
    rows, channels = like.shape
    count = max(1, min(rows // LEAST_ROWS, MOST_PARTS))
    parts = [cupy.empty((count, channels), like.dtype) for _ in range(outputs)]
    grid = -(-channels // LANES), count
    threads = LANES * BLOCK_ROWS
    launch("sums", name, like.dtype, grid, threads, *arrays, *parts, np.int64(rows), np.int32(channels))
    return parts[0] if outputs == 1 else parts


def finish(name, parts, *arguments) -> None:
    """Launch a kernel that adds up the parts (parts, C)."""
    count, channels = parts.shape
    grid, threads = grid_for_parts(count, channels)
    launch("sums", name, parts.dtype, grid, threads, parts, np.int32(count), np.int32(channels), *arguments)


def relu_gradient(dy, y):
    """dy where y > 0, else 0."""
    out = cupy.empty_like(dy)
    launch_over(dy.size, "sums", "relu_gradient", dy.dtype, dy, y, out, np.int64(dy.size))
    return out
