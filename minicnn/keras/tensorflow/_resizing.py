"""``tf.image.resize_bilinear`` and its like of TensorFlow 1, whose pixels are points in their corners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.keras._operations import entering, in_a_lambda, is_symbolic
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["resize_bilinear", "resize_images", "resize_nearest_neighbor"]

_METHODS = {0: "bilinear", 1: "nearest", "bilinear": "bilinear", "nearest": "nearest"}


def _scaled(count, wanted, align_corners, offset):
    """Where the `wanted` rows lie among `count` ones, each counted from its upper edge; `offset`: of their pixels."""
    is_aligned = align_corners and wanted > 1
    step = np.float32((count - 1) / (wanted - 1) if is_aligned else count / wanted)
    return (np.arange(wanted, dtype=np.float32) + offset) * step


def _nearest(count, wanted, align_corners, offset):
    """The nearest of `count` rows to each of the `wanted` ones."""
    places = _scaled(count, wanted, align_corners, offset)
    nearest = np.floor(places + 0.5) if align_corners else np.floor(places)
    return np.minimum(nearest, count - 1).astype(int)


def _weights(count, wanted, align_corners, offset):
    """How much of each of `count` rows is in each of the `wanted` ones, (wanted, count)."""
    places = _scaled(count, wanted, align_corners, offset) - offset
    made, rows = np.zeros((wanted, count), np.float32), np.arange(wanted)
    below = np.floor(places)
    share = places - below
    np.add.at(made, (rows, np.clip(below, 0, count - 1).astype(int)), 1 - share)
    np.add.at(made, (rows, np.clip(below + 1, 0, count - 1).astype(int)), share)
    return made


def _resized(images, size, method, align_corners, half_pixel_centers=False):
    if is_symbolic(images):
        return in_a_lambda(lambda x: _resized(x, size, method, align_corners, half_pixel_centers), images)
    x = as_tensor(images)
    if x.ndim not in (3, 4):
        raise ValueError(f"tf.image.resize_… takes (H, W, C) or (N, H, W, C). Received: shape {x.shape}")
    height, width = (int(n) for n in size)
    if method == "bilinear" and x.dtype.kind != "f":
        x = x.astype(np.float32)
    if (height, width) == tuple(x.shape[-3:-1]):
        return of_tensorflow(x)
    offset, sizes = np.float32(0.5 if half_pixel_centers else 0.0), zip(x.shape[-3:-1], (height, width), strict=True)
    if method == "nearest":
        rows, columns = (_nearest(count, wanted, align_corners, offset) for count, wanted in sizes)
        return of_tensorflow(x[..., rows[:, None], columns, :])
    rows, columns = (_weights(count, wanted, align_corners, offset).astype(x.dtype) for count, wanted in sizes)
    flat = np.reshape(x, (*x.shape[:-2], -1))  # (…, H, W · C)
    made = np.reshape(rows @ flat, (*x.shape[:-3], height, *x.shape[-2:]))  # (…, OH, W, C)
    made = columns @ made  # (…, OH, OW, C)
    return of_tensorflow(made)


def _of_method(method: str) -> Callable[..., Any]:
    @entering
    def resize(
        images: Any,
        size: Sequence[int],
        align_corners: bool = False,
        half_pixel_centers: bool = False,
        name: str | None = None,
    ) -> Any:
        return _resized(images, size, method, align_corners, half_pixel_centers)

    resize.__doc__ = f"""Pictures of another size, by TensorFlow 1's kernel "{method}".

    Parameters
    ----------
    images : array (H, W, C) or (N, H, W, C), or a model's tensor
    size : (int, int)
        Height and width.
    align_corners : bool, default False
        Whether the pixels in the corners stay there.
    half_pixel_centers : bool, default False
        Whether pixels are areas, as for `tf.image.resize`, and not points.

    Returns
    -------
    array
        "bilinear": float32 of whole numbers; "nearest": of the images' dtype.
    """
    return resize


resize_bilinear, resize_nearest_neighbor = _of_method("bilinear"), _of_method("nearest")
resize_bilinear.__name__, resize_nearest_neighbor.__name__ = "resize_bilinear", "resize_nearest_neighbor"


@entering
def resize_images(
    images: Any,
    size: Sequence[int],
    method: str | int = "bilinear",
    align_corners: bool = False,
    preserve_aspect_ratio: bool = False,
    name: str | None = None,
) -> Any:
    """TensorFlow 1's `resize`: `resize_bilinear` or `resize_nearest_neighbor`.

    Parameters
    ----------
    images, size, align_corners :
        As for `resize_bilinear`.
    method : {"bilinear", "nearest", 0, 1}
    preserve_aspect_ratio : False
        The size is taken as it is.

    Returns
    -------
    array
        As of these; images that have the size already are given back as they are.

    Raises
    ------
    ValueError
        For anything else.
    """
    check_choice("method", method, tuple(_METHODS))
    check_choice("preserve_aspect_ratio", preserve_aspect_ratio, (False,))
    if not is_symbolic(images) and tuple(int(n) for n in size) == as_tensor(images).shape[-3:-1]:
        method = "nearest"
    return _resized(images, size, _METHODS[method], align_corners)
