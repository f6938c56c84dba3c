"""``keras.layers.Wrapper``: the base of users' layers around another layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from minicnn import layers as core
from minicnn.keras._own_parts import Layer
from minicnn.keras.layers._of_config import deserialize
from minicnn.keras.saving._objects import serialize_keras_object
from minicnn.registry import custom_object_scope

__all__ = ["Wrapper"]


class Wrapper(Layer):
    """A layer around another one, whose `call` a subclass writes.

    Parameters
    ----------
    layer : Layer
        The attribute `layer`.
    **kwargs
        As of any layer.

    Raises
    ------
    ValueError
        If it is no layer.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, core.Layer):
            raise ValueError(f"a {type(self).__name__} is around a layer. Received: {layer!r}")
        super().__init__(**kwargs)
        self.layer: Any = layer

    def build(self, input_shape: Any = None) -> Any:
        """Build the layer inside for the inputs of this one."""
        if not self.layer.built:
            self.layer.build(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments, with the config of the layer inside."""
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """The layer of a config, whose "layer" is that of the layer inside."""
        own = dict(config)
        with custom_object_scope(custom_objects):
            return cls(deserialize(own.pop("layer")), **own)
