"""Activation functions as layers; ``activation="relu"`` elsewhere means the layer `ReLU` behind.

Those that the documents' networks do not use stand in `minicnn.layers.further_activations`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.checks import check_number
from minicnn.errors import fold_name
from minicnn.hints import ActivationLike, LayerOptions
from minicnn.layers import contract, rare_forms
from minicnn.layers.base import Examples, Layer
from minicnn.layers.base import _registry as all_layers
from minicnn.registry import Registry
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

Formula = Callable[..., Any]  # a function on arrays

__all__ = ["Activation", "ReLU", "Sigmoid", "Softmax"]

_registry = Registry("activation", Layer)
_functions = {}  # function on arrays → name of the layer that computes it
_options = {}  # folded name → arguments of the layer that it stands for, where they are not the defaults


def register(cls: type[Layer]) -> type[Layer]:
    """Class decorator: let the class's name be an ``activation=``."""
    return _registry.register(cls)


def stands_for(*functions: Formula) -> None:
    """Let functions on arrays, as an ``activation=``, mean the layers of their names."""
    _functions.update({function: function.__name__ for function in functions})


def name_options(name: str, cls: type[Layer], **options: float | str) -> None:
    """Let a name mean a layer with these arguments."""
    _registry.register(name)(cls)
    _options[fold_name(name)] = options


def get(identifier: str | Layer | Formula | dict[str, Any] | None) -> Layer | None:
    """The activation layer for a name, a layer, a function of `minicnn.activations`, or a config; None for "linear".

    Layers of one's own are activations too, and so are their names, once they are registered.

    Parameters
    ----------
    identifier : str, Layer, function, dict or None
        A name, an object, or a configuration.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For anything else.
    """
    if isinstance(identifier, FunctionType):
        identifier = _functions.get(identifier, identifier)
    if identifier is None or identifier == "linear":
        return None
    identifier = contract.registered(identifier, _registry, all_layers) or identifier
    if isinstance(identifier, str):
        options = _options.get(fold_name(identifier), {})
        return _registry.lookup(identifier)(name=identifier.lower(), **options)
    if isinstance(identifier, Activation):
        return identifier.activation
    layer = _registry.get(identifier)
    if not isinstance(layer, tuple(_registry.classes())) and not contract.is_own(layer):
        raise TypeError(f"an activation is one of {', '.join(_registry.names())}. Received: {layer!r}")
    return layer


class Elementwise(Layer):
    """A layer whose output has its input's shape."""

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 3)]
        yield cls(), [(7,)]


class Activation(Elementwise):
    """An activation function as a layer of its own.

    Parameters
    ----------
    activation : str or layer
        "relu", "leaky_relu", "sigmoid", "tanh", "softmax" or "linear".
    """

    def __init__(self, activation: ActivationLike, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.activation: Layer | None = get(activation)

    def lower(self) -> list[Step]:
        return [] if self.activation is None else self.activation.lower()

    @classmethod
    def examples(cls) -> Examples:
        for name in ("relu", "leaky_relu", "sigmoid", "tanh", "softmax"):
            yield cls(name), [(5, 3)]


@register
class ReLU(Elementwise):
    """max(x, 0); its gradient at 0 is 0 (Nair, Hinton: "Rectified linear units …", 2010).

    Parameters
    ----------
    max_value : float, optional
        Upper bound of the output.
    negative_slope : float, default 0
        Factor of x - threshold, where x is not above the threshold.
    threshold : float, default 0
        What an input has to exceed to be passed on.
    """

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.max_value: float | None = None if max_value is None else check_number("max_value", max_value)
        self.negative_slope: float = check_number("negative_slope", negative_slope)
        self.threshold: float = check_number("threshold", threshold)

    @property
    def is_plain(self) -> bool:
        """Whether this is max(x, 0), which kernels can fuse."""
        return self.max_value is None and self.negative_slope == 0 and self.threshold == 0

    @property
    def only_ops(self) -> bool:
        return self.is_plain

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if self.is_plain:
            ws.ops.pointwise(ws.y, xs, "relu")
        else:
            rare_forms.relu(self, xs, ws)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        rare_forms.relu_backward(self, dy, ws)  # dy where x > 0, else 0, if plain

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return rare_forms.relu_to_onnx(self, xs[0], graph)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 3)]
        yield cls(max_value=0.5, negative_slope=0.1, threshold=0.2), [(7,)]


@register
class Sigmoid(Elementwise):
    """1 / (1 + exp(-x)), computed as (1 + tanh(x / 2)) / 2, which cannot overflow."""

    only_ops = True
    uses_input = False
    uses_output = True

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, xs, "sigmoid")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (ws.y, dy), "sigmoid_gradient_of_output")

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Sigmoid", xs)


@register
class Softmax(Elementwise):
    """exp(x) / Σ exp(x) over an axis; its maximum is subtracted first, so that nothing overflows.

    Parameters
    ----------
    axis : int or sequence of int, default -1
        Counted with the batch axis, which cannot be among them.
    """

    only_ops = True
    uses_input = False
    uses_output = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.axis: int | tuple[int, ...] = tuple(axis) if isinstance(axis, list | tuple) else axis

    def build(self, input_shapes: Shapes) -> Shape:
        rare_forms.check_axes(self, self.axis, input_shapes[0])
        return input_shapes[0]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.softmax(xs[0], ws.y, self.axis)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.softmax_backward(ws.y, dy, ws.dxs[0], self.axis)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        if isinstance(self.axis, int):
            return graph.add("Softmax", xs, axis=graph.axis(xs[0], self.axis))
        return rare_forms.softmax_to_onnx(xs[0], graph, self.axis)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 3)]
        yield cls(axis=1), [(4, 3)]
        yield cls(axis=(1, 2)), [(3, 4, 2)]
