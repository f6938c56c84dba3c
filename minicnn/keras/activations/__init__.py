"""``keras.activations``: functions of arrays, and of a model's tensors."""

from collections.abc import Hashable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any

import numpy as np

from minicnn import activations as _core
from minicnn.differentiation import met
from minicnn.graph import Tensor
from minicnn.keras import _operations
from minicnn.keras._eager import eager
from minicnn.keras._last_function import ended
from minicnn.keras._names import lookup, public_names
from minicnn.keras._starred import starred
from minicnn.keras._whole_numbers import rectified
from minicnn.keras.utils._helpers import get_registered_object, named_by_user
from minicnn.layers import Activation
from minicnn.layers.activations import Elementwise, stands_for
from minicnn.layers.activations import get as get_layer
from minicnn.registry import custom_object, custom_object_scope


def _either(function):
    """The function, of arrays or tensors; as ``activation=`` it means the layer of its name."""
    name = function.__name__

    @wraps(function)
    def activation(x: Any, *args: Any, **kwargs: Any) -> Any:
        x = _operations.stacked(x)
        if isinstance(x, Tensor) and name not in _operations.ACTIVATIONS and not (args or kwargs):
            return Activation(name)(x)
        if isinstance(x, Tensor | _operations.Recorded):
            return _operations.either(name)(x, *args, **kwargs)
        if (whole := rectified(name, x, args or kwargs)) is not None:
            return eager(whole)
        made = function(x, *args, **kwargs)
        if getattr(x, "dtype", None) == np.float16:  # which Keras keeps, and minicnn makes float32
            made = made.astype(np.float16)
        return ended(name, eager(made), x, *args, **kwargs)

    entered = _operations.entering(activation, "re_lu" if name == "relu" else None)
    stands_for(entered)
    return entered


def linear(x: Any) -> Any:
    """x."""
    x = met(x)
    return x if isinstance(x, Tensor | _operations.Recorded) else eager(_core.linear(x))


stands_for(linear)
__all__ = sorted(public_names(_core))
for _name in {*__all__} - {"get", "linear"}:
    globals()[_name] = _either(getattr(_core, _name))


def _stands_for(layer, function):
    """Whether a layer does what a function of this module does: ``layer.activation == keras.activations.relu``."""
    meant = _LAYERS.get(function) if callable(function) and isinstance(function, Hashable) else None
    if layer is function or meant is None:
        return layer is function
    return type(meant) is type(layer) and {**meant.get_config(), "name": None} == {**layer.get_config(), "name": None}


def name_of(layer: Elementwise) -> str:
    """The name of the function that a layer stands for; its own otherwise."""
    return next((function.__name__ for function in _LAYERS if _stands_for(layer, function)), layer.name)


_LAYERS: dict[Any, Any] = {}
for _name in {*__all__} - {"get", "linear"}:
    with suppress(ValueError):  # a function that is no layer
        _LAYERS[globals()[_name]] = get_layer(globals()[_name])
Elementwise.__eq__ = _stands_for  # type: ignore[method-assign, assignment]
Elementwise.__hash__ = object.__hash__  # type: ignore[method-assign, assignment]
_NAMES = {
    "serialize": "minicnn.keras.saving._objects.serialized",
}


def get(identifier: Any) -> Any:
    """As Keras: the function of a name, `linear` for None; functions, layers and configs are what they say."""
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "function":  # as Keras writes one down
        identifier = identifier["config"]
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        if (own := custom_object(identifier) or _registered(identifier)) is not None:
            return own
        if identifier not in __all__:
            _core.get(identifier)  # a ValueError for a name that is none
        return _function(identifier)
    return identifier if callable(identifier) else _core.get(identifier)


def _registered(name):
    return get_registered_object(name) if ">" in name else named_by_user(name)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize` was given.

    Parameters
    ----------
    config : str or dict
        Also as Keras writes functions down, ``{"class_name": "function", "config": name}``.
    custom_objects : dict, optional
        Functions by the names that `config` may have.
    """
    with custom_object_scope(custom_objects):
        return get(config)


def _function(name):
    """The function of a name, or of the layer that the name means."""
    found = globals().get(name) or getattr(_core, name, None)
    return found if callable(found) else _core.get(name)


__getattr__ = lookup(__name__, ["minicnn.activations"], names=_NAMES)
__all__ += starred(__name__)
