"""One piece of memory for many arrays that are not all needed at the same time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from minicnn.backends.memory import ALIGNMENT, SLACK


@dataclass(eq=False)
class Interval:
    """`size` bytes that are in use from time `first` to time `last`, both included; `offset` is where they are put."""

    size: int
    first: float = math.inf
    last: float = -math.inf
    offset: int = 0

    def use(self, time: int) -> None:
        """Keep it in use at `time` too."""
        self.first, self.last = min(self.first, time), max(self.last, time)

    def meets(self, other: "Interval") -> bool:
        """Whether both are in use at some time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, eq=False)
class Slot:
    """An array of a plan, before it has memory.

    Attributes
    ----------
    shape : tuple of int
        Without the batch axis.
    dtype : numpy dtype
    per_sample : bool
        Whether the array has a batch axis.
    interval : Interval
        Its bytes; slots that are views of each other share them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    per_sample: bool
    interval: Interval

    @classmethod
    def new(cls, shape: tuple[int, ...], dtype: np.dtype, batch_size: int, per_sample: bool = True) -> "Slot":
        """A slot with bytes of its own, for up to `batch_size` samples."""
        size = math.prod(shape) * dtype.itemsize * (batch_size if per_sample else 1)
        return cls(tuple(shape), dtype, per_sample, Interval(size))

    def in_shape(self, shape: tuple[int, ...]) -> "Slot":
        """The same bytes in another shape."""
        return replace(self, shape=tuple(shape))

    def of(self, memory: np.ndarray, count: int) -> np.ndarray:
        """The array, for the first `count` samples; `memory` holds the bytes of the whole arena."""
        shape = (count, *self.shape) if self.per_sample else self.shape
        start, size = self.interval.offset, math.prod(shape) * self.dtype.itemsize
        return memory[start : start + size].view(self.dtype).reshape(shape)


def pack(intervals: Iterable[Interval]) -> int:
    """Give every interval an offset such that no two that meet overlap; returns the bytes needed in all.

    Greedy, once by size and once by life: the largest or the longest first, each at the lowest address that is free for
    its whole life (Pisarchyk, Lee: "Efficient memory management for deep neural net inference", 2020). Residual
    networks need less memory by life, networks of few large arrays by size.
    """
    largest_first = sorted(intervals, key=lambda i: -i.size)
    longest_first = sorted(largest_first, key=lambda i: i.first - i.last)
    return _packed(min(largest_first, longest_first, key=_packed))


def _packed(order) -> int:
    """Put one interval after the other into the lowest gap."""
    for n, interval in enumerate(order):
        neighbours = sorted((p for p in order[:n] if p.meets(interval)), key=lambda p: p.offset)
        interval.offset = _lowest_gap(interval, neighbours)
    return max((i.offset + _padded(i.size) for i in order), default=0)


def _lowest_gap(interval, neighbours) -> int:
    """The lowest offset at which `interval` fits between its contemporaries, which are sorted by offset."""
    offset = 0
    for neighbour in neighbours:
        if offset + _padded(interval.size) <= neighbour.offset:
            break
        offset = max(offset, neighbour.offset + _padded(neighbour.size))
    return offset


def _padded(size: int) -> int:
    """Bytes with the room that kernels may read behind an array, up to the next boundary."""
    return -(-(size + SLACK) // ALIGNMENT) * ALIGNMENT
