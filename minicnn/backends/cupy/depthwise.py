"""Depthwise convolutions: a group of filters for each channel."""

import cupy
import numpy as np

from minicnn.backends.cupy.gradient_parts import Parts, give
from minicnn.backends.cupy.launch import Array, Maybe, launch
from minicnn.backends.cupy.structures import window_structure
from minicnn.geometry import Window

MOST_TAPS, MOST_REACH = 32, 256  # in a row: taps, which a thread keeps; pixels from the first to the last one
MOST_TAPS_BY_FOUR = 8  # of four channels at a time
MOST_STRIDE = 16
MOST_SUMS = {4: 9, 1: 40}  # taps whose gradients a thread adds up, by the channels that it has
STRIP, BLOCK, PADDED = 4, 128, 136  # as in depthwise.cu
MOST_PIXELS = 8  # of a strip of the gradient of the input, but for longer strides
THREADS = 256  # of the other kernels, at most
BLOCKS_WANTED = 512
LEAST_STRIPS = 2  # of a thread


def serves(kernel: Array, window: Window, groups: int) -> bool:
    """Whether this is a depthwise convolution, and none of these kernels' limits is in the way.

    Parameters
    ----------
    kernel : (KH, KW, 1, F)
    window, groups
        As of `minicnn.backends.reference.convolution.conv2d`.
    """
    reach = (window.kernel_width - 1) * window.dilation_x
    is_within = window.kernel_width <= MOST_TAPS and reach <= MOST_REACH and window.stride_x <= MOST_STRIDE
    return kernel.shape[2] == 1 and groups > 1 and is_within


def forward(x: Array, kernel: Array, bias: Maybe, y: Array, window: Window, relu: bool) -> None:
    """See `minicnn.backends.reference.convolution.conv2d`; groups are the channels."""
    arrays = x, kernel, y, *(() if bias is None else (bias,))
    filters, times = y.shape[3], y.shape[3] // x.shape[3]
    vector = _vector(window, filters, times, arrays)
    strips = -(-window.out_width // STRIP)
    grid, threads, lines = _by_rows(len(x) * window.out_height, strips * (filters // vector))
    numbers = np.int32(len(x)), np.int32(filters), np.int32(times), np.int32(relu), np.int32(lines)
    _launch("forward", vector, x.dtype, window, grid, threads, x, kernel, bias, y, *numbers)


def input_gradient(kernel: Array, mask: Maybe, dy: Array, dx: Array, window: Window) -> None:
    """dx of `minicnn.backends.reference.convolution.conv2d_backward`; `mask`: y, if there is a ReLU."""
    channels, times = dx.shape[3], dy.shape[3] // dx.shape[3]
    arrays = kernel, dy, dx, *(() if mask is None else (mask,))
    vector = _vector(window, channels, times, arrays)
    stride = window.stride_x
    strips = -(-window.in_width // max(stride, MOST_PIXELS // stride * stride))
    grid, threads, lines = _by_rows(len(dx) * window.in_height, strips * (channels // vector))
    numbers = np.int32(len(dx)), np.int32(channels), np.int32(times), np.int32(lines)
    _launch("input_gradient", vector, dx.dtype, window, grid, threads, dy, mask, kernel, dx, *numbers)


def kernel_gradient(x: Array, mask: Maybe, dy: Array, dkernel: Array, dbias: Maybe, window: Window) -> None:
    """dkernel and dbias of `minicnn.backends.reference.convolution.conv2d_backward`, maybe later: `gradient_parts`."""
    filters, times = dy.shape[3], dy.shape[3] // x.shape[3]
    vector = _vector(window, filters, times, (x, dy, *(() if mask is None else (mask,))))
    lanes = min(filters // vector, 32)
    strips = len(x) * window.out_height * -(-window.out_width // STRIP)
    rows = _tap_rows(window, vector)
    beside = -(-filters // (vector * lanes)), -(-window.kernel_height // rows)
    parts = max(1, min(BLOCKS_WANTED // (beside[0] * beside[1]), strips // (LEAST_STRIPS * (BLOCK // lanes))))
    size = dkernel.size + (0 if dbias is None else filters)
    target = cupy.empty(parts * size, x.dtype)
    numbers = np.int32(len(x)), np.int32(filters), np.int32(times), np.int32(dbias is not None), np.int32(lanes)
    shared = (rows * window.kernel_width + 1) * vector * PADDED * x.itemsize
    arrays = x, dy, mask, target
    _launch("kernel_gradient", vector, x.dtype, window, (parts, *beside), BLOCK, *arrays, *numbers, shared=shared)
    give(dkernel, Parts(target, parts, size))
    if dbias is not None:
        give(dbias, Parts(target[dkernel.size :], parts, size))


def _vector(window, channels, times, arrays) -> int:
    """How many channels a thread has."""
    is_aligned = all(array.data.ptr % 16 == 0 for array in arrays)
    is_float = arrays[0].dtype == np.float32 and window.kernel_width <= MOST_TAPS_BY_FOUR
    return 4 if is_float and is_aligned and times == 1 and channels % 4 == 0 else 1


def _tap_rows(window, vector) -> int:
    """Rows of taps whose gradients a thread adds up."""
    return min(window.kernel_height, max(1, MOST_SUMS[vector] // window.kernel_width))


def _by_rows(rows, items) -> tuple[tuple[int, int], int, int]:
    """(grid, threads, rows of a block), for so many threads' work in each of `rows` rows."""
    lines = max(1, min(THREADS // items, rows))
    threads = THREADS if lines == 1 and items > THREADS else -(-lines * items // 32) * 32
    return (-(-rows // lines), -(-items // threads) if lines == 1 else 1), threads, lines


def _launch(name, vector, dtype, window, grid, threads, *arguments, shared=0):
    """Launch a kernel, compiled for what the window is in a row."""
    row = window.kernel_width, window.stride_x, window.dilation_x, window.pad_left % window.stride_x
    size = "x".join(map(str, (*row, vector, _tap_rows(window, vector))))
    launch(f"depthwise/{size}", name, dtype, grid, threads, *arguments, window_structure(window), shared=shared)
