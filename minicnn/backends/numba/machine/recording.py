"""What work on the same arrays came down to, to be done again without the Python in between.

Between two kernels, Python looks for the right one, computes sizes and takes views: for a small batch that costs more
than the kernels. A plan runs the same steps on the same arrays in every iteration, so the calls of a step are recorded
when it first runs, and then made one after the other (`walking`).
"""

import contextlib
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from types import SimpleNamespace
from typing import Any, NamedTuple

from minicnn.backends.reference import ops as _reference


class Call(NamedTuple):
    """What is made again.

    Attributes
    ----------
    function, arguments :
        What is called, with what.
    result :
        What it returned.
    nanoseconds : float
        About how long it takes, of a kernel that takes long.
    """

    function: Callable
    arguments: tuple
    result: object
    nanoseconds: float


class _Local(threading.local):
    calls = None  # of this thread's recording, if there is one
    is_whole = True  # whether they are all that is done
    wanted = None  # while nothing is computed: the kernels that would be, see `foreseen`


_local = _Local()


def call(function: Callable, *arguments: object, time: float = 0) -> Any:
    """Call a function, and have that recorded: a kernel, or what NumPy does between kernels on the same arrays.

    `time`, in nanoseconds, is about what it takes.
    """
    if _local.wanted is not None:
        return True
    result = function(*arguments)
    if _local.calls is not None:
        _local.calls.append(Call(function, arguments, result, time))
    return result


def wanted() -> dict | None:
    """Where a kernel notes that it is wanted, and is not called; None: it is called."""
    return _local.wanted


def foreseen(works: Iterable[Callable[[], None]]) -> dict:
    """What kernels note that works will call, which are not computed here.

    Parameters
    ----------
    works : iterable of callable
        As of `Recorded`: all that they compute goes through `call` or through `reference`.
    """
    _local.wanted = {}
    try:
        for work in works:
            with contextlib.suppress(Exception):  # it comes again when the work is done
                work()
        return _local.wanted
    finally:
        _local.wanted = None


def not_whole() -> None:
    """Say that something is done which no recording can hold."""
    _local.is_whole = False


def _not_recorded(op):
    """An op of the reference, which no recording can hold."""

    @wraps(op)
    def run(*arguments: object, **options: object) -> Any:
        if _local.wanted is not None:
            return None
        not_whole()
        return op(*arguments, **options)

    return run


reference: SimpleNamespace = SimpleNamespace(**{name: _not_recorded(op) for name, op in vars(_reference).items()})
"""The reference's ops, for what no kernel serves."""


class Recorded:
    """Work on the same arrays, and the calls of its first time.

    Parameters
    ----------
    work : callable
        Assigns results, from arrays that are the same every time, by ops alone.

    Attributes
    ----------
    calls : list of Call or None
        None: not known yet, or not to be known.
    is_settled : bool
        Whether `calls` will not change any more.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work: Callable[[], None] = work
        self.calls: list[Call] | None = None
        self.is_settled: bool = False

    def record(self) -> None:
        """Do the work, and record it if that is possible."""
        if self.is_settled:
            self.work()
            return
        _local.calls, _local.is_whole = [], True
        try:
            self.work()
        finally:
            calls, is_whole, _local.calls = _local.calls, _local.is_whole, None
        self.is_settled = not is_whole
        if is_whole and not any(call.result is False for call in calls):
            self.calls, self.is_settled = calls, True
