"""How alike pictures are, and how rough: ``tf.image.psnr``, ``ssim``, ``total_variation``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded
from minicnn.keras import ops
from minicnn.keras.tensorflow._functions import of_tensorflow, pixels_of
from minicnn.keras.tensorflow._patches import signed

__all__ = ["psnr", "ssim", "ssim_multiscale", "total_variation"]

_WEIGHTS_OF_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the paper's, the finest first


def psnr(a: Any, b: Any, max_val: float, name: str | None = None) -> Any:
    """10 · log₁₀(max_val² / mean (a - b)²) of each picture: (…,)."""
    first, second = (pixels_of(each, np.float32) for each in (a, b))
    error = np.mean(np.square(first - second), axis=(-3, -2, -1))
    with np.errstate(divide="ignore"):
        return of_tensorflow(10 * np.log10(np.float32(max_val) ** 2 / error))


def total_variation(images: Any, name: str | None = None) -> Any:
    """The sum of the differences of neighbours of each picture: (…,)."""
    pixels = signed(images)
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
    luminance, structure = _similarities(first, second, max_val, filter_size, filter_sigma, k1, k2)
    index = np.mean(luminance * structure, axis=-1)  # (…, H', W')
    return of_tensorflow(ops.cast(index if return_index_map else np.mean(index, axis=(-2, -1)), "float32"))


def _similarities(first, second, max_val, filter_size, filter_sigma, k1, k2):
    """(of the means, of the contrasts and structures) around each place, (…, H', W', C)."""
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
    return luminance, (2 * (both - mean1 * mean2) + c2) / (squares - mean1**2 - mean2**2 + c2)


def ssim_multiscale(
    img1: Any,
    img2: Any,
    max_val: float,
    power_factors: Sequence[float] = _WEIGHTS_OF_SCALES,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Any:
    """`ssim` at several scales, each half as large as the one before: Wang, Simoncelli, Bovik, 2003.

    Parameters
    ----------
    img1, img2 : array (…, H, W, C)
        At the last scale at least `filter_size` high and wide: 176 for five scales.
    max_val, filter_size, filter_sigma, k1, k2 : as for `ssim`
    power_factors : sequence of float
        How much each scale counts, the finest first.

    Raises
    ------
    ValueError
        For smaller pictures.
    """
    pair = [x if isinstance(x, Recorded) else np.asarray(x, np.float64) for x in (img1, img2)]
    needed = filter_size * 2 ** (len(power_factors) - 1)
    if min(pair[0].shape[-3:-1]) < needed:
        raise ValueError(
            f"pictures are at least {needed} high and wide for {len(power_factors)} scales and filter_size="
            f"{filter_size}: give fewer power_factors. Received: shape {pair[0].shape}"
        )
    product = 1.0
    for scale, power in enumerate(power_factors):
        pair = [_halved(x) for x in pair] if scale else pair
        luminance, structure = _similarities(*pair, max_val, filter_size, filter_sigma, k1, k2)
        is_last = scale == len(power_factors) - 1
        value = np.mean(luminance * structure if is_last else structure, axis=(-3, -2))  # (…, C)
        product = product * np.maximum(value, 0.0) ** power
    return of_tensorflow(ops.cast(np.mean(product, axis=-1), "float32"))


def _halved(pixels):
    """Means of 2 by 2 pixels, the last row and column twice where their number is odd."""
    height, width = pixels.shape[-3:-1]
    pixels = np.concatenate([pixels, pixels[..., -1:, :, :]], axis=-3) if height % 2 else pixels
    pixels = np.concatenate([pixels, pixels[..., -1:, :]], axis=-2) if width % 2 else pixels
    rows = (pixels[..., ::2, :, :] + pixels[..., 1::2, :, :]) / 2
    return (rows[..., ::2, :] + rows[..., 1::2, :]) / 2
