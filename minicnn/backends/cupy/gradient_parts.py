"""Gradients of weights that lie in parts, which the kernel of the optimizer adds on its way.

Outside `left_in_parts` they are added at once, by a kernel of their own.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from minicnn.backends.cupy.launch import Array
from minicnn.backends.cupy.partial_sums import add_parts


class Parts(NamedTuple):
    """A gradient is the sum of `count` arrays of its size, `stride` elements apart, in their order.

    Attributes
    ----------
    array : (…,), contiguous
        Begins with the first part.
    count, stride : int
    """

    array: Array
    count: int
    stride: int


class Left(NamedTuple):
    """Parts, and the gradient that waits for them."""

    gradient: Array
    parts: Parts


class _Open(threading.local):
    """One dict, address → Left, for each `left_in_parts` that a thread is inside of."""

    def __init__(self) -> None:
        self.dicts: list[dict[int, Left]] = []


_open = _Open()


def give(gradient: Array, parts: Parts) -> None:
    """The gradient of a weight, in parts: inside `left_in_parts` they stay so, else they are added now."""
    if _open.dicts:
        _open.dicts[-1][gradient.data.ptr] = Left(gradient, parts)
    else:
        _add(gradient, parts)


def _add(gradient, parts):
    add_parts(parts.array, gradient, count=parts.count, stride=parts.stride)


@contextmanager
def left_in_parts() -> Iterator[None]:
    """Inside, nobody but the optimizer's op reads gradients that were given; what it does not take is added at the end.

    Gradients that are assigned more than once have no place here.
    """
    _open.dicts.append({})
    try:
        yield
        add_all()
    finally:
        _open.dicts.pop()


def added_at_once(work: Callable[[], None]) -> None:
    """Do a work that may read the gradients that it computes: they are added now, though `left_in_parts` is open."""
    dicts, _open.dicts = _open.dicts, []
    try:
        work()
    finally:
        _open.dicts = dicts


def add_all() -> None:
    """Add what was left in parts so far: for whoever reads gradients other than the optimizer's op."""
    while _open.dicts and _open.dicts[-1]:
        _add(*_open.dicts[-1].pop(next(iter(_open.dicts[-1]))))


def make_whole(gradient: Array) -> None:
    """See `minicnn.backends.reference.parts.make_whole`."""
    left = _open.dicts[-1].pop(gradient.data.ptr, None) if _open.dicts else None
    if left is not None:
        _add(*left)


def take(gradient: Array, most: int) -> list[tuple[int, int, Parts]]:
    """What was left in parts of a stretch of the gradients: (first element, elements, parts), in their order.

    Parameters
    ----------
    gradient : vector
    most : int
        No more than so many; others are added.
    """
    if not _open.dicts:
        return []
    first, end = gradient.data.ptr, gradient.data.ptr + gradient.nbytes
    found = sorted((at, left) for at, left in _open.dicts[-1].items() if first <= at < end)
    for at, _ in found:
        del _open.dicts[-1][at]
    for _, left in found[most:]:
        _add(*left)
    return [((at - first) // gradient.itemsize, left.gradient.size, left.parts) for at, left in found[:most]]
