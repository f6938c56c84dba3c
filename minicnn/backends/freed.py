"""What becomes of memory that nobody needs any more: C keeps some of it, Python finds more of it in time."""

import ctypes
import gc
import itertools
import weakref

import numpy as np

LEAST = 256 << 20  # bytes: as long as large arrays take less than that together, nothing is looked for

_LARGE = 1 << 20  # bytes of an array that is counted
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT, _FROM_THERE = 64 << 20, 32 << 20  # bytes; glibc takes no more for the second
_sizes: dict[int, int] = {}  # number of a large array that is in memory → its bytes
_numbers = itertools.count()
_left = {"bytes": 0}  # by the last search


def count(array: np.ndarray) -> None:
    """Count an array that was just made; if they have become many, have Python free the models that nobody has.

    A model and its layers know each other, so that only Python's collector frees it. That goes by the number of
    objects, of which a model has a few hundred, whatever their arrays take: without this, ten and more models of a
    cell that is run again would be in memory at a time.
    """
    if array.nbytes < _LARGE:
        return
    number = next(_numbers)
    _sizes[number] = array.nbytes
    weakref.finalize(array, _sizes.pop, number, None).atexit = False
    taken = _taken()
    _left["bytes"] = min(_left["bytes"], taken)
    if gc.isenabled() and taken > max(LEAST, 2 * _left["bytes"]):
        gc.collect()
        _left["bytes"] = _taken()


def _taken() -> int:
    """The bytes of all large arrays that are in memory; of a copy, since other threads make and free arrays."""
    return sum(list(_sizes.values()))


def keep_freed() -> None:
    """Let the C library keep up to 64 MB of freed memory per thread, and hand out less than 32 MB from there.

    Kernels ask for the same scratch memory in every step. By default glibc may give it back to the system each time,
    and then the first touch of every page is a fault.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mallopt(_M_MMAP_THRESHOLD, _FROM_THERE)
