"""Reading images at other points: the affine warp of augmentation, and its gradient."""

import numpy as np

from minicnn.backends.memory import Array

__all__ = ["warp", "warp_backward"]

ONE = 1 << 32  # points of an image are whole multiples of 1/ONE: sums are exact, every backend reads the same pixels
FRACTION_BITS = 24  # of a point, which float32 holds exactly: an interpolation's weight
_LARGEST_ENTRY = 2.0**16  # of a matrix: points in images of 10,000 pixels do not overflow


def fixed_point(matrix: Array) -> Array:
    """The entries of a matrix as int64 multiples of 1/`ONE`."""
    return np.floor(np.clip(matrix, -_LARGEST_ENTRY, _LARGEST_ENTRY) * ONE + 0.5).astype("int64")


def warp(x: Array, matrix: Array, y: Array, bilinear: bool, fill_mode: str, fill_value: float) -> None:
    """y[n, i, j] = x[n] at the point matrix[n] · (j, i, 1) = (column, row), which lies between pixels.

    Parameters
    ----------
    x : (N, H, W, C)
    matrix : (N, 2, 3) float64
    y : (N, H, W, C), written
    bilinear : bool
        Whether the four pixels around the point are mixed; else the nearest counts, of two the one further from 0.
    fill_mode : {"constant", "nearest", "reflect", "wrap"}
        Which pixel stands for one outside: none but `fill_value`, the nearest of the edge, the image mirrored at its
        edges, the image repeated.
    fill_value : float
    """
    y.fill(0)
    images = np.arange(len(x), like=x)[:, None, None]
    for rows, columns, weight in _warp_taps(matrix, y, bilinear, fill_mode):
        pixels = x[images, rows, columns]  # (N, H, W, C)
        pixels[(rows < 0) | (columns < 0)] = fill_value
        y += weight * pixels


def warp_backward(dy: Array, matrix: Array, dx: Array, bilinear: bool, fill_mode: str) -> None:
    """dx[each pixel that is read] += its weight · dy[the pixel that reads it].

    Parameters
    ----------
    dy : (N, H, W, C)
    matrix, bilinear, fill_mode
        As `warp` got them.
    dx : (N, H, W, C), written
    """
    dx.fill(0)
    images = np.broadcast_to(np.arange(len(dx), like=dx)[:, None, None], dy.shape[:3])
    for rows, columns, weight in _warp_taps(matrix, dy, bilinear, fill_mode):
        inside = (rows >= 0) & (columns >= 0)  # (N, H, W)
        np.add.at(dx, (images[inside], rows[inside], columns[inside]), (weight * dy)[inside])


def _warp_taps(matrix, like, bilinear, fill_mode):
    """What the pixels of `like` read: rows, columns (N, H, W), -1 for the fill value, and weights (N, H, W, 1)."""
    _, height, width, _ = like.shape
    i, j = np.arange(height, like=like)[:, None], np.arange(width, like=like)
    entries = fixed_point(matrix)[..., None, None]  # (N, 2, 3, 1, 1)
    x, y = (entries[:, axis, 0] * j + entries[:, axis, 1] * i + entries[:, axis, 2] for axis in (0, 1))  # (N, H, W)
    if not bilinear:
        rows, columns = (np.where(at < 0, -((ONE // 2 - at) // ONE), (at + ONE // 2) // ONE) for at in (y, x))
        yield extended(rows, height, fill_mode), extended(columns, width, fill_mode), np.ones_like(like[..., :1])
        return
    for down, weight_y in enumerate(_tap_weights(y, like)):
        for right, weight_x in enumerate(_tap_weights(x, like)):
            rows, columns = extended(y // ONE + down, height, fill_mode), extended(x // ONE + right, width, fill_mode)
            yield rows, columns, (weight_y * weight_x)[..., None]


def _tap_weights(at, like):
    """Weights of the pixels before and after a point."""
    fraction = ((at % ONE) >> (32 - FRACTION_BITS)).astype(like.dtype) * like.dtype.type(2.0**-FRACTION_BITS)
    return 1 - fraction, fraction


def extended(index: Array, size: int, fill_mode: str) -> Array:
    """The pixel of a row of `size` that stands for pixel `index`, inside or outside; -1 is the fill value."""
    if fill_mode == "constant":
        return np.where((index >= 0) & (index < size), index, -1)
    if fill_mode == "nearest":
        return np.clip(index, 0, size - 1)
    if fill_mode == "wrap":
        return index % size
    return np.minimum(index % (2 * size), 2 * size - 1 - index % (2 * size))
