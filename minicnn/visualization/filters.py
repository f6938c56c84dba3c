"""What a convolutional network has learned: its filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.errors import NotBuiltError
from minicnn.layers import Conv2D
from minicnn.models import Model
from minicnn.visualization.rows import SIGNED, UNSIGNED, Row, draw_rows, how_many, short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_filters(layer: Conv2D | Model, max_filters: int = 16, max_channels: int = 8) -> Figure:
    """The kernels of a convolution, or of all convolutions of a model: a column for each filter.

    Filters of one input channel, and each channel of the others, are drawn from purple (negative) over white (0) to
    orange (positive), with the same colours in the whole layer, as the colour bar says; filters of three channels as
    red, green and blue, with 0 as grey.

    Parameters
    ----------
    layer : Conv2D or Model
    max_filters : int, default 16
        Of more filters, the first ones are shown.
    max_channels : int, default 8
        Of more input channels, which are the rows, the first ones are shown.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each input channel that is shown.

    Raises
    ------
    TypeError
        If it is neither a convolution nor a model.
    ValueError
        If the model has no convolution.
    NotBuiltError
        If there are no weights yet.
    ImportError
        If matplotlib is not installed.
    """
    check_positive_int("max_filters", max_filters)
    check_positive_int("max_channels", max_channels)
    if not isinstance(layer, Model | Conv2D):
        raise TypeError(f"show_filters takes a Conv2D layer or a model. Received: {layer!r}")
    convolutions = _convolutions(layer)
    if not convolutions:
        raise ValueError(f"show_filters draws convolutions, and model '{layer.name}' has none. Received: {layer!r}")
    rows = [row for conv in convolutions for row in _filter_rows(conv, max_filters, max_channels)]
    return draw_rows(rows, _legend(rows))


def _convolutions(layer) -> list:
    """The convolutions in a layer, those inside nested models too, each once."""
    if isinstance(layer, Model):
        return list(dict.fromkeys(conv for inner in layer.layers for conv in _convolutions(inner)))
    return [layer] if isinstance(layer, Conv2D) else []


def _filter_rows(layer, max_filters, max_channels):
    """The rows of one convolution."""
    if not layer.built:
        raise NotBuiltError(f"layer '{layer.name}' has no weights yet: build its model, or call it on data first")
    kernel = layer.get_weights()[0]  # (KH, KW, C, F)
    height, width, channels, filters = kernel.shape
    largest = float(np.abs(kernel[np.isfinite(kernel)]).max(initial=0)) or 1.0
    shown = kernel[..., :max_filters]
    title = f"{short_name(layer.name)}\n{height}×{width}, {how_many(filters, max_filters, 'filter')}"
    if channels == 3:
        title += f"\nred, green, blue ±{largest:.2g}"
        tiles = np.nan_to_num((shown + largest) / (2 * largest), nan=1).clip(0, 1)  # (KH, KW, 3, F)
        return [Row(title, list(np.moveaxis(tiles, -1, 0)), (0, 1), UNSIGNED)]
    title += f"\n{how_many(channels, max_channels, 'channel')}, ±{largest:.2g}"
    rows = []
    for channel in range(min(channels, max_channels)):
        label = f"channel {channel + 1}" if channel else title
        tiles = list(np.moveaxis(shown[:, :, channel], -1, 0))  # each (KH, KW)
        rows.append(Row(label, tiles, (-largest, largest), SIGNED, begins=channel == 0))
    return rows


def _legend(rows):
    """The colour bar, where there are signs: of one layer with its numbers."""
    limits = {row.limits[1] for row in rows if row.colours == SIGNED}
    if not limits:
        return None
    if len(limits) == 1:
        (largest,) = limits
        return SIGNED, "weight", [f"{value:.2g}" for value in (-largest, -largest / 2, 0, largest / 2, largest)]
    return SIGNED, "weight, ± the largest of each layer (at its left)", ["−", "0", "+"]
