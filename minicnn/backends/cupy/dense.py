"""The dense layer: kernels of its own for small batches, else a convolution of images of one pixel."""

import numpy as np

from minicnn.backends.cupy.convolution import conv2d, conv2d_backward
from minicnn.backends.cupy.gather import gathers
from minicnn.backends.cupy.launch import Array, Maybe, launch, most_shared_memory
from minicnn.geometry import Window

PIXEL = Window(in_height=1, in_width=1, kernel_height=1, kernel_width=1)
MOST_PRODUCTS = 2**23  # multiplications, up to which the kernels of dense.cu serve
ROWS, COLUMNS, WARPS = 4, 32, 8  # of a block, forward; of a block, backward
MOST_ROWS = 65535 * ROWS  # of which the grid has blocks
MOST_CLASSES = 32  # of `dense_classes`


def dense(x: Array, kernel: Array, bias: Maybe, y: Array, relu: bool = False) -> None:
    """See `minicnn.backends.reference.dense.dense`."""
    gathers.do()
    if not _serves(x, kernel):
        conv2d(_pixels(x), _taps(kernel), bias, _pixels(y), PIXEL, 1, relu)
        return
    grid = -(-kernel.shape[1] // COLUMNS), -(-len(x) // ROWS)
    warps, shared = _forward_block(len(kernel))
    numbers = *_sizes(x, kernel), np.int32(relu)
    launch("dense", "dense", x.dtype, grid, warps * 32, x, kernel, bias, y, *numbers, shared=shared)


def _serves(x, kernel):
    is_small = len(x) * kernel.size <= MOST_PRODUCTS and len(x) <= MOST_ROWS
    return x.dtype == np.float32 and is_small and _shared(kernel) <= most_shared_memory()


def _shared(kernel):
    """Bytes of shared memory that all directions get along with."""
    return max(_forward_block(len(kernel))[1], _backward_shared(kernel.shape[1]))


def _forward_block(inner):
    """(warps of a block, bytes of its shared memory)."""
    warps = 8 if inner <= 128 else 16 if inner <= 512 else 32
    share = (inner + 8 * warps - 1) // (8 * warps) * 8  # terms of a warp
    return warps, 4 * ROWS * warps * (32 + share)


def _backward_shared(outer):
    return 4 * (32 * WARPS * WARPS + outer * WARPS + 32 * (outer | 1))


def _sizes(x, kernel):
    return np.int32(len(x)), np.int32(kernel.shape[0]), np.int32(kernel.shape[1])


def dense_backward(
    x: Array, kernel: Array, y: Maybe, dy: Array, dx: Maybe, dkernel: Maybe, dbias: Maybe, relu: bool = False
) -> None:
    """See `minicnn.backends.reference.dense.dense_backward`."""
    has_dx_alone = dx is not None and dkernel is dbias is None
    if (dkernel is None and not has_dx_alone) or not _serves(x, kernel):
        y, dx, dkernel = _pixels(y), _pixels(dx), _taps(dkernel)
        conv2d_backward(_pixels(x), _taps(kernel), y, _pixels(dy), dx, dkernel, dbias, PIXEL, 1, relu)
        return
    rows, (inner, outer) = len(x), kernel.shape
    dx_blocks = 0 if dx is None else -(-rows // WARPS) * -(-inner // 32)
    blocks = dx_blocks + (0 if has_dx_alone else -(-inner // WARPS) * -(-outer // 32))
    arrays = x, kernel, y if relu else None, dy, dx, dkernel, dbias
    numbers = *_sizes(x, kernel), np.int32(dx_blocks)
    shared = _backward_shared(outer)
    launch("dense", "dense_backward", x.dtype, (blocks,), WARPS * 32, *arrays, *numbers, shared=shared)


def serves_classes(x: Array, kernel: Array) -> bool:
    """Whether `dense_classes` computes a last layer."""
    return kernel.shape[1] <= MOST_CLASSES and _serves(x, kernel)


def dense_classes(x: Array, kernel: Array, bias: Maybe, labels: Array, weight: Maybe, *outputs: Array) -> None:
    """A dense layer, softmax, and the cross-entropy of class numbers, its mean's gradient too.

    Parameters
    ----------
    x : (N, I)
    kernel : (I, C)
    bias : (C,) or None
    labels : (N,) int64
    weight : (N,) float64, or None
        What each row counts.
    *outputs : written
        Logits (N, C), probabilities (N, C), each row's loss times its weight (N,), whether its largest probability is
        its class's (N,) uint8, and the gradient of the logits by the sum of these losses / N, (N, C).
    """
    warps, shared = _forward_block(len(kernel))
    arguments = x, kernel, bias, labels, weight, *outputs, *_sizes(x, kernel)
    launch("dense", "dense_classes", x.dtype, (1, -(-len(x) // ROWS)), warps * 32, *arguments, shared=shared)


def _pixels(rows):
    """(N, C) as (N, 1, 1, C)."""
    return None if rows is None else rows.reshape(len(rows), 1, 1, -1)


def _taps(matrix):
    """(I, O) as (1, 1, I, O)."""
    return None if matrix is None else matrix.reshape(1, 1, *matrix.shape)
