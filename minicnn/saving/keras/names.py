"""Keras's objects: a class, and its arguments.

Keras writes an object as ``{"module", "class_name", "config", "registered_name"}`` (Keras 3 and 2.12 on), as
``{"class_name", "config"}`` (before, and in .h5 files), or as a name. minicnn writes ``{"class_name", "config"}``.

Names are only ever looked up, here and in minicnn's registries: nothing is imported or evaluated.
"""

from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.layers.base import Layer
from minicnn.layers.base import _registry as registry
from minicnn.own_parts import is_of_package
from minicnn.user_warnings import brief

INSIDE = {"GroupQueryAttention": "GroupedQueryAttention"}
"""Class → what it is called inside of Keras, after which .h5 files and groups of weights name it."""

CLASS_NAMES = {
    **{inside: name for name, inside in INSIDE.items()},
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Model": "Functional",
}
"""What a class was once called, or is in .h5 files → what it is called today."""

REGISTERED: dict[str, str] = {}
"""Users' classes → the names, "package>name", that Keras looks for where they were registered with it."""


def class_name_of(entry: Config) -> str:
    """The class of a Keras object, without the package that a registered one has before it."""
    name = entry.get("class_name")
    if not isinstance(name, str):
        raise FileFormatError(f"an object in a Keras file has a class name. Received: {brief(name)}")
    name = name.rpartition(">")[2]
    return CLASS_NAMES.get(name, name)


def is_known(class_name: str) -> bool:
    """Whether a layer or model of that class can be made: the library's, registered, or in `custom_object_scope`."""
    try:
        return issubclass(registry.lookup(class_name), Layer)
    except ValueError:
        return False


def is_own(class_name: str) -> bool:
    """Whether a user has registered a layer's class under a name, or given it in ``custom_objects``."""
    return is_known(class_name) and not is_of_package(registry.lookup(class_name))


def config_of(entry: Config) -> Config:
    """An object's arguments."""
    config = entry.get("config", {})
    if not isinstance(config, dict):
        raise FileFormatError(
            f"the arguments of a {brief(entry.get('class_name'))} are a dict. Received: {brief(config)}"
        )
    return config


def keras_object(module: str | None, class_name: str, config: Config) -> Config:
    """An object in Keras 3's form."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def own_object(class_name: str, config: Config) -> Config:
    """An object of a user's class in Keras 3's form."""
    registered = {"registered_name": REGISTERED.get(class_name, class_name)}
    return keras_object(None, class_name, config) | registered


def object_from_keras(value: object) -> str | Config:
    """A name, or ``{"class_name", "config"}``, from any of Keras's forms of an initializer, a loss, a metric, …"""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise FileFormatError(f"an object in a Keras file is a name or a dict. Received: {brief(value)}")
    class_name = class_name_of(value)
    if class_name == "function" and isinstance(value.get("config"), str):
        return value["config"]
    config = {k: v for k, v in config_of(value).items() if k not in ("fn", "dtype")}
    if class_name.endswith("MeanMetricWrapper") or class_name == "LossFunctionWrapper":  # its function says which
        class_name = config_of(value).get("fn")
        if not isinstance(class_name, str):
            raise FileFormatError(f"a wrapped function has a name. Received: {brief(value)}")
    return {"class_name": class_name, "config": config}
