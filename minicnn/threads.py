"""How many threads compute."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from minicnn import blas, processors
from minicnn.checks import check_positive_int
from minicnn.turns import Turn, prepares

if TYPE_CHECKING:
    from minicnn.backends.base import Backend

_chosen = {"count": None}


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


def get_num_threads() -> int:
    """The number of threads that models use."""
    chosen = _chosen["count"]
    return processors.default_threads() if chosen is None else min(chosen, processors.most_threads())


@contextmanager
def compute_threads(backend: "Backend") -> Iterator[None]:
    """Inside, `backend` computes with `get_num_threads` threads, BLAS with one; outside, all is as it was.

    One Python thread at a time gets in, see `Turn`; one that prepares data leaves threads to the training that waits.

    BLAS on one thread, because two thread pools that spin fight for the cores, and because its sums depend on the
    number of its threads.
    """
    with kernel_threads(backend), nullcontext() if prepares() else blas.on_one_thread():
        yield


@contextmanager
def kernel_threads(backend: "Backend") -> Iterator[None]:
    """The same for what does without BLAS. Of a device it is made the current one, also where data are prepared."""
    with Turn(), backend.use_threads(get_num_threads()) if backend.on_device or not prepares() else nullcontext():
        yield
