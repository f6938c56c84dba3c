"""What all figures share: where they come from, their colours, how images and class numbers are read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import is_integer, is_real

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision: "Color Universal Design", 2008.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"
DPI = 120
PAD = 0.06  # inches around every part of a figure
NO_BREAK = "\N{NO-BREAK SPACE}"

Names: TypeAlias = Sequence[str] | np.ndarray
"""Of classes or images, in order."""


def new_figure(width: float, height: float, layout: str | None = "constrained", dpi: float = DPI) -> Figure:
    """An empty figure of that size in inches, which belongs to nobody's pyplot."""
    figure = figure_class()(figsize=(width, height), dpi=dpi, layout=layout)
    if layout is not None:
        figure.get_layout_engine().set(w_pad=PAD, h_pad=PAD)
    return figure


@cache
def figure_class() -> type[Figure]:
    """matplotlib's Figure, drawn by Agg, which needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"figures need matplotlib: pip install minicnn[plot] ({error})") from error

    class NotebookFigure(Figure):
        """A Figure that notebooks show without pyplot."""

        def __init__(self, **arguments):
            super().__init__(**arguments)
            FigureCanvasAgg(self)

        def _repr_png_(self):
            from io import BytesIO

            file = BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return NotebookFigure


# -------------------------------------------------------------------------------------------------------- arguments


def as_pixels(images: ArrayLike, caller: str) -> np.ndarray:
    """Images as floats from 0 to 1, for drawing.

    Parameters
    ----------
    images : array (N, H, W), (N, H, W, 1) or (N, H, W, 3), or list of such images
        Bytes from 0 to 255 and floats from 0 to 1 keep their meaning; other values are scaled from the lowest (black)
        to the highest (white) of all images. NaN and infinity do not count; in colour images they become white.
    caller : str
        The function that messages name.

    Returns
    -------
    array (N, H, W) or (N, H, W, 3), float32

    Raises
    ------
    ValueError, TypeError
        If the shape, the sizes or the dtype do not fit; if it is one image (H, W, 1) or (H, W, 3).
    """
    try:
        pixels = np.asarray(images)
    except ValueError:  # a list of different shapes
        raise ValueError(f"{caller} takes images of one size. Received: images of different shapes") from None
    fits = pixels.ndim in (3, 4) and (pixels.ndim == 4) == (pixels.shape[-1] in (1, 3))  # (H, W, 3) is one image
    if not fits or pixels.size == 0:
        raise ValueError(
            f"{caller} takes one or more images: (N, H, W), (N, H, W, 1) or (N, H, W, 3); write image[None] for one. "
            "A last axis of 1 or 3 is read as channels: write images[..., None] where it is a width. "
            f"Received: {received(pixels)}"
        )
    if not is_real(pixels):
        raise TypeError(f"{caller} takes real numbers. Received: dtype {pixels.dtype}")
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    lowest, highest = _limits(pixels)
    pixels = (pixels.astype(np.float32) - lowest) / (highest - lowest)
    return pixels if pixels.ndim == 3 else np.where(np.isfinite(pixels), pixels, 1)


def _limits(pixels):
    """The values drawn as black and as white."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    finite = pixels[np.isfinite(pixels)]
    lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if lowest >= 0 and highest <= 1:
        return 0.0, 1.0
    return (lowest, highest) if lowest < highest else (lowest, lowest + 1)


def checked_names(names: Names | None, argument: str) -> list[str] | None:
    """Names as a list of str; None stays None.

    Raises
    ------
    TypeError
        If it is no sequence: a dict, a set, one text, a number.
    """
    if names is None:
        return None
    try:
        is_sequence = np.ndim(names) == 1
    except ValueError:  # a list of lists of different lengths
        is_sequence = False
    if not is_sequence:
        raise TypeError(
            f"{argument} is a list, tuple or array of names in order, e.g. ['cat', 'dog']. "
            f"Received: {type(names).__name__}, {names!r}"
        )
    return [str(name) for name in names]


def class_label(number: float, class_names: Names | None, argument: str = "labels") -> str:
    """The name of a class, or its number where there are no names.

    Raises
    ------
    ValueError
        If it is no class number, or has no name.
    """
    if not is_integer(number) and not (isinstance(number, float | np.floating) and float(number).is_integer()):
        raise ValueError(f"{argument} holds class numbers, integers from 0 on. Received: {number!r}")
    number = int(number)
    if class_names is None:
        return str(number)
    if not 0 <= number < len(class_names):
        raise ValueError(
            f"class {number} has no name: class_names has {len(class_names)} entries, for 0 … {len(class_names) - 1}. "
            f"Received: {argument} with {number}"
        )
    return class_names[number]


def received(array: np.ndarray) -> str:
    """What a message says of something that is no image: its shape, or what it is if it is no array at all."""
    is_thing = array.ndim == 0 and array.dtype == object
    return f"a {type(array.item()).__name__}" if is_thing else f"shape {array.shape}"


def as_one_image(image: ArrayLike, caller: str) -> np.ndarray:
    """One image as floats from 0 to 1; see `as_pixels`.

    Parameters
    ----------
    image : array (H, W), (H, W, 1), (H, W, 3), or one of these with a batch axis of length 1 in front

    Returns
    -------
    array (H, W) or (H, W, 3), float32
    """
    image = np.asarray(image)
    is_batch = image.ndim == 4 or (image.ndim == 3 and len(image) == 1 and image.shape[-1] not in (1, 3))
    batch = image if is_batch else image[None]
    batch = batch[..., None] if batch.ndim == 3 else batch
    if batch.ndim != 4 or len(batch) != 1:
        raise ValueError(
            f"{caller} takes one image: (H, W), (H, W, 1) or (H, W, 3), e.g. x_test[0]. Received: {received(image)}"
        )
    return as_pixels(batch, caller)[0]


def as_text(text: object) -> str:
    """`text` for matplotlib, which otherwise reads formulas between dollar signs."""
    return str(text).replace("$", r"\$")


def text_width(text: str, font: dict[str, Any]) -> float:
    """Inches that a line takes.

    Parameters
    ----------
    text : str
        As `as_text` returns it.
    font : dict
        What matplotlib's FontProperties takes: "size" in points, "weight".
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), text, prop=FontProperties(**font)).get_extents().width / 72 if text.strip() else 0.0


def check_colour_map(name: object) -> None:
    """Raise `ValueError` unless it is the name of one of matplotlib's colour maps."""
    figure_class()
    from matplotlib import colormaps

    if not isinstance(name, str) or name not in colormaps:
        raise ValueError(
            "cmap names one of matplotlib's colour maps, such as 'viridis', or 'PuOr_r' for numbers with signs. "
            f"Received: cmap={name!r}"
        )
