"""Images as scikit-learn's checks want them, rows of numbers, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.checks import is_integer
from minicnn.foreign import check_open, to_numpy
from minicnn.networks import ImageShape
from minicnn.user_warnings import warn_user


def as_rows(X: Any) -> tuple[Any, ImageShape | None]:
    """(rows, the images' shape): images (N, H, W) or (N, H, W, C) as rows; anything else as it is, with None.

    Raises
    ------
    DataError
        If they are images of different sizes.
    """
    if _are_images(X):
        X = to_numpy(X, "X")
    if getattr(X, "ndim", 0) not in (3, 4):
        return X, None
    X = np.asarray(X)
    shape = (*X.shape[1:], 1) if X.ndim == 3 else X.shape[1:]
    return X.reshape(len(X), math.prod(shape)), shape


def check_readable(values: dict[str, Any]) -> None:
    """Raise `DataError` for masked entries, which scikit-learn would take as they were before, and for closed files.

    Parameters
    ----------
    values : dict
        Name of an argument → what it was.
    """
    for name, value in values.items():
        check_open(value)
        if isinstance(value, np.ma.MaskedArray):
            to_numpy(value, name)


def _are_images(X):
    """Whether X is a list of images, or an array of objects, which are images."""
    is_list = isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    return is_list and len(X) > 0 and _axes(X[0]) > 1


def _axes(entry):
    """How many axes an entry has; nested lists of unequal lengths count as the rows that they begin with."""
    try:
        return np.ndim(entry)
    except ValueError:
        return 2


def warn_of_channels(shape: ImageShape | None) -> None:
    """Warn about square images whose channels seem to come first: a network would take their rows for channels."""
    if shape is not None and shape[0] in (1, 3) and shape[1] == shape[2] > 4:
        warn_user(
            "images are (N, height, width, channels), and the channels of these seem to come first: "
            f"numpy.moveaxis(X, 1, -1) puts them last. Received: X of shape {('N', *shape)}".replace("'", "")
        )


def shape_of_rows(count: int, image_shape: Any) -> ImageShape:
    """The shape of images whose numbers stand in rows.

    Parameters
    ----------
    count : int
        Numbers in a row.
    image_shape : (int, int), (int, int, int) or None
        Height, width and channels (default: 1). None: a square grey image, where `count` is a square; else an image of
        one row.

    Raises
    ------
    ValueError
        If `image_shape` is no such thing, or has another number of numbers.
    """
    if image_shape is None:
        side = math.isqrt(count)
        return (side, side, 1) if side * side == count else (1, count, 1)
    is_shape = isinstance(image_shape, tuple | list) and len(image_shape) in (2, 3)
    if not is_shape or not all(is_integer(n) and n > 0 for n in image_shape):
        raise ValueError(
            f"image_shape is (height, width) or (height, width, channels). Received: image_shape={image_shape!r}"
        )
    height, width, channels = (*image_shape, 1)[:3]
    if height * width * channels != count:
        raise ValueError(
            f"image_shape={tuple(image_shape)} needs rows of {height * width * channels} numbers. Received: rows of "
            f"{count}"
        )
    return int(height), int(width), int(channels)
