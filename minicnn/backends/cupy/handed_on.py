"""What one op leaves to another one that runs after it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from minicnn.held import holding


class Running(NamedTuple):
    """`HandedOn` of the ops that run."""

    wanted: ContextVar[Any]  # what the op that runs is to leave, or None
    given: ContextVar[Any]  # what was to be left for it, or None


def running(name: str) -> Running:
    """Variables that nothing holds yet."""
    return Running(*(ContextVar(f"{name} {which}", default=None) for which in Running._fields))


class HandedOn:
    """From the op that writes it until one has read it.

    Parameters
    ----------
    running : Running

    Attributes
    ----------
    left : object
        What was left; None where nothing was.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self.left: Any = None

    def works(self, write: Callable[[], None], read: Callable[[], None]) -> tuple[Callable[[], None], ...]:
        """Works that do the same as these, where the first one may leave something to the second one."""
        return partial(self._write, write), partial(self._read, read)

    def _write(self, work):
        self.left = None
        with holding(self._running.wanted, self):
            work()

    def _read(self, work):
        try:
            with holding(self._running.given, self):
                work()
        finally:
            self.left = None
