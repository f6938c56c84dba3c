"""``tf.image``'s parts of pictures: glimpses at places, and boxes that are drawn around what has been found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.errors import ShapeError
from minicnn.keras import random as numbers
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow, pictures_of

__all__ = ["extract_glimpse", "sample_distorted_bounding_box"]


def extract_glimpse(
    input: Any,
    size: Sequence[int],
    offsets: Any,
    centered: bool = True,
    normalized: bool = True,
    noise: str = "uniform",
    name: str | None = None,
) -> Any:
    """A part of each picture; what lies outside is noise.

    Parameters
    ----------
    input : array (N, H, W, C)
    size : (int, int)
        Height and width of the parts.
    offsets : array (N, 2)
        Where they lie, (y, x).
    centered : bool, default True
        Whether (0, 0) is the picture's middle, from which a picture reaches to -1 and 1, and the part's middle lies
        there; else it is the corner above left, of both.
    normalized : bool, default True
        Whether offsets are parts of the picture's size, not pixels.
    noise : {"uniform", "gaussian", "zero"}

    Returns
    -------
    array (N, height, width, C), float32
    """
    check_choice("noise", noise, ("uniform", "gaussian", "zero"))
    pictures, places = np.asarray(pictures_of(input), np.float32), np.asarray(as_tensor(offsets), np.float32)
    if pictures.ndim != 4 or places.shape != (len(pictures), 2):
        raise ShapeError(
            f"expected pictures (N, H, W, C) and offsets (N, 2). Received: shapes {pictures.shape} and {places.shape}"
        )
    full, part = np.float32(pictures.shape[1:3]), np.float32([int(n) for n in size])
    places = places * full if normalized else places
    starts = np.trunc(places / 2 + full / 2 - part / 2 if centered else places).astype(int)  # (N, 2)
    shape = (len(pictures), *part.astype(int), pictures.shape[-1])
    draw = {"uniform": numbers.uniform, "gaussian": numbers.normal, "zero": lambda shape: np.zeros(shape)}[noise]
    made = np.array(draw(shape), np.float32)
    for glimpse, picture, start in zip(made, pictures, starts, strict=True):
        first = np.maximum(start, 0)
        last = np.maximum(np.minimum(start + shape[1:3], picture.shape[:2]), first)
        into = tuple(slice(*ends) for ends in zip(first - start, last - start, strict=True))
        glimpse[into] = picture[tuple(slice(*ends) for ends in zip(first, last, strict=True))]
    return of_tensorflow(made)


def sample_distorted_bounding_box(
    image_size: Any,
    bounding_boxes: Any,
    seed: int = 0,
    min_object_covered: float = 0.1,
    aspect_ratio_range: Sequence[float] | None = None,
    area_range: Sequence[float] | None = None,
    max_attempts: int | None = None,
    use_image_if_no_bounding_boxes: bool | None = None,
    name: str | None = None,
) -> tuple[Any, Any, Any]:
    """A box at random, of which enough lies within one of the given ones, to be cut out by ``tf.slice``.

    Parameters
    ----------
    image_size : (height, width, channels)
    bounding_boxes : array (1, n, 4)
        (y_min, x_min, y_max, x_max), from 0 to 1.
    seed : int, default 0
        0: by the seed of the program.
    min_object_covered : float, default 0.1
        How much of one of the boxes has to be inside.
    aspect_ratio_range : (float, float), default (0.75, 1.33)
        Of width / height.
    area_range : (float, float), default (0.05, 1)
        Parts of the picture.
    max_attempts : int, default 100
        After which it is the whole picture.
    use_image_if_no_bounding_boxes : bool, default False
        Whether no box stands for one around the picture.

    Returns
    -------
    begin : array (3,), int32
        (row, column, 0).
    size : array (3,), int32
        (height, width, -1).
    bboxes : array (1, 1, 4), float32
        The box, as those that were given.

    Raises
    ------
    ValueError
        If there is no box.
    """
    full, boxes = np.asarray(as_tensor(image_size)), np.asarray(as_tensor(bounding_boxes), np.float64).reshape(-1, 4)
    if not len(boxes):
        if not use_image_if_no_bounding_boxes:
            raise ValueError(
                "expected bounding_boxes (1, n, 4), or use_image_if_no_bounding_boxes=True. Received: no box"
            )
        boxes = np.array([[0.0, 0, 1, 1]])
    sides = tuple(int(n) for n in full[:2])
    found, scale = np.array([0, 0, *sides]), np.array([*sides, *sides])
    draws = np.asarray(numbers.uniform((max_attempts or 100, 4), dtype="float64", seed=seed or None))
    for draw in draws:
        box = _box(draw, sides, aspect_ratio_range or (0.75, 1.33), area_range or (0.05, 1.0))
        if box is not None and _covered(box / scale, boxes) >= min_object_covered:
            found = box
            break
    begin, size = [*found[:2], 0], [*(found[2:] - found[:2]), -1]
    as_parts = np.float32(found / scale).reshape(1, 1, 4)
    return tuple(of_tensorflow(each) for each in (np.int32(begin), np.int32(size), as_parts))


def _box(draw, sides, aspects, areas):
    """Corners (top, left, bottom, right) of a box, by four numbers from 0 to 1; None where it has no such area.

    The aspect is drawn first, then the height among those that its areas allow, at last the place.
    """
    (height, width), aspect = sides, aspects[0] + draw[0] * (aspects[1] - aspects[0])
    least, most = (round((area * height * width / aspect) ** 0.5) for area in areas)
    most = max(min(most, height, int((width + 0.5) / aspect)), 0)
    least = min(least, most)
    rows = least + int(draw[1] * (most - least + 1))
    columns = min(round(rows * aspect), width)
    if not areas[0] * height * width <= rows * columns <= areas[1] * height * width or rows * columns == 0:
        return None
    top, left = int(draw[2] * (height - rows + 1)), int(draw[3] * (width - columns + 1))
    return np.array([top, left, top + rows, left + columns])


def _covered(box, boxes):
    """The largest part of one of `boxes` (n, 4) that lies within `box`."""
    common = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])  # (n, 2)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.max(np.prod(np.maximum(common, 0), axis=1) / np.where(areas > 0, areas, np.inf))
