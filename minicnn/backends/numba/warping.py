"""Reading images at other places: the affine warp of the augmentation layers, and its gradient.

A place is a whole number of 2**-32 pixels, as in the reference: `place >> 32` is the pixel before it, exactly.
"""

from numba import prange

from minicnn.backends.numba.frames import range_of
from minicnn.backends.numba.launch import MOST_PARTS, parallel_kernel, part
from minicnn.backends.numba.matrix import fill
from minicnn.backends.reference import FILL_MODES, FRACTION_BITS, ONE, fixed_point

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
    return like.dtype.type((place >> _FRACTION_SHIFT) & _FRACTION_MASK) * like.dtype.type(_FRACTION_UNIT)


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


# --------------------------------------------------------------------------------------------------- forward


@part
def _mix(x, y, start, row_size, channels, place_x, place_y, target):
    """One pixel, from four that are all inside."""
    before = start + (place_y >> _SHIFT) * row_size + (place_x >> _SHIFT) * channels
    weight_x, weight_y = _fraction(place_x, x), _fraction(place_y, x)
    for c in range(channels):
        above, below = before + c, before + row_size + c
        top = x[above] + weight_x * (x[above + channels] - x[above])
        bottom = x[below] + weight_x * (x[below + channels] - x[below])
        y[target + c] = top + weight_y * (bottom - top)


@part
def _read(x, start, row, column, row_size, channels, c, fill_value):
    return fill_value if row < 0 or column < 0 else x[start + row * row_size + column * channels + c]


@part
def _mix_at_edge(x, y, start, height, width, channels, place_x, place_y, target, mode, fill_value):
    """One pixel, from four of which some may be outside."""
    row, column, row_size = place_y >> _SHIFT, place_x >> _SHIFT, width * channels
    top, bottom = _extended(row, height, mode), _extended(row + 1, height, mode)
    left, right = _extended(column, width, mode), _extended(column + 1, width, mode)
    weight_x, weight_y = _fraction(place_x, x), _fraction(place_y, x)
    for c in range(channels):
        a = _read(x, start, top, left, row_size, channels, c, fill_value)
        b = _read(x, start, top, right, row_size, channels, c, fill_value)
        above = a + weight_x * (b - a)
        a = _read(x, start, bottom, left, row_size, channels, c, fill_value)
        b = _read(x, start, bottom, right, row_size, channels, c, fill_value)
        y[target + c] = above + weight_y * (a + weight_x * (b - a) - above)


@part
def _bilinear_row(x, y, start, height, width, channels, entries, place_x, place_y, target, mode, fill_value):
    """One row of an image; `place_x`, `place_y` is what its first pixel reads."""
    step_x, step_y = entries[0], entries[3]
    first, last = _between_pixels(place_x, step_x, width, width)
    other_first, other_last = _between_pixels(place_y, step_y, height, width)
    first, last = max(first, other_first), min(last, other_last)
    if last <= first:
        first = last = width
    for j in range(first):
        at_x, at_y = place_x + j * step_x, place_y + j * step_y
        _mix_at_edge(x, y, start, height, width, channels, at_x, at_y, target + j * channels, mode, fill_value)
    for j in range(first, last):
        at_x, at_y = place_x + j * step_x, place_y + j * step_y
        _mix(x, y, start, width * channels, channels, at_x, at_y, target + j * channels)
    for j in range(last, width):
        at_x, at_y = place_x + j * step_x, place_y + j * step_y
        _mix_at_edge(x, y, start, height, width, channels, at_x, at_y, target + j * channels, mode, fill_value)


@part
def _nearest_row(x, y, start, height, width, channels, entries, place_x, place_y, target, mode, fill_value):
    for j in range(width):
        row = _extended(_rounded(place_y + j * entries[3]), height, mode)
        column = _extended(_rounded(place_x + j * entries[0]), width, mode)
        for c in range(channels):
            y[target + c] = _read(x, start, row, column, width * channels, channels, c, fill_value)
        target += channels


@part
def _warp_image(x, y, start, entries, height, width, channels, bilinear, mode, fill_value):
    for i in range(height):
        target = start + i * width * channels
        place_x, place_y = i * entries[1] + entries[2], i * entries[4] + entries[5]
        if bilinear == 1:
            _bilinear_row(x, y, start, height, width, channels, entries, place_x, place_y, target, mode, fill_value)
        else:
            _nearest_row(x, y, start, height, width, channels, entries, place_x, place_y, target, mode, fill_value)


@parallel_kernel
def _warp(x, y, matrix, parts, images, height, width, channels, bilinear, mode, fill_value):
    value = x.dtype.type(fill_value)
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        for image in range(first, last):
            start, entries = image * height * width * channels, matrix[6 * image : 6 * image + 6]
            if channels == 1:  # so that the loop over the channels unrolls
                _warp_image(x, y, start, entries, height, width, 1, bilinear, mode, value)
            elif channels == 3:
                _warp_image(x, y, start, entries, height, width, 3, bilinear, mode, value)
            else:
                _warp_image(x, y, start, entries, height, width, channels, bilinear, mode, value)


# -------------------------------------------------------------------------------------------------- gradient


@part
def _spread(dy, dx, source, start, row, column, width, channels, weight):
    """dx[row, column] += weight · dy[source], if it is inside."""
    if row >= 0 and column >= 0:
        pixel = start + (row * width + column) * channels
        for c in range(channels):
            dx[pixel + c] += weight * dy[source + c]


@part
def _spread_pixel(dy, dx, source, start, height, width, channels, place_x, place_y, bilinear, mode):
    if bilinear == 0:
        row, column = _extended(_rounded(place_y), height, mode), _extended(_rounded(place_x), width, mode)
        _spread(dy, dx, source, start, row, column, width, channels, dy.dtype.type(1))
        return
    weight_x, weight_y = _fraction(place_x, dy), _fraction(place_y, dy)
    for down in range(2):
        row = _extended((place_y >> _SHIFT) + down, height, mode)
        weight = weight_y if down else 1 - weight_y
        for right in range(2):
            column = _extended((place_x >> _SHIFT) + right, width, mode)
            product = weight * (weight_x if right else 1 - weight_x)
            _spread(dy, dx, source, start, row, column, width, channels, dy.dtype.type(product))


@parallel_kernel
def _warp_backward(dy, dx, matrix, parts, images, height, width, channels, bilinear, mode):
    size = height * width * channels
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        for image in range(first, last):
            start, m = image * size, 6 * image
            fill(dx, start, size, 0)
            for i in range(height):
                place_x, place_y = i * matrix[m + 1] + matrix[m + 2], i * matrix[m + 4] + matrix[m + 5]
                for j in range(width):
                    at_x, at_y = place_x + j * matrix[m], place_y + j * matrix[m + 3]
                    source = start + (i * width + j) * channels
                    _spread_pixel(dy, dx, source, start, height, width, channels, at_x, at_y, bilinear, mode)
