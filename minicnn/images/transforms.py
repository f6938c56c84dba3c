"""Random changes of pictures, as `ImageDataGenerator` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn import backends
from minicnn.backends import memory
from minicnn.errors import ShapeError
from minicnn.foreign import shown

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

    Other ranges are stretched to 0 … 255 before, and back afterwards. How opaque a pixel (R, G, B, A) is stays.
    """
    low, high = float(image.min()), float(image.max())
    inside = low >= 0 and high <= 255
    pixels = image if inside else (image - low) * (255 / ((high - low) or 1))
    old = pixels.astype(np.uint8)
    pixels = np.clip(old * np.float32(factor), 0, 255).astype(np.uint8).astype(np.float32)
    if image.shape[-1] == 4:
        pixels[..., 3] = old[..., 3]
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
    if fill_mode == "constant":
        _fill_outside(y, entries, cval)
    return y


def _fill_outside(images, entries, cval):
    """Pixels that come from outside of the middles of the outermost ones are `cval` alone, as SciPy has them."""
    height, width = images.shape[1:3]
    places = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))])  # (3, H, W)
    for image, matrix in zip(images, entries, strict=True):
        column, row = np.tensordot(matrix, places, 1)  # (H, W) each
        image[(column < 0) | (column > width - 1) | (row < 0) | (row > height - 1)] = cval


def as_dtype_of(x: np.ndarray, made: np.ndarray) -> np.ndarray:
    """An image of the dtype of `x`, of which it was made; rounded to whole numbers for these, halves away from 0.

    Parameters
    ----------
    x, made : array (H, W, C)
    """
    if x.dtype.kind in "iu":
        made = np.trunc(made + np.copysign(np.float32(0.5), made))
        made = np.clip(made, np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    return made.astype(x.dtype, copy=False)


def shift(amount: float | Sequence[float], size: int, generator: np.random.Generator) -> float:
    """Random pixels along an axis: of a list one, of an int so many at most, of a fraction that part of the size.

    Parameters
    ----------
    amount : float, int or list
    size : int
        Of the axis.
    generator : numpy.random.Generator
    """
    if not isinstance(amount, int | float | np.number):
        pixels = generator.choice(np.asarray(amount)) * generator.choice([-1, 1])
    elif isinstance(amount, int | np.integer) and amount:
        pixels = generator.integers(1 - abs(amount), abs(amount))
    else:
        pixels = generator.uniform(-abs(amount), abs(amount)) if amount else 0
    return pixels * size if np.max(np.abs(amount)) < 1 else pixels


def check_pair_of(name: str, value: float | Sequence[float], around: float | None = None) -> tuple[float, float]:
    """Two numbers, the lower one first.

    Parameters
    ----------
    name : str
        Of the argument.
    value : (float, float)
    around : float, optional
        A number n stands for the pair (around - n, around + n).

    Raises
    ------
    ValueError
        If it is anything else, or the higher one comes first.
    """
    if around is not None and isinstance(value, int | float):
        value = (around - value, around + value)
    is_pair = np.shape(value) == (2,) and not any(isinstance(part, str) for part in value)
    low, high = map(float, value) if is_pair else (np.nan, np.nan)
    if not low <= high:
        number = "" if around is None else "a number, or "
        raise ValueError(f"{name} is {number}a pair (lowest, highest). Received: {shown(value)}")
    return low, high


def one_image(x: np.ndarray) -> np.ndarray:
    """The image x (H, W, C) as the only one of several; ShapeError if it is none."""
    if np.ndim(x) != 3:
        raise ShapeError(f"expected one image (H, W, C). Received: shape {np.shape(x)}")
    return np.asarray(x)[None]


def whitening(rows: np.ndarray, epsilon: float) -> np.ndarray:
    """The matrix (D, D) that makes the numbers of rows (N, D) uncorrelated; directions that no row has become 0.

    Parameters
    ----------
    rows : array (N, D)
        With means of 0.
    epsilon : float
        What is added to the singular values that are divided by.
    """
    vectors, values, _ = np.linalg.svd(rows.T, full_matrices=False)  # (D, min(D, N))
    return vectors * (np.sqrt(len(rows)) / (values + epsilon)) @ vectors.T
