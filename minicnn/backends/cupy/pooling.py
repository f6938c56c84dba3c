"""Pooling."""

import numpy as np

from minicnn.backends.cupy.launch import launch_over, window_structure
from minicnn.geometry import Window


def max_pool2d(x, y, winner, window: Window):
    max_pool(x, y, winner, window, False)


def max_pool(x, y, winner, window, relu) -> None:
    """`max_pool2d`, and ReLU if asked for."""
    numbers = np.int32(len(x)), np.int32(x.shape[-1]), np.int32(relu), window_structure(window)
    launch_over(y.size, "pooling", "max_pool", x.dtype, x, y, winner, *numbers)


def max_pool2d_backward(dy, winner, dx, window: Window):
    numbers = np.int32(len(dx)), np.int32(dx.shape[-1]), window_structure(window)
    launch_over(dx.size, "pooling", "max_pool_gradient", dx.dtype, dy, winner, dx, *numbers)


def avg_pool2d(x, y, window: Window):
    numbers = np.int32(len(x)), np.int32(x.shape[-1]), window_structure(window)
    launch_over(y.size, "pooling", "average_pool", x.dtype, x, y, *numbers)


def avg_pool2d_backward(dy, dx, window: Window):
    numbers = np.int32(len(dx)), np.int32(dx.shape[-1]), window_structure(window)
    launch_over(dx.size, "pooling", "average_pool_gradient", dx.dtype, dy, dx, *numbers)
