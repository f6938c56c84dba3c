"""A kernel on its way over an image, as an animation: the window, the products, their sum."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice, check_number, check_pair, check_positive_int, is_real
from minicnn.errors import NotBuiltError, ShapeError
from minicnn.geometry import make_window
from minicnn.hints import FilePath
from minicnn.layers import Conv2D
from minicnn.saving.files import replacing
from minicnn.visualization.figures import VERMILION, new_figure
from minicnn.visualization.rows import SIGNED

MOST_PLACES = 256
MOST_NUMBERS = 12  # cells along an axis: of larger grids, the colours alone are drawn
PANEL_INCHES, TEXT_INCHES = 2.3, 0.75
DPI = 80
NUMBER_SIZE = 6.5  # points


@dataclass(frozen=True)
class Place:
    """A kernel at one place of an image.

    Attributes
    ----------
    row, column : int
        Of the output.
    products : array (KH, KW)
        Window times kernel.
    value : float
        Their sum and the bias.
    """

    row: int
    column: int
    products: np.ndarray
    value: float


class Animation:
    """Frames one after the other: `save` writes a GIF, notebooks play it.

    Attributes
    ----------
    places : list of Place
        What each frame shows.
    output : array (OH, OW)
        What the kernel makes of the image.
    frames : list of array (H, W, 3) of uint8
    frame_seconds : float
        How long each is shown.
    """

    def __init__(self, places: list[Place], output: np.ndarray, frames: list[np.ndarray], frame_seconds: float) -> None:
        self.places: list[Place] = places
        self.output: np.ndarray = output
        self.frames: list[np.ndarray] = frames
        self.frame_seconds: float = frame_seconds

    def save(self, path: FilePath) -> None:
        """Write a GIF, which plays again and again.

        Raises
        ------
        ValueError
            If the name does not end in ".gif".
        FileNotFoundError
            If there is no such folder.
        """
        if Path(path).suffix.lower() != ".gif":
            raise ValueError(f"an animation is saved as .gif. Received: {str(path)!r}")
        data = self._gif()
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    def _gif(self) -> bytes:
        from PIL import Image

        first, *rest = (Image.fromarray(frame).quantize(64, dither=Image.Dither.NONE) for frame in self.frames)
        file = io.BytesIO()
        duration = round(1000 * self.frame_seconds)
        first.save(file, "GIF", save_all=True, append_images=rest, duration=duration, loop=0)
        return file.getvalue()

    def _repr_html_(self) -> str:
        text = f"a kernel on its way over an image, {len(self.frames)} places"
        return f'<img alt="{text}" src="data:image/gif;base64,{base64.b64encode(self._gif()).decode()}">'


def show_sliding_window(
    image: ArrayLike,
    kernel: ArrayLike | Conv2D,
    strides: int | tuple[int, int] | None = None,
    padding: str | None = None,
    bias: float | None = None,
    filter_number: int = 0,
    frame_seconds: float = 0.4,
) -> Animation:
    """A kernel slides over an image: each frame shows the window, its products with the kernel, and their sum.

    Parameters
    ----------
    image : array (H, W) or (H, W, 1)
        Small, or a part of one, x[0, 8:18, 8:18]: at most 256 places for the kernel.
    kernel : array (KH, KW), or a Conv2D layer of one input channel
    strides : int or (int, int), default 1
    padding : {"valid", "same"}, default "valid"
        With "same", the zeros around the image are drawn too.
    bias : float, default 0
        Added to each sum. Of a layer, strides, padding and bias are its own.
    filter_number : int, default 0
        Which filter of a layer, from 0 on.
    frame_seconds : float, default 0.4

    Returns
    -------
    Animation
        `save` it as a GIF; a notebook plays it.

    Raises
    ------
    ShapeError, ValueError, TypeError
        If image and kernel do not fit, there are too many places, or the layer has several input channels.
    ImportError
        If matplotlib is not installed.
    """
    frame_seconds = check_number("frame_seconds", frame_seconds, above=0)
    if isinstance(kernel, Conv2D):
        given = {"strides": strides, "padding": padding, "bias": bias}
        kernel, strides, padding, bias = _of_layer(kernel, filter_number, given)
    kernel, image = _grid(kernel, "kernel"), _grid(image, "image")
    padding = check_choice("padding", padding or "valid", ("valid", "same"))
    strides = check_pair("strides", 1 if strides is None else strides)
    if padding == "valid" and (kernel.shape[0] > image.shape[0] or kernel.shape[1] > image.shape[1]):
        raise ShapeError(
            "the kernel fits into the image, unless padding='same'. "
            f"Received: image {image.shape}, kernel {kernel.shape}"
        )
    window = make_window(image.shape, kernel.shape, strides, padding)
    count = window.out_height * window.out_width
    if count > MOST_PLACES:
        raise ValueError(
            f"show_sliding_window draws at most {MOST_PLACES} places: give a part of the image, image[8:18, 8:18]. "
            f"Received: an image of {image.shape}, which has {count}"
        )
    margins = (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right)
    padded, bias = np.pad(image, margins), check_number("bias", 0.0 if bias is None else bias, minimum=-math.inf)
    size = window.out_height, window.out_width
    places = [_place(padded, kernel, bias, strides, *at) for at in np.ndindex(size)]
    output = np.array([place.value for place in places]).reshape(size)
    return Animation(places, output, _frames(padded, kernel, bias, strides, places, output), frame_seconds)


def _of_layer(layer, number, given):
    """(kernel, strides, padding, bias) of one filter of a layer; what was `given` too is refused."""
    own = [name for name, value in given.items() if value is not None]
    if own:
        raise ValueError(
            f"strides, padding and bias of a layer are its own: leave them out. Received: {', '.join(own)}"
        )
    if not layer.built:
        raise NotBuiltError(f"layer '{layer.name}' has no weights yet: build its model, or call it on data first")
    kernel, *rest = layer.get_weights()  # (KH, KW, C, F)
    if kernel.shape[2] != 1 or layer.dilation_rate != (1, 1):
        raise ValueError(
            f"show_sliding_window shows one kernel without gaps on one channel. Layer '{layer.name}' has "
            f"{kernel.shape[2]} channels and dilation_rate={layer.dilation_rate}: give one of its kernels as an array, "
            "layer.get_weights()[0][:, :, channel, number], and that channel of its input. Received: the layer"
        )
    if not 0 <= check_positive_int("filter_number", number, minimum=0) < kernel.shape[3]:
        raise ValueError(
            f"layer '{layer.name}' has the filters 0 … {kernel.shape[3] - 1}. Received: filter_number={number}"
        )
    return kernel[:, :, 0, number], layer.strides, layer.padding, float(rest[0][number]) if rest else 0.0


def _grid(values, name):
    """An array (H, W) float64."""
    array = np.asarray(values)
    array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if array.ndim != 2 or not array.size or not is_real(array) or not np.isfinite(array).all():
        raise ShapeError(
            f"{name} is a grid of finite numbers, (H, W), such as one channel of an image, x[0, :, :, 0]. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    return array.astype(np.float64)


def _place(padded, kernel, bias, strides, row, column):
    """The kernel at one place of the padded image."""
    top, left = row * strides[0], column * strides[1]
    products = padded[top : top + kernel.shape[0], left : left + kernel.shape[1]] * kernel
    return Place(row, column, products, float(products.sum() + bias))


# -------------------------------------------------------------------------------------------------------------- frames


def _frames(padded, kernel, bias, strides, places, output):
    """A picture of each place, as arrays (H, W, 3) of uint8."""
    figure = new_figure(4 * PANEL_INCHES, PANEL_INCHES + TEXT_INCHES, layout=None, dpi=DPI)
    share = PANEL_INCHES / (PANEL_INCHES + TEXT_INCHES)
    axes = [figure.add_axes((0.25 * i + 0.012, 0.12, 0.226, share - 0.05)) for i in range(4)]
    largest = max(float(np.abs([place.products for place in places]).max()), 1e-12)
    panels = [
        _Panel(axes[0], "image", padded, "gray", (padded.min(), padded.max())),
        _Panel(axes[1], "kernel", kernel, SIGNED, _around_zero(kernel)),
        _Panel(axes[2], "window × kernel", places[0].products, SIGNED, (-largest, largest)),
        _Panel(axes[3], "output", output, SIGNED, _around_zero(output)),
    ]
    size = kernel.shape
    marks = panels[0].frame(size), panels[3].frame((1, 1))
    line = figure.text(0.5, 0.03, "", ha="center", va="bottom", fontsize=9)
    frames = []
    for number, place in enumerate(places):
        marks[0].set_xy((place.column * strides[1] - 0.5, place.row * strides[0] - 0.5))
        marks[1].set_xy((place.column - 0.5, place.row - 0.5))
        panels[2].show(place.products)
        done = np.where(np.arange(output.size).reshape(output.shape) <= number, output, np.nan)
        panels[3].show(done)
        line.set_text(_sentence(place, bias))
        figure.canvas.draw()
        frames.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    return frames


def _around_zero(values):
    largest = max(float(np.abs(values).max()), 1e-12)
    return -largest, largest


def _sentence(place, bias):
    """What is added up."""
    total = f"row {place.row + 1}, column {place.column + 1}: the products add up to {place.products.sum():.3g}"
    return f"{total}, with the bias {bias:.3g} to {place.value:.3g}" if bias else total


class _Panel:
    """A grid of numbers in colours, written into the cells where there is room."""

    def __init__(self, axes, title, values, colours, limits):
        self.axes, self.limits = axes, limits
        self.picture = axes.imshow(values, cmap=colours, vmin=limits[0], vmax=max(limits[1], limits[0] + 1e-12))
        axes.set_title(title, fontsize=9.5)
        axes.set(xticks=[], yticks=[])
        rows, columns = values.shape
        self.texts = {}
        if max(rows, columns) <= MOST_NUMBERS:
            style = {"ha": "center", "va": "center", "fontsize": NUMBER_SIZE}
            self.texts = {place: axes.text(place[1], place[0], "", **style) for place in np.ndindex(rows, columns)}
        self.show(values)

    def show(self, values):
        """Draw other values of the same shape; NaN is left blank."""
        self.picture.set_data(values)
        for place, text in self.texts.items():
            value = values[place]
            text.set_text("" if np.isnan(value) else f"{value:.2g}")
            red, green, blue, _ = self.picture.to_rgba(np.array([[value]]))[0, 0]
            text.set_color("white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.45 else "black")

    def frame(self, size):
        """A rectangle of so many rows and columns, which moves."""
        from matplotlib.patches import Rectangle

        rectangle = Rectangle((-0.5, -0.5), size[1], size[0], fill=False, edgecolor=VERMILION, linewidth=2.5, zorder=5)
        self.axes.add_patch(rectangle)
        rectangle.set_clip_on(False)
        return rectangle
