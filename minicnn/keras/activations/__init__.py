"""``keras.activations``: functions of arrays, and of a model's tensors."""

from functools import wraps
from typing import Any

from minicnn import activations as _core
from minicnn.graph import Tensor
from minicnn.keras import _operations
from minicnn.keras._eager import eager
from minicnn.keras._names import lookup, public_names
from minicnn.layers import Activation
from minicnn.layers.activations import stands_for


def _either(function):
    """The function, of arrays or tensors; as ``activation=`` it means the layer of its name."""
    name = function.__name__

    @_operations.entering
    @wraps(function)
    def activation(x: Any, *args: Any, **kwargs: Any) -> Any:
        x = _operations.stacked(x)
        if isinstance(x, Tensor) and name not in _operations.ACTIVATIONS and not (args or kwargs):
            return Activation(name)(x)
        if isinstance(x, Tensor | _operations.Recorded):
            return _operations.either(name)(x, *args, **kwargs)
        return eager(function(x, *args, **kwargs))

    stands_for(activation)
    return activation


@_operations.entering
def linear(x: Any) -> Any:
    """x."""
    return x if isinstance(x, Tensor | _operations.Recorded) else eager(_core.linear(x))


stands_for(linear)
__all__ = sorted(public_names(_core))
for _name in {*__all__} - {"get", "linear"}:
    globals()[_name] = _either(getattr(_core, _name))
_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "deserialize": "minicnn.activations.get",
}


def get(identifier: Any) -> Any:
    """As Keras: the function of a name, `linear` for None; functions, layers and configs are what they say."""
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        _core.get(identifier)  # a ValueError for a name that is none
        return _function(identifier)
    return identifier if callable(identifier) else _core.get(identifier)


def _function(name):
    """The function of a name, or of the layer that the name means."""
    found = globals().get(name) or getattr(_core, name, None)
    return found if callable(found) else _core.get(name)


__getattr__ = lookup(__name__, ["minicnn.activations"], names=_NAMES)
