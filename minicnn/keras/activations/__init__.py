"""``keras.activations``: functions of arrays, and of a model's tensors."""

from functools import wraps
from typing import Any

from minicnn import activations as _core
from minicnn.graph import Tensor
from minicnn.keras import _operations
from minicnn.keras._eager import eager
from minicnn.keras._names import lookup, public_names
from minicnn.layers.activations import stands_for


def _either(function):
    """The function, of arrays or tensors; as ``activation=`` it means the layer of its name."""

    @wraps(function)
    def activation(x: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, Tensor | _operations.Recorded):
            return _operations.either(function.__name__)(x, *args, **kwargs)
        return eager(function(x, *args, **kwargs))

    stands_for(activation)
    return activation


__all__ = sorted(public_names(_core))
for _name in {*_operations.ACTIVATIONS} & {*__all__}:
    globals()[_name] = _either(getattr(_core, _name))
_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.activations",
    "deserialize": "minicnn.activations.get",
}
__getattr__ = lookup(__name__, ["minicnn.activations"], names=_NAMES)
