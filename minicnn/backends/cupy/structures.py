"""The structures that kernels take by value: each a named tuple, from which its text in C and its dtype are made.

Members are ints, addresses, structures or arrays of structures: NumPy and every C compiler lay them out alike. Kernel
files are compiled with all of them in front (`minicnn.backends.cupy.sources`).
"""

from functools import cache, lru_cache
from typing import Annotated, Any, NamedTuple, NewType, get_args

import numpy as np

from minicnn import geometry

Address = NewType("Address", int)  # of device memory


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


class Segment(NamedTuple):
    """A stretch of the gradients: where its parts are, and which blocks of threads serve it."""

    parts: Address
    stride: int  # elements from part to part
    count: int  # of the parts; one: the stretch itself
    first: int  # element of the stretch
    size: int
    block: int  # the first one
    width: int  # elements of a block of threads


MOST_SEGMENTS = 96  # a kernel takes 4 KB of arguments


class Segments(NamedTuple):
    """All of a vector, in their order."""

    count: int
    unused: int
    of: Annotated[tuple[Segment, ...], MOST_SEGMENTS]


class Weights(NamedTuple):
    """A kernel, and where its weights go as a convolution takes them: see `minicnn.backends.cupy.prepared_weights`."""

    kernel: Address
    prepared: Address
    channels: int
    filters: int
    taps: int
    slices: int
    columns: int
    products: int
    turned: int
    block: int  # the first one of threads that prepares them


MOST_WEIGHTS = 64


class ManyWeights(NamedTuple):
    """Those that one launch prepares, in the order of their blocks."""

    count: int
    unused: int
    of: Annotated[tuple[Weights, ...], MOST_WEIGHTS]


class Few(NamedTuple):
    """A convolution of few channels, computed image by image, in cells of 2 x 2 positions."""

    in_height: int
    in_width: int
    channels: int
    filters: int
    out_height: int
    out_width: int
    cells_height: int
    cells_width: int
    tile_height: int  # of the image with its border, as far as the cells see it
    tile_width: int
    pad_top: int
    pad_left: int
    is_pooled: int
    relu: int
    own: int  # forward: filters of a block
    parts: int  # backward: how many lines of threads share the cells of a weight


class Convolution(NamedTuple):
    """A convolution on tensor cores, or the gradient of its input, which then is what has "columns"."""

    images: int
    height: int  # of the source, as the next two
    width: int
    channels: int
    filters: int  # columns
    kernel_height: int
    kernel_width: int
    pad_top: int
    pad_left: int
    slices: int  # of the channels
    patch: int  # pixels, the most that a block sees
    relu: int
    pool: int  # 2 × 2 windows side by side
    rows: int  # of the result: positions, or windows
    row_height: int
    row_width: int
    width_magic: int  # for dividing by row_width, and by row_height · row_width: see `tensor_choice.magic`
    width_shift: int
    image_magic: int
    image_shift: int
    stride_y: int  # pixels of the source from position to position
    stride_x: int
    first_tap: int  # of the kernel, and how far it is to the one that is used next, down and across
    tap_row: int
    tap_column: int
    out_height: int  # of the result
    out_width: int
    divide_y: int  # the strides whose input's gradient it is: one convolution for each remainder of a row and column
    divide_x: int
    rest_y: int  # that remainder
    rest_x: int


class Normalized(NamedTuple):
    """A batch normalization before a convolution: the gradient of its output is that of the input, and maybe `more`."""

    x: Address = Address(0)
    mean: Address = Address(0)
    inverse_std: Address = Address(0)
    gamma: Address = Address(0)  # 0: none, as of the next three
    beta: Address = Address(0)
    y: Address = Address(0)  # with ReLU behind an addition
    more: Address = Address(0)
    relu: int = 0
    unused: int = 0


class Correlation(NamedTuple):
    """The gradient of a kernel on tensor cores."""

    images: int
    height: int  # of the images
    width: int
    channels: int
    out_height: int
    out_width: int
    filters: int
    kernel_height: int
    pad_top: int
    pad_left: int
    stages_per_split: int  # of 32 positions
    width_magic: int  # for dividing by out_width, and by out_height · out_width
    width_shift: int
    image_magic: int
    image_shift: int
    stride_y: int
    stride_x: int


class OneOfSeveral(NamedTuple):
    """The gradient of one kernel of those that a launch computes; see `correlation.cu`."""

    x: Address
    dy: Address
    parts: Address
    bias_parts: Address
    of: Correlation
    first: int  # block of threads
    blocks: int  # of a part
    unused: int


MOST_CORRELATIONS = 32  # a kernel takes 4 KB of arguments


class Correlations(NamedTuple):
    """All of a launch, in their order."""

    count: int
    unused: int
    of: Annotated[tuple[OneOfSeveral, ...], MOST_CORRELATIONS]


ALL = (
    *(Window, Positions, Taps, Matrix, Pool, Span),
    *(Segment, Segments, Weights, ManyWeights, Few, Convolution, Normalized, Correlation, OneOfSeveral, Correlations),
)  # a structure behind those that it holds


@cache
def dtype_of(structure: type[tuple]) -> np.dtype:
    """The NumPy dtype of a structure."""
    fields = [
        (name, _dtype(kind), count) if count > 1 else (name, _dtype(kind)) for name, kind, count in members(structure)
    ]
    return np.dtype(fields)


def _dtype(kind):
    return np.dtype({int: np.int32, Address: np.uint64}[kind]) if kind in (int, Address) else dtype_of(kind)


def text_of(structure: type[tuple[Any, ...]]) -> str:
    """The structure in C."""
    names = {Address: "unsigned long long"}
    fields = (
        f"    {names.get(kind, kind.__name__)} {name}{f'[{count}]' if count > 1 else ''};\n"
        for name, kind, count in members(structure)
    )
    return f"struct {structure.__name__} {{\n{''.join(fields)}}};\n"


def members(structure: type[tuple[Any, ...]]) -> list[tuple[str, Any, int]]:
    """(name, type, number of them) of every member."""
    found = []
    for name, kind in structure.__annotations__.items():
        if get_args(kind):
            many, count = get_args(kind)
            found.append((name, get_args(many)[0], count))
        else:
            found.append((name, kind, 1))
    return found


@lru_cache(4096, typed=True)
def by_value(structure: tuple) -> np.ndarray:
    """A structure as a launch takes it: an array of one element, which nobody may change."""
    array = np.array([_plain(structure)], dtype_of(type(structure)))
    array.flags.writeable = False
    return array


def _plain(value):
    """A structure with lists for its arrays, as NumPy tells them from structures."""
    if not isinstance(value, tuple):
        return value
    parts = [_plain(part) for part in value]
    return tuple(parts) if hasattr(value, "_fields") else parts


@cache
def window_structure(window: geometry.Window) -> Window:
    """A window of the library in numbers."""
    return Window(*(getattr(window, name) for name in Window._fields))
