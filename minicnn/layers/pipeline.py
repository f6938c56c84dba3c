"""Layers one after the other, as one layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from minicnn.hints import LayerOptions
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
        return [step for layer in self.layers for step in layer.lower()]

    @classmethod
    def examples(cls) -> Examples:
        yield cls([RandomFlip(seed=1), Rescaling(0.5, 0.1)]), [(4, 3, 2)]
        yield cls([ZeroPadding2D(1), RandomFlip("horizontal")]), [(4, 3, 1)]
