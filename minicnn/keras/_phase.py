"""The phase, training or use, where a graph is made of a layer's `call`: the graph stands for both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn

_is_unsaid: ContextVar[bool] = ContextVar("a call is made a graph, which has no phase", default=False)


class Unsaid:
    """`training` where a graph is made: it may be handed to `super().call` and to layers, but decides nothing."""

    def __bool__(self) -> NoReturn:
        raise TypeError("a graph stands for training and for use")

    __eq__ = __int__ = __bool__  # type: ignore[assignment]
    __hash__ = object.__hash__


unsaid: Unsaid = Unsaid()


@contextmanager
def phase_unsaid() -> Iterator[None]:
    """Inside, `is_unsaid` holds."""
    token = _is_unsaid.set(True)
    try:
        yield
    finally:
        _is_unsaid.reset(token)


def is_unsaid() -> bool:
    """Whether a graph is made of a layer's `call`, in which nobody may ask for the phase."""
    return _is_unsaid.get()
