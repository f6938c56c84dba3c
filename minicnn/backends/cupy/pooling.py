"""Max and average pooling."""

import numpy as np

from minicnn.backends.cupy.launch import THREADS, Array, Maybe, launch, launch_over
from minicnn.backends.cupy.structures import window_structure
from minicnn.geometry import Window


def is_2x2(pool: Window) -> bool:
    """Whether the windows are 2 × 2, side by side, and inside the image."""
    return (pool.kernel_height, pool.kernel_width, pool.stride_y, pool.stride_x) == (2, 2, 2, 2) and not pool.is_padded


def _by_quads(window, images, *arrays):
    """Whether kernels for 2 × 2 windows move four channels at a time; `images` has their number and the channels."""
    rows = len(images) * -(-window.in_height // 2)
    is_plain = is_2x2(window) and (window.dilation_y, window.dilation_x) == (1, 1) and images.dtype == np.float32
    return is_plain and images.shape[-1] % 4 == 0 and rows < 1 << 16 and all(a.data.ptr % 16 == 0 for a in arrays)


def _launch_quads(name, columns, rows, images, *arguments):
    quads = images.shape[-1] // 4
    launch("pooling", name, images.dtype, (-(-columns * quads // THREADS), rows), THREADS, *arguments)


def max_pool2d(x: Array, y: Array, winner: Maybe, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.max_pool2d`."""
    max_pool(x, y, winner, window, False)


def max_pool(x: Array, y: Array, winner: Maybe, window: Window, relu: bool) -> None:
    """`max_pool2d`, and ReLU if asked for."""
    if _by_quads(window, x, x, y, *(() if winner is None else (winner,))):
        numbers = np.int32(x.shape[-1] // 4), np.int32(relu), window_structure(window)
        _launch_quads("max_pool_pairs", window.out_width, len(x) * window.out_height, x, x, y, winner, *numbers)
        return
    numbers = np.int32(len(x)), np.int32(x.shape[-1]), np.int32(relu), window_structure(window)
    launch_over(y.size, "pooling", "max_pool", x.dtype, x, y, winner, *numbers)


def max_pool2d_backward(dy: Array, winner: Array, dx: Array, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.max_pool2d_backward`."""
    if _by_quads(window, dx, dy, winner, dx):
        numbers = np.int32(dx.shape[-1] // 4), window_structure(window)
        columns, rows = -(-window.in_width // 2), len(dx) * -(-window.in_height // 2)
        _launch_quads("max_pool_pairs_gradient", columns, rows, dx, dy, winner, dx, *numbers)
        return
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
