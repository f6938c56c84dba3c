"""Functions as activations, ``Dense(8, activation=lambda x: x * K.sigmoid(x))``, and as penalties of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minicnn import layers
from minicnn.activation_functions import SPARSEMAX_EDGE, nearest_probabilities
from minicnn.differentiation import Recorded, value_of
from minicnn.hints import Config
from minicnn.keras import regularizers
from minicnn.keras._last_function import before, last_of, step_of
from minicnn.keras.saving._objects import initializer_named, registered
from minicnn.keras.utils._helpers import function_called, named_by_user
from minicnn.layers import activations
from minicnn.layers.activations import Elementwise
from minicnn.named_functions import FunctionName, function_beside
from minicnn.own_parts import is_of_package
from minicnn.settings import floatx
from minicnn.step import Arrays, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value


_explain = getattr(Elementwise, "__getattr__", None)


def _missing(layer, name):
    """What a layer has no attribute for, but a function has, ``layer.activation.__name__``: its name."""
    if name == "__name__":
        return import_module("minicnn.keras.activations").name_of(layer)  # which has the functions, and imports this
    return object.__getattribute__(layer, name) if _explain is None else _explain(layer, name)


Elementwise.__getattr__ = _missing  # type: ignore[attr-defined]


@activations.register
class FunctionActivation(layers.Lambda):
    """A function of arrays as an activation, differentiated as it runs; files hold its name alone.

    Parameters
    ----------
    function : callable
    **kwargs
        name, …, of any layer.
    """

    def __init__(self, function: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(function, **kwargs)

    @property
    def __name__(self) -> str:  # type: ignore[override]
        """The function's, for ``layer.activation.__name__``."""
        return str(getattr(self.function, "__name__", repr(self.function)))

    def lower(self) -> list[Step]:
        """Its steps: a softmax or sigmoid at its end is one of its own, which cross-entropies look behind."""
        last, is_all = _last_of(self.function)
        if last is None:
            return [self]
        return [step_of(last)] if is_all else [self._before_it, step_of(last)]

    @cached_property
    def _before_it(self) -> layers.Lambda:
        """What stands before the function at the end."""
        return layers.Lambda(self._given_to_it, name=self.name)

    def _given_to_it(self, x):
        if isinstance(x, Recorded):
            return before(self.function(x))
        return value_of(before(self.function(Recorded(x))))

    def get_config(self) -> Config:
        """The function by its name."""
        return {"function": FunctionName(self.function), "name": self.name}

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """An activation from what `get_config` returned; the function comes from ``custom_objects=``.

        Raises
        ------
        ValueError
            If it is not there.
        """
        return cls(function_called(config["function"], "an activation"))


def _last_of(function):
    """The softmax or sigmoid that a function ends in, or None, and whether that is all that it does."""
    for ndim in (4, 3, 2):  # where another axis than the last is named, there has to be one
        with suppress(Exception), np.errstate(all="ignore"):  # zeros may not be what it takes
            x = Recorded(np.zeros((2,) * ndim, floatx()))
            y = function(x)
            if np.shape(value_of(y)) == x.shape:
                return last_of(y), before(y) is x
    return None, False


@activations.register
class Sparsemax(Elementwise):
    """The nearest point to x among probabilities, which may be 0, over the last axis.

    (Martins, Astudillo: "From softmax to sparsemax", 2016.)
    """

    uses_input = False
    uses_output = True

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = nearest_probabilities(xs[0])

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        above = ws.y > 0
        mean = np.where(above, dy, 0).sum(axis=-1, keepdims=True) / above.sum(axis=-1, keepdims=True)
        ws.dxs[0][...] = np.where(above, dy - mean, 0)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        axis = graph.axis(xs[0], -1)  # x_i stays above 0 where Σ_j max(x_j - x_i, 0) < 1: TopK has two outputs
        here, behind = (graph.constant(np.array([n])) for n in (axis, axis + 1))
        x = graph.add("Sub", [xs[0], graph.add("ReduceMax", xs, axes=[axis])])
        differences = graph.add("Sub", [graph.add("Unsqueeze", [x, part]) for part in (here, behind)])
        above = graph.add("ReduceSum", [graph.add("Relu", [differences]), behind], keepdims=0)
        inside = graph.add("Cast", [graph.add("Less", [above, graph.constant(np.float32(1 - SPARSEMAX_EDGE))])], to=1)
        total = graph.add("ReduceSum", [graph.add("Mul", [x, inside]), here])
        shared = graph.add("Sub", [total, graph.constant(np.float32(1))])
        mean = graph.add("Div", [shared, graph.add("ReduceSum", [inside, here])])
        return graph.add("Mul", [graph.add("Relu", [graph.add("Sub", [x, mean])]), inside])


_NO_LAYERS = {
    "glu": "halves the axis that it is given, which no layer's shape foresees: Lambda(keras.activations.glu) behind it",
    "threshold": "has arguments: activation=lambda x: keras.activations.threshold(x, 0.5, 0.0)",
}


def activation(value: Any) -> Any:
    """What minicnn takes for an ``activation=``: names that users gave, and functions, become layers.

    Raises
    ------
    ValueError
        For functions of Keras that are no activation of a layer.
    TypeError
        For a layer that is none, as one with weights.
    """
    if isinstance(value, Mapping) and value.get("class_name") == "function":  # as Keras writes one down
        value = function_called(value["config"], "an activation")
    if isinstance(value, str):
        value = function_beside(value) or named_by_user(value, value)
    name = value if isinstance(value, str) else getattr(value, "__name__", None)
    if isinstance(name, str) and name in _NO_LAYERS and (name is value or is_of_package(value)):
        raise ValueError(
            f"{name} is no activation of a layer, as it {_NO_LAYERS[name]}. Received: activation={value!r}"
        )
    if isinstance(value, layers.Layer):
        _check_layer(value)
    if not callable(value) or isinstance(value, type | layers.Layer):
        return value
    try:
        return activations.get(value)
    except (TypeError, ValueError):
        return FunctionActivation(value)


def _check_layer(layer):
    """Raise `TypeError` for a layer of the package that stands behind another one, not in it."""
    try:
        activations.get(layer)
    except TypeError:
        name = type(layer).__name__
        raise TypeError(
            f"{name} is a layer of its own, with weights or a mode of its own, and no activation of another one: leave "
            f"activation= out and put {name} behind, Dense(…), {name}(…), which computes the same. "
            f"Received: activation={layer!r}"
        ) from None


def with_functions(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a layer, with what minicnn takes for functions, names and configs of one's own among its parts."""
    makers = {"activation": activation, "regularizer": regularizers.get}
    makers |= {"initializer": initializer_named, "constraint": registered}
    found = {name: makers.get(name.rpartition("_")[2]) for name, value in kwargs.items() if value is not None}
    return kwargs | {name: make(kwargs[name]) for name, make in found.items() if make}
