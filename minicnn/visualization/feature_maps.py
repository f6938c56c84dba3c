"""What a network makes of an image: the feature maps of every layer, down to the decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int
from minicnn.errors import unknown_name
from minicnn.layers import Layer
from minicnn.models import Model
from minicnn.models.arguments import check_model
from minicnn.plan.inside import values
from minicnn.visualization.asked import one_of_each, opened
from minicnn.visualization.figures import Names, as_pixels, checked_names, class_label
from minicnn.visualization.rows import UNSIGNED, Row, draw_rows, how_many, short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME_LETTERS = 8  # of a class, in its tile


def show_feature_maps(
    model: Model,
    image: ArrayLike | Sequence[ArrayLike],
    layers: str | Layer | Sequence[str | Layer] | None = None,
    max_maps: int = 16,
    class_names: Names | None = None,
) -> Figure:
    """The image and what each layer makes of it: a row of maps a layer, then vectors as strips, down to the decision.

    Each layer's colours go from its lowest value (dark) to its highest (light), as in use: no dropout, no augmentation.
    The output, if it is a vector of at most `max_maps` numbers, has a tile for each number, with the class in it.

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
    class_names : sequence of str, optional
        Written into the tiles of the output instead of the class numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the image does not fit the model.
    ValueError
        If a layer does not exist, is one of another model, or its output has neither a height and a width nor is a
        vector.
    TypeError
        If `model` is no model, or `layers` no list.
    NotBuiltError
        If the model is not built.
    ImportError
        If matplotlib is not installed.
    """
    check_positive_int("max_maps", max_maps)
    class_names = checked_names(class_names, "class_names")
    images = one_of_each(check_model(model, "show_feature_maps"), image)
    wanted, inside = _chosen(model, layers), opened(model, images)
    paths = [path for path, layer in inside.layers.items() if _is_shown(layer, wanted)]
    shown = [path for path in paths if inside.tensors[path].ndim in (2, 4)]
    if not shown:
        raise ValueError(
            f"none of these layers of model '{model.name}' has an output with a height and a width, or a vector. "
            f"Received: {paths}"
        )
    tensors = list(dict.fromkeys(inside.tensors[path] for path in shown))
    found = dict(zip(tensors, values(inside.between([], tensors), model.engine.store, images), strict=True))
    rows = [_input_row(tensor, array, max_maps) for tensor, array in zip(model.inputs, images, strict=True)]
    for path in shown:
        tensor = inside.tensors[path]
        if tensor.ndim == 4:
            rows.append(_map_row(path, found[tensor][0], max_maps))
        elif tensor in inside.graph.outputs and tensor.shape[1] <= max_maps:
            rows.append(_decision_row(path, found[tensor][0], class_names))
        else:
            rows.append(_strip_row(path, found[tensor][0]))
    legend = UNSIGNED, "each layer's values (at its left)", ["lowest", "highest"]
    return draw_rows([row for row in rows if row is not None], legend)


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


def _is_shown(layer, wanted) -> bool:
    return not isinstance(layer, Model) if wanted is None else layer in wanted


# --------------------------------------------------------------------------------------------------------------- rows


def _input_row(tensor, array, max_maps):
    """The image itself; None for an input that is none."""
    if array.ndim != 4:
        return None
    if array.shape[-1] in (1, 3):
        label = f"{short_name(tensor.name)}\n{array.shape[1]}×{array.shape[2]}"
        return Row(label, [as_pixels(array, "show_feature_maps")[0]], (0, 1), "gray")
    return _map_row(tensor.name, array[0], max_maps)


def _map_row(label, maps, max_maps):
    """The row of one layer's maps (H, W, C)."""
    height, width, channels = maps.shape
    text, limits = _limits(maps)
    label = f"{short_name(label)}\n{height}×{width}, {how_many(channels, max_maps, 'map')}\n{text}"
    return Row(label, list(np.moveaxis(maps[..., :max_maps], -1, 0)), limits, UNSIGNED)  # tiles (H, W)


def _strip_row(label, vector):
    """The row of a layer that gives a vector (C,): all its numbers, from left to right."""
    text, limits = _limits(vector)
    label = f"{short_name(label)}\n{how_many(len(vector), len(vector), 'number')}\n{text}"
    return Row(label, [vector[None]], limits, UNSIGNED, is_strip=True)


def _decision_row(label, vector, class_names):
    """The row of an output (C,): a tile for each number."""
    text, limits = _limits(vector)
    names = [class_label(number, class_names, "the output") for number in range(len(vector))]
    names = [name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…" for name in names]
    texts = [f"{name}\n{value:.2f}" for name, value in zip(names, vector, strict=True)]
    best = f"highest: {names[int(np.argmax(vector))]}" if len(vector) > 1 else "the output"
    label = f"{short_name(label)}\n{best}\n{text}"
    return Row(label, [np.full((1, 1), value) for value in vector], limits, UNSIGNED, texts=texts)


def _limits(array):
    """(in words, the values at the ends of the colours)."""
    finite = array[np.isfinite(array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return f"{low:.2g} … {high:.2g}", (low, high if high > low else low + 1)
