"""Tables of element offsets: the geometry of a kernel, worked out once per geometry and read by its loops.

Offsets count elements of C-contiguous arrays. A *row table* repeats its last entry up to a multiple of `ROWS`, so that
the matrix product needs no loop for the last rows. Tables are cached and must not be written to. They come in named
tuples, which Numba takes as arguments; not in tuples of tuples, which it does not take into a parallel loop.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minicnn.backends import memory
from minicnn.backends.numba.machine.target import ROWS, lanes, vectors
from minicnn.geometry import Window

_Function = TypeVar("_Function", bound=Callable)

table_cache: Callable[[_Function], _Function] = lru_cache(maxsize=256)
"""Decorator: a function of a geometry, which a kernel asks for in every call."""


def outer_sum(*offsets: ArrayLike) -> np.ndarray:
    """Sums of one number of each argument, the last one running fastest: (product of the lengths,) int64."""
    total = np.zeros(1, np.int64)
    for numbers in offsets:
        total = np.add.outer(total, np.asarray(numbers, np.int64)).reshape(-1)
    return total


def row_table(offsets: np.ndarray) -> np.ndarray:
    """The offsets, with the last one repeated up to a multiple of `ROWS`."""
    return np.pad(offsets, (0, -len(offsets) % ROWS), mode="edge")


@table_cache
def strides(count: int, stride: int) -> np.ndarray:
    """0, stride, 2·stride, … (count,) int64."""
    return np.arange(count, dtype=np.int64) * stride


@table_cache
def strided_rows(count: int, stride: int) -> np.ndarray:
    """`strides` as a row table."""
    return row_table(strides(count, stride))


def run_of(*tables: np.ndarray) -> int:
    """The most offsets that all tables have at equal distances, from each multiple of this number to the next one.

    See `minicnn.backends.numba.machine.matrix.Span`. Tables are without what repeats their last entry.
    """
    return math.gcd(*(_run_of_one(table) for table in tables))


def _run_of_one(table):
    steps, run = np.diff(table), 0
    place = np.arange(len(steps))
    while True:
        in_run = place % (run or len(table))
        others = np.flatnonzero((steps != steps[place - in_run]) & (in_run + 1 != run))
        if len(others) == 0:
            return run or len(table)
        run = math.gcd(run, int(others[0]) + 1)


def whole_vectors(count: int, itemsize: int) -> int:
    """`count` rounded up to whole vectors."""
    return vectors(count, itemsize) * lanes(itemsize)


@table_cache
def zero_row(count: int, dtype: np.dtype) -> np.ndarray:
    """The bias of a layer that has none."""
    return memory.zeros(count, dtype)


@lru_cache
def _absent(dtype):
    return memory.empty(0, dtype)


def flat(array: np.ndarray | None, dtype: DTypeLike) -> np.ndarray:
    """The array with one axis; for None an empty array, which means "not wanted" inside a kernel."""
    return _absent(dtype) if array is None else array.reshape(-1)


class Frame(NamedTuple):
    """An image inside a frame of padding."""

    rows: int
    row_size: int  # elements
    padded_row: int
    first: int  # element of the image
    size: int  # elements of all


@table_cache
def frame(height: int, width: int, channels: int, top: int, bottom: int, left: int, right: int) -> Frame:
    """The `Frame` of an image."""
    padded_row = (left + width + right) * channels
    size = (top + height + bottom) * padded_row
    return Frame(height, width * channels, padded_row, top * padded_row + left * channels, size)


def input_frame(window: Window, channels: int) -> Frame:
    """The frame of the images that a window slides over."""
    pads = window.pad_top, window.pad_bottom, window.pad_left, window.pad_right
    return frame(window.in_height, window.in_width, channels, *pads)
