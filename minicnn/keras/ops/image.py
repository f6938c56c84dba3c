"""``keras.ops.image``: sizes and colours of pictures (H, W, C), or of a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met
from minicnn.dtype_policies import as_operands
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._operation_marks import operated, unnamed
from minicnn.keras._operations import is_symbolic
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.ops._image_windows import (
    affine_transform,
    extract_patches,
    gaussian_blur,
    perspective_transform,
    sobel_edges,
)
from minicnn.keras.tensorflow import image as pictures

__all__ = ["affine_transform", "crop_images", "extract_patches", "gaussian_blur", "hsv_to_rgb", "pad_images"]
__all__ += ["perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv", "sobel_edges"]


def _channels_last(images, data_format):
    return np.moveaxis(images, -3, -1) if data_format == "channels_first" else images


def _given(images, data_format):
    """Pictures with the channels last; what a tape records as it is, so that its gradient is not lost."""
    is_kept = is_symbolic(images) or isinstance(met(images), Recorded)
    return _channels_last(images if is_kept else np.asarray(images), data_format)


def _back(images, data_format):
    return np.moveaxis(images, -1, -3) if data_format == "channels_first" else images


@as_operands
def resize(
    images: Any,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: Any = None,
) -> Any:
    """Pictures of another size: what the layer `Resizing` does; with the dtype given; whole numbers rounded.

    Parameters
    ----------
    images : array (H, W, C) or (N, H, W, C), or a model's tensor
    size : (int, int)
        Height and width.
    interpolation, antialias, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode, fill_value, data_format :
        As for `Resizing`.
    """
    height, width = (int(n) for n in size)
    options = {
        "interpolation": interpolation,
        "crop_to_aspect_ratio": crop_to_aspect_ratio,
        "pad_to_aspect_ratio": pad_to_aspect_ratio,
        "fill_mode": fill_mode,
        "fill_value": fill_value,
        "antialias": antialias,
        "data_format": data_format,
    }
    if isinstance(met(images), Recorded):
        layer = import_module("minicnn.keras.layers").Resizing(height, width, **options)
        return layer(images[None])[0] if len(images.shape) == 3 else layer(images)
    return _resized(images, partial(layers.Resizing, height, width, **options))


def _resized(images, resizing):
    if is_symbolic(images):
        return operated("resize", lambda x: resizing()(x), [images], {})
    pixels = np.asarray(images)
    with unnamed():
        made = np.asarray(resizing()(pixels))
    if pixels.dtype.kind in "iu":
        bounds = np.iinfo(pixels.dtype)
        made = np.clip(np.round(made), bounds.min, bounds.max).astype(pixels.dtype)
    elif pixels.dtype.kind == "f":
        made = made.astype(pixels.dtype)
    return made.view(EagerArray)


def rgb_to_grayscale(images: Any, data_format: Any = None) -> Any:
    """0.2989 · red + 0.5870 · green + 0.1140 · blue, with one channel; of whole numbers these, cut off."""
    given = _given(images, data_format)
    if is_symbolic(given) or (kind := np.dtype(given.dtype)).kind not in "iu":
        return _back(pictures.rgb_to_grayscale(given), data_format)
    grey = np.asarray(pictures.rgb_to_grayscale(np.asarray(given, "float32")))
    return _back(grey.astype(kind).view(EagerArray), data_format)


def rgb_to_hsv(images: Any, data_format: Any = None) -> Any:
    """Hue, saturation and value, each from 0 to 1, of floats from 0 to 1."""
    return _rgb_to_hsv(images, data_format)


def hsv_to_rgb(images: Any, data_format: Any = None) -> Any:
    """Red, green and blue of hue, saturation and value, all from 0 to 1."""
    return _hsv_to_rgb(images, data_format)


def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: Any = None,
) -> Any:
    """A part of each picture: of top, bottom and the target's height, two are given, and likewise of the width."""
    given = _given(images, data_format)
    top, rows = _between("height", given.shape[-3], top_cropping, bottom_cropping, target_height, -1)
    left, columns = _between("width", given.shape[-2], left_cropping, right_cropping, target_width, -1)
    return _back(pictures.crop_to_bounding_box(given, top, left, rows, columns), data_format)


def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: Any = None,
) -> Any:
    """Black around each picture: of top, bottom and the target's height, two are given, and likewise of the width."""
    given = _given(images, data_format)
    top, rows = _between("height", given.shape[-3], top_padding, bottom_padding, target_height, 1)
    left, columns = _between("width", given.shape[-2], left_padding, right_padding, target_width, 1)
    return _back(pictures.pad_to_bounding_box(given, top, left, rows, columns), data_format)


_rgb_to_hsv, _hsv_to_rgb = (
    of_tensors_too(lambda x, data_format, f=function: _back(f(_channels_last(x, data_format)), data_format), name)
    for name, function in (("rgb_to_hsv", pictures.rgb_to_hsv), ("hsv_to_rgb", pictures.hsv_to_rgb))
)


def _between(what, length, before, after, target, sign):
    """(before, target) of an axis, of which two of three are given."""
    if [before, after, target].count(None) != 1:
        raise ValueError(
            f"of what is before, what is behind and the target's {what} two are given. "
            f"Received: {before}, {after} and {target}"
        )
    if target is None:
        return before, length + sign * (before + after)
    return (sign * (target - length) - after if before is None else before), target


__getattr__: Lookup = lookup(__name__)
