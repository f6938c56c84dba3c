"""A variable of a context that holds a value for as long as a `with` lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


@contextmanager
def holding(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """Inside, the variable is this value; afterwards it is what it was before, whatever happened inside.

    Parameters
    ----------
    variable : ContextVar
        Threads and coroutines see values of their own.
    value : anything
    """
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
