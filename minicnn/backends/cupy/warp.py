"""Images seen through a matrix each."""

import numpy as np

from minicnn.backends.cupy.launch import Array, launch_over
from minicnn.geometry import FILL_MODES


def warp(x: Array, matrix: Array, y: Array, bilinear: bool, fill_mode: str, fill_value: float) -> None:
    """See `minicnn.backends.reference.warp.warp`."""
    arguments = x, matrix, y, *_numbers(x, bilinear, fill_mode), x.dtype.type(fill_value)
    launch_over(y.size, "warp", "warp", x.dtype, *arguments)


def warp_backward(dy: Array, matrix: Array, dx: Array, bilinear: bool, fill_mode: str) -> None:
    """See `minicnn.backends.reference.warp.warp_backward`."""
    dx.fill(0)
    arguments = dy, matrix, dx, *_numbers(dx, bilinear, fill_mode)
    launch_over(len(dx) * dx.shape[-1], "warp", "warp_gradient", dx.dtype, *arguments)


def _numbers(images, bilinear, fill_mode):
    """Shape and sampling, as the kernels take them."""
    return [np.int32(n) for n in (*images.shape, bilinear, FILL_MODES.index(fill_mode))]
