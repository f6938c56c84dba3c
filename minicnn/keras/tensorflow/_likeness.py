"""How alike pictures are, and how rough: ``tf.image.psnr``, ``ssim``, ``total_variation``."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import Recorded
from minicnn.keras import ops
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow, pixels_of

__all__ = ["psnr", "ssim", "total_variation"]


def psnr(a: Any, b: Any, max_val: float, name: str | None = None) -> Any:
    """10 · log₁₀(max_val² / mean (a - b)²) of each picture: (…,)."""
    first, second = (pixels_of(each, np.float32) for each in (a, b))
    error = np.mean(np.square(first - second), axis=(-3, -2, -1))
    with np.errstate(divide="ignore"):
        return of_tensorflow(10 * np.log10(np.float32(max_val) ** 2 / error))


def total_variation(images: Any, name: str | None = None) -> Any:
    """The sum of the differences of neighbours of each picture: (…,)."""
    pixels = as_tensor(images)
    down, right = pixels[..., 1:, :, :] - pixels[..., :-1, :, :], pixels[..., 1:, :] - pixels[..., :-1, :]
    return of_tensorflow(sum(ops.sum(ops.abs(each), axis=(-3, -2, -1)) for each in (down, right)))


def ssim(
    img1: Any,
    img2: Any,
    max_val: float,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    return_index_map: bool = False,
) -> Any:
    """Structural similarity of each pair of pictures, at most 1: Wang, Bovik, Sheikh, Simoncelli, 2004.

    Parameters
    ----------
    img1, img2 : array (…, H, W, C)
        At least `filter_size` high and wide.
    max_val : float
        The largest difference of two pixels.
    filter_size, filter_sigma : int, float
        Of the normal window in which means and variances are taken.
    k1, k2 : float
        Parts of `max_val` that keep the quotients steady.
    return_index_map : bool, default False
        Whether the similarity of every place, (…, H', W'), is given.

    Raises
    ------
    ValueError
        For smaller pictures.
    """
    first, second = (x if isinstance(x, Recorded) else np.asarray(x, np.float64) for x in (img1, img2))
    if min(first.shape[-3:-1]) < filter_size:
        raise ValueError(f"pictures are at least {filter_size} high and wide. Received: shape {first.shape}")
    steps = np.arange(filter_size) - (filter_size - 1) / 2
    window = np.exp(-(steps**2) / (2 * filter_sigma**2))
    window /= window.sum()

    def mean(pixels):
        rows, columns = (n - filter_size + 1 for n in pixels.shape[-3:-1])
        pixels = sum(share * pixels[..., at : at + rows, :, :] for at, share in enumerate(window))
        return sum(share * pixels[..., at : at + columns, :] for at, share in enumerate(window))

    mean1, mean2 = mean(first), mean(second)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    luminance = (2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1)
    both, squares = mean(first * second), mean(first**2 + second**2)
    structure = (2 * (both - mean1 * mean2) + c2) / (squares - mean1**2 - mean2**2 + c2)
    index = np.mean(luminance * structure, axis=-1)  # (…, H', W')
    return of_tensorflow(ops.cast(index if return_index_map else np.mean(index, axis=(-2, -1)), "float32"))
