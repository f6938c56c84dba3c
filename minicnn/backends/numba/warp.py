"""Reading images at other positions: the affine warp of the augmentation layers, and its gradient.

A position is a whole number of 2**-32 pixels, as in the reference: `position >> 32` is the pixel before it, exactly.
"""

from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.machine.batch import chunks_of, images_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.finite import all_finite, images_not_finite
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import fill
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import reference
from minicnn.backends.reference.warp import FRACTION_BITS, ONE, fixed_point
from minicnn.geometry import FILL_MODES

_NANOSECONDS, _GRADIENT_NANOSECONDS = 3, 8  # per number, that one core needs, about
_CONSTANT, _NEAREST, _REFLECT, _WRAP = (FILL_MODES.index(name) for name in ("constant", "nearest", "reflect", "wrap"))
_SHIFT = ONE.bit_length() - 1
_HALF = ONE // 2
_FRACTION_SHIFT = _SHIFT - FRACTION_BITS
_FRACTION_MASK = (1 << FRACTION_BITS) - 1
_FRACTION_UNIT = 2.0**-FRACTION_BITS

_quiet_warp = np.errstate(all="ignore")(reference.warp)  # as compiled code is


def warp(x: np.ndarray, matrix: np.ndarray, y: np.ndarray, bilinear: bool, fill_mode: str, fill_value: float) -> None:
    """See `minicnn.backends.reference.warp.warp`."""
    chunks, size = chunks_of(len(x)), Size(*x.shape[1:])
    arrays, beyond = (x.reshape(-1), y.reshape(-1), fixed_point(matrix).reshape(-1)), FILL_MODES.index(fill_mode)
    time = _NANOSECONDS * x.size
    numbers = int(bilinear), beyond, float(fill_value)
    if not _warp.launch(time, *arrays, chunks, size, *numbers, chunks=chunks.count):
        for image in images_not_finite(y, len(y)):
            _quiet_warp(x[image], matrix[image], y[image], bilinear, fill_mode, fill_value)


def warp_backward(dy: np.ndarray, matrix: np.ndarray, dx: np.ndarray, bilinear: bool, fill_mode: str) -> None:
    """See `minicnn.backends.reference.warp.warp_backward`."""
    chunks, size = chunks_of(len(dx)), Size(*dx.shape[1:])
    arrays, beyond = (dy.reshape(-1), dx.reshape(-1), fixed_point(matrix).reshape(-1)), FILL_MODES.index(fill_mode)
    time = _GRADIENT_NANOSECONDS * dx.size
    _warp_backward.launch(time, *arrays, chunks, size, int(bilinear), beyond, chunks=chunks.count)


class Size(NamedTuple):
    """Of an image."""

    height: int
    width: int
    channels: int


class _Fill(NamedTuple):
    """What lies beyond the edges: the index of a fill mode, and the value of the constant one."""

    mode: int
    value: float


# ------------------------------------------------------------------------------------------------- positions


@inline
def _extended(index, size, mode):
    """See `minicnn.backends.reference.extended`."""
    if 0 <= index < size:
        return index
    if mode == _CONSTANT:
        return -1
    if mode == _NEAREST:
        return 0 if index < 0 else size - 1
    if mode == _WRAP:
        return index % size
    index %= 2 * size
    return index if index < size else 2 * size - 1 - index


@inline
def _rounded(position):
    """The pixel nearest to a position; of two, the one further from 0."""
    return (position + _HALF) >> _SHIFT if position >= 0 else -((_HALF - position) >> _SHIFT)


@inline
def _fraction(position, like):
    """How far a position lies behind the pixel before it."""
    return like.dtype.type(np.int32((position >> _FRACTION_SHIFT) & _FRACTION_MASK)) * like.dtype.type(_FRACTION_UNIT)


@inline
def _between_pixels(start, stride, size, columns):
    """The columns j, as (first, last), with 0 <= start + stride·j < size - 1 pixels: both neighbours inside."""
    limit = (size - 1) << _SHIFT
    if stride == 0:
        return (0, columns) if 0 <= start < limit else (0, 0)
    if stride > 0:
        first, last = -(start // stride), -((start - limit) // stride)
    else:
        first, last = (start - limit) // -stride + 1, start // -stride + 1
    first = min(max(first, 0), columns)
    return first, max(first, min(last, columns))


@inline
def _element(start, row, column, size):
    """Index of the first element of a pixel, -1 for the fill value."""
    return -1 if row < 0 or column < 0 else start + (row * size.width + column) * size.channels


# --------------------------------------------------------------------------------------------------- forward
# `start` is the image's first element, m holds the six entries of its matrix. Indices of elements are unsigned, since
# Numba looks whether signed ones count from the end; and functions hold loops, since a call for every pixel takes
# longer than the pixel.


@inline
def _inner_pixels(x, y, start, width, channels, m, i, first, last):
    """The pixels `first` … `last` of row i, each from four that are all inside."""
    stride_x, first_x, stride_y, first_y = m[0], i * m[1] + m[2], m[3], i * m[4] + m[5]
    target, row_size = start + i * width * channels, width * channels
    for j in range(first, last):
        at_x, at_y = first_x + j * stride_x, first_y + j * stride_y
        before = start + (at_y >> _SHIFT) * row_size + (at_x >> _SHIFT) * channels
        weight_x, weight_y = _fraction(at_x, x), _fraction(at_y, x)
        for c in range(channels):
            a, b = x[np.uint64(before + c)], x[np.uint64(before + c + channels)]
            above = a + weight_x * (b - a)
            a, b = x[np.uint64(before + c + row_size)], x[np.uint64(before + c + row_size + channels)]
            y[np.uint64(target + j * channels + c)] = above + weight_y * (a + weight_x * (b - a) - above)


@inline
def _read(x, element, c, value):
    return value if element < 0 else x[np.uint64(element + c)]


@inline
def _edge_pixels(x, y, start, size, m, i, first, last, fill):
    """The pixels of row i before `first` and from `last` on, each from four of which some may be outside."""
    height, width, channels = size
    stride_x, first_x, stride_y, first_y = m[0], i * m[1] + m[2], m[3], i * m[4] + m[5]
    target = start + i * width * channels
    for k in range(width - (last - first)):
        j = k if k < first else k + last - first
        at_x, at_y = first_x + j * stride_x, first_y + j * stride_y
        row, column = at_y >> _SHIFT, at_x >> _SHIFT
        if fill.mode == _CONSTANT and (row < -1 or row >= height or column < -1 or column >= width):
            for c in range(channels):
                y[np.uint64(target + j * channels + c)] = fill.value
            continue
        top, bottom = _extended(row, height, fill.mode), _extended(row + 1, height, fill.mode)
        left, right = _extended(column, width, fill.mode), _extended(column + 1, width, fill.mode)
        above_a, above_b = _element(start, top, left, size), _element(start, top, right, size)
        below_a, below_b = _element(start, bottom, left, size), _element(start, bottom, right, size)
        weight_x, weight_y = _fraction(at_x, x), _fraction(at_y, x)
        for c in range(channels):
            a, b = _read(x, above_a, c, fill.value), _read(x, above_b, c, fill.value)
            above = a + weight_x * (b - a)
            a, b = _read(x, below_a, c, fill.value), _read(x, below_b, c, fill.value)
            y[np.uint64(target + j * channels + c)] = above + weight_y * (a + weight_x * (b - a) - above)


@inline
def _bilinear_row(x, y, start, size, m, i, fill):
    width, channels = size.width, size.channels
    first, last = _between_pixels(i * m[1] + m[2], m[0], width, width)
    first_y, last_y = _between_pixels(i * m[4] + m[5], m[3], size.height, width)
    first, last = max(first, first_y), min(last, last_y)
    if last <= first:
        first = last = width
    _edge_pixels(x, y, start, size, m, i, first, last, fill)
    if channels == 1:  # so that the loop over the channels unrolls
        _inner_pixels(x, y, start, width, 1, m, i, first, last)
    elif channels == 3:
        _inner_pixels(x, y, start, width, 3, m, i, first, last)
    else:
        _inner_pixels(x, y, start, width, channels, m, i, first, last)


@inline
def _nearest_row(x, y, start, size, m, i, fill):
    stride_x, first_x, stride_y, first_y = m[0], i * m[1] + m[2], m[3], i * m[4] + m[5]
    target = start + i * size.width * size.channels
    for j in range(size.width):
        row = _extended(_rounded(first_y + j * stride_y), size.height, fill.mode)
        column = _extended(_rounded(first_x + j * stride_x), size.width, fill.mode)
        element = _element(start, row, column, size)
        for c in range(size.channels):
            y[np.uint64(target + j * size.channels + c)] = _read(x, element, c, fill.value)


@inline
def _warp_image(x, y, start, size, m, bilinear, fill):
    for i in range(size.height):
        if bilinear == 1:
            _bilinear_row(x, y, start, size, m, i, fill)
        else:
            _nearest_row(x, y, start, size, m, i, fill)


@inline
def _warp_chunk(chunk, x, y, matrix, chunks, size, bilinear, mode, value):
    first, last = images_of(chunks, chunk)
    for image in range(first, last):
        start, m = image * size.height * size.width * size.channels, matrix[6 * image : 6 * image + 6]
        _warp_image(x, y, start, size, m, bilinear, _Fill(mode, value))
    image_size = size.height * size.width * size.channels
    return all_finite(y, first * image_size, (last - first) * image_size)


@parallel_kernel
def _warp(pool, x, y, matrix, chunks, size, bilinear, mode, fill_value):
    """Returns whether y is finite; else a + w · (b - a), as it stands above, may be NaN where the formula is not."""
    value = x.dtype.type(fill_value)
    return in_parallel(pool, chunks.count, _warp_chunk, (x, y, matrix, chunks, size, bilinear, mode, value))


# -------------------------------------------------------------------------------------------------- gradient


@inline
def _add(dy, dx, source, element, channels, weight):
    """dx[the pixel at `element`] += weight · dy[the pixel at `source`], if there is one."""
    if element >= 0:
        for c in range(channels):
            dx[element + c] += weight * dy[source + c]


@inline
def _spread_row(dy, dx, start, size, m, i, bilinear, mode):
    height, width, channels = size
    one = dy.dtype.type(1)
    for j in range(width):
        at_x, at_y = i * m[1] + m[2] + j * m[0], i * m[4] + m[5] + j * m[3]
        source = start + (i * width + j) * channels
        if bilinear == 0:
            row, column = _extended(_rounded(at_y), height, mode), _extended(_rounded(at_x), width, mode)
            _add(dy, dx, source, _element(start, row, column, size), channels, one)
            continue
        top, bottom = _extended(at_y >> _SHIFT, height, mode), _extended((at_y >> _SHIFT) + 1, height, mode)
        left, right = _extended(at_x >> _SHIFT, width, mode), _extended((at_x >> _SHIFT) + 1, width, mode)
        x, y = _fraction(at_x, dy), _fraction(at_y, dy)
        _add(dy, dx, source, _element(start, top, left, size), channels, (one - y) * (one - x))
        _add(dy, dx, source, _element(start, top, right, size), channels, (one - y) * x)
        _add(dy, dx, source, _element(start, bottom, left, size), channels, y * (one - x))
        _add(dy, dx, source, _element(start, bottom, right, size), channels, y * x)


@inline
def _spread_chunk(chunk, dy, dx, matrix, chunks, size, bilinear, mode):
    image_size = size.height * size.width * size.channels
    first, last = images_of(chunks, chunk)
    for image in range(first, last):
        m = matrix[6 * image : 6 * image + 6]
        fill(dx, image * image_size, image_size, 0)
        for i in range(size.height):
            _spread_row(dy, dx, image * image_size, size, m, i, bilinear, mode)


@parallel_kernel
def _warp_backward(pool, dy, dx, matrix, chunks, size, bilinear, mode):
    in_parallel(pool, chunks.count, _spread_chunk, (dy, dx, matrix, chunks, size, bilinear, mode))
