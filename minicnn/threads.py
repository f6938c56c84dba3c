"""How many threads compute."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from minicnn import locks, processors
from minicnn.checks import check_positive_int

if TYPE_CHECKING:
    from minicnn.backends.base import Backend

_chosen = {"count": None}
_computing, _preparing = locks.Lock(), locks.Lock()
_role = threading.local()


def set_num_threads(count: int) -> None:
    """Let models use so many threads.

    Results do not depend on it: they are bit-identical for any number. The default is the number of cores that this
    process may run on, or what its container's quota (rounded up) or the environment variable OMP_NUM_THREADS allow, if
    that is less.

    Parameters
    ----------
    count : int
        From 1 to the number of cores; more cores than there are, or than the environment variable NUMBA_NUM_THREADS
        says, do not help and are not used.
    """
    _chosen["count"] = check_positive_int("count", count)


def prepares_data() -> None:
    """Said by a thread whose results a training waits for: it need not wait for the training when it computes."""
    _role.prepares = True


def get_num_threads() -> int:
    """The number of threads that models use."""
    chosen = _chosen["count"]
    return processors.default_threads() if chosen is None else min(chosen, processors.most_threads())


@contextmanager
def compute_threads(backend: "Backend") -> Iterator[None]:
    """Inside, `backend` computes with `get_num_threads` threads, BLAS with one; outside, all is as it was.

    One Python thread at a time gets in, others wait: calls of a model share its arrays.

    BLAS on one thread, because two thread pools that spin fight for the cores, and because its sums depend on the
    number of its threads. Numbers too small for float32 become 0, whatever `numpy.seterr` says: softmax makes them.
    """
    if getattr(_role, "prepares", False):  # one such thread at a time, beside the training that waits for it
        with _preparing, np.errstate(under="ignore"):
            yield
        return
    with _computing, np.errstate(under="ignore"), backend.use_threads(get_num_threads()):
        limited = [(library, count) for library in _blas_libraries() if (count := library.get_num_threads()) != 1]
        try:
            for library, _ in limited:
                library.set_num_threads(1)
            yield
        finally:
            for library, count in limited:
                library.set_num_threads(count)


@cache
def _blas_libraries():
    """Those that are loaded; looking for them takes milliseconds: once is enough."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:  # a machine for benchmarks may have no more than NumPy, Numba and CuPy
        return []
    return ThreadpoolController().select(user_api="blas").lib_controllers
