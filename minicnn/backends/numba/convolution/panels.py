"""Convolution with many filters, whose kernel's rows are long: side by side, some columns of it serve a whole batch.

Long rows lie in pages of their own, or all in the same few lines of a cache. Where a network ends, pixels are few and
kernels have megabytes: `direct.py`, which goes through a kernel for each image, waits for it. Here a task has some
filters. What it multiplies by is copied side by side, a panel, which stays in the first cache while the windows of all
images pass. A result has the same bits as there.
"""

from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.convolution.direct import bias_or_zeros, convolution, product_time
from minicnn.backends.numba.machine.batch import copy_in, is_framed
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import filled, pack, part_of, scratch
from minicnn.backends.numba.machine.offsets import Frame, input_frame, strides, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import WIDTH, lanes
from minicnn.geometry import Window

_VECTORS = 2 * WIDTH  # of a panel's columns: two blocks of registers or a wide one, which read the windows once
_ROWS = 256  # of a panel, which then has up to 64 KiB: those of two vectors stay in the first cache
_LEAST_TASKS = 16
_MOST_FRAMED = 2 << 20  # numbers of images in frames, which are as many at a time


class Panels(NamedTuple):
    """How the work is cut."""

    width: int  # columns of a panel
    count: int  # of them in a row of the kernel
    rows: np.ndarray  # first element of every row of the kernel, if a panel had all
    together: int  # images
    parts: int  # of these: with few columns, there would be fewer tasks than cores


@table_cache
def _panels(images: int, frame: Frame, height: int, filters: int, itemsize: int) -> Panels:
    width = _VECTORS * lanes(itemsize)
    is_whole = frame.size == frame.rows * frame.row_size  # nothing is copied into frames
    together = images if is_whole else max(1, min(images, _MOST_FRAMED // frame.size))
    count = -(-filters // width)
    parts = min(max(2, _LEAST_TASKS // count), together)
    return Panels(width, count, strides(height, width), together, parts)


def conv2d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray, window: Window, relu: bool
) -> None:
    """`minicnn.backends.reference.convolution.conv2d` for one group."""
    frame, conv = input_frame(window, x.shape[-1]), convolution(window, *kernel.shape[-2:])
    arrays = x.reshape(-1), kernel.reshape(-1), bias_or_zeros(bias, y), y.reshape(-1)
    tables = frame, conv, _panels(len(x), frame, conv.kernel_height, conv.filters, x.itemsize)
    _conv2d.launch(product_time(x, kernel, window), *arrays, relu, *tables)


class _Images(NamedTuple):
    """Images in their frames, or as they are."""

    array: np.ndarray
    start: int
    size: int  # elements from one to the next


@inline
def _frame_image(n, x, first, frame, padded):
    start = (first + n) * frame.rows * frame.row_size
    copy_in(frame, x, start, part_of(padded, n * frame.size, frame.size))


@inline
def _some_filters(task, images, count, kernel, bias, y, relu, conv, t):
    """One panel's columns of the outputs of a part of the images: a thread reads what it wrote in the step before."""
    column, part = task % t.count * t.width, task // t.count
    first_image, last_image = part * count // t.parts, (part + 1) * count // t.parts
    columns, panel = min(t.width, conv.filters - column), scratch(_ROWS * t.width, kernel)
    for row in range(0, conv.kernel_height, _ROWS):
        last = min(row + _ROWS, conv.kernel_height)
        pack(kernel, row * conv.filters + column, conv.filters, last - row, columns, panel, t.width)
        for n in range(first_image, last_image):
            multiply(
                Left(images.array, images.start + n * images.size, conv.pixels, conv.taps),
                Right(panel, -row * t.width, t.rows),
                Out(y, n * conv.pixel_count * conv.filters + column, conv.y_rows),
                Span(row, last, 0, conv.pixel_count, columns, conv.tap_run),
                first=bias[column:],
                accumulate=row > 0,
                floor=floor_of(relu and last == conv.kernel_height, panel),
            )


@parallel_kernel(uses=[MULTIPLY])
def _conv2d(pool, x, kernel, bias, y, relu, frame, conv, t):
    image = conv.pixel_count * conv.filters
    total = len(y) // image
    padded = filled(t.together * frame.size if is_framed(frame) else 0, 0, x)
    for first in range(0, total, max(t.together, 1)):
        count = min(t.together, total - first)
        images = _Images(x, first * frame.size, frame.size)
        if is_framed(frame):
            in_parallel(pool, count, _frame_image, (x, first, frame, padded))
            images = _Images(padded, 0, frame.size)
        own = part_of(y, first * image, count * image)
        in_parallel(pool, t.parts * t.count, _some_filters, (images, count, kernel, bias, own, relu, conv, t))
