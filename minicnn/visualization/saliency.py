"""Which pixels a decision depends on: the gradient of a class's score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.models import Model
from minicnn.visualization.figures import Names
from minicnn.visualization.heat import Explained, draw_heat

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_saliency(
    model: Model,
    images: ArrayLike,
    target: ArrayLike | None = None,
    class_names: Names | None = None,
    output: str | int | None = None,
) -> Figure:
    """How much each pixel changes the score of a class: |∂ score / ∂ pixel|, the largest of its channels.

    Simonyan, Vedaldi, Zisserman: "Deep Inside Convolutional Networks", 2014. The score is the value before a final
    softmax or sigmoid. Each image's map goes from 0 to its own largest value.

    Parameters
    ----------
    model : Model
        Of one input, an image.
    images : array (H, W, C), (H, W), or up to 16 of them, (N, H, W, C)
        With values as the model was trained with.
    target : int or array (N,) of int, optional
        The class; default: the one that the model predicts.
    class_names : sequence of str, optional
    output : str or int, optional
        Which output of several.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each image: itself with the class and what the model gives for it, the map, the map over the image.

    Raises
    ------
    ShapeError, ValueError, TypeError
        If images, class or output do not fit the model.
    ImportError
        If matplotlib is not installed.
    """
    explained = Explained(model, images, target, output, class_names, "show_saliency")
    gradients = model.input_gradients(
        explained.images, explained.classes, output=output, before_activation=True
    )  # (N, H, W, C)
    maps = scaled(np.abs(gradients).max(axis=-1))  # (N, H, W)
    return draw_heat(explained, maps, "saliency", "|gradient| of the score / the image's largest", (0, 1))


def scaled(maps: np.ndarray) -> np.ndarray:
    """Maps (N, H, W) of values from 0 on, each divided by its largest; one of zeros stays."""
    largest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)
