"""The dense layer: a convolution of images of one pixel."""

from minicnn.backends.cupy.convolution import conv2d, conv2d_backward
from minicnn.backends.cupy.launch import Array, Maybe
from minicnn.geometry import Window

PIXEL = Window(in_height=1, in_width=1, kernel_height=1, kernel_width=1)


def dense(x: Array, kernel: Array, bias: Maybe, y: Array, relu: bool = False) -> None:
    """See `minicnn.backends.reference.dense.dense`."""
    conv2d(_pixels(x), _taps(kernel), bias, _pixels(y), PIXEL, 1, relu)


def dense_backward(
    x: Array, kernel: Array, y: Maybe, dy: Array, dx: Maybe, dkernel: Maybe, dbias: Maybe, relu: bool = False
) -> None:
    """See `minicnn.backends.reference.dense.dense_backward`."""
    y, dx, dkernel = _pixels(y), _pixels(dx), _taps(dkernel)
    conv2d_backward(_pixels(x), _taps(kernel), y, _pixels(dy), dx, dkernel, dbias, PIXEL, 1, relu)


def _pixels(rows):
    """(N, C) as (N, 1, 1, C)."""
    return None if rows is None else rows.reshape(len(rows), 1, 1, -1)


def _taps(matrix):
    """(I, O) as (1, 1, I, O)."""
    return None if matrix is None else matrix.reshape(1, 1, *matrix.shape)
