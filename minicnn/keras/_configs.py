"""What `get_config` says to scripts: Keras's values, ``config["activation"] == "relu"``, as its files have them.

Files are made of what minicnn's layers say of themselves, which `minicnn.saving.keras` translates; so does this. What
reads configs takes both forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.hints import Config
from minicnn.keras._whole_numbers import without_whole
from minicnn.keras.saving._objects import without_axes
from minicnn.layers import InputLayer, Layer
from minicnn.models.config import is_described
from minicnn.own_parts import is_of_package
from minicnn.registry import constructor_parameters
from minicnn.saving.keras.config import model_to_keras
from minicnn.saving.keras.layers import NAMED_ACTIVATIONS, SHARED_OPTIONS, changes_nothing, layer_to_keras
from minicnn.settings import floatx

_OF_KERAS_ALONE = ("lora_alpha", "lora_rank", "quantization_config", "renorm", "renorm_clipping", "renorm_momentum")
_OF_KERAS_ALONE += ("rms_scaling", "virtual_batch_size")
_WITH_PENALTY = (
    "Conv",
    "Depthwise",
    "Einsum",
    "Embedding",
    "Group",
    "Multi",
    "Separable",
)  # which write activity_regularizer=None

_LEFT_OUT_OF_FILES = ("sliding_window", "use_gate")  # with the defaults, which older Kerases do not know


def of_layer(layer: Layer, core_class: Any, config: Config) -> Config:
    """A layer's arguments with Keras's values; while a model is written down, as they are, but for a user's method.

    Parameters
    ----------
    layer : Layer
    core_class : type
        The library's class that it is of, or that its class begins with.
    config : dict
        As that class writes it.
    """
    if is_described() and is_of_package(type(layer).get_config):
        return config
    return _in_keras(layer, core_class, config)


def _in_keras(layer, core_class, config):
    parameters = constructor_parameters(core_class)
    known = {p.name for p in parameters} | {*SHARED_OPTIONS, "dtype", *core_class.rare_options}
    if core_class.__name__ in NAMED_ACTIVATIONS:  # classes that Keras has not
        return config
    dtype = str(layer.weights[0].value.dtype) if layer.weights else floatx()
    arguments = {name: value for name, value in config.items() if name in known}
    if _takes(type(layer)) and core_class.rare_options != Layer.rare_options:  # of its weights
        left_out = () if core_class.__name__.startswith(_WITH_PENALTY) else Layer.rare_options
        arguments |= {n: None for n in core_class.rare_options if n not in config and n not in left_out}
    written = layer_to_keras(core_class.__name__, arguments, dtype)["config"]
    written |= {n: config[n] for n in _LEFT_OUT_OF_FILES if n in arguments}
    written |= {"quantization_config": None} if "quantization_config" in core_class.keras_only else {}
    if layer.declared_input_shape is not None and "input_shape" in config:
        written["batch_input_shape"] = (None, *layer.declared_input_shape)
    if not _takes(type(layer), "dtype"):
        written.pop("dtype", None)
    first = {name: written.pop(name) for name in ("name", "trainable", "dtype") if name in written}
    return first | written | {name: value for name, value in config.items() if name not in known}


def read(cls: type, config: Mapping[str, Any]) -> Config:
    """A layer's arguments, from a config that Keras wrote, too: without what no layer here has, if it changes nothing.

    Parameters
    ----------
    cls : type
        Of `keras.layers`, or a subclass.
    config : mapping
    """
    own = {p.name for p in constructor_parameters(cls)}
    kept = {n: v for n, v in config.items() if n in own or n not in _OF_KERAS_ALONE or not changes_nothing(n, v)}
    kept = without_whole(kept) if issubclass(cls, InputLayer) else kept
    return {name: without_axes(v) if name.endswith("_initializer") else v for name, v in kept.items()}


def _takes(cls, name=None):
    """Whether a constructor takes an argument of this name, or of any."""
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in constructor_parameters(cls))


def of_input(layer: InputLayer) -> Config:
    """The arguments of an InputLayer, of a model that was loaded too."""
    config = Layer.get_config(layer)
    if is_described():
        return config
    written = layer_to_keras("InputLayer", config, floatx())["config"]
    batch_size = getattr(layer, "batch_size", None)
    return written | {"batch_shape": (batch_size, *layer.shape), "ragged": False, "optional": False}


def of_model(class_name: str, config: Config) -> Config:
    """A model's layers and calls with Keras's values; what else a subclass put there stays.

    Parameters
    ----------
    class_name : {"Functional", "Sequential"}
    config : dict
        As minicnn's models write it.
    """
    if is_described() or "layers" not in config:
        return config
    written = model_to_keras({"class_name": class_name, "config": config})["config"]
    for entry in written["layers"]:
        if entry["class_name"] == "InputLayer":
            entry["config"]["batch_shape"] = tuple(entry["config"]["batch_shape"])
    return written
