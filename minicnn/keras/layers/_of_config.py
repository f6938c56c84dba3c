"""Layers that a file or a config made: of the library's classes, which become those of ``keras.layers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn import layers as core
from minicnn.keras import layers
from minicnn.keras.saving._objects import deserialize_keras_object, reading


def as_in_keras(layer: Any) -> Any:
    """The same layer, as one of the classes of ``keras.layers``, if it is of one of the library's; else as it is.

    Parameters
    ----------
    layer : Layer
    """
    own = vars(layers).get(type(layer).__name__)
    if vars(own or object).get("core_class") is type(layer) and not isinstance(layer, core.InputLayer):
        layer.__class__ = own
    if isinstance(layer, core.SpectralNormalization | core.TimeDistributed):
        as_in_keras(layer.layer)
    return layer


_deserialize = reading(lambda config: as_in_keras(core.get(config)))


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize` was given, and layers as Keras 3 writes them, with arguments that change nothing.

    Parameters
    ----------
    config : dict
    custom_objects : dict, optional
        Classes and functions of one's own by their names.
    """
    is_of_keras = isinstance(config, dict) and str(config.get("module")).partition(".")[0] == "keras"
    return (deserialize_keras_object if is_of_keras else _deserialize)(config, custom_objects)
