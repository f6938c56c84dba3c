"""Sums of a batch normalization's gradient that a convolution behind it leaves, part by part, on the way back.

The gradient of the convolution's input is that of the normalization's output, or what is to be added to that. So
the sums that the normalization begins with need no launch of their own, and this gradient is not read for them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import cupy

from minicnn.backends.cupy.handed_on import HandedOn, running
from minicnn.backends.cupy.launch import Array, Maybe
from minicnn.backends.cupy.left_moments import MOST_PARTS, have_same_rows
from minicnn.backends.cupy.structures import Normalized


class LeftSums(NamedTuple):
    """What `norm_gradient_sums` of normalization.cu writes: the gradient as far as ReLU lets it through, and sums."""

    masked: Array  # (N, …, C)
    of_dy: Array  # (parts, C)
    of_x: Array  # (parts, C): of its products with the normalized x


_running = running("sums")


class _Sums(HandedOn):
    """The sums for a normalization, from the op that computes the gradient."""

    def __init__(self, gradient: Array, more: Maybe, arguments: tuple[Any, ...]) -> None:
        super().__init__(_running)
        self.gradient, self.more = gradient, more
        self.x, self.y, self.dy, self.affine, self.moments, *written, self.training = arguments
        dx, _, dgamma, dbeta = written
        self.needs_sums: bool = self.training and any(array is not None for array in (dx, dgamma, dbeta))

    def normalized(self) -> Normalized:
        vectors = *self.moments, self.affine.gamma, self.affine.beta
        arrays = self.x, *vectors, self.y, self.more
        return Normalized(*(0 if a is None else a.data.ptr for a in arrays), int(self.affine.relu))


def with_gradient_sums(
    gradient: Array, more: Maybe, arguments: tuple[Any, ...], write: Callable[[], None], read: Callable[[], None]
) -> tuple[Callable[[], None], ...]:
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
    return _Sums(gradient, more, arguments).works(write, read)


def are_wanted(dx: Array, parts: int) -> bool:
    """Whether the op that computes `dx` is to leave its sums too, where they are those of so many parts."""
    wanted = _running.wanted.get()
    if wanted is None or not wanted.needs_sums or parts > MOST_PARTS or not have_same_rows(wanted.gradient, dx):
        return False
    return all(a is None or a.data.ptr % 16 == 0 for a in (wanted.x, wanted.y, wanted.more))


def sums_to_leave(dx: Array, parts: int) -> tuple[LeftSums, Normalized]:
    """Where the op that computes `dx` writes its sums, which `are_wanted`, and what it needs for that."""
    wanted = _running.wanted.get()
    wanted.left = LeftSums(dx, *(cupy.empty((parts, dx.shape[-1]), dx.dtype) for _ in range(2)))
    return wanted.left, wanted.normalized()


def left_sums(dy: Array) -> LeftSums | None:
    """What was left for the normalization whose output's gradient this is, if anything was."""
    given = _running.given.get()
    return given.left if given is not None and have_same_rows(given.dy, dy) else None
