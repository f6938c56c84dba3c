"""The numba backend: NumPy arrays, compiled kernels, and the number of threads they use."""

import ctypes
from contextlib import contextmanager

import numba as nb
from numba.core.registry import cpu_target

from minicnn.backends import numba as kernels
from minicnn.backends.base import Backend

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT, _LARGE = 16 << 20, 4 << 20  # bytes


def _keep_freed_memory() -> None:
    """Let the C library keep up to 16 MB of freed memory per thread, and hand out less than 4 MB from there.

    Kernels ask for the same scratch memory in every step. By default glibc may give it back to the system each time,
    and then every page of it is a fault: half of a small network's step, in some processes (measured).
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mallopt(_M_MMAP_THRESHOLD, _LARGE)


class NumbaBackend(Backend):
    """Kernels compiled by Numba for the processor at hand; plans fuse steps for it."""

    def __init__(self):
        # Numba loads its compiler's modules with the first kernel, compiled or from the cache: not in the first step.
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
        _keep_freed_memory()
        super().__init__("numba", kernels, fuses=True)

    @contextmanager
    def use_threads(self, count):
        """Inside, kernels use `count` threads; the user's setting is restored."""
        before = nb.get_num_threads()
        nb.set_num_threads(min(count, nb.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            nb.set_num_threads(before)
