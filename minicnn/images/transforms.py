"""Random changes of pictures, as `ImageDataGenerator` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import backends
from minicnn.backends import memory

Transform = Mapping[str, Any]
"""Keras's names: theta (degrees), tx, ty (pixels along a row, down), shear (degrees), zx, zy, flip_horizontal,
flip_vertical, channel_shift_intensity, brightness."""


def affine_matrix(transform: Transform, height: int, width: int) -> np.ndarray | None:
    """Where pixels come from: (column, row) = matrix · (column, row, 1), (3, 3); None: from where they are.

    Rotation, shift, shear and zoom one after the other, around the middle: as Keras does for square images. (For others
    it takes the middle of the image on its side.)

    Parameters
    ----------
    transform : mapping
        In Keras's names, see `Transform`.
    height, width : int
        Of the image.
    """
    theta, shear = (np.deg2rad(transform.get(name, 0)) for name in ("theta", "shear"))
    matrix = np.eye(3)
    if theta:
        matrix = matrix @ [[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]]
    if transform.get("tx", 0) or transform.get("ty", 0):
        matrix = matrix @ [[1, 0, transform.get("tx", 0)], [0, 1, transform.get("ty", 0)], [0, 0, 1]]
    if shear:
        matrix = matrix @ [[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]]
    if transform.get("zx", 1) != 1 or transform.get("zy", 1) != 1:
        matrix = matrix @ np.diag([transform.get("zx", 1), transform.get("zy", 1), 1])
    if np.array_equal(matrix, np.eye(3)):
        return None
    column, row = width / 2 - 0.5, height / 2 - 0.5
    to_middle = np.array([[1, 0, column], [0, 1, row], [0, 0, 1]])
    from_middle = np.array([[1, 0, -column], [0, 1, -row], [0, 0, 1]])
    return to_middle @ matrix @ from_middle


def transformed(images: np.ndarray, transforms: list[Transform], fill_mode: str, cval: float, order: int) -> np.ndarray:
    """Images (N, H, W, C), float32, each changed by its own transform.

    Parameters
    ----------
    images : array (N, H, W, C)
    transforms : list of mapping
    fill_mode : {"constant", "nearest", "reflect", "wrap"}
    cval : float
    order : int
        0: the nearest pixel; 1: four pixels are mixed.
    """
    images = _warped(images, transforms, fill_mode, cval, order)
    for i, transform in enumerate(transforms):
        if transform.get("channel_shift_intensity"):
            low, high = images[i].min(), images[i].max()
            images[i] = np.clip(images[i] + transform["channel_shift_intensity"], low, high)
        if transform.get("flip_horizontal"):
            images[i] = images[i][:, ::-1].copy()
        if transform.get("flip_vertical"):
            images[i] = images[i][::-1].copy()
        if transform.get("brightness") is not None:
            images[i] = brighter(images[i], transform["brightness"])
    return images


def brighter(image: np.ndarray, factor: float) -> np.ndarray:
    """An image of pixels from 0 to 255 with all of them times `factor`, rounded to whole ones and cut off at 255.

    Other ranges are stretched to 0 … 255 before, and back afterwards.
    """
    low, high = float(image.min()), float(image.max())
    inside = low >= 0 and high <= 255
    pixels = image if inside else (image - low) * (255 / ((high - low) or 1))
    pixels = np.clip(pixels.astype(np.uint8) * np.float32(factor), 0, 255).astype(np.uint8).astype(np.float32)
    return pixels if inside else pixels / 255 * (high - low) + low


def _warped(images, transforms, fill_mode, cval, order):
    height, width = images.shape[1:3]
    matrices = [affine_matrix(transform, height, width) for transform in transforms]
    x = memory.empty(images.shape, np.float32)
    x[...] = images
    if all(m is None for m in matrices):
        return x
    entries = np.array([np.eye(3) if m is None else m for m in matrices])[:, :2]  # (N, 2, 3)
    y = memory.empty(images.shape, np.float32)
    name = backends.current().name
    ops = backends.get("numpy" if name == "cupy" else name).ops
    ops.warp(x, np.ascontiguousarray(entries), y, order > 0, fill_mode, float(cval))
    return y
