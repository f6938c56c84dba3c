"""Max and average pooling and their gradients."""

import numpy as np

from minicnn.backends.memory import Array, Maybe
from minicnn.backends.reference.windows import col2im, pad_images, tap_slices
from minicnn.geometry import Window

__all__ = ["avg_pool2d", "avg_pool2d_backward", "max_pool2d", "max_pool2d_backward"]


def max_pool2d(x: Array, y: Array, winner: Maybe, window: Window) -> None:
    """y = the maximum of each window; padding never wins.

    Parameters
    ----------
    x : (N, H, W, C)
    y : (N, OH, OW, C), written
    winner : (N, OH, OW, C) uint8 or None, written
        The tap that holds the maximum, the first of equal ones. Windows have at most `MAX_TAPS` taps.
    window : Window
    """
    padded = pad_images(x, window, -np.inf)
    y.fill(-np.inf)
    if winner is not None:
        winner.fill(0)
    for t, (rows, columns) in enumerate(tap_slices(window)):
        pixels = padded[:, rows, columns]  # (N, OH, OW, C)
        better = (pixels > y) | ((pixels != pixels) & (y == y))  # NaN beats every number: errors must surface
        np.copyto(y, pixels, where=better)
        if winner is not None:
            winner[better] = t


def max_pool2d_backward(dy: Array, winner: Array, dx: Array, window: Window) -> None:
    """dx[the winner of each window] += dy[the window]; winners equal to `RELU_OFF` pass nothing.

    Parameters
    ----------
    dy : (N, OH, OW, C)
    winner : (N, OH, OW, C) uint8
        As `max_pool2d` has written it.
    dx : (N, H, W, C), written
    window : Window
    """
    columns = np.zeros_like(dy, shape=(*dy.shape[:3], window.taps, dy.shape[-1]))  # (N, OH, OW, T, C)
    for t in range(window.taps):
        np.copyto(columns[:, :, :, t], dy, where=winner == t)
    col2im(columns, window, dx)


def avg_pool2d(x: Array, y: Array, window: Window) -> None:
    """y = the mean of each window; pixels of the padding do not count.

    Parameters
    ----------
    x, y, window :
        As for `max_pool2d`.
    """
    padded = pad_images(x, window)
    y.fill(0)
    for rows, columns in tap_slices(window):
        y += padded[:, rows, columns]
    y /= _pixels_per_window(window, x)


def avg_pool2d_backward(dy: Array, dx: Array, window: Window) -> None:
    """dx[each pixel of a window] += dy[the window] / pixels in the window.

    Parameters
    ----------
    dy : (N, OH, OW, C)
    dx : (N, H, W, C), written
    window : Window
    """
    share = dy / _pixels_per_window(window, dy)  # (N, OH, OW, C)
    col2im(np.broadcast_to(share[:, :, :, None], (*dy.shape[:3], window.taps, dy.shape[-1])), window, dx)


def _pixels_per_window(window: Window, like):
    """How many pixels of the image, not of its padding, each window holds: (OH, OW, 1)."""
    ones = pad_images(np.ones_like(like, shape=(1, window.in_height, window.in_width, 1)), window)
    return sum(ones[0, rows, columns] for rows, columns in tap_slices(window))
