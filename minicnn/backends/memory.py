"""Arrays that the vector kernels like: on a 64-byte boundary, with readable bytes behind them. And scratch memory."""

import ctypes
import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

Array = np.ndarray
Maybe = np.ndarray | None  # there is none, or nobody wants to have it computed

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 vector
SLACK = 64  # readable bytes behind the last element: a vector load at the tail may run over it

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT, _LARGE = 32 << 20, 8 << 20  # bytes


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
    start = -raw.ctypes.data % ALIGNMENT
    raw[start + size :] = 0  # read into unused lanes, where denormal numbers would slow the arithmetic down
    return raw[start : start + size].view(dtype).reshape(shape)


def keep_freed() -> None:
    """Let the C library keep up to 32 MB of freed memory per thread, and hand out less than 8 MB from there.

    Kernels ask for the same scratch memory in every step. By default glibc may give it back to the system each time,
    and then the first touch of every page is a fault.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
