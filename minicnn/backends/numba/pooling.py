"""Max and average pooling and their gradients."""

import numpy as np
from numba import prange

from minicnn.backends.numba.machine import offsets as tables
from minicnn.backends.numba.machine.batch import copy_out, frame_scratch, framed_image, is_framed, range_of
from minicnn.backends.numba.machine.launch import MOST_PARTS, parallel_kernel, part
from minicnn.backends.numba.machine.matrix import fill
from minicnn.backends.numba.machine.offsets import flat_or_absent as _flat
from minicnn.backends.numba.machine.vectors import lanes_of, pool_vector
from minicnn.backends.reference import ops as reference
from minicnn.geometry import MAX_TAPS, Window

# Nanoseconds that one core needs, about.
_MAX_TIME = 0.2  # per tap
_MAX_GRADIENT_TIME = 2.5  # per winner
_AVERAGE_TIME = 1.2  # per tap, and for its gradient


def max_pool2d(x, y, winner, window: Window):
    """See `minicnn.backends.reference.max_pool2d`."""
    if window.taps > MAX_TAPS:
        return reference.max_pool2d(x, y, winner, window)
    parts = min(len(x), MOST_PARTS)
    _max_pool2d.run(
        _MAX_TIME * y.size * window.taps,
        x.reshape(-1), y.reshape(-1), _flat(winner, np.uint8), len(x), parts, *_tables(window, x),
        parts=parts,
    )  # fmt: skip


def max_pool2d_backward(dy, winner, dx, window: Window):
    """See `minicnn.backends.reference.max_pool2d_backward`."""
    if dx is None:
        return
    if window.taps > MAX_TAPS:
        reference.max_pool2d_backward(dy, winner, dx, window)
        return
    parts = min(len(dx), MOST_PARTS)
    _max_pool2d_backward.run(
        _MAX_GRADIENT_TIME * dy.size,
        dy.reshape(-1), winner.reshape(-1), dx.reshape(-1), len(dx), parts, *_tables(window, dx),
        parts=parts,
    )  # fmt: skip


def avg_pool2d(x, y, window: Window):
    """See `minicnn.backends.reference.avg_pool2d`."""
    parts = min(len(x), MOST_PARTS)
    _avg_pool2d.run(
        _AVERAGE_TIME * y.size * window.taps,
        x.reshape(-1), y.reshape(-1), len(x), parts, *_tables(window, x), tables.pixel_shares(window),
        parts=parts,
    )  # fmt: skip


def avg_pool2d_backward(dy, dx, window: Window):
    """See `minicnn.backends.reference.avg_pool2d_backward`."""
    if dx is None:
        return
    parts = min(len(dx), MOST_PARTS)
    _avg_pool2d_backward.run(
        _AVERAGE_TIME * dy.size * window.taps,
        dy.reshape(-1), dx.reshape(-1), len(dx), parts, *_tables(window, dx), tables.pixel_shares(window),
        parts=parts,
    )  # fmt: skip


def _tables(window, x):
    """The frame of an image of `x`, and the tables of its cells."""
    return tables.input_frame(window, x.shape[-1]), tables.pool_cells(window, x.shape[-1])


@part
def pool_cells(images, start, cells, taps, channels, y, winner, place, relu):
    """y, winner = the maximum of each cell and its tap, from element number `place` on; cells count from `start`."""
    lane_count = lanes_of(images)
    for cell in cells:
        for column in range(0, channels, lane_count):
            left = channels - column
            first = start + cell + column
            if len(taps) == 4:
                pool_vector(images, first, taps, 4, y, winner, place + column, len(winner) > 0, relu, left)
            else:
                pool_vector(images, first, taps, len(taps), y, winner, place + column, len(winner) > 0, relu, left)
        place += channels


@part
def _max_pool2d_part(x, y, winner, first, last, frame, t):
    padded = frame_scratch(frame, -np.inf, x)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        place = image * len(t.cells) * t.channels
        pool_cells(source, start, t.cells, t.taps, t.channels, y, winner, place, False)


@parallel_kernel
def _max_pool2d(x, y, winner, images, parts, frame, t):
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        _max_pool2d_part(x, y, winner, first, last, frame, t)


@part
def _gradient_image(frame, dx, image, padded):
    """(array, start) of the zeroed, padded gradient of one image: its place in dx if there is no padding."""
    size = frame.rows * frame.row_size
    if is_framed(frame):
        fill(padded, 0, len(padded), 0)
        return padded, 0
    fill(dx, image * size, size, 0)
    return dx, image * size


@part
def _max_pool2d_backward_part(dy, winner, dx, first, last, frame, t):
    padded = frame_scratch(frame, 0, dx)
    for image in range(first, last):
        target, start = _gradient_image(frame, dx, image, padded)
        place = image * len(t.cells) * t.channels
        for cell in t.cells:
            for c in range(t.channels):
                tap = winner[place + c]
                if tap < len(t.taps):
                    target[start + cell + t.taps[tap] + c] += dy[place + c]
            place += t.channels
        if is_framed(frame):
            copy_out(frame, padded, dx, image * frame.rows * frame.row_size)


@parallel_kernel
def _max_pool2d_backward(dy, winner, dx, images, parts, frame, t):
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        _max_pool2d_backward_part(dy, winner, dx, first, last, frame, t)


@part
def _pixel(images, start, t):
    return images[start : start + t.channels]


@part
def _avg_pool2d_part(x, y, first, last, frame, t, shares):
    padded = frame_scratch(frame, 0, x)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        for cell in range(len(t.cells)):
            place, share = (image * len(t.cells) + cell) * t.channels, y.dtype.type(shares[cell])
            mean = y[place : place + t.channels]
            fill(mean, 0, t.channels, 0)
            for tap in t.taps:
                pixel = _pixel(source, start + t.cells[cell] + tap, t)
                for c in range(t.channels):
                    mean[c] += pixel[c]
            for c in range(t.channels):
                mean[c] *= share


@parallel_kernel
def _avg_pool2d(x, y, images, parts, frame, t, shares):
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        _avg_pool2d_part(x, y, first, last, frame, t, shares)


@part
def _avg_pool2d_backward_part(dy, dx, first, last, frame, t, shares):
    padded = frame_scratch(frame, 0, dx)
    for image in range(first, last):
        target, start = _gradient_image(frame, dx, image, padded)
        for cell in range(len(t.cells)):
            place, share = (image * len(t.cells) + cell) * t.channels, dx.dtype.type(shares[cell])
            gradient = dy[place : place + t.channels]
            for tap in t.taps:
                pixel = _pixel(target, start + t.cells[cell] + tap, t)
                for c in range(t.channels):
                    pixel[c] += share * gradient[c]
        if is_framed(frame):
            copy_out(frame, padded, dx, image * frame.rows * frame.row_size)


@parallel_kernel
def _avg_pool2d_backward(dy, dx, images, parts, frame, t, shares):
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        _avg_pool2d_backward_part(dy, dx, first, last, frame, t, shares)
