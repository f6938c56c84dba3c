"""What a convolutional network has learned, and what it makes of an image: its filters and its feature maps."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int, is_real
from minicnn.errors import NotBuiltError, ShapeError, unknown_name
from minicnn.graph import Graph
from minicnn.layers import Conv2D, Layer
from minicnn.layers.open_sizes import fits, sized
from minicnn.models import Model
from minicnn.plan.plan import Plan
from minicnn.threads import compute_threads
from minicnn.training.batches import Batch
from minicnn.visualization.figures import as_pixels, as_text, new_figure, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE_INCHES = 0.62
GAP = 0.1  # between tiles, in tiles
LAYER_GAP = 0.35  # between the rows of two layers, in tiles
LABEL_SIZE = 8  # points
LABEL_MARGIN = 0.25  # inches beside the labels
NAME_LETTERS, NAME_LINES = 24, 2  # a layer's name is wrapped, and shortened in its middle
SIGNED = "PuOr_r"  # purple and orange around white: told apart with any colour vision
UNSIGNED = "viridis"  # grows evenly from dark to light with any colour vision, and in grey


@dataclass(frozen=True)
class Row:
    """A row of small pictures.

    Attributes
    ----------
    label : str
        Written to the left.
    tiles : sequence of array (H, W) or (H, W, 3)
    limits : tuple of float
        The values at the two ends of the colours; of no meaning for tiles in red, green and blue.
    colours : str
        A colour map's name.
    begins : bool
        Whether the row is the first one of its layer.
    """

    label: str
    tiles: list[np.ndarray]
    limits: tuple[float, float]
    colours: str
    begins: bool = True


# ------------------------------------------------------------------------------------------------------------ filters


def show_filters(layer: Conv2D | Model, max_filters: int = 16, max_channels: int = 8) -> Figure:
    """The kernels of a convolution, or of all convolutions of a model: a column for each filter.

    Filters of one input channel, and each channel of the others, are drawn from purple (negative) over white (0) to
    orange (positive), with the same colours in the whole layer; filters of three channels as red, green and blue, with
    0 as grey.

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
    return _draw_rows([row for conv in convolutions for row in _filter_rows(conv, max_filters, max_channels)])


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
    title = f"{_short(layer.name)}\n{height}×{width}, {_count(filters, max_filters, 'filter')}"
    if channels == 3:
        title += f"\nred, green, blue ±{largest:.2g}"
        tiles = np.nan_to_num((shown + largest) / (2 * largest), nan=1).clip(0, 1)  # (KH, KW, 3, F)
        return [Row(title, list(np.moveaxis(tiles, -1, 0)), (0, 1), UNSIGNED)]
    title += f"\n{_count(channels, max_channels, 'channel')}, ±{largest:.2g}"
    rows = []
    for channel in range(min(channels, max_channels)):
        label = f"channel {channel + 1}" if channel else title
        tiles = list(np.moveaxis(shown[:, :, channel], -1, 0))  # each (KH, KW)
        rows.append(Row(label, tiles, (-largest, largest), SIGNED, begins=channel == 0))
    return rows


def _count(number, limit, what) -> str:
    """How many there are, and whether all are shown."""
    plural = what if number == 1 else f"{what}s"
    return f"{number} {plural}" if number <= limit else f"{limit} of {number} {plural}"


# ------------------------------------------------------------------------------------------------------- feature maps


def show_feature_maps(
    model: Model,
    image: ArrayLike | Sequence[ArrayLike],
    layers: str | Layer | Sequence[str | Layer] | None = None,
    max_maps: int = 16,
) -> Figure:
    """The image and what each layer makes of it: a row of maps for every layer whose output has a height and a width.

    Each layer's colours go from its lowest value (dark) to its highest (light), as in use: no dropout, no augmentation.

    Parameters
    ----------
    model : Model
    image : array of the model's input shape, with or without a batch axis of length 1
        A list of them for a model with several inputs. Values as the model was trained with.
    layers : str, Layer, or list of them, optional
        Default: all that there are, those inside nested models too; they are called "base/conv2d". Where a nested model
        is named, its output is shown.
    max_maps : int, default 16
        Of more maps, the first ones are shown.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the image does not fit the model.
    ValueError
        If a layer does not exist, is one of another model, or has no spatial output.
    TypeError
        If `model` is no model, or `layers` no list.
    NotBuiltError
        If the model is not built.
    ImportError
        If matplotlib is not installed.
    """
    check_positive_int("max_maps", max_maps)
    if not isinstance(model, Model):
        raise TypeError(f"show_feature_maps takes a model. Received: {model!r}")
    images = _model_inputs(model, image)
    wanted = _chosen(model, layers)
    outputs = list(_spatial_outputs(model.engine, model, images, wanted, Counter()))
    if not outputs:
        raise ValueError(
            f"none of these layers of model '{model.name}' has an output with a height and a width. "
            f"Received: {[path for path, layer in _paths(model) if wanted is None or layer in wanted]}"
        )
    rows = [_input_row(tensor, array, max_maps) for tensor, array in zip(model.inputs, images, strict=True)]
    rows += [_map_row(label, maps, max_maps) for label, maps in outputs]
    return _draw_rows([row for row in rows if row is not None])


def _model_inputs(model, image):
    """A batch of one for each input of the model."""
    several = len(model.inputs) > 1
    if several and (not isinstance(image, list | tuple) or len(image) != len(model.inputs)):
        names = [t.name for t in model.inputs]
        raise ValueError(
            f"model '{model.name}' has {len(names)} inputs, {names}: give a list of one image for each. "
            f"Received: {type(image).__name__} of {np.shape(image)[:1]}"
        )
    arrays = [np.asarray(a) for a in (image if several else [image])]
    return [_fitted(model, tensor, array) for tensor, array in zip(model.inputs, arrays, strict=True)]


def _fitted(model, tensor, array):
    """The array with a batch axis, and the channel axis of grey images, as the input wants it."""
    expected = tensor.shape[1:]
    one = array[0] if array.ndim and len(array) == 1 and not fits(array.shape, expected) else array
    one = one[..., None] if expected[-1:] == (1,) and fits(one.shape, expected[:-1]) else one
    if not fits(one.shape, expected) or not is_real(one):
        raise ShapeError(
            f"model '{model.name}' takes one image of real numbers of shape {expected} for its input '{tensor.name}'; "
            f"utils.resize_images changes sizes. Received: shape {array.shape}, dtype {array.dtype}"
        )
    return one[None]


def _chosen(model, layers):
    """The layers that `layers=` asks for, as a set; None for all."""
    if layers is None:
        return None
    layers = [layers] if isinstance(layers, str | Layer) else layers
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers is a layer or its name, or a list of them. Received: layers={layers!r}")
    known = dict(_paths(model))
    wanted = set()
    for layer in layers:
        if isinstance(layer, Layer):
            if not any(layer is own for own in known.values()):
                raise ValueError(
                    f"layers= holds names or layers of model '{model.name}': {', '.join(known)}. "
                    f"Received: {layer!r}, which is not in this model"
                )
        elif not isinstance(layer, str) or layer not in known:
            raise unknown_name(f"layer of model '{model.name}'", str(layer), known)
        wanted.add(layer if isinstance(layer, Layer) else known[layer])
    return wanted


def _paths(model, prefix=""):
    """(name, layer) of all layers; those of a nested model are called 'its name/their name'."""
    for layer in model.layers:
        yield prefix + layer.name, layer
        if isinstance(layer, Model):
            yield from _paths(layer, f"{prefix}{layer.name}/")


def _spatial_outputs(engine, model, arrays, wanted, calls, prefix=""):
    """(label, maps (H, W, C)) of the layers' spatial outputs, in the order of computation.

    Parameters
    ----------
    engine : Engine
        Of the outermost model.
    model : Model
        That one, or one inside it.
    arrays : list of array (1, …)
        What its inputs get.
    wanted : set of Layer, or None for all
        Of a nested model that is not named itself, the layers inside are shown.
    calls : Counter
        How often each layer has been met.
    prefix : str
        Of its layers' names.
    """
    entries = {tensor.node for tensor in model.inputs}
    nodes = [node for node in model.graph.nodes if node not in entries]
    needed = []
    for node in nodes:
        needed += node.outputs if _is_shown(node.layer, wanted) else ()
        needed += node.inputs if isinstance(node.layer, Model) else ()
    values = dict(zip(model.inputs, arrays, strict=True))
    needed = [tensor for tensor in dict.fromkeys(needed) if tensor not in values]
    values |= zip(needed, _computed(engine, model, arrays, needed), strict=True)
    for node in nodes:
        path = prefix + node.layer.name
        calls[path] += 1
        label = f"{path} (call {calls[path]})" if calls[path] > 1 else path
        if _is_shown(node.layer, wanted):
            yield from ((label, values[tensor][0]) for tensor in node.outputs if tensor.ndim == 4)
        if isinstance(node.layer, Model):
            inner = [values[tensor] for tensor in node.inputs]
            yield from _spatial_outputs(engine, node.layer, inner, wanted, calls, f"{path}/")


def _is_shown(layer, wanted) -> bool:
    return not isinstance(layer, Model) if wanted is None else layer in wanted


def _computed(engine, model, arrays, tensors):
    """The values of tensors inside a model, for one batch; nothing of the model changes."""
    if not tensors:
        return []
    graph = sized(Graph(model.inputs, tensors), [array.shape[1:] for array in arrays])
    plan = Plan(graph, engine.store, len(arrays[0]), training=False)
    bound = plan.bind(len(arrays[0]))
    with compute_threads(engine.backend):
        Batch(arrays, [], None, None, len(arrays[0])).load(engine.backend, bound.inputs)
        bound.forward()
        return [engine.backend.to_host(output) for output in bound.outputs]


def _input_row(tensor, array, max_maps):
    """The image itself; None for an input that is none."""
    if array.ndim != 4:
        return None
    if array.shape[-1] in (1, 3):
        label = f"{_short(tensor.name)}\n{array.shape[1]}×{array.shape[2]}"
        return Row(label, [as_pixels(array, "show_feature_maps")[0]], (0, 1), "gray")
    return _map_row(tensor.name, array[0], max_maps)


def _map_row(label, maps, max_maps):
    """The row of one layer's maps (H, W, C)."""
    height, width, channels = maps.shape
    finite = maps[np.isfinite(maps)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    label = f"{_short(label)}\n{height}×{width}, {_count(channels, max_maps, 'map')}\n{low:.2g} … {high:.2g}"
    tiles = list(np.moveaxis(maps[..., :max_maps], -1, 0))  # each (H, W)
    return Row(label, tiles, (low, high if high > low else low + 1), UNSIGNED)


# ------------------------------------------------------------------------------------------------------------ drawing


def _short(name) -> str:
    """A name in lines that stand beside a tile without touching those of the next row."""
    most = NAME_LETTERS * NAME_LINES
    if len(name) > most:
        name = f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"
    lines = textwrap.wrap(name, NAME_LETTERS)
    if len(lines) > NAME_LINES:  # words do not fill their lines
        lines = [name[start : start + NAME_LETTERS] for start in range(0, len(name), NAME_LETTERS)]
    return "\n".join(lines)


def _draw_rows(rows):
    """One picture of all rows; all tiles are of one size, however many pixels they have."""
    columns = max(len(row.tiles) for row in rows)
    tops, top = [], 0.0
    for number, row in enumerate(rows):
        top += LAYER_GAP if number and row.begins else 0
        tops.append(top)
        top += 1
    labels = [as_text(row.label) for row in rows]
    widest = max(text_width(line, {"size": LABEL_SIZE}) for label in labels for line in label.split("\n"))
    figure = new_figure(widest + LABEL_MARGIN + TILE_INCHES * columns, 0.3 + TILE_INCHES * top)
    axes = figure.subplots()
    for row, y in zip(rows, tops, strict=True):
        for x, tile in enumerate(row.tiles):
            _draw_tile(axes, tile, x, y, row)
    axes.set(xlim=(-GAP, columns), ylim=(top, -GAP), aspect="equal", xticks=[])
    axes.set_yticks([y + (1 - GAP) / 2 for y in tops], labels, fontsize=LABEL_SIZE)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_anchor("W")
    return figure


def _draw_tile(axes, tile, x, y, row):
    """A picture in the unit square below and right of (x, y), its sides in proportion."""
    height, width = (1 - GAP) * np.array(tile.shape[:2]) / max(tile.shape[:2])
    x, y = x + (1 - GAP - width) / 2, y + (1 - GAP - height) / 2
    extent = (x, x + width, y + height, y)
    low, high = row.limits
    axes.imshow(tile, cmap=row.colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")
    axes.plot([x, x + width, x + width, x, x], [y, y, y + height, y + height, y], color="#808080", linewidth=0.4)
