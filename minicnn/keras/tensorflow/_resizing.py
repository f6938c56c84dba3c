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


def _weights(count, wanted, method, align_corners, half_pixel_centers):
    """How much of each of `count` rows is in each of the `wanted` ones, (wanted, count)."""
    is_aligned = align_corners and wanted > 1
    step = np.float32((count - 1) / (wanted - 1) if is_aligned else count / wanted)
    offset = np.float32(0.5 if half_pixel_centers else 0.0)
    places = (np.arange(wanted, dtype=np.float32) + offset) * step - (0 if method == "nearest" else offset)
    made = np.zeros((wanted, count), np.float32)
    rows = np.arange(wanted)
    if method == "nearest":
        nearest = np.floor(places + 0.5) if align_corners else np.floor(places)
        made[rows, np.minimum(nearest, count - 1).astype(int)] = 1
        return made
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
    if (height, width) == tuple(x.shape[-3:-1]):
        return images
    dtype = x.dtype
    x = x if dtype.kind == "f" else x.astype(np.float32)
    rows, columns = (
        _weights(count, wanted, method, align_corners, half_pixel_centers).astype(x.dtype)
        for count, wanted in zip(x.shape[-3:-1], (height, width), strict=True)
    )
    flat = np.reshape(x, (*x.shape[:-2], -1))  # (…, H, W · C)
    made = np.reshape(rows @ flat, (*x.shape[:-3], height, *x.shape[-2:]))  # (…, OH, W, C)
    made = columns @ made  # (…, OH, OW, C)
    return of_tensorflow(made.astype(dtype) if method == "nearest" and dtype.kind != "f" else made)


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
        float32 of whole numbers, unless they are taken as they are.
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

    Raises
    ------
    ValueError
        For anything else.
    """
    check_choice("method", method, tuple(_METHODS))
    check_choice("preserve_aspect_ratio", preserve_aspect_ratio, (False,))
    return _resized(images, size, _METHODS[method], align_corners)
