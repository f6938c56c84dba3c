"""Functions as initializers, regularizers and constraints, of which Keras's files hold the names."""

from typing import Any

from minicnn import constraints, initializers, regularizers
from minicnn.hints import Config
from minicnn.named_functions import function_named
from minicnn.saving.keras.names import class_name_of, keras_object

_KINDS = {
    "initializer": ("FunctionInitializer", initializers.registry),
    "regularizer": ("FunctionRegularizer", regularizers.registry),
    "constraint": ("FunctionConstraint", constraints.registry),
}
_CLASSES = {name for name, _ in _KINDS.values()}


def function_from_keras(argument: str, value: Any) -> Config | None:
    """minicnn's entry of a function; None if `value` is something else.

    Parameters
    ----------
    argument : str
        "kernel_regularizer", …
    value : str or dict
        Keras 3 has ``{"class_name": "function", "config": name}``; Keras 2 has the name, as of a class of the library.
    """
    is_function = isinstance(value, dict) and class_name_of(value) == "function"
    name = value["config"] if is_function else value
    class_name, registry = _KINDS[argument.rpartition("_")[2]]
    if not isinstance(name, str) or (function_named(name) is None and not _is_missing(name, is_function, registry)):
        return None
    return {"class_name": class_name, "config": {"function": name}}


def _is_missing(name, is_function, registry):
    """Whether it is a function that nobody named: its class says so, an initializer only once it is to draw."""
    return is_function and name not in registry.names()


def function_to_keras(value: Config) -> Config | None:
    """Keras 3's form of such an entry; None if `value` is something else.

    Parameters
    ----------
    value : dict
        With a "class_name".
    """
    if value["class_name"] not in _CLASSES:
        return None
    return keras_object("builtins", "function", value["config"]["function"]) | {"registered_name": "function"}
