"""Figures: training curves and grids of images.

Every function returns a matplotlib Figure: ``figure.savefig("curves.png")`` writes it, a notebook shows it. matplotlib
is imported when the first figure is drawn; figures work without a display and leave the user's pyplot state alone.
"""

from functools import cache

import numpy as np

from minicnn.errors import check_positive_int

__all__ = ["plot_history", "show_images"]

TRAIN_STYLE = {"color": "#0072B2", "linestyle": "-", "marker": "o"}  # blue and vermilion of Okabe and Ito: told apart
VALIDATION_STYLE = {"color": "#D55E00", "linestyle": "--", "marker": "s"}  # with any colour vision, and in grey
PANEL_INCHES = 4.5, 3.6  # width, height
IMAGE_INCHES = 1.5
TITLE_INCHES = 0.22  # for each line of an image's title
MOST_MARKERS = 30  # more epochs than this are drawn as a line alone
DPI = 120


def plot_history(history):
    """Curves of the loss and of every metric by epoch, training and validation in one panel each.

    Parameters
    ----------
    history : History or dict of list
        What `fit` returned, or its ``.history``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If it holds no epoch.
    ImportError
        If matplotlib is not installed.
    """
    curves = getattr(history, "history", history)
    if not isinstance(curves, dict):
        raise TypeError(f"plot_history takes what fit returned, or its .history. Received: {type(history).__name__}")
    names = [name for name in curves if not name.startswith("val_") and len(curves[name])]
    if not names:
        raise ValueError(f"the history is empty: train with fit for one epoch or more first. Received: {curves!r}")
    width, height = PANEL_INCHES
    figure = _new_figure(width * len(names), height)
    for axes, name in zip(np.ravel(figure.subplots(1, len(names))), names, strict=True):
        _draw_curves(axes, name, curves[name], curves.get(f"val_{name}", []))
    return figure


def _draw_curves(axes, name, train, validation):
    """One panel."""
    from matplotlib.ticker import MaxNLocator

    epochs = np.arange(1, len(train) + 1)
    _draw_curve(axes, epochs, train, "training", TRAIN_STYLE)
    if len(validation):
        every = len(train) // len(validation)  # fit may validate after every so many epochs only
        _draw_curve(axes, epochs[every - 1 :: every][: len(validation)], validation, "validation", VALIDATION_STYLE)
    label = name.replace("_", " ")
    axes.set(xlabel="epoch", ylabel=label, xlim=(0.5, len(train) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_curve(axes, epochs, values, label, style):
    if len(epochs) > MOST_MARKERS:
        style = {**style, "marker": ""}
    axes.plot(epochs, values, label=label, markersize=4, **style)


def show_images(images, titles=None, columns=5):
    """A grid of images.

    Parameters
    ----------
    images : array (N, H, W), (N, H, W, 1) or (N, H, W, 3), or list of such images
        Grey or red-green-blue. Bytes from 0 to 255 and floats from 0 to 1 are drawn as they are, other values scaled
        from the lowest (black) to the highest (white) of all images.
    titles : list of str, optional
        One for each image.
    columns : int, default 5

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes or the number of titles do not fit.
    ImportError
        If matplotlib is not installed.
    """
    images = _pixels(images)
    columns = min(check_positive_int("columns", columns), len(images))
    titles = [""] * len(images) if titles is None else [str(title) for title in titles]
    if len(titles) != len(images):
        raise ValueError(f"show_images needs a title for each of {len(images)} images. Received: {len(titles)} titles")
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") + 1 if title else 0 for title in titles)
    figure = _new_figure(columns * IMAGE_INCHES, rows * (IMAGE_INCHES + TITLE_INCHES * lines))
    places = np.ravel(figure.subplots(rows, columns))
    for axes, image, title in zip(places, images, titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize="medium")
    for axes in places:
        axes.set_axis_off()
    return figure


def _pixels(images):
    """Images as floats from 0 to 1 of shape (N, H, W) or (N, H, W, 3)."""
    try:
        pixels = np.asarray(images)
    except ValueError:  # a list of different shapes
        raise ValueError("show_images takes images of one size. Received: images of different shapes") from None
    fits = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[-1] in (1, 3))
    if not fits or pixels.size == 0:
        raise ValueError(
            "show_images takes one or more images: (N, H, W), (N, H, W, 1) or (N, H, W, 3); write image[None] for one. "
            f"Received: shape {pixels.shape}"
        )
    if pixels.dtype.kind not in "biuf":
        raise TypeError(f"show_images takes real numbers. Received: dtype {pixels.dtype}")
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    lowest, highest = _limits(pixels)
    return (pixels.astype(np.float32) - lowest) / (highest - lowest)


def _limits(pixels):
    """The values drawn as black and as white."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    lowest, highest = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    if lowest >= 0 and highest <= 1:
        return 0.0, 1.0
    return (lowest, highest) if lowest < highest else (lowest, lowest + 1)


def _new_figure(width, height):
    """An empty figure of that size in inches, which belongs to nobody's pyplot."""
    return _figure_class()(figsize=(width, height), dpi=DPI, layout="constrained")


@cache
def _figure_class():
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
