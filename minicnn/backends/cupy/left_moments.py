"""Mean and variance that a convolution leaves, part by part, to the batch normalization that reads its output.

So these need no launch of their own, and the output is not read for them.
"""

from collections.abc import Callable
from typing import NamedTuple

import cupy

from minicnn.backends.cupy.handed_on import HandedOn, running
from minicnn.backends.cupy.launch import Array

MOST_PARTS = 1024  # every block of the normalization reads all of its channels: more of them would cost what is gained


class PartMoments(NamedTuple):
    """Of parts of the rows of an array (N, …, C)."""

    means: Array  # (parts, C)
    squares: Array  # (parts, C): the sums of the squared differences from these means
    counts: Array  # (parts,): how many rows they have, maybe none


def new_moments(parts: int, like: Array) -> PartMoments:
    """Arrays for so many parts of such an array."""
    channels = like.shape[-1]
    return PartMoments(*(cupy.empty(shape, like.dtype) for shape in ((parts, channels), (parts, channels), (parts,))))


_running = running("moments")


class _Moments(HandedOn):
    """The moments of an array."""

    def __init__(self, array: Array) -> None:
        super().__init__(_running)
        self.array: Array = array


def have_same_rows(a: Array, b: Array) -> bool:
    """Whether arrays (N, …, C) are the same rows of C numbers: a dense layer has its own as images of one pixel."""
    return (a.data.ptr, a.size, a.shape[-1], a.dtype) == (b.data.ptr, b.size, b.shape[-1], b.dtype)


def with_moments(array: Array, write: Callable[[], None], read: Callable[[], None]) -> tuple[Callable[[], None], ...]:
    """Works that do the same as `write` and `read`, where the first one may leave moments to the second one.

    Parameters
    ----------
    array : array (N, …, C)
        What `write` writes, `read` normalizes, and nobody changes in between.
    write, read : callable
    """
    return _Moments(array).works(write, read)


def are_wanted(y: Array, parts: int) -> bool:
    """Whether the op that writes `y` is to leave its moments too, where they are those of so many parts."""
    wanted = _running.wanted.get()
    return wanted is not None and have_same_rows(wanted.array, y) and parts <= MOST_PARTS


def moments_to_leave(y: Array, parts: int) -> PartMoments:
    """Where the op that writes `y` writes its moments, which `are_wanted`."""
    wanted = _running.wanted.get()
    wanted.left = new_moments(parts, y)
    return wanted.left


def left_moments(x: Array) -> PartMoments | None:
    """What was left for the op that reads `x`, if anything was."""
    given = _running.given.get()
    return given.left if given is not None and have_same_rows(given.array, x) else None
