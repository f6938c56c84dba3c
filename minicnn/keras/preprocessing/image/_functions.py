"""``random_rotation`` and its like: one change of an image each, as `ImageDataGenerator` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.images.transforms import as_dtype_of, brighter, one_image, transformed

__all__ = ["apply_affine_transform", "apply_brightness_shift", "apply_channel_shift", "random_brightness"]
__all__ += ["random_channel_shift", "random_rotation", "random_shear", "random_shift", "random_zoom"]


def apply_affine_transform(
    x: Any,
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    **options: Any,
) -> np.ndarray:
    """An image turned (degrees), moved (pixels along a row, and down), sheared (degrees) and zoomed.

    Parameters
    ----------
    x : array (C, H, W), or as the axes say
    theta, tx, ty, shear, zx, zy : float
    **options
        row_axis, col_axis, channel_axis (1, 2, 0), fill_mode ("nearest"), cval (0.0), order (1).

    Returns
    -------
    array like `x`
    """
    known = {"row_axis": 1, "col_axis": 2, "channel_axis": 0, "fill_mode": "nearest", "cval": 0.0, "order": 1}
    if unknown := sorted(options.keys() - known.keys()):
        raise TypeError(f"unknown arguments. Known are {sorted(known)}. Received: {unknown}")
    row, column, channel, fill_mode, cval, order = (known | options).values()
    axes = (row, column, channel)
    if np.ndim(x) != 3 or sorted(axes) != [0, 1, 2]:
        raise ShapeError(
            f"expected one image of three axes, of which row_axis, col_axis and channel_axis are one each. "
            f"Received: shape {np.shape(x)}, axes {axes}"
        )
    if order not in (0, 1):
        raise ValueError(f"the order of the interpolation is 0 or 1. Received: order={order}")
    pixels = np.moveaxis(np.asarray(x), axes, (0, 1, 2))  # (H, W, C)
    change = {"theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy}
    made = transformed(one_image(pixels), [change], fill_mode, cval, order)[0]
    return np.moveaxis(as_dtype_of(pixels, made), (0, 1, 2), axes)


_PLACES = ("row_axis", "col_axis", "channel_axis", "fill_mode", "cval", "interpolation_order")


def _affine(x, change, args, options):
    """With Keras's further arguments, by place or by name."""
    options = dict(zip(_PLACES, args, strict=False)) | options
    if "interpolation_order" in options:
        options["order"] = options.pop("interpolation_order")
    return apply_affine_transform(x, **change, **options)


def random_rotation(x: Any, rg: float, *args: Any, **options: Any) -> np.ndarray:
    """An image turned by up to `rg` degrees; further arguments as for `apply_affine_transform`."""
    return _affine(x, {"theta": np.random.uniform(-rg, rg)}, args, options)


def random_shift(x: Any, wrg: float, hrg: float, *args: Any, **options: Any) -> np.ndarray:
    """An image moved by up to `wrg` of its width and `hrg` of its height; further ones as `apply_affine_transform`."""
    axes = {"row_axis": 1, "col_axis": 2} | dict(zip(_PLACES, args, strict=False)) | options
    height, width = (np.shape(x)[axes[name]] for name in ("row_axis", "col_axis"))
    change = {"ty": np.random.uniform(-hrg, hrg) * height, "tx": np.random.uniform(-wrg, wrg) * width}
    return _affine(x, change, args, options)


def random_shear(x: Any, intensity: float, *args: Any, **options: Any) -> np.ndarray:
    """An image sheared by up to `intensity` degrees; further arguments as for `apply_affine_transform`."""
    return _affine(x, {"shear": np.random.uniform(-intensity, intensity)}, args, options)


def random_zoom(x: Any, zoom_range: Sequence[float], *args: Any, **options: Any) -> np.ndarray:
    """An image zoomed by two factors from a pair; further arguments as for `apply_affine_transform`."""
    if np.shape(zoom_range) != (2,):
        raise ValueError(f"zoom_range is a pair of numbers. Received: {zoom_range}")
    zx, zy = (1, 1) if tuple(zoom_range) == (1, 1) else np.random.uniform(*zoom_range, 2)
    return _affine(x, {"zx": zx, "zy": zy}, args, options)


def apply_channel_shift(x: Any, intensity: float, channel_axis: int = 0) -> np.ndarray:
    """An image plus a number, kept between its smallest and its largest one."""
    pixels = np.asarray(x)
    return np.clip(pixels + float(intensity), pixels.min(), pixels.max())


def random_channel_shift(x: Any, intensity_range: float, channel_axis: int = 0) -> np.ndarray:
    """`apply_channel_shift` by a random number from -intensity_range to intensity_range."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range), channel_axis)


def apply_brightness_shift(x: Any, brightness: float, scale: bool = True) -> np.ndarray:
    """An image (H, W, C) times a factor, as pixels from 0 to 255.

    Parameters
    ----------
    x : array (H, W, C)
    brightness : float
    scale : bool, default True
        Whether the smallest number becomes 0 and the largest 255 before.

    Returns
    -------
    array (H, W, C), float32
    """
    pixels = one_image(np.asarray(x, np.float32))[0]
    if scale:
        pixels = pixels - pixels.min()
        pixels = pixels / (pixels.max() or np.float32(1)) * np.float32(255)
    return brighter(pixels, brightness)


def random_brightness(x: Any, brightness_range: Sequence[float], scale: bool = True) -> np.ndarray:
    """`apply_brightness_shift` by a random factor from a pair."""
    if np.shape(brightness_range) != (2,):
        raise ValueError(f"brightness_range is a pair of numbers. Received: {brightness_range}")
    return apply_brightness_shift(x, np.random.uniform(*brightness_range), scale)
