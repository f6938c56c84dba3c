"""Reading images at other places: the affine warp of the augmentation layers, and its gradient.

A place is a whole number of 2**-32 pixels, as in the reference: `place >> 32` is the pixel before it, exactly.
"""

import numpy as np
from numba import prange

from minicnn.backends.numba.machine.batch import range_of
from minicnn.backends.numba.machine.launch import MOST_PARTS, parallel_kernel, part
from minicnn.backends.numba.machine.matrix import fill
from minicnn.backends.reference.warp import FRACTION_BITS, ONE, fixed_point
from minicnn.geometry import FILL_MODES

_NANOSECONDS, _GRADIENT_NANOSECONDS = 3, 8  # per number, that one core needs, about
_CONSTANT, _NEAREST, _REFLECT, _WRAP = (FILL_MODES.index(name) for name in ("constant", "nearest", "reflect", "wrap"))
_SHIFT = ONE.bit_length() - 1
_HALF = ONE // 2
_FRACTION_SHIFT = _SHIFT - FRACTION_BITS
_FRACTION_MASK = (1 << FRACTION_BITS) - 1
_FRACTION_UNIT = 2.0**-FRACTION_BITS


def warp(x, matrix, y, bilinear, fill_mode, fill_value):
    """See `minicnn.backends.reference.warp`."""
    parts = min(len(x), MOST_PARTS)
    _warp.run(
        _NANOSECONDS * x.size,
        x.reshape(-1), y.reshape(-1), fixed_point(matrix).reshape(-1), parts, *x.shape,
        int(bilinear), FILL_MODES.index(fill_mode), float(fill_value),
        parts=parts,
    )  # fmt: skip


def warp_backward(dy, matrix, dx, bilinear, fill_mode):
    """See `minicnn.backends.reference.warp_backward`."""
    parts = min(len(dx), MOST_PARTS)
    _warp_backward.run(
        _GRADIENT_NANOSECONDS * dx.size,
        dy.reshape(-1), dx.reshape(-1), fixed_point(matrix).reshape(-1), parts, *dx.shape,
        int(bilinear), FILL_MODES.index(fill_mode),
        parts=parts,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- places


@part
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


@part
def _rounded(place):
    """The pixel nearest to a place; of two, the one further from 0."""
    return (place + _HALF) >> _SHIFT if place >= 0 else -((_HALF - place) >> _SHIFT)


@part
def _fraction(place, like):
    """How far a place lies behind the pixel before it."""
    return like.dtype.type(np.int32((place >> _FRACTION_SHIFT) & _FRACTION_MASK)) * like.dtype.type(_FRACTION_UNIT)


@part
def _between_pixels(start, step, size, columns):
    """The run of columns j, as (first, last), with 0 <= start + step·j < size - 1 pixels: both neighbours inside."""
    limit = (size - 1) << _SHIFT
    if step == 0:
        return (0, columns) if 0 <= start < limit else (0, 0)
    if step > 0:
        first, last = -(start // step), -((start - limit) // step)
    else:
        first, last = (start - limit) // -step + 1, start // -step + 1
    first = min(max(first, 0), columns)
    return first, max(first, min(last, columns))


@part
def _element(start, row, column, width, channels):
    """Number of the first element of a pixel, -1 for the fill value."""
    return -1 if row < 0 or column < 0 else start + (row * width + column) * channels


# --------------------------------------------------------------------------------------------------- forward
# `start` is the image's first element, m holds the six entries of its matrix. Numbers of elements are unsigned, since
# Numba looks whether signed ones count from the end; and functions hold loops, since a call for every pixel takes
# longer than the pixel.


@part
def _inner_pixels(x, y, start, width, channels, m, i, first, last):
    """The pixels `first` … `last` of row i, each from four that are all inside."""
    step_x, place_x, step_y, place_y = m[0], i * m[1] + m[2], m[3], i * m[4] + m[5]
    target, row_size = start + i * width * channels, width * channels
    for j in range(first, last):
        at_x, at_y = place_x + j * step_x, place_y + j * step_y
        before = start + (at_y >> _SHIFT) * row_size + (at_x >> _SHIFT) * channels
        weight_x, weight_y = _fraction(at_x, x), _fraction(at_y, x)
        for c in range(channels):
            a, b = x[np.uint64(before + c)], x[np.uint64(before + c + channels)]
            above = a + weight_x * (b - a)
            a, b = x[np.uint64(before + c + row_size)], x[np.uint64(before + c + row_size + channels)]
            y[np.uint64(target + j * channels + c)] = above + weight_y * (a + weight_x * (b - a) - above)


@part
def _read(x, element, c, fill_value):
    return fill_value if element < 0 else x[np.uint64(element + c)]


@part
def _edge_pixels(x, y, start, height, width, channels, m, i, first, last, mode, fill_value):
    """The pixels of row i before `first` and from `last` on, each from four of which some may be outside."""
    step_x, place_x, step_y, place_y = m[0], i * m[1] + m[2], m[3], i * m[4] + m[5]
    target = start + i * width * channels
    for number in range(width - (last - first)):
        j = number if number < first else number + last - first
        at_x, at_y = place_x + j * step_x, place_y + j * step_y
        row, column = at_y >> _SHIFT, at_x >> _SHIFT
        if mode == _CONSTANT and (row < -1 or row >= height or column < -1 or column >= width):
            for c in range(channels):
                y[np.uint64(target + j * channels + c)] = fill_value
            continue
        top, bottom = _extended(row, height, mode), _extended(row + 1, height, mode)
        left, right = _extended(column, width, mode), _extended(column + 1, width, mode)
        above_a = _element(start, top, left, width, channels)
        above_b = _element(start, top, right, width, channels)
        below_a = _element(start, bottom, left, width, channels)
        below_b = _element(start, bottom, right, width, channels)
        weight_x, weight_y = _fraction(at_x, x), _fraction(at_y, x)
        for c in range(channels):
            a, b = _read(x, above_a, c, fill_value), _read(x, above_b, c, fill_value)
            above = a + weight_x * (b - a)
            a, b = _read(x, below_a, c, fill_value), _read(x, below_b, c, fill_value)
            y[np.uint64(target + j * channels + c)] = above + weight_y * (a + weight_x * (b - a) - above)


@part
def _bilinear_row(x, y, start, height, width, channels, m, i, mode, fill_value):
    first, last = _between_pixels(i * m[1] + m[2], m[0], width, width)
    first_y, last_y = _between_pixels(i * m[4] + m[5], m[3], height, width)
    first, last = max(first, first_y), min(last, last_y)
    if last <= first:
        first = last = width
    _edge_pixels(x, y, start, height, width, channels, m, i, first, last, mode, fill_value)
    if channels == 1:  # so that the loop over the channels unrolls
        _inner_pixels(x, y, start, width, 1, m, i, first, last)
    elif channels == 3:
        _inner_pixels(x, y, start, width, 3, m, i, first, last)
    else:
        _inner_pixels(x, y, start, width, channels, m, i, first, last)


@part
def _nearest_row(x, y, start, height, width, channels, m, i, mode, fill_value):
    step_x, place_x, step_y, place_y = m[0], i * m[1] + m[2], m[3], i * m[4] + m[5]
    target = start + i * width * channels
    for j in range(width):
        row = _extended(_rounded(place_y + j * step_y), height, mode)
        column = _extended(_rounded(place_x + j * step_x), width, mode)
        element = _element(start, row, column, width, channels)
        for c in range(channels):
            y[np.uint64(target + j * channels + c)] = _read(x, element, c, fill_value)


@part
def _warp_image(x, y, start, height, width, channels, m, bilinear, mode, fill_value):
    for i in range(height):
        if bilinear == 1:
            _bilinear_row(x, y, start, height, width, channels, m, i, mode, fill_value)
        else:
            _nearest_row(x, y, start, height, width, channels, m, i, mode, fill_value)


@parallel_kernel
def _warp(x, y, matrix, parts, images, height, width, channels, bilinear, mode, fill_value):
    value = x.dtype.type(fill_value)
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        for image in range(first, last):
            start, m = image * height * width * channels, matrix[6 * image : 6 * image + 6]
            _warp_image(x, y, start, height, width, channels, m, bilinear, mode, value)


# -------------------------------------------------------------------------------------------------- gradient


@part
def _add(dy, dx, source, element, channels, weight):
    """dx[the pixel at `element`] += weight · dy[the pixel at `source`], if there is one."""
    if element >= 0:
        for c in range(channels):
            dx[element + c] += weight * dy[source + c]


@part
def _spread_row(dy, dx, start, height, width, channels, m, i, bilinear, mode):
    one = dy.dtype.type(1)
    for j in range(width):
        at_x, at_y = i * m[1] + m[2] + j * m[0], i * m[4] + m[5] + j * m[3]
        source = start + (i * width + j) * channels
        if bilinear == 0:
            row, column = _extended(_rounded(at_y), height, mode), _extended(_rounded(at_x), width, mode)
            _add(dy, dx, source, _element(start, row, column, width, channels), channels, one)
            continue
        top, bottom = _extended(at_y >> _SHIFT, height, mode), _extended((at_y >> _SHIFT) + 1, height, mode)
        left, right = _extended(at_x >> _SHIFT, width, mode), _extended((at_x >> _SHIFT) + 1, width, mode)
        x, y = _fraction(at_x, dy), _fraction(at_y, dy)
        _add(dy, dx, source, _element(start, top, left, width, channels), channels, (one - y) * (one - x))
        _add(dy, dx, source, _element(start, top, right, width, channels), channels, (one - y) * x)
        _add(dy, dx, source, _element(start, bottom, left, width, channels), channels, y * (one - x))
        _add(dy, dx, source, _element(start, bottom, right, width, channels), channels, y * x)


@parallel_kernel
def _warp_backward(dy, dx, matrix, parts, images, height, width, channels, bilinear, mode):
    size = height * width * channels
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        for image in range(first, last):
            m = matrix[6 * image : 6 * image + 6]
            fill(dx, image * size, size, 0)
            for i in range(height):
                _spread_row(dy, dx, image * size, height, width, channels, m, i, bilinear, mode)
