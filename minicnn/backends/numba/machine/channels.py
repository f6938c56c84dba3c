"""Numbers that belong to the channels, applied to every pixel: the loops over an array whose last axis is channels.

The channels repeat from pixel to pixel. So many pixels that they fill whole vectors are one *period*: with 10 channels
and vectors of 16 lanes, 8 pixels are 5 vectors. The channels' numbers are repeated to a period's length; then every
vector of every period is a whole one, but for those of the last, shorter period.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.half import number, numbers_in_vector
from minicnn.backends.numba.machine.offsets import table_cache, whole_vectors
from minicnn.backends.numba.machine.target import lanes

_LONGEST = 1024  # numbers of a period; with more channels, the last vector of each pixel may be partial
_TOGETHER = 2048  # numbers of a few periods, which stay in the first cache while all their columns pass
_LEAST_OF_A_CHUNK = 8192  # numbers
_MOST_CHUNKS = 32


class Periods(NamedTuple):
    """How such an array is cut."""

    size: int
    channels: int
    period: int  # numbers, a multiple of the channels
    padded: int  # the same in whole vectors
    whole: int  # periods
    together: int  # periods in a block
    chunks: int


@table_cache
def periods_of(size: int, channels: int, itemsize: int) -> Periods:
    """The `Periods` of an array of so many elements."""
    period = math.lcm(channels, lanes(itemsize))
    period = period if period <= _LONGEST else channels
    chunks = max(1, min(_MOST_CHUNKS, size // _LEAST_OF_A_CHUNK, size // period))
    padded, together = whole_vectors(period, itemsize), max(1, _TOGETHER // period)
    return Periods(size, channels, period, padded, size // period, together, chunks)


@inline
def repeat(numbers: np.ndarray, p: Periods, target: np.ndarray) -> None:
    """target = the channels' numbers, again and again for a period."""
    for first in range(0, p.period, p.channels):
        own = target[first : first + p.channels]
        for c in range(p.channels):
            own[c] = number(numbers[c])


def over_channels(vector_code: Callable) -> Callable:
    """A function (operands, periods, chunk) that applies vector code to all that a chunk holds.

    Parameters
    ----------
    vector_code : intrinsic
        Takes (operands, start, rows, stride, column, count): the vectors from element `start` on of so many rows, which
        are `stride` apart; they are those of the period from `column` on, and have `count` or all lanes. The first
        operand is an array of the dtype that vectors hold.
    """

    @inline
    def run(operands, p, chunk):
        width, control = numbers_in_vector(operands[0]), flush_denormals()
        row, last = chunk * p.whole // p.chunks, (chunk + 1) * p.whole // p.chunks
        rest = p.size - p.whole * p.period if chunk == p.chunks - 1 else 0
        while row < last or rest > 0:
            rows, columns = min(p.together, last - row), p.period
            if row == last:
                rows, columns, rest = 1, rest, 0
            for column in range(0, columns, width):
                vector_code(operands, row * p.period + column, rows, p.period, column, columns - column)
            row += rows
            last = max(row, last)
        restore_denormals(control)

    return run
