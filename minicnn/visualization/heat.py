"""Images beside heat maps that explain a decision: a row an image, one colour bar for all."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.models import Model
from minicnn.models.arguments import check_model
from minicnn.models.input_gradients import weights_of
from minicnn.nested import leaves
from minicnn.visualization.asked import images_of
from minicnn.visualization.figures import Names, as_pixels, as_text, checked_names, class_label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IMAGES = 16
PANEL_INCHES = 1.9
TITLE_INCHES = 0.42
TITLE_SIZE = 8.5  # points
TITLE_LETTERS = 28
OPACITY = 0.55  # of the heat over the image
HOT = "inferno"  # grows evenly from black to yellow with any colour vision, and in grey


class Explained:
    """Images, and the numbers of the model's output that are explained.

    Parameters
    ----------
    model : Model
        Of one input, an image.
    images : array (H, W, C) or (N, H, W, C)
    target : int, array (N,) of int, or None
        See `Model.input_gradients`.
    output : str, int or None
        See `Model.input_gradients`.
    class_names : sequence of str or None
    caller : str
        The function that messages name.

    Attributes
    ----------
    images : array (N, H, W, C)
    outputs : array (N, C)
        What the model gives.
    classes : array (N,) of int
        Which numbers of the output.
    number : int
        Which output of several.
    """

    def __init__(
        self,
        model: Model,
        images: ArrayLike,
        target: ArrayLike | None,
        output: str | int | None,
        class_names: Names | None,
        caller: str,
    ) -> None:
        self.model: Model = check_model(model, caller)
        self.class_names: list[str] | None = checked_names(class_names, "class_names")
        self.images: np.ndarray = images_of(model, images, caller, MOST_IMAGES)
        weigh = weights_of(model, target, output, len(self.images))
        rows = leaves(model.predict(self.images))
        weights = weigh(rows, slice(0, len(self.images)))
        number = next(i for i, value in enumerate(weights) if value is not None)
        if rows[number].ndim == 1:
            raise ValueError(
                f"{caller} explains an output (None, C); of one number without an axis, model.input_gradients gives "
                f"the gradient. Received: model '{model.name}' with an output {model.outputs[number].shape}"
            )
        self.number: int = number
        self.outputs: np.ndarray = rows[number]
        self.classes: np.ndarray = (
            weights[number].reshape(len(self.images), -1, rows[number].shape[-1])[:, 0].argmax(axis=1)
        )

    def titles(self) -> list[str]:
        """What is explained in each image: the class, and its number in the output where it is one."""
        texts = []
        for outputs, number in zip(self.outputs, self.classes, strict=True):
            is_one = outputs.shape == (1,)
            name = "the output" if is_one else class_label(int(number), self.class_names, "target")
            text = f"{name}: {outputs[number]:.2f}" if outputs.ndim == 1 else name
            texts.append(as_text("\n".join(textwrap.wrap(text, TITLE_LETTERS))))
        return texts


def draw_heat(
    explained: Explained,
    maps: Sequence[np.ndarray],
    what: str,
    meaning: str,
    limits: tuple[float, float],
    colours: str = HOT,
    smooth: bool = False,
) -> Figure:
    """Three panels for each image: itself, the map, and the map over the image in grey.

    Parameters
    ----------
    explained : Explained
    maps : sequence of array (h, w)
        Drawn over the whole image, whatever their size.
    what : str
        The title above the maps.
    meaning : str
        Of the colours.
    limits : tuple of float
        The values at the two ends of the colours.
    colours : str
        A colour map's name.
    smooth : bool
        Whether a map is drawn without the edges of its pixels.
    """
    pixels = as_pixels(explained.images if explained.images.shape[-1] in (1, 3) else _mean(explained), what)
    rows = len(pixels)
    figure = new_figure(3 * PANEL_INCHES + 1.1, rows * (PANEL_INCHES + TITLE_INCHES))
    places = figure.subplots(rows, 3, squeeze=False)
    height, width = pixels.shape[1:3]
    area = (-0.5, width - 0.5, height - 0.5, -0.5)
    style = {"cmap": colours, "vmin": limits[0], "vmax": limits[1], "extent": area}
    style["interpolation"] = "bilinear" if smooth else "nearest"
    for axes, image, heat, title in zip(places, pixels, maps, explained.titles(), strict=True):
        grey = image if image.ndim == 2 else image.mean(axis=-1)  # (H, W)
        axes[0].imshow(image, cmap="gray", vmin=0, vmax=1)
        picture = axes[1].imshow(heat, **style)
        axes[2].imshow(grey, cmap="gray", vmin=0, vmax=1)
        axes[2].imshow(heat, alpha=OPACITY, **style)
        axes[0].set_title(title, fontsize=TITLE_SIZE)
    places[0][1].set_title(what, fontsize=TITLE_SIZE)
    places[0][2].set_title("over the image", fontsize=TITLE_SIZE)
    for axes in places.flat:
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(picture, ax=places, shrink=min(1.0, 2 / rows + 0.2), aspect=25)
    bar.set_label(meaning, size=TITLE_SIZE)
    bar.ax.tick_params(labelsize=7.5)
    bar.outline.set_visible(False)
    return figure


def _mean(explained):
    """Images of other than 1 or 3 channels as grey ones: the means of their channels."""
    return explained.images.mean(axis=-1)[..., None]  # (N, H, W, 1)
