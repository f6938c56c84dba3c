"""One piece of memory for many arrays that are not all needed at the same time."""

from dataclasses import dataclass

from minicnn.backends.memory import ALIGNMENT, SLACK


@dataclass
class Interval:
    """`size` bytes that are in use from time `start` to time `end`, both included; `offset` is where they are put."""

    size: int
    start: int
    end: int
    offset: int = 0

    def extend(self, time: int) -> None:
        """Keep it in use at `time` too."""
        self.start, self.end = min(self.start, time), max(self.end, time)

    def meets(self, other) -> bool:
        """Whether both are in use at some time."""
        return self.start <= other.end and other.start <= self.end


def pack(intervals) -> int:
    """Give every interval an offset such that no two that meet overlap; returns the bytes needed in all.

    Greedy by size: the largest first, each at the lowest place that is free for its whole life (Pisarchyk, Lee:
    "Efficient memory management for deep neural net inference", 2020).
    """
    placed, total = [], 0
    for interval in sorted(intervals, key=lambda i: -i.size):
        interval.offset = _lowest_gap(
            interval, sorted((p for p in placed if p.meets(interval)), key=lambda p: p.offset)
        )
        placed.append(interval)
        total = max(total, interval.offset + _padded(interval.size))
    return total


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
