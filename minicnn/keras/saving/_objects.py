"""Objects as plain data, and back: ``keras.saving.serialize_keras_object`` and the `deserialize` of losses and metrics.

The form is Keras 3's, ``{"module", "class_name", "config", "registered_name"}``; that of Keras 2, ``{"class_name",
"config"}``, is read as well. Names are only ever looked up: nothing is imported or evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.keras._missing import NotInMinicnn
from minicnn.keras.utils._helpers import get_custom_objects, get_registered_name, get_registered_object
from minicnn.own_parts import REGISTERED, qualified_name
from minicnn.registry import Configurable, custom_object, custom_object_scope, to_plain
from minicnn.saving.keras.names import CLASS_NAMES, class_name_of, is_users
from minicnn.user_warnings import brief

_KINDS = ("layers", "losses", "metrics", "optimizers", "optimizers.schedules", "initializers", "regularizers")
_OTHERS = ("constraints", "activations", "models", "callbacks", "dtype_policies")
_OF_THE_LIBRARY = ("minicnn.",)
_MODULES = {"Sequential": "keras", "Functional": "keras.src.models.functional", "DTypePolicy": "keras"}
_MODULES |= {"further_initializers": "initializers"}  # rooms of the library, and Keras's modules
_FUNCTIONS = {"swish": "silu", "hard_swish": "hard_silu"}  # Keras's own names of its functions
_NOT_IN_KERAS = {"TopKCategoricalAccuracy": ("from_sorted_ids",), "Muon": ("flatten_kernels",)}  # left out, if not set
_AXES = ("input_axes", "output_axes")  # of Keras 3.15's initializers: None wherever layers make them


def serialize_keras_object(obj: Any) -> Any:
    """An object as plain data, which `deserialize_keras_object` reads.

    Parameters
    ----------
    obj : object
        A layer, model, loss, metric, optimizer, initializer, …; a function; an array; lists, tuples and dicts of them.

    Raises
    ------
    ValueError
        For a lambda, which has no name that it could be found by again.
    TypeError
        For what has no `get_config`.
    """
    if obj is None or isinstance(obj, str | bool | int | float):
        return obj
    if isinstance(obj, list | tuple):
        return type(obj)([serialize_keras_object(part) for part in obj])
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if not isinstance(obj, type) and hasattr(obj, "get_config"):
        return _of_object(obj)
    if callable(obj) and hasattr(obj, "__name__"):
        return _of_function(obj)
    raise TypeError(f"serialize_keras_object takes what has a get_config, and functions. Received: {obj!r}")


def _of_object(obj):
    cls = type(obj)
    name, registered = cls.__name__, get_registered_name(cls)
    config = serialize_keras_object(obj.get_config())
    if cls.__module__.startswith(_OF_THE_LIBRARY):
        base = next(c for c in cls.__mro__ if c.__module__.startswith(_OF_THE_LIBRARY))
        name = getattr(obj, "saved_as", name)
        config = {key: value for key, value in config.items() if value or key not in _NOT_IN_KERAS.get(name, ())}
        return {"module": _module_of(base, name), "class_name": name, "config": config, "registered_name": None}
    return {"module": cls.__module__, "class_name": name, "config": config, "registered_name": registered}


def _module_of(cls, name):
    """Keras's module of a class of the library; without it Keras does not find the class again."""
    kind = cls.__module__.removeprefix("minicnn.").removeprefix("keras.").partition(".")[0]
    if kind == "optimizers" and hasattr(import_module("minicnn.keras.optimizers.schedules"), name):
        kind = "optimizers.schedules"
    return _MODULES.get(name) or f"keras.{_MODULES.get(kind, kind)}"


def _of_function(function):
    if function.__name__ == "<lambda>":
        raise ValueError(
            "a lambda has no name by which it could be found again: write it as a function, def name(x): …. "
            f"Received: {function!r}"
        )
    name = get_registered_name(function)
    if function.__module__.startswith(_OF_THE_LIBRARY):
        name = _FUNCTIONS.get(name, name)
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True, **kwargs: Any
) -> Any:
    """What `serialize_keras_object` was given: an object of the same class and arguments, a function, plain data.

    Parameters
    ----------
    config : dict, str, …
    custom_objects : dict, optional
        Name → class or function, of one's own that are not registered.
    safe_mode : bool, default True
        Not used: no code is ever read.
    **kwargs
        Keras 2's ``module_objects``, a dict of further names; ``printable_module_name`` is not used.

    Raises
    ------
    ValueError
        If a class or function is not known.
    """
    further = dict(kwargs.pop("module_objects", None) or {}) | dict(custom_objects or {})
    kwargs.pop("printable_module_name", None)
    if kwargs:
        raise TypeError(f"deserialize_keras_object takes config and custom_objects. Received: {', '.join(kwargs)}=")
    with custom_object_scope(further):
        return _made(config)


def _made(config):
    if isinstance(config, str):
        found = _own(config)
        return config if found is None else found() if isinstance(found, type) else found
    if isinstance(config, list | tuple):
        return type(config)([_made(part) for part in config])
    if not isinstance(config, dict):
        return config
    if "class_name" not in config:
        return {key: _made(value) for key, value in config.items()}
    name, inner = config["class_name"], config.get("config")
    if name == "__numpy__":
        return np.array(inner["value"], inner["dtype"])
    if name == "__tuple__":
        return tuple(_made(inner["value"]))
    is_marked = "registered_name" in config and name != "function"  # then a bare name is the library's
    named = None if is_marked else _own(inner if name == "function" else name)
    found = _own(config.get("registered_name")) or named
    if name == "function":
        return found or _of_library(inner, callable)
    inner = without_axes(config).get("config")
    cls = found or _of_library(CLASS_NAMES.get(name, name).rpartition(">")[2], _is_class, config.get("module"))
    if found is None and is_users(config) and not _is_optimizer_of_keras_2(config, cls):
        raise _unknown(name)  # not the library's class, which is called alike
    return cls.from_config(inner or {})


def _is_class(part):
    return isinstance(part, type) and hasattr(part, "from_config")


def _is_optimizer_of_keras_2(config, cls):
    """Whether a class is one that Keras 2 wrote as registered without a package, as it did all its optimizers."""
    names = (config["class_name"], config.get("registered_name"))
    return any(str(name).startswith("Custom>") for name in names) and hasattr(cls, "learning_rate")


def _own(name):
    """What a user has given, or registered, under a name; None where there is nothing."""
    return (custom_object(name) or get_registered_object(name)) if isinstance(name, str) else None


def _of_library(name, is_such: Callable[[Any], bool], module: Any = None):
    """The class, or function, of Keras's name; where several modules have it, the one in Keras's `module`."""
    kinds = (*_KINDS, *_OTHERS)
    for kind in sorted(kinds, key=lambda kind: module != f"keras.{kind}"):
        module = import_module(f"minicnn.keras.{kind}")
        with suppress(AttributeError, NotInMinicnn):
            if is_such(found := getattr(module, {"Functional": "Model"}.get(name, name))):
                return found
    raise _unknown(name)


def _unknown(name):
    return ValueError(
        f"there is no class or function of this name: custom_objects={{{brief(name)}: …}} gives one of your own. "
        f"Received: {brief(name)}"
    )


def registered(identifier: Any) -> Any:
    """What was registered as "package>name", instead of that name; a config without the package; others as they are.

    Parameters
    ----------
    identifier : object
        What a `get` or `deserialize` was given.
    """
    if isinstance(identifier, str) and ">" in identifier:
        return get_registered_object(identifier) or identifier.rpartition(">")[2]
    if isinstance(identifier, dict):
        return _named({key: _nested(value) for key, value in identifier.items()})
    return identifier


def _nested(value):
    """What stands within a config, with the names of the objects in it in minicnn's form."""
    if type(value) is list:
        return [_nested(part) for part in value]
    return registered(value) if isinstance(value, dict) else value


def serialized(thing: Any) -> Any:
    """A loss, a metric, … in Keras 3's form; of a function its name, which `deserialize` takes.

    Parameters
    ----------
    thing : object
    """
    is_function = callable(thing) and not isinstance(thing, Configurable | type) and hasattr(thing, "__name__")
    if is_function or not isinstance(thing, Configurable):
        return get_registered_name(thing) if is_function else to_plain(thing)
    return serialize_keras_object(thing)


def without_axes(initializer: Any) -> Any:
    """Of an initializer's config, what it has here; anything else as it is."""
    arguments = initializer.get("config") if isinstance(initializer, dict) else None
    if not isinstance(arguments, dict):
        return initializer
    own = {name: value for name, value in arguments.items() if value is not None or name not in _AXES}
    return {**initializer, "config": own}


def _named(config):
    """The config, with the class's name in minicnn's form: a bare one means what somebody gave it, as in Keras."""
    name, config = config.get("class_name"), without_axes(config)
    if not isinstance(name, str):
        return config
    is_bare = "registered_name" not in config and "module" not in config and custom_object(name) is None
    own = get_custom_objects().get(name) if is_bare else None
    if isinstance(own, type) and own in REGISTERED.values():
        key = get_registered_name(own)
        return {**config, "class_name": qualified_name(own) if key.endswith(f">{own.__name__}") else key}
    return {**config, "class_name": class_name_of(config)}


def initializer_named(identifier: Any) -> Any:
    """What minicnn takes for an initializer's name or config: also a class of ``get_custom_objects()``, as in Keras.

    Parameters
    ----------
    identifier : object
    """
    own = get_custom_objects().get(identifier) if isinstance(identifier, str) else None
    return own if isinstance(own, type) else registered(identifier)


def is_function(config: Any) -> bool:
    """Whether a config is that of a function, as Keras 3 writes it."""
    return isinstance(config, dict) and config.get("class_name") == "function" and isinstance(config.get("config"), str)


def reading(get: Callable[[Any], Any]) -> Callable[..., Any]:
    """The `deserialize` of a module.

    Parameters
    ----------
    get : callable
        The module's, which knows its classes' names.
    """

    def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """What `serialize` was given; `custom_objects` are classes and functions of one's own by their names."""
        with custom_object_scope(custom_objects):
            return get(registered(config))

    return deserialize


def save_weights(model: Any, filepath: Any, overwrite: bool = True, **options: Any) -> None:
    """As ``model.save_weights``."""
    model.save_weights(filepath, overwrite=overwrite, **options)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False, **options: Any) -> None:
    """As ``model.load_weights``."""
    model.load_weights(filepath, skip_mismatch=skip_mismatch, **options)
