"""Layers one after the other, as one layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Unpack

import numpy as np

from minicnn.hints import LayerOptions
from minicnn.layers.activity import with_penalty
from minicnn.layers.augmentation import ImageLayer
from minicnn.layers.base import Examples, Layer, get
from minicnn.layers.random_flip import RandomFlip
from minicnn.layers.rescaling import Rescaling
from minicnn.layers.zero_padding import ZeroPadding2D
from minicnn.step import Shape, Shapes, Step

__all__ = ["Pipeline"]


class Pipeline(ImageLayer):
    """Layers without weights, one after the other: augmentation, in a model or in `minicnn.data.Dataset.map`.

    Called on arrays, it acts as in training unless told.

    Parameters
    ----------
    layers : list of Layer
        Of one input each, or their configurations. None of them is a model.

    Raises
    ------
    TypeError
        If it is no list of such layers.
    ValueError
        When it is built, if one of them has weights.

    Examples
    --------
    ``dataset.map(Pipeline([RandomFlip("horizontal"), RandomRotation(0.1), Rescaling(1 / 255)]))``
    """

    acts_on_arrays = True

    def __init__(self, layers: Sequence[Layer | Mapping[str, Any]], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if not isinstance(layers, list | tuple):
            raise TypeError(f"layers is a list of layers. Received: layers={layers!r}")
        self.layers: list[Layer] = [get(layer) for layer in layers]
        for layer in self.layers:
            if layer.input_count not in (1, None) or hasattr(layer, "structure"):
                raise TypeError(f"a Pipeline is made of layers of one input, and of no models. Received: {layer!r}")
        self.only_in_training: bool = all(layer.only_in_training for layer in self.layers)
        self.holds_code: bool = any(layer.holds_code for layer in self.layers)

    def is_image(self, array: np.ndarray) -> bool:
        """Whether an array is a single image: one of three axes, of which the layers take no batch."""
        if not super().is_image(array):
            return False
        try:
            self.build_for((array.shape[1:],))
        except (ValueError, TypeError, IndexError):  # whatever the function of a Lambda layer raises
            return True
        return False

    def call_on_dict(self, inputs: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """What the layers make of the dict; those that are not for images alone get "images"."""
        changed = dict(inputs)
        for layer in self.layers:
            if isinstance(layer, ImageLayer):
                changed = layer(changed, training)
            else:
                changed["images"] = layer(changed["images"], training)
        return changed

    def build(self, input_shapes: Shapes) -> Shape:
        shape = input_shapes[0]
        for layer in self.layers:
            (shape,) = layer.build_for((shape,))
            if layer.weights:
                raise ValueError(
                    f"a Pipeline is made of layers without weights; a Sequential holds others. Received: '{layer.name}'"
                )
        return shape

    def lower(self) -> list[Step]:
        return [step for layer in self.layers for step in with_penalty(layer)]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; layers that hold code are there themselves: for copies in memory."""
        config = super().get_config()
        entries = zip(self.layers, config["layers"], strict=True)
        return config | {"layers": [layer if layer.holds_code else entry for layer, entry in entries]}

    def refuse_files(self) -> NoReturn:
        """Raise the error for a file that should hold the code of a layer."""
        next(layer for layer in self.layers if layer.holds_code).refuse_files()

    @classmethod
    def examples(cls) -> Examples:
        yield cls([RandomFlip(seed=1), Rescaling(0.5, 0.1)]), [(4, 3, 2)]
        yield cls([ZeroPadding2D(1), RandomFlip("horizontal")]), [(4, 3, 1)]
