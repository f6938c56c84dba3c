"""The rest of ``tf.image``: colours by their hue, brightness by a power, and changes that a given seed draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, met, value_of
from minicnn.errors import ShapeError
from minicnn.keras.tensorflow import _patches, _pictures
from minicnn.keras.tensorflow._functions import of_tensorflow, pictures_of
from minicnn.keras.tensorflow._pictures import as_floats
from minicnn.keras.tensorflow.random import one_seed
from minicnn.layers import RandomHue

__all__ = ["adjust_gamma", "adjust_hue", "hsv_to_rgb", "random_hue", "rgb_to_hsv"]
__all__ += ["stateless_random_brightness", "stateless_random_contrast", "stateless_random_crop"]
__all__ += ["stateless_random_flip_left_right", "stateless_random_flip_up_down", "stateless_random_hue"]
__all__ += ["stateless_random_jpeg_quality", "stateless_random_saturation", "transpose"]


def adjust_hue(image: Any, delta: float, name: str | None = None) -> Any:
    """Colours with their hue turned by `delta`, a part of the circle from -1 to 1."""
    if not -1 <= delta <= 1:
        raise ValueError(f"`delta` must be from -1 to 1. Received: delta={delta}")
    pixels, back = as_floats(image)
    turned = RandomHue(0.0, (0, 1)).change(pixels, np.full((1, 1, 1), delta, pixels.dtype))
    return back(turned.astype(pixels.dtype))


def random_hue(image: Any, max_delta: float, seed: int | None = None) -> Any:
    """`adjust_hue` by a random delta from -max_delta to max_delta, which is from 0 to 0.5."""
    return adjust_hue(image, _pictures.drawn(*_pictures.around_zero(max_delta, 0.5), seed, -1.0))


def adjust_gamma(image: Any, gamma: float = 1, gain: float = 1) -> Any:
    """gain · x^gamma of numbers from 0 to 1."""
    if not gamma >= 0:
        raise ValueError(f"`gamma` must be at least 0. Received: gamma={gamma}")
    pixels, back = as_floats(image)
    return back(np.float32(gain) * pixels ** np.float32(gamma))


def _colours(images):
    """Floats (…, 3), recorded ones as they are."""
    given = met(images)
    pixels = given if isinstance(given, Recorded) else np.asarray(images)
    if pixels.dtype.kind != "f":
        raise TypeError(
            "colours are floats from 0 to 1: tf.image.convert_image_dtype(x, tf.float32) makes them of whole numbers. "
            f"Received: {pixels.dtype}"
        )
    if pixels.shape[-1:] != (3,):
        raise ShapeError(f"colours have three channels, (…, 3). Received: shape {pixels.shape}")
    return pixels


def rgb_to_hsv(images: Any, name: str | None = None) -> Any:
    """Hue, saturation and value, each from 0 to 1, of floats from 0 to 1, with gradients.

    Raises
    ------
    TypeError
        For whole numbers.
    ShapeError
        For another number of channels than three.
    """
    pixels = _colours(images)
    red, green, blue = (pixels[..., channel] for channel in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(blue, np.minimum(green, red))  # of equal ones TensorFlow's has the gradient
    is_grey, is_black, largest = value_of(spread) <= 0, value_of(value) <= 0, value_of(value)
    safe = np.where(is_grey, 1, spread)
    sixths = np.where(largest == value_of(green), 2 + (blue - red) / safe, 4 + (red - green) / safe)
    sixths = np.where(largest == value_of(red), (green - blue) / safe, sixths) % 6
    saturation = np.where(is_black, 0, spread / np.where(is_black, 1, value))
    return of_tensorflow(np.stack([np.where(is_grey, 0, sixths / 6), saturation, value], axis=-1))


def hsv_to_rgb(images: Any, name: str | None = None) -> Any:
    """Red, green and blue of hue, saturation and value, all from 0 to 1, with gradients, which TensorFlow has not."""
    pixels = _colours(images)
    hue, saturation, value = (pixels[..., channel] for channel in range(3))
    sixths = hue * 6  # not taken modulo 6, as in TensorFlow: hues beyond 1 are those at its ends
    away = (np.abs(sixths - 3) - 1, 2 - np.abs(sixths - 2), 2 - np.abs(sixths - 4))
    below = 1 - np.clip(np.stack(away, axis=-1), 0, 1)
    return of_tensorflow(value[..., None] * (1 - saturation[..., None] * below))


def transpose(image: Any, name: str | None = None) -> Any:
    """Height and width of each picture, exchanged."""
    return of_tensorflow(np.swapaxes(pictures_of(image), -3, -2))


# ------------------------------------------------------------------------------------------------- by a given seed


def stateless_random_brightness(image: Any, max_delta: float, seed: Any) -> Any:
    """`random_brightness`, the same for the same pair of numbers `seed`."""
    return _pictures.random_brightness(image, max_delta, one_seed(seed))


def stateless_random_contrast(image: Any, lower: float, upper: float, seed: Any) -> Any:
    """`random_contrast`, the same for the same pair of numbers `seed`."""
    return _pictures.random_contrast(image, lower, upper, one_seed(seed))


def stateless_random_saturation(image: Any, lower: float, upper: float, seed: Any = None) -> Any:
    """`random_saturation`, the same for the same pair of numbers `seed`."""
    return _pictures.random_saturation(image, lower, upper, one_seed(seed))


def stateless_random_hue(image: Any, max_delta: float, seed: Any) -> Any:
    """`random_hue`, the same for the same pair of numbers `seed`."""
    return random_hue(image, max_delta, one_seed(seed))


def stateless_random_jpeg_quality(image: Any, min_jpeg_quality: int, max_jpeg_quality: int, seed: Any) -> Any:
    """`random_jpeg_quality`, the same for the same pair of numbers `seed`."""
    return _patches.random_jpeg_quality(image, min_jpeg_quality, max_jpeg_quality, one_seed(seed))


def stateless_random_crop(value: Any, size: Sequence[int], seed: Any, name: str | None = None) -> Any:
    """`random_crop`, the same for the same pair of numbers `seed`."""
    return _pictures.random_crop(value, size, one_seed(seed))


def stateless_random_flip_left_right(image: Any, seed: Any) -> Any:
    """`random_flip_left_right`, the same for the same pair of numbers `seed`."""
    return transpose(_pictures.random_flip_up_down(transpose(image), one_seed(seed)))


def stateless_random_flip_up_down(image: Any, seed: Any) -> Any:
    """`random_flip_up_down`, the same for the same pair of numbers `seed`."""
    return _pictures.random_flip_up_down(image, one_seed(seed))
