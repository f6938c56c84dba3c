"""Keras's objects: a class, and its arguments.

Keras writes an object as ``{"module", "class_name", "config", "registered_name"}`` (Keras 3 and 2.12 on), as
``{"class_name", "config"}`` (before, and in .h5 files), or as a name. minicnn writes ``{"class_name", "config"}``.

Names are only ever looked up, here and in minicnn's registries: nothing is imported or evaluated.
"""

from contextlib import suppress

from minicnn import layers, library_names, own_parts
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.layers.base import Layer
from minicnn.layers.base import _registry as registry
from minicnn.own_parts import is_of_package, own_name
from minicnn.registry import custom_object
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
    """The class of a Keras object, without the package that a registered one has before it.

    A user's class that is called as one of the library has what `own_parts.qualified_name` says: so a bare name of the
    library is the library's class, whatever is known beside it.
    """
    name = entry.get("class_name")
    if not isinstance(name, str):
        raise FileFormatError(f"an object in a Keras file has a class name. Received: {brief(name)}")
    if name == "function" or not is_users(entry):
        name = name.rpartition(">")[2]
        return CLASS_NAMES.get(name, name)
    registered = entry.get("registered_name")
    known = registered if isinstance(registered, str) and ">" in registered else name
    if isinstance(own := own_parts.REGISTERED.get(known), type):
        return own_parts.qualified_name(own)
    if ">" in known and custom_object(known) is not None:
        return known
    name = name.rpartition(">")[2]
    if ">" in known and _is_of_another_package(name):
        return known
    is_optimizer = known == f"Custom>{name}" and name not in layers.CLASSES and custom_object(name) is None  # Keras 2's
    return f">{name}" if library_names.is_taken(name) and not is_optimizer else name


def _is_of_another_package(name):
    """Whether a class of that name is known as another package's alone, and not given by it."""
    known, given = own_parts.REGISTERED.values(), custom_object(name)
    return any(own_name(own) == name for own in known) and (given is None or any(given is own for own in known))


def is_users(entry: Config) -> bool:
    """Whether an entry says that its class is a user's; where it says nothing, what is given under the name counts."""
    name, module = entry["class_name"], entry.get("module")
    if ">" in name:
        return name.partition(">")[0] not in _LIBRARIES
    if "registered_name" in entry or module is not None:
        is_keras = isinstance(module, str) and module.partition(".")[0] in _LIBRARIES
        return bool(entry.get("registered_name")) and not is_keras
    return isinstance(given := custom_object(name), type) and not is_of_package(given)


_LIBRARIES = ("Addons", "keras", "keras_core", "minicnn", "tensorflow", "tf_keras")


def class_of(class_name: str) -> type[Layer]:
    """The class that a name in minicnn's form means.

    Raises
    ------
    ValueError
        If nobody has told of it.
    """
    return layers.CLASSES[class_name] if class_name in layers.CLASSES else registry.lookup(class_name)


def is_known(class_name: str) -> bool:
    """Whether a layer or model of that class can be made: the library's, registered, or in `custom_object_scope`."""
    try:
        return issubclass(class_of(class_name), Layer)
    except ValueError:
        return False


def is_own(class_name: str) -> bool:
    """Whether a user has registered a layer's class under a name, or given it in ``custom_objects``."""
    with suppress(ValueError):
        return not is_of_package(class_of(class_name))
    return False


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
    """An object of a user's class, or of one of the package's that Keras has not, in Keras 3's form."""
    registered = class_name.removeprefix(">") if ">" in class_name else REGISTERED.get(class_name, class_name)
    is_librarys = library_names.is_taken(class_name)  # a user's class of such a name has a ">" before it
    module = "minicnn" if is_librarys else None
    return keras_object(module, bare_name(class_name), config) | {"registered_name": registered}


def bare_name(class_name: str) -> str:
    """A class's own name, of that in minicnn's form."""
    own = own_parts.REGISTERED.get(class_name)
    return class_name.rpartition(">")[2] if own is None else own.__name__


def part_object(module: str, entry: Config) -> Config:
    """A loss, an initializer, … in Keras 3's form, from minicnn's."""
    name = entry["class_name"]
    return own_object(name, entry["config"]) if ">" in name else keras_object(module, name, entry["config"])


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
