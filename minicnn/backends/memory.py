"""Arrays that the vector kernels like: on a 64-byte boundary, and with readable bytes behind them."""

import math

import numpy as np

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 vector
SLACK = 64  # readable bytes behind the last element: a vector load at the tail may run over it


def empty(shape, dtype):
    """Like `numpy.empty`, but aligned to 64 bytes and followed by at least 64 readable bytes."""
    return _place(np.empty, shape, dtype)


def zeros(shape, dtype):
    """Like `numpy.zeros`, but aligned to 64 bytes and followed by at least 64 readable bytes."""
    return _place(np.zeros, shape, dtype)


def _place(allocate, shape, dtype):
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    size = math.prod(shape) * dtype.itemsize
    raw = allocate(size + ALIGNMENT + SLACK, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    raw[start + size :] = 0  # read into unused lanes, where denormal numbers would slow the arithmetic down
    return raw[start : start + size].view(dtype).reshape(shape)
