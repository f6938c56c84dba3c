"""The phase, training or use, where a graph is made of a layer's `call`: the graph stands for both."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import NoReturn

from minicnn.held import holding

_is_unsaid: ContextVar[bool] = ContextVar("a call is made a graph, which has no phase", default=False)


class Unsaid:
    """`training` where a graph is made: it may be handed to `super().call` and to layers, but decides nothing."""

    def __bool__(self) -> NoReturn:
        raise TypeError("a graph stands for training and for use")

    __eq__ = __int__ = __bool__  # type: ignore[assignment]
    __hash__ = object.__hash__


unsaid: Unsaid = Unsaid()


def phase_unsaid() -> AbstractContextManager[None]:
    """Inside, `is_unsaid` holds."""
    return holding(_is_unsaid, True)


def is_unsaid() -> bool:
    """Whether a graph is made of a layer's `call`, in which nobody may ask for the phase."""
    return _is_unsaid.get()
