"""Images of another size."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.resampling import taps_between, without_ones

_OF_MANY = ("bicubic", "area", "lanczos3", "lanczos5")  # which look at more than four pixels
INTERPOLATIONS = ("bilinear", "nearest", *_OF_MANY)


def resized(
    pixels: np.ndarray, size: tuple[int, int], interpolation: str = "bilinear", pad: bool = False
) -> np.ndarray:
    """An image (H, W, C) as float32 of another size, (height, width, C).

    "bilinear" mixes the four pixels around the point, with pixel centres at halves, as Keras does; but for "area", none
    smooths when an image becomes smaller.

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
        return _within(pixels, size, interpolation)
    if pixels.shape[:2] == tuple(size):
        return pixels.astype(np.float32)
    if interpolation in _OF_MANY:
        return _mixed_of_many(pixels, size, interpolation)
    (old_height, old_width, channels), (height, width) = pixels.shape, size
    if interpolation == "nearest":
        rows, columns = _nearest(old_height, height), _nearest(old_width, width)
        return pixels[rows][:, columns].astype(np.float32)
    lines = _lines(pixels)  # (H, W·step)
    step = lines.shape[1] // old_width
    rows, columns = _taps(old_height, height, 1), _taps(old_width, width, channels, step)
    first, second = lines[rows.first], lines[rows.second]  # (height, W·step), still whole numbers
    # The columns are taken before anything is mixed: the same sums, of the numbers that the result is made of alone.
    left, right = (
        _mixed(first.take(taken, 1, mode="clip"), second.take(taken, 1, mode="clip"), rows.weight[:, None])
        for taken in (columns.first, columns.second)
    )  # (height, width·C)
    return _mixed(left, right, columns.weight).reshape(height, width, channels)


def _lines(pixels):
    """The rows of an image (H, W, C), each as it lies in memory where its pixels are all of a larger array's."""
    whole = pixels.base
    is_whole = isinstance(whole, np.ndarray) and whole.shape[:2] == pixels.shape[:2] and whole.ndim == 3
    is_start = is_whole and whole.ctypes.data == pixels.ctypes.data and whole.dtype == pixels.dtype
    if not is_start or not whole.flags.c_contiguous or whole.strides != pixels.strides:
        whole = np.ascontiguousarray(pixels)
    return whole.reshape(len(whole), -1)


def _mixed(first, second, weight):
    """first · (1 − weight) + second · weight, in float32; floats among them are written over."""
    result, other = first.astype(np.float32, copy=False), second.astype(np.float32, copy=False)
    other -= result
    other *= weight
    result += other
    return result


def cropped_to_ratio(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of an image (H, W, C) that has the proportions of `size`."""
    (height, width), (new_height, new_width) = pixels.shape[:2], size
    rows = min(height, int(width * new_height / new_width)) or 1
    columns = min(width, int(height * new_width / new_height)) or 1
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def fitting(size: tuple[int, int], new_size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height and width of the largest image that fits into `new_size`, rows above and columns left of it).

    The proportions are kept and sizes rounded down; in float32, as TensorFlow's resize_with_pad computes, as what is
    rounded down depends on that.

    Parameters
    ----------
    size, new_size : (int, int)
        Height and width.
    """
    old, new = np.float32(size), np.float32(new_size)
    fits = old / (old / new).max()
    height, width = np.maximum(fits, 1).astype(int).tolist()
    top, left = np.maximum((new - fits) / 2, 0).astype(int).tolist()
    return (height, width), (top, left)


def _within(pixels, size, interpolation):
    """The image as large as fits, in the middle of a black one."""
    (height, width), (top, left) = fitting(pixels.shape[:2], size)
    made = np.zeros((*size, pixels.shape[2]), np.float32)
    made[top : top + height, left : left + width] = resized(pixels, (height, width), interpolation)
    return made


class _Taps(NamedTuple):
    """Which two numbers each number of a new axis mixes, and how much of the second one."""

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray


@lru_cache(maxsize=4096)  # photos come in a few sizes
def _taps(old, new, channels, step=None):
    """For an axis of `new` pixels made of `old` ones, each of so many numbers, which begin `step` numbers apart."""
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = at.astype(np.int64)
    second = np.minimum(first + 1, old - 1)
    numbers = np.arange(channels)
    flat = [(pixel[:, None] * (step or channels) + numbers).ravel() for pixel in (first, second)]  # (new·C,)
    return _Taps(*flat, np.repeat((at - first).astype(np.float32), channels))


def _nearest(old, new):
    """The pixel that each new one is."""
    return np.minimum(((np.arange(new) + 0.5) * (old / new)).astype(np.int64), old - 1)


def _mixed_of_many(pixels, size, interpolation):
    """(height, width, C), each axis by itself, the one first that becomes shorter."""
    pixels = pixels.astype(np.float32)
    for axis in sorted((0, 1), key=lambda axis: size[axis] / pixels.shape[axis]):
        sizes = pixels.shape[axis], size[axis]
        taps = _area_between(*sizes) if interpolation == "area" else taps_between(*sizes, interpolation)
        along = (-1, 1, 1) if axis == 0 else (-1, 1)
        weights = np.ones(taps.index.shape) if taps.weight is None else taps.weight
        parts = zip(taps.index, weights.astype(np.float32), strict=True)
        pixels = sum(pixels.take(index, axis) * weight.reshape(along) for index, weight in parts)
    return pixels


def _area_between(size, new_size):
    """The taps of pixels that are the means of what they cover of the old row."""
    step = size / new_size
    begin = np.arange(new_size) * step
    index = np.floor(begin).astype(np.int64) + np.arange(math.ceil(step) + 1)[:, None]  # (taps, new size)
    covered = np.minimum(index + 1, begin + step) - np.maximum(index, begin)
    return without_ones(np.minimum(index, size - 1), np.clip(covered, 0, None) / step)
