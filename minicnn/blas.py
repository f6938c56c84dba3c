"""The threads of BLAS, which NumPy calls for products of matrices."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Inside, BLAS computes on one thread; outside, as before."""
    limited = [(library, count) for library in _libraries() if (count := library.get_num_threads()) != 1]
    try:
        for library, _ in limited:
            library.set_num_threads(1)
        yield
    finally:
        for library, count in limited:
            library.set_num_threads(count)


@cache
def _libraries():
    """Those that are loaded; looking for them takes milliseconds: once is enough."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:  # a machine for benchmarks may have no more than NumPy, Numba and CuPy
        return []
    return ThreadpoolController().select(user_api="blas").lib_controllers
