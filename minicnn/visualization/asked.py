"""What users hand to the figures that look into a model: images that fit it, layers by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import is_real
from minicnn.errors import ShapeError, unknown_name
from minicnn.graph import Tensor
from minicnn.layers import Layer
from minicnn.layers.open_sizes import fits
from minicnn.models import Model
from minicnn.plan.inside import Inside, look_inside


def one_of_each(model: Model, image: ArrayLike | Sequence[ArrayLike]) -> list[np.ndarray]:
    """A batch of one for each input of the model.

    Parameters
    ----------
    model : Model
    image : array of the input's shape, with or without a batch axis of length 1, or a list of one for each input

    Raises
    ------
    ShapeError, ValueError
        If it does not fit.
    """
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


def images_of(model: Model, images: ArrayLike, caller: str, most: int) -> np.ndarray:
    """One image or several, (N, H, W, C), for a model whose only input is an image.

    Parameters
    ----------
    model : Model
    images : array of the input's shape, or with a batch axis in front
    caller : str
        The function that messages name.
    most : int
        How many it takes.

    Raises
    ------
    ShapeError, ValueError
        If the model has another input, they do not fit, or there are none, or too many.
    """
    if len(model.inputs) != 1 or model.inputs[0].ndim != 4:
        shapes = [tensor.shape for tensor in model.inputs]
        raise ValueError(
            f"{caller} takes a model whose only input is an image, (None, H, W, C); model.input_gradients takes any. "
            f"Received: model '{model.name}' with inputs of shapes {shapes}"
        )
    tensor, array = model.inputs[0], np.asarray(images)
    expected = tensor.shape[1:]
    without_channel = expected[-1:] == (1,) and array.shape[-1:] != (1,)
    if array.ndim == (3 if without_channel else 4) and len(array) != 1:
        if not 0 < len(array) <= most:
            raise ValueError(f"{caller} draws 1 to {most} images, e.g. x[:{most}]. Received: {len(array)} images")
        return np.concatenate([_fitted(model, tensor, one) for one in array])
    return _fitted(model, tensor, array)


def opened(model: Model, arrays: Sequence[np.ndarray]) -> Inside:
    """The inside of a model, for inputs such as these."""
    return look_inside(model.graph, [array.shape[1:] for array in arrays])


def layer_tensor(model: Model, inside: Inside, layer: str | Layer, caller: str) -> tuple[str, Tensor]:
    """(path, output) of one layer: its name, "base/conv2d" inside a model, or the layer itself.

    Raises
    ------
    ValueError, TypeError
        If there is none.
    """
    if isinstance(layer, Layer):
        for path, own in inside.layers.items():
            if own is layer:
                return path, inside.tensors[path]
        raise ValueError(
            f"layer= is one of model '{model.name}': {', '.join(inside.layers)}. Received: {layer!r}, of another model"
        )
    if not isinstance(layer, str):
        raise TypeError(f"{caller} takes layer= a layer or its name. Received: layer={layer!r}")
    if layer not in inside.tensors:
        raise unknown_name(f"layer of model '{model.name}'", layer, inside.tensors)
    return layer, inside.tensors[layer]
