"""Whether a `call` looks at sizes that are open, by which it may go another way than for numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from minicnn.held import holding

_looks: ContextVar[list[None] | None] = ContextVar("looks at open sizes", default=None)


@contextmanager
def noting_looks() -> Iterator[list[None]]:
    """Inside, the list gets an entry whenever somebody looks at an open size, and so does that of one around it."""
    looks: list[None] = []
    try:
        with holding(_looks, looks):
            yield looks
    finally:
        if looks and (outer := _looks.get()) is not None:
            outer.extend(looks)


def is_noting() -> bool:
    """Whether looks are noted."""
    return _looks.get() is not None


def note_look(sizes: int | Sequence[int | None] | None) -> None:
    """Note that somebody has got these sizes, or this one, if any is open; the batch axis is not among them."""
    if (looks := _looks.get()) is not None and (sizes is None or (not isinstance(sizes, int) and None in sizes)):
        looks.append(None)
