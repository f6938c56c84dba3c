"""Functions as initializers, regularizers, constraints and activations, of which Keras's files hold the names."""

from typing import Any

from minicnn import constraints, initializers, regularizers
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.layers import activations
from minicnn.layers.base import Layer
from minicnn.library_names import is_taken
from minicnn.named_functions import function_beside, function_named
from minicnn.own_parts import REGISTERED
from minicnn.saving.keras.names import bare_name, class_name_of, keras_object
from minicnn.user_warnings import brief

_KINDS = {
    "initializer": ("FunctionInitializer", initializers.registry),
    "regularizer": ("FunctionRegularizer", regularizers.registry),
    "constraint": ("FunctionConstraint", constraints.registry),
}
ACTIVATION = "FunctionActivation"
"""The class that `minicnn.keras` has for a function as an activation."""

_CLASSES = {ACTIVATION, *(name for name, _ in _KINDS.values())}


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


def activation_named(name: str | None, label: str) -> str | Config | None:
    """A name that `minicnn.layers.activations` knows, or the entry of a user's function.

    Parameters
    ----------
    name : str or None
        As Keras writes it: "relu", "scale", or "package>scale" of a registered function.
    label : str
        The layer's, for messages.

    Raises
    ------
    FileFormatError
        If it is neither, or the function's, and nothing makes a layer of that.
    """
    if name is None:
        return None
    function = function_beside(name)
    is_own = function is not None and not isinstance(function, Layer)
    own = bare if (bare := bare_name(name)).isidentifier() else "…"  # not of "<lambda>"
    entry = {"class_name": ACTIVATION, "config": {"function": name}}
    try:
        activations.get(entry if is_own else name)
    except ValueError as error:
        advice = (
            "a function as an activation is run by minicnn.keras: call its keras.models.load_model, or `import "
            f"minicnn.keras.models` before. Received: activation={brief(name)}"
            if is_own
            else f"a function of yours is given as load_model(…, custom_objects={{{name!r}: {own}}}). {error}"
        )
        raise FileFormatError(f"{label}: {advice}") from None
    return entry if is_own else name


def function_to_keras(value: Config) -> Config | None:
    """Keras 3's form of such an entry; None if `value` is something else.

    A function that is registered has the name that it is registered under. An activation that is not, and is called as
    one of the library's, has no name in Keras that means it.

    Parameters
    ----------
    value : dict
        With a "class_name".
    """
    if value["class_name"] not in _CLASSES:
        return None
    name = value["config"]["function"]
    function = function_named(name)
    name = next((key for key, each in REGISTERED.items() if each is function), name)
    if value["class_name"] == ACTIVATION and is_taken(name):
        return None
    return keras_object("builtins", "function", name) | {"registered_name": "function"}
