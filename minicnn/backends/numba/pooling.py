"""Max and average pooling and their gradients."""

import numpy as np
from numba import prange

from minicnn.backends import reference
from minicnn.backends.numba import tables
from minicnn.backends.numba.frames import copy_out, frame_scratch, framed_image, is_framed
from minicnn.backends.numba.launch import parallel_kernel, part
from minicnn.backends.numba.matrix import fill
from minicnn.backends.numba.simd import lanes_of, pool_vector
from minicnn.backends.numba.tables import flat_or_absent as _flat
from minicnn.geometry import Window

_MOST_PARTS = 32  # of a batch
_MOST_TAPS = 254  # winners are bytes, and one of them means "ReLU is off"


def max_pool2d(x, y, winner, window: Window):
    """See `minicnn.backends.reference.max_pool2d`."""
    if window.taps > _MOST_TAPS:
        return reference.max_pool2d(x, y, winner, window)
    channels = x.shape[-1]
    _max_pool2d(
        x.reshape(-1), y.reshape(-1), _flat(winner, np.uint8), len(x), channels, tables.input_frame(window, channels),
        *tables.pool_cells(window, channels),
    )  # fmt: skip


def max_pool2d_backward(dy, winner, dx, window: Window):
    """See `minicnn.backends.reference.max_pool2d_backward`."""
    if dx is None:
        return
    if window.taps > _MOST_TAPS:
        reference.max_pool2d_backward(dy, winner, dx, window)
        return
    channels = dx.shape[-1]
    _max_pool2d_backward(
        dy.reshape(-1), winner.reshape(-1), dx.reshape(-1), len(dx), channels, tables.input_frame(window, channels),
        *tables.pool_cells(window, channels),
    )  # fmt: skip


def avg_pool2d(x, y, window: Window):
    """See `minicnn.backends.reference.avg_pool2d`."""
    channels = x.shape[-1]
    _avg_pool2d(
        x.reshape(-1), y.reshape(-1), len(x), channels, tables.input_frame(window, channels),
        *tables.pool_cells(window, channels), tables.pixel_shares(window),
    )  # fmt: skip


def avg_pool2d_backward(dy, dx, window: Window):
    """See `minicnn.backends.reference.avg_pool2d_backward`."""
    if dx is None:
        return
    channels = dx.shape[-1]
    _avg_pool2d_backward(
        dy.reshape(-1), dx.reshape(-1), len(dx), channels, tables.input_frame(window, channels),
        *tables.pool_cells(window, channels), tables.pixel_shares(window),
    )  # fmt: skip


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
def _max_pool2d_part(x, y, winner, first, last, channels, frame, cells, taps):
    padded = frame_scratch(frame, -np.inf, x)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        pool_cells(source, start, cells, taps, channels, y, winner, image * len(cells) * channels, False)


@parallel_kernel
def _max_pool2d(x, y, winner, images, channels, frame, cells, taps):
    parts = min(images, _MOST_PARTS)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _max_pool2d_part(x, y, winner, first, last, channels, frame, cells, taps)


@part
def _gradient_image(frame, dx, image, padded):
    """(array, start) of the zeroed, padded gradient of one image: its place in dx if there is no padding."""
    size = frame[0] * frame[1]
    if is_framed(frame):
        fill(padded, 0, len(padded), 0)
        return padded, 0
    fill(dx, image * size, size, 0)
    return dx, image * size


@part
def _max_pool2d_backward_part(dy, winner, dx, first, last, channels, frame, cells, taps):
    padded = frame_scratch(frame, 0, dx)
    for image in range(first, last):
        target, start = _gradient_image(frame, dx, image, padded)
        place = image * len(cells) * channels
        for cell in cells:
            for c in range(channels):
                tap = winner[place + c]
                if tap < len(taps):
                    target[start + cell + taps[tap] + c] += dy[place + c]
            place += channels
        if is_framed(frame):
            copy_out(frame, padded, dx, image * frame[0] * frame[1])


@parallel_kernel
def _max_pool2d_backward(dy, winner, dx, images, channels, frame, cells, taps):
    parts = min(images, _MOST_PARTS)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _max_pool2d_backward_part(dy, winner, dx, first, last, channels, frame, cells, taps)


@part
def _avg_pool2d_part(x, y, first, last, channels, frame, cells, taps, shares):
    padded = frame_scratch(frame, 0, x)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        for cell in range(len(cells)):
            place, share = (image * len(cells) + cell) * channels, y.dtype.type(shares[cell])
            fill(y, place, channels, 0)
            for tap in taps:
                pixel = start + cells[cell] + tap
                for c in range(channels):
                    y[place + c] += source[pixel + c]
            for c in range(channels):
                y[place + c] *= share


@parallel_kernel
def _avg_pool2d(x, y, images, channels, frame, cells, taps, shares):
    parts = min(images, _MOST_PARTS)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _avg_pool2d_part(x, y, first, last, channels, frame, cells, taps, shares)


@part
def _avg_pool2d_backward_part(dy, dx, first, last, channels, frame, cells, taps, shares):
    padded = frame_scratch(frame, 0, dx)
    for image in range(first, last):
        target, start = _gradient_image(frame, dx, image, padded)
        for cell in range(len(cells)):
            place, share = (image * len(cells) + cell) * channels, dx.dtype.type(shares[cell])
            for tap in taps:
                pixel = start + cells[cell] + tap
                for c in range(channels):
                    target[pixel + c] += share * dy[place + c]
        if is_framed(frame):
            copy_out(frame, padded, dx, image * frame[0] * frame[1])


@parallel_kernel
def _avg_pool2d_backward(dy, dx, images, channels, frame, cells, taps, shares):
    parts = min(images, _MOST_PARTS)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _avg_pool2d_backward_part(dy, dx, first, last, channels, frame, cells, taps, shares)
