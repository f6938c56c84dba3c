"""What users hand over to a layer or a model, beside data: arrays of weights, and what it is called on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import isroutine
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import real_array, shown
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.step import Step

if TYPE_CHECKING:
    from minicnn.layers.base import Layer


def weight_arrays(layer: Layer, weights: Any) -> list[np.ndarray]:
    """What `set_weights` of a layer or model was given, as arrays, one for each weight.

    Raises
    ------
    TypeError
        If it is no list of arrays of real numbers.
    ValueError
        If there are more or fewer than weights.
    """
    count = len(layer.weights)
    if not isinstance(weights, Iterable) or isinstance(weights, str | Mapping | Step):
        advice = "; those of a file: load_weights(path)" if isinstance(weights, str) else ""
        advice = "; those of another model: its get_weights()" if isinstance(weights, Step) else advice
        raise TypeError(
            f"set_weights of '{layer.name}' takes a list of {count} arrays, as get_weights gives it{advice}. "
            f"Received: {weights!r}"
        )
    arrays = list(weights)
    if len(arrays) != count:
        shapes = ", ".join(str(w.shape) for w in layer.weights[:8]) + (", …" if count > 8 else "")
        raise ValueError(
            f"set_weights takes arrays of shapes {shapes}: '{layer.name}' has {count} weight arrays. "
            f"Received: {len(arrays)}"
        )
    otherwise = "takes real numbers. Received: dtype {dtype}"
    return [real_array(a, f"weight '{w.path}'", otherwise) for a, w in zip(arrays, layer.weights, strict=True)]


def array_of(layer: Layer, value: Any) -> np.ndarray:
    """What a layer was called on, which is no symbolic tensor, as an array of real numbers.

    Raises
    ------
    TypeError
        If it is none.
    """
    if isinstance(value, Step | type | None) or isroutine(value):
        raise TypeError(
            f"layer '{layer.name}' is called on a tensor or an array: on Input(…), or on what another layer gave when "
            f"it was called on one. Received: {shown(value)}"
        )
    return real_array(value, f"the input of layer '{layer.name}'")


class OfSameSamples:
    """Mixin, before `Layer`: called on arrays, all of them have the same number of samples."""

    def call_on_arrays(self, arrays: Sequence[Any], training: bool) -> Any:
        """See `Layer.call_on_arrays`.

        Raises
        ------
        ShapeError
            If there are more in one of them.
        """
        counts = [len(a) for a in arrays if np.ndim(a)]
        if len({*counts}) > 1:
            raise ShapeError(
                f"layer '{self.name}' ({type(self).__name__}) takes as many samples of each of its inputs: "  # type: ignore[attr-defined]
                f"np.repeat(x, n, axis=0) repeats a single one. Received: {counts}"
            )
        return super().call_on_arrays(arrays, training)  # type: ignore[misc]


def images_as_batch(inputs: Any) -> Any:
    """A list of images of one size, (H, W, C) each, as a batch of them; whatever else is as it was."""
    listed = inputs if isinstance(inputs, list | tuple) else ()
    shapes = {image.shape if isinstance(image, np.ndarray) else None for image in listed}
    return np.stack(inputs) if [len(shape or ()) for shape in shapes] == [3] else inputs


class OfImages:
    """Mixin, before `Layer`: called on a list of images, it takes them as a batch."""

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """See `Layer.__call__`."""
        return super().__call__(images_as_batch(inputs), training)  # type: ignore[misc]


def flag(layer: Layer, training: Any) -> Any:
    """`training`, the argument of a call.

    Raises
    ------
    TypeError
        If it is no single True or False: perhaps a second input.
    """
    if not isinstance(training, bool | None) and (isinstance(training, str | Tensor) or prod(np.shape(training)) != 1):
        raise TypeError(
            f"layer '{layer.name}' is called on one argument, and training= is True or False: several inputs stand in "
            f"a list. Received: a {type(training).__name__} as the second argument"
        )
    return training
