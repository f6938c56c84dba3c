"""Pictures cut, padded, turned, and with other colours: the rest of ``tf.image``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.differentiation import met, value_of
from minicnn.errors import ShapeError
from minicnn.keras import ops
from minicnn.keras import random as numbers
from minicnn.keras._operations import is_symbolic
from minicnn.keras._sizes_of_data import meeting_sizes
from minicnn.keras.tensorflow._functions import of_tensorflow, pictures_of, pixels_of

__all__ = ["adjust_brightness", "adjust_contrast", "adjust_saturation", "central_crop", "crop_to_bounding_box"]
__all__ += ["pad_to_bounding_box", "per_image_standardization", "random_brightness", "random_contrast", "random_crop"]
__all__ += ["random_flip_up_down", "random_saturation", "resize_with_crop_or_pad", "rot90"]


def as_floats(pixels: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Numbers from 0 to 1 for whole ones, and what makes numbers of the old kind of them."""
    pixels = pixels_of(pixels)
    if pixels.dtype.kind == "f":
        return pixels, lambda made: of_tensorflow(made.astype(pixels.dtype))
    least, most = np.iinfo(pixels.dtype).min, np.iinfo(pixels.dtype).max

    def back(made):
        return of_tensorflow(np.clip(made * (most + 0.5), least, most).astype(pixels.dtype))

    return pixels.astype(np.float32) / np.float32(most), back


def drawn(lower: float, upper: float, seed: int | None, least: float = 0.0) -> float:
    """A random number from `lower` to `upper`.

    Raises
    ------
    ValueError
        Unless ``least <= lower < upper``.
    """
    if not least <= lower < upper:
        raise ValueError(f"expected {least:g} <= lower < upper. Received: lower={lower}, upper={upper}")
    return float(np.asarray(numbers.uniform((), lower, upper, seed=seed)))


def around_zero(max_delta: float, most: float = np.inf) -> tuple[float, float]:
    """(-max_delta, max_delta).

    Raises
    ------
    ValueError
        If it is negative, or larger than `most`.
    """
    if not 0 <= max_delta <= most:
        limit = "" if most == np.inf else f" and at most {most:g}"
        raise ValueError(f"`max_delta` must be at least 0{limit}. Received: max_delta={max_delta}")
    return -max_delta, np.nextafter(max_delta, np.inf)


def adjust_brightness(image: Any, delta: float) -> Any:
    """Every number plus `delta`, of a range from 0 to 1."""
    pixels, back = as_floats(image)
    return back(pixels + np.float32(delta))


def random_brightness(image: Any, max_delta: float, seed: int | None = None) -> Any:
    """`adjust_brightness` by a random delta from -max_delta to max_delta."""
    return adjust_brightness(image, drawn(*around_zero(max_delta), seed, -np.inf))


def _with_channels(images):
    """Pictures (…, H, W, C), as they are."""
    if np.ndim(value_of(met(images))) < 3:
        shape = np.shape(value_of(met(images)))
        raise ShapeError(f"expected pictures (…, H, W, C); grey ones as x[..., None]. Received: shape {shape}")
    return images


def adjust_contrast(images: Any, contrast_factor: float) -> Any:
    """(x - mean) · factor + mean, with the mean of each channel of each picture."""
    pixels, back = as_floats(_with_channels(images))
    mean = np.mean(pixels, axis=(-3, -2), keepdims=True)
    return back((pixels - mean) * np.float32(contrast_factor) + mean)


def random_contrast(image: Any, lower: float, upper: float, seed: int | None = None) -> Any:
    """`adjust_contrast` by a random factor from `lower` to `upper`."""
    return adjust_contrast(image, drawn(lower, upper, seed))


def adjust_saturation(image: Any, saturation_factor: float, name: str | None = None) -> Any:
    """Colours with their saturation (of hue, saturation and value) times a factor, 1 at most."""
    pixels, back = as_floats(np.asarray(image))
    value = pixels.max(axis=-1, keepdims=True)  # (…, 1)
    spread = value - pixels.min(axis=-1, keepdims=True)
    saturation = np.divide(spread, value, out=np.zeros_like(spread), where=value > 0)
    wanted = np.clip(saturation * np.float32(saturation_factor), 0, 1)
    share = np.divide(wanted, saturation, out=np.zeros_like(wanted), where=saturation > 0)
    return back(value - (value - pixels) * share)


def random_saturation(image: Any, lower: float, upper: float, seed: int | None = None) -> Any:
    """`adjust_saturation` by a random factor from `lower` to `upper`."""
    return adjust_saturation(image, drawn(lower, upper, seed))


def random_flip_up_down(image: Any, seed: int | None = None) -> Any:
    """Upside down, half of the times; each picture of a batch by itself."""
    pixels = pictures_of(image)
    drawn = np.asarray(numbers.uniform(pixels.shape[:-3], seed=seed)) < 0.5
    return of_tensorflow(np.where(drawn[..., None, None, None], np.flip(pixels, axis=-3), pixels))


def rot90(image: Any, k: int = 1, name: str | None = None) -> Any:
    """Turned by k quarters, counter-clockwise."""
    return of_tensorflow(np.rot90(pictures_of(image), k, axes=(-3, -2)))


def per_image_standardization(image: Any) -> Any:
    """(x - mean) / max(deviation, 1/√n), with those of all n numbers of each picture; float32."""
    pixels = pixels_of(_with_channels(image), np.float32)
    axes = (-3, -2, -1)
    count = np.prod(pixels.shape[-3:])
    deviation = np.maximum(np.std(pixels, axis=axes, keepdims=True), np.float32(1 / np.sqrt(count)))
    return of_tensorflow((pixels - np.mean(pixels, axis=axes, keepdims=True)) / deviation)


def _pictures(image):
    """As `pictures_of`; or a model's tensor of pictures, whose size is known, for layers."""
    if not is_symbolic(image):
        return pictures_of(image)
    if image.ndim != 4 or None in image.shape[1:3]:
        raise ShapeError(f"expected a tensor of pictures (None, H, W, C) of a known size. Received: {image.shape}")
    return image


@meeting_sizes
def crop_to_bounding_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Any:
    """A part of each picture.

    Raises
    ------
    ValueError
        If it does not lie inside.
    """
    pixels = _pictures(image)
    height, width = pixels.shape[-3:-1]
    if min(offset_height, offset_width) < 0 or offset_height + target_height > height:
        raise ValueError(f"the part lies inside {(height, width)}. Received: {offset_height} + {target_height} rows")
    if offset_width + target_width > width:
        raise ValueError(f"the part lies inside {(height, width)}. Received: {offset_width} + {target_width} columns")
    rows, columns = (
        slice(offset_height, offset_height + target_height),
        slice(offset_width, offset_width + target_width),
    )
    return of_tensorflow(pixels[:, rows, columns] if pixels.ndim == 4 else pixels[rows, columns])


@meeting_sizes
def pad_to_bounding_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Any:
    """Black around each picture, which lies at these offsets in the target.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    pixels = _pictures(image)
    height, width = pixels.shape[-3:-1]
    below, right = target_height - offset_height - height, target_width - offset_width - width
    if min(offset_height, offset_width, below, right) < 0:
        raise ValueError(
            f"a picture of {(height, width)} does not fit. Received: a target of {(target_height, target_width)} "
            f"with offsets {(offset_height, offset_width)}"
        )
    pairs = [(0, 0)] * (pixels.ndim - 3) + [(offset_height, below), (offset_width, right), (0, 0)]
    return of_tensorflow(ops.pad(pixels, pairs))


@meeting_sizes
def resize_with_crop_or_pad(image: Any, target_height: int, target_width: int) -> Any:
    """The middle of each picture, or the picture in the middle of black."""
    pixels = _pictures(image)
    height, width = pixels.shape[-3:-1]
    rows, columns = min(height, target_height), min(width, target_width)
    middle = crop_to_bounding_box(pixels, (height - rows) // 2, (width - columns) // 2, rows, columns)
    top, left = (target_height - rows) // 2, (target_width - columns) // 2
    return pad_to_bounding_box(middle, top, left, target_height, target_width)


resize_image_with_crop_or_pad = resize_with_crop_or_pad  # TensorFlow 1's name


def central_crop(image: Any, central_fraction: float) -> Any:
    """The middle part of each picture, of this share of its height and width, above 0 and at most 1."""
    if not 0 < central_fraction <= 1:
        raise ValueError(f"`central_fraction` must be above 0 and at most 1. Received: {central_fraction}")
    pixels = _pictures(image)
    height, width = pixels.shape[-3:-1]
    top, left = (int((n - n * central_fraction) / 2) for n in (height, width))
    return crop_to_bounding_box(pixels, top, left, height - 2 * top, width - 2 * left)


def random_crop(value: Any, size: Sequence[int], seed: int | None = None, name: str | None = None) -> Any:
    """A part of this size, one number for each axis, at a random place.

    Raises
    ------
    ValueError
        If `value` is smaller.
    """
    array, size = pixels_of(value), [int(n) for n in size]
    if len(size) != array.ndim or any(n > length for n, length in zip(size, array.shape, strict=True)):
        raise ValueError(f"the part of {array.shape} has a size for each axis, at most as large. Received: {size}")
    drawn = np.asarray(numbers.uniform((array.ndim,), seed=seed), np.float64)
    starts = [int(u * (length - n + 1)) for u, length, n in zip(drawn, array.shape, size, strict=True)]
    return of_tensorflow(array[tuple(slice(s, s + n) for s, n in zip(starts, size, strict=True))])
