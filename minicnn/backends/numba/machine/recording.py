"""What work on the same arrays came down to, to be done again without the Python in between.

Between two kernels, Python looks for the right one, computes sizes and takes views: for a small batch that costs more
than the kernels. A plan runs the same steps on the same arrays in every iteration, so the calls of a step are recorded
when it first runs, and then made one after the other.
"""

import threading
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

from minicnn.backends.numba.machine import pool
from minicnn.backends.reference import ops as _reference
from minicnn.precision import get_float32_precision


class _Local(threading.local):
    calls = None  # of this thread's recording, if there is one: (function, arguments, result)
    is_whole = True  # whether they are all that is done


_local = _Local()


def call(function: Callable, *arguments: object) -> Any:
    """Call a function, and have that recorded: a kernel, or what NumPy does between kernels on the same arrays."""
    result = function(*arguments)
    if _local.calls is not None:
        _local.calls.append((function, arguments, result))
    return result


def not_whole() -> None:
    """Say that something is done which no recording can hold."""
    _local.is_whole = False


def _not_recorded(op):
    """An op of the reference, which no recording can hold."""

    @wraps(op)
    def run(*arguments: object, **options: object) -> Any:
        not_whole()
        return op(*arguments, **options)

    return run


reference: SimpleNamespace = SimpleNamespace(**{name: _not_recorded(op) for name, op in vars(_reference).items()})
"""The reference's ops, for what no kernel serves."""


class Repeated:
    """Work on the same arrays, done by the calls of its first time.

    Where a call's result is another than then, numbers are not finite and need another way: all is done anew.

    Parameters
    ----------
    work : callable
        Assigns results, from arrays that are the same every time, by ops alone.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._calls = None
        self._pool = None
        self._precision = None
        self._is_whole = True

    def __call__(self) -> None:
        is_known = self._calls is not None and self._pool is pool.pool()
        if not is_known or self._precision != get_float32_precision():
            self._do()
            return
        for function, arguments, result in self._calls:
            if function(*arguments) is not result:
                self._work()
                return

    def _do(self):
        """Do the work, and record it if that is possible."""
        if not self._is_whole:
            self._work()
            return
        _local.calls, _local.is_whole = [], True
        try:
            self._work()
        finally:
            calls, self._is_whole, _local.calls = _local.calls, _local.is_whole, None
        if self._is_whole and not any(result is False for _, _, result in calls):
            self._calls, self._pool, self._precision = calls, pool.pool(), get_float32_precision()
