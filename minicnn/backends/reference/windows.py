"""Windows of images as rows, and back: what convolution and pooling are made of here."""

from collections.abc import Iterator

import numpy as np

from minicnn.backends.memory import Array
from minicnn.geometry import Window


def pad_images(x: Array, window: Window, value: float = 0.0) -> Array:
    """Copy of `x` (N, H, W, C) with the window's rows and columns of `value` around each image."""
    pads = ((0, 0), (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right), (0, 0))
    return np.pad(x, pads, constant_values=value) if window.is_padded else x


def tap_slices(window: Window) -> Iterator[tuple[slice, slice]]:
    """For every tap of the window, row by row: the slices of the padded image that it meets at all positions."""
    for p in range(window.kernel_height):
        for q in range(window.kernel_width):
            top, left = p * window.dilation_y, q * window.dilation_x
            rows = slice(top, top + (window.out_height - 1) * window.stride_y + 1, window.stride_y)
            columns = slice(left, left + (window.out_width - 1) * window.stride_x + 1, window.stride_x)
            yield rows, columns


def im2col(x: Array, window: Window) -> Array:
    """Every window of every image as a row.

    Returns
    -------
    array (N, OH, OW, taps, C)
        Taps in row-major order.
    """
    padded = pad_images(x, window)
    columns = np.empty_like(x, shape=(len(x), window.out_height, window.out_width, window.taps, x.shape[-1]))
    for t, (rows, cols) in enumerate(tap_slices(window)):
        columns[:, :, :, t] = padded[:, rows, cols]  # (N, OH, OW, C)
    return columns


def col2im(columns: Array, window: Window, x: Array) -> None:
    """The adjoint of `im2col`: add windows (N, OH, OW, taps, C) to their pixels, into `x` (N, H, W, C)."""
    height = window.in_height + window.pad_top + window.pad_bottom
    width = window.in_width + window.pad_left + window.pad_right
    padded = np.zeros_like(x, shape=(len(x), height, width, x.shape[-1]))
    for t, (rows, cols) in enumerate(tap_slices(window)):
        padded[:, rows, cols] += columns[:, :, :, t]
    x[...] = padded[:, window.pad_top : height - window.pad_bottom, window.pad_left : width - window.pad_right]
