"""Images of another size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3")
_OF_PILLOW = {"bicubic": "BICUBIC", "area": "BOX", "lanczos3": "LANCZOS"}  # those that look at more than four pixels


def resized(
    pixels: np.ndarray, size: tuple[int, int], interpolation: str = "bilinear", pad: bool = False
) -> np.ndarray:
    """An image (H, W, C) as float32 of another size, (height, width, C).

    "bilinear" mixes the four pixels around the point, with pixel centres at halves, as Keras does; it does not smooth
    when an image becomes smaller.

    Parameters
    ----------
    pixels : array (H, W, C)
    size : (int, int)
        Height and width.
    interpolation : str
        One of `INTERPOLATIONS`.
    pad : bool, default False
        Whether the image keeps its proportions, with black beside it.
    """
    if pad:
        pixels = _padded_to_ratio(pixels, size)
    if pixels.shape[:2] == tuple(size):
        return pixels.astype(np.float32)
    if interpolation in _OF_PILLOW:
        return _by_pillow(pixels, size, _OF_PILLOW[interpolation])
    rows, columns = (_taps(old, new, interpolation) for old, new in zip(pixels.shape[:2], size, strict=True))
    if interpolation == "nearest":
        return pixels[rows.first][:, columns.first].astype(np.float32)
    upper, lower = pixels[rows.first], pixels[rows.second]  # (height, W, C)
    weight = columns.weight[:, None]
    upper = upper[:, columns.first] * (1 - weight) + upper[:, columns.second] * weight  # (height, width, C)
    lower = lower[:, columns.first] * (1 - weight) + lower[:, columns.second] * weight
    weight = rows.weight[:, None, None]
    return upper * (1 - weight) + lower * weight


def cropped_to_ratio(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of an image (H, W, C) that has the proportions of `size`."""
    (height, width), (new_height, new_width) = pixels.shape[:2], size
    rows = min(height, int(width * new_height / new_width)) or 1
    columns = min(width, int(height * new_width / new_height)) or 1
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _padded_to_ratio(pixels, size):
    """The image in the middle of a black one with the proportions of `size`."""
    (height, width), (new_height, new_width) = pixels.shape[:2], size
    rows = max(height, int(width * new_height / new_width))
    columns = max(width, int(height * new_width / new_height))
    padded = np.zeros((rows, columns, pixels.shape[2]), pixels.dtype)
    top, left = (rows - height) // 2, (columns - width) // 2
    padded[top : top + height, left : left + width] = pixels
    return padded


class _Taps:
    """Which two pixels each new pixel of an axis mixes, and how much of the second one."""

    def __init__(self, first, second, weight):
        self.first, self.second, self.weight = first, second, weight


@lru_cache(maxsize=4096)  # photos come in a few sizes
def _taps(old, new, interpolation):
    at = (np.arange(new) + 0.5) * (old / new)
    if interpolation == "nearest":
        return _Taps(np.minimum(at.astype(np.int64), old - 1), None, None)
    at = np.clip(at - 0.5, 0, old - 1)
    first = at.astype(np.int64)
    return _Taps(first, np.minimum(first + 1, old - 1), (at - first).astype(np.float32))


def _by_pillow(pixels, size, name):
    from PIL import Image

    height, width = size
    bands = [
        Image.fromarray(np.ascontiguousarray(pixels[..., c], np.float32)).resize(
            (width, height), Image.Resampling[name]
        )
        for c in range(pixels.shape[2])
    ]
    return np.stack([np.asarray(band) for band in bands], axis=-1)
