"""``keras.ops.image``: patches, filters, and images read at other points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.checks import check_choice, check_number
from minicnn.differentiation import value_of
from minicnn.keras._operations import entering
from minicnn.keras._result_types import of_eager_arrays
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._patches import patches_of
from minicnn.keras.tensorflow._patches import sobel_edges as _sobel_edges
from minicnn.layers.random_perspective import homographies, read_elsewhere

__all__ = ["affine_transform", "extract_patches", "gaussian_blur", "perspective_transform", "sobel_edges"]


def _batched(function):
    """The function of (N, H, W, C), for single images, and for channels in the first place."""

    def of_images(images: Any, *args: Any, data_format: str | None = None, **options: Any) -> Any:
        images = images if hasattr(images, "ndim") else np.asarray(images)
        if images.ndim not in (3, 4):
            raise ValueError(f"images are (H, W, C) or (N, H, W, C). Received: shape {images.shape}")
        is_first = check_choice("data_format", data_format, (None, "channels_last", "channels_first"))
        is_first = is_first == "channels_first"
        x = images if images.ndim == 4 else images[None]
        x = np.moveaxis(x, 1, 3) if is_first else x
        y = function(x, *args, **options)
        y = np.moveaxis(y, 3, 1) if is_first else y
        return y if images.ndim == 4 else y[0]

    return of_tensors_too(of_images)


@of_eager_arrays
@entering
def extract_patches(
    images: Any,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The windows of images, each as one row of its pixels.

    Parameters
    ----------
    images : array (H, W, C) or (N, H, W, C), or a model's tensor
    size : int or (int, int)
        Of a window. Those of volumes are not there.
    strides : int or (int, int), optional
        Default: `size`.
    dilation_rate : int or (int, int), default 1
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional

    Returns
    -------
    array (OH, OW, rows · columns · C) or (N, OH, OW, rows · columns · C)
    """
    rows, columns = _pair("size", size)
    steps = (rows, columns) if strides is None else _pair("strides", strides)
    check_choice("padding", padding, ("valid", "same"))
    further = steps, _pair("dilation_rate", dilation_rate), padding
    return _patches(images, (rows, columns), *further, data_format=data_format)


_patches = _batched(patches_of)


def _pair(name, value):
    pair = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(pair) != 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in pair):
        raise ValueError(f"{name} is a positive whole number, or two, of images. Received: {name}={value!r}")
    return pair


@of_eager_arrays
@entering
def gaussian_blur(
    images: Any,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> Any:
    """Images blurred by a normalized Gaussian, with zeros outside.

    Parameters
    ----------
    images : array (H, W, C) or (N, H, W, C), or a model's tensor
    kernel_size : (int, int)
        Twice the same number: of others, Keras on TensorFlow mixes up the weights.
    sigma : (float, float)
        Its deviation from left to right, and from top to bottom: the order in which Keras computes.
    data_format : {"channels_last", "channels_first"}, optional
    """
    rows, columns = _pair("kernel_size", kernel_size)
    if rows != columns:
        raise ValueError(f"kernel_size is twice the same number. Received: kernel_size={kernel_size!r}")
    deviations = tuple(check_number("sigma", n, above=0) for n in sigma)
    return _blurred(images, rows, deviations, data_format=data_format)


@_batched
def _blurred(x, size, sigma):
    places = np.arange(size) - (size - 1) / 2
    across, down = (np.exp(-0.5 * np.square(places / deviation)) for deviation in sigma)
    before = (size - 1) // 2
    x = np.pad(x, ((0, 0), (before, size - 1 - before), (before, size - 1 - before), (0, 0)))
    height, width = (n - size + 1 for n in np.shape(value_of(x))[1:3])
    dtype = value_of(x).dtype if value_of(x).dtype.kind not in "biu" else np.dtype(np.float32)
    rows = sum((down / down.sum()).astype(dtype)[k] * x[:, k : k + height] for k in range(size))
    return sum((across / across.sum()).astype(dtype)[k] * rows[:, :, k : k + width] for k in range(size))


@of_eager_arrays
@entering
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """How steep images (N, H, W, C) are downwards and to the right, by Sobel's filters: (N, H, W, C, 2)."""
    if check_choice("data_format", data_format, (None, "channels_last", "channels_first")) != "channels_first":
        return _sobel_edges(images)
    return np.moveaxis(_sobel_edges(np.moveaxis(images, 1, 3)), 3, 1)


@of_eager_arrays
@entering
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images read at other points: y[i, j] = x at ((a0·j + a1·i + a2) / k, (b0·j + b1·i + b2) / k), as (column, row).

    Parameters
    ----------
    images : array (H, W, C) or (N, H, W, C)
    transform : array (8,) or (N, 8)
        a0, a1, a2, b0, b1, b2, c0, c1; k = c0·j + c1·i + 1.
    interpolation : {"bilinear", "nearest"}
    fill_mode : {"constant", "nearest", "reflect"}
        Which pixel stands for one outside: `fill_value`, the nearest of the edge, or the image mirrored at its edges.
    fill_value : float, default 0
    data_format : {"channels_last", "channels_first"}, optional
    """
    check_choice("interpolation", interpolation, ("nearest", "bilinear"))
    check_choice("fill_mode", fill_mode, ("constant", "nearest", "reflect"))
    matrices = np.asarray(transform, np.float32)
    if matrices.shape[-1] != 8 or matrices.ndim not in (1, 2):
        raise ValueError(f"transform is (8,) or (N, 8). Received: shape {matrices.shape}")
    options = {"interpolation": interpolation, "fill_mode": fill_mode, "fill_value": fill_value}
    return _read_elsewhere(images, matrices.reshape(-1, 8), data_format=data_format, **options)


@of_eager_arrays
@entering
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images in another perspective: that in which four points lie elsewhere.

    Parameters
    ----------
    images : array (H, W, C) or (N, H, W, C)
    start_points, end_points : array (4, 2) or (N, 4, 2)
        Where (column, row) four points are, and shall be.
    interpolation, fill_value, data_format :
        As for `affine_transform`.
    """
    check_choice("interpolation", interpolation, ("nearest", "bilinear"))
    start, end = (np.asarray(points, np.float64) for points in (start_points, end_points))
    if start.shape != end.shape or start.shape[-2:] != (4, 2) or start.ndim not in (2, 3):
        raise ValueError(f"points are (4, 2) or (N, 4, 2) both times. Received: shapes {start.shape} and {end.shape}")
    matrices = homographies(start.reshape(-1, 4, 2), end.reshape(-1, 4, 2))
    options = {"interpolation": interpolation, "fill_mode": "constant", "fill_value": fill_value}
    return _read_elsewhere(images, matrices, data_format=data_format, **options)


_read_elsewhere = _batched(read_elsewhere)
