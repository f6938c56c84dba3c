"""Arrays that the vector kernels like: on a 64-byte boundary, with readable bytes behind them. And scratch memory."""

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minicnn.backends import freed

Array = np.ndarray
Maybe = np.ndarray | None  # there is none, or nobody wants to have it computed

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 vector
SLACK = 64  # readable bytes behind the last element: a vector load at the tail may run over it


def empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
    """Like `numpy.empty`, but aligned to 64 bytes and followed by at least 64 readable bytes."""
    return _aligned(np.empty, shape, dtype)


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
    """Like `numpy.zeros`, but aligned to 64 bytes and followed by at least 64 readable bytes."""
    return _aligned(np.zeros, shape, dtype)


def constant(values: ArrayLike, like: Array) -> Array:
    """The values as an array of the kind and dtype of `like`, followed by as many readable bytes as `empty` leaves."""
    values = np.asarray(values, like.dtype, like=like)
    array = np.zeros_like(like, shape=(values.size + SLACK // like.itemsize,))[: values.size]
    array[...] = values.reshape(-1)
    return array.reshape(values.shape)


def _aligned(allocate, shape, dtype):
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    size = math.prod(shape) * dtype.itemsize
    raw = allocate(size + ALIGNMENT + SLACK, np.uint8)
    freed.count(raw)
    start = -raw.ctypes.data % ALIGNMENT
    raw[start + size :] = 0  # read into unused lanes, where denormal numbers would slow the arithmetic down
    return raw[start : start + size].view(dtype).reshape(shape)
