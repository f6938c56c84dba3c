"""Max and average pooling."""

import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, launch_over
from minicnn.backends.cupy.structures import window_structure
from minicnn.geometry import Window


def max_pool2d(x: Array, y: Array, winner: Maybe, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.max_pool2d`."""
    max_pool(x, y, winner, window, False)


def max_pool(x: Array, y: Array, winner: Maybe, window: Window, relu: bool) -> None:
    """`max_pool2d`, and ReLU if asked for."""
    numbers = np.int32(len(x)), np.int32(x.shape[-1]), np.int32(relu), window_structure(window)
    launch_over(y.size, "pooling", "max_pool", x.dtype, x, y, winner, *numbers)


def max_pool2d_backward(dy: Array, winner: Array, dx: Array, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.max_pool2d_backward`."""
    numbers = np.int32(len(dx)), np.int32(dx.shape[-1]), window_structure(window)
    launch_over(dx.size, "pooling", "max_pool_gradient", dx.dtype, dy, winner, dx, *numbers)


def avg_pool2d(x: Array, y: Array, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.avg_pool2d`."""
    numbers = np.int32(len(x)), np.int32(x.shape[-1]), window_structure(window)
    launch_over(y.size, "pooling", "average_pool", x.dtype, x, y, *numbers)


def avg_pool2d_backward(dy: Array, dx: Array, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.avg_pool2d_backward`."""
    numbers = np.int32(len(dx)), np.int32(dx.shape[-1]), window_structure(window)
    launch_over(dx.size, "pooling", "average_pool_gradient", dx.dtype, dy, dx, *numbers)
