"""Sums of a batch normalization's gradient that a convolution behind it leaves, part by part, on the way back.

The gradient of the convolution's input is that of the normalization's output, or what is to be added to that. So
the sums that the normalization begins with need no launch of their own, and this gradient is not read for them.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cupy

from minicnn.backends.cupy.launch import Array, Maybe
from minicnn.backends.cupy.left_moments import MOST_PARTS, have_same_rows
from minicnn.backends.cupy.structures import Normalized


class LeftSums(NamedTuple):
    """What `norm_gradient_sums` of normalization.cu writes: the gradient as far as ReLU lets it through, and sums."""

    masked: Array  # (N, …, C)
    of_dy: Array  # (parts, C)
    of_x: Array  # (parts, C): of its products with the normalized x


class _Now(threading.local):
    """What is wanted from the op that runs, and what is there for it, in a thread."""

    wanted: "_Left | None" = None
    given: "_Left | None" = None


_now = _Now()


class _Left:
    """The sums for a normalization, from the op that computes the gradient until they are read."""

    def __init__(self, gradient: Array, more: Maybe, arguments: tuple[Any, ...]) -> None:
        self.gradient, self.more = gradient, more
        self.x, self.y, self.dy, self.affine, self.moments, *written, self.training = arguments
        dx, _, dgamma, dbeta = written
        self.needs_sums: bool = self.training and any(array is not None for array in (dx, dgamma, dbeta))
        self.sums: LeftSums | None = None

    def write(self, work: Callable[[], None]) -> None:
        self.sums, _now.wanted = None, self
        try:
            work()
        finally:
            _now.wanted = None

    def read(self, work: Callable[[], None]) -> None:
        _now.given = self
        try:
            work()
        finally:
            self.sums = _now.given = None

    def normalized(self) -> Normalized:
        vectors = *self.moments, self.affine.gamma, self.affine.beta
        arrays = self.x, *vectors, self.y, self.more
        return Normalized(*(0 if a is None else a.data.ptr for a in arrays), int(self.affine.relu))


def with_gradient_sums(
    gradient: Array, more: Maybe, arguments: tuple[Any, ...], write: Callable[[], None], read: Callable[[], None]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Works that do the same as `write` and `read`, where the first one may leave sums to the second one.

    Parameters
    ----------
    gradient : array (N, …, C)
        What `write` writes, and `read` alone reads.
    more : array or None
        What is to be added to it, which is there before.
    arguments : tuple
        What `read` calls `batch_norm_backward` with.
    write, read : callable
    """
    left = _Left(gradient, more, arguments)
    return partial(left.write, write), partial(left.read, read)


def are_wanted(dx: Array, parts: int) -> bool:
    """Whether the op that computes `dx` is to leave its sums too, where they are those of so many parts."""
    left = _now.wanted
    if left is None or not left.needs_sums or parts > MOST_PARTS or not have_same_rows(left.gradient, dx):
        return False
    return all(a is None or a.data.ptr % 16 == 0 for a in (left.x, left.y, left.more))


def sums_to_leave(dx: Array, parts: int) -> tuple[LeftSums, Normalized]:
    """Where the op that computes `dx` writes its sums, which `are_wanted`, and what it needs for that."""
    left = _now.wanted
    left.sums = LeftSums(dx, *(cupy.empty((parts, dx.shape[-1]), dx.dtype) for _ in range(2)))
    return left.sums, left.normalized()


def left_sums(dy: Array) -> LeftSums | None:
    """What was left for the normalization whose output's gradient this is, if anything was."""
    left = _now.given
    return left.sums if left is not None and have_same_rows(left.dy, dy) else None
