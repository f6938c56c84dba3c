"""Images seen through a matrix each, and the random numbers that it is made of."""

import numpy as np

from minicnn.backends.cupy.launch import launch_over

FILL_MODES = ("constant", "nearest", "reflect", "wrap")  # enum Fill in augmentation.cu


def warp(x, matrix, y, bilinear, fill_mode, fill_value):
    """y[n, i, j] = x[n] at the place matrix[n] · (j, i, 1) = (column, row), which lies between pixels.

    Parameters
    ----------
    x, y : (N, H, W, C)
    matrix : (N, 2, 3) float64
    bilinear : bool
        Whether the four pixels around the place are mixed; else the nearest counts.
    fill_mode : {"constant", "nearest", "reflect", "wrap"}
        Which pixel stands for one outside.
    fill_value : float
        For "constant".
    """
    arguments = x, matrix, y, *_numbers(x, bilinear, fill_mode), x.dtype.type(fill_value)
    launch_over(y.size, "augmentation", "warp", x.dtype, *arguments)


def warp_backward(dy, matrix, dx, bilinear, fill_mode):
    """dx[each pixel that is read] += its weight · dy[the pixel that reads it]."""
    dx.fill(0)
    arguments = dy, matrix, dx, *_numbers(dx, bilinear, fill_mode)
    launch_over(len(dx) * dx.shape[-1], "augmentation", "warp_gradient", dx.dtype, *arguments)


def _numbers(images, bilinear, fill_mode):
    """Shape and sampling, as the kernels take them."""
    return [np.int32(n) for n in (*images.shape, bilinear, FILL_MODES.index(fill_mode))]
