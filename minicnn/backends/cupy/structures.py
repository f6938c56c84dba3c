"""The structures that kernels take by value: each a named tuple, from which its text in C and its dtype are made.

Members are ints or structures, one behind the other: NumPy and every C compiler lay them out alike. Kernel files are
compiled with all of them in front (`minicnn.backends.cupy.sources`).
"""

from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from minicnn import geometry


class Window(NamedTuple):
    """A window that slides over images: `minicnn.geometry.Window` in numbers."""

    in_height: int
    in_width: int
    out_height: int
    out_width: int
    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    pad_top: int
    pad_left: int


class Positions(NamedTuple):
    """The left side of a product whose row m is a position in an image, and whose term k is a tap and a channel."""

    row_height: int  # positions in one image
    row_width: int
    height: int  # of the images
    width: int
    channels: int  # of all groups
    group_channels: int
    kernel_width: int
    step_y: int  # pixels from tap to tap; negative in the gradient
    step_x: int
    scale_y: int  # pixels from position to position
    scale_x: int
    divide_y: int  # in the gradient: only every so many rows hold a pixel
    divide_x: int
    offset_y: int
    offset_x: int


class Taps(NamedTuple):
    """The left side of a product whose row m is a tap and a channel, and whose term k is a position in an image."""

    channels: int  # of all groups
    group_channels: int
    window: Window


class Matrix(NamedTuple):
    """The right side of a product: rows of a matrix, side by side those of all groups or behind each other."""

    row: int  # elements from row to row
    group: int  # elements from group to group


class Pool(NamedTuple):
    """Max pooling of a product's rows, which are then the pixels of windows of 2 x 2, four by four; zeros: none."""

    height: int = 0
    width: int = 0
    stride_y: int = 0
    stride_x: int = 0


class Span(NamedTuple):
    """The size of a product, and how its sums are cut."""

    groups: int
    rows: int  # of one group, as the next two
    columns: int
    depth: int  # terms of a sum
    parts: int = 1  # of a sum, each of which has its own result
    slices: int = 0  # of a part


ALL = (Window, Positions, Taps, Matrix, Pool, Span)  # a structure behind those that it holds


@cache
def dtype_of(structure: type[tuple]) -> np.dtype:
    """The NumPy dtype of a structure."""
    return np.dtype([(name, np.int32 if kind is int else dtype_of(kind)) for name, kind in _members(structure)])


def text_of(structure: type[tuple[Any, ...]]) -> str:
    """The structure in C."""
    members = (f"    {kind.__name__} {name};\n" for name, kind in _members(structure))
    return f"struct {structure.__name__} {{\n{''.join(members)}}};\n"


def _members(structure):
    """(name, type) of every member."""
    return structure.__annotations__.items()


@lru_cache(4096, typed=True)
def by_value(structure: tuple) -> np.ndarray:
    """A structure as a launch takes it: an array of one element, which nobody may change."""
    array = np.array([structure], dtype_of(type(structure)))
    array.flags.writeable = False
    return array


@cache
def window_structure(window: geometry.Window) -> Window:
    """A window of the library in numbers."""
    return Window(*(getattr(window, name) for name in Window._fields))
