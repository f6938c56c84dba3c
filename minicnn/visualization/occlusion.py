"""What a model says when a part of the image is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int
from minicnn.models import Model
from minicnn.nested import leaves
from minicnn.visualization.figures import Names
from minicnn.visualization.heat import Explained, draw_heat
from minicnn.visualization.rows import SIGNED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATCHES = 5  # by default, a patch is about so many times smaller than the image
AT_ONCE = 256  # images that are predicted together


def show_occlusion(
    model: Model,
    images: ArrayLike,
    target: ArrayLike | None = None,
    class_names: Names | None = None,
    patch: int | None = None,
    stride: int | None = None,
    output: str | int | None = None,
) -> Figure:
    """How much the output of a class falls when a square of the image is covered with the image's mean colour.

    Zeiler, Fergus: "Visualizing and Understanding Convolutional Networks", 2014. Where squares overlap, it is the mean
    of theirs. Orange pixels speak for the class, purple ones against it.

    Parameters
    ----------
    model : Model
        Of one input, an image.
    images : array (H, W, C), (H, W), or up to 16 of them, (N, H, W, C)
    target : int or array (N,) of int, optional
        The class; default: the one that the model predicts.
    class_names : sequence of str, optional
    patch : int, optional
        The side of the square in pixels. Default: a fifth of the image's shorter side.
    stride : int, optional
        From one square to the next, in pixels. Default: half the side.
    output : str or int, optional
        Which output of several.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each image: itself with the class and what the model gives for it, the map, the map over the image.
        All maps have the same colours.

    Raises
    ------
    ShapeError, ValueError, TypeError
        If images, class or output do not fit the model, or the square is larger than the image.
    ImportError
        If matplotlib is not installed.
    """
    explained = Explained(model, images, target, output, class_names, "show_occlusion")
    height, width = explained.images.shape[1:3]
    side = check_positive_int("patch", max(1, min(height, width) // PATCHES) if patch is None else patch)
    step = check_positive_int("stride", max(1, side // 2) if stride is None else stride)
    if side > min(height, width) or step > side:
        raise ValueError(
            f"patch fits into the image of {height}×{width} pixels, and stride is at most patch, so that every pixel "
            f"is covered. Received: patch={side}, stride={step}"
        )
    maps = [_falls(explained, number, side, step) for number in range(len(explained.images))]
    largest = max(float(np.abs(heat).max()) for heat in maps) or 1.0
    return draw_heat(explained, maps, "occlusion", "fall of the output when covered", (-largest, largest), SIGNED)


def _falls(explained, number, side, step):
    """The map (H, W) of one image."""
    image, chosen = explained.images[number].astype(np.float64), explained.classes[number]
    height, width = image.shape[:2]
    corners = [(top, left) for top in _starts(height, side, step) for left in _starts(width, side, step)]
    before = explained.outputs[number][..., chosen].sum()
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(corners), AT_ONCE):
        part = corners[start : start + AT_ONCE]
        copies = np.repeat(image[None], len(part), axis=0)  # (n, H, W, C)
        for copy, (top, left) in zip(copies, part, strict=True):
            copy[top : top + side, left : left + side] = image.mean(axis=(0, 1))
        outputs = leaves(explained.model.predict(copies))[explained.number][..., chosen]  # (n, …)
        after = outputs.reshape(len(part), -1).sum(axis=1)
        for fall, (top, left) in zip(before - after, part, strict=True):
            total[top : top + side, left : left + side] += fall
            covered[top : top + side, left : left + side] += 1
    return total / covered


def _starts(size, side, step):
    """Where squares begin along an axis; the last one ends with the image."""
    return [*range(0, size - side, step), size - side]
