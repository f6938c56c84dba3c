"""Activation functions as layers; ``activation="relu"`` elsewhere means the layer `ReLU` behind."""

import numpy as np

from minicnn.checks import check_number
from minicnn.errors import fold_name
from minicnn.layers.base import Layer
from minicnn.registry import Registry

__all__ = ["Activation", "LeakyReLU", "ReLU", "Sigmoid", "Softmax", "Tanh"]


_registry = Registry("activation", Layer)
_BY_NAME = {
    "leakyrelu": {"negative_slope": 0.2}
}  # Keras's function leaky_relu is steeper than its layer's default, 0.3


def get(identifier):
    """The activation layer for a name, a layer, a function of `minicnn.activations`, or a config; None for "linear".

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For anything else.
    """
    if getattr(identifier, "__module__", None) == "minicnn.functional":  # one of ours, by its name
        identifier = identifier.__name__
    if identifier is None or identifier == "linear":
        return None
    if isinstance(identifier, str):
        options = _BY_NAME.get(fold_name(identifier), {})
        return _registry.lookup(identifier)(name=identifier.lower(), **options)
    if isinstance(identifier, Activation):
        return identifier.activation
    layer = _registry.get(identifier)
    if type(layer) not in _registry.classes():
        raise TypeError(f"an activation is one of {', '.join(_registry.names())}. Received: {layer!r}")
    return layer


class _Elementwise(Layer):
    """A layer whose output has its input's shape."""

    input_count = 1

    def build(self, input_shapes):
        return input_shapes[0]

    @classmethod
    def examples(cls):
        yield cls(), [(5, 4, 3)]
        yield cls(), [(7,)]


class Activation(_Elementwise):
    """An activation function as a layer of its own.

    Parameters
    ----------
    activation : str or layer
        "relu", "leaky_relu", "sigmoid", "tanh", "softmax" or "linear".
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = get(activation)

    def lower(self):
        return [] if self.activation is None else [self.activation]

    @classmethod
    def examples(cls):
        for name in ("relu", "leaky_relu", "sigmoid", "tanh", "softmax"):
            yield cls(name), [(5, 3)]


@_registry.register
class ReLU(_Elementwise):
    """max(x, 0); its gradient at 0 is 0 (Nair, Hinton: "Rectified linear units …", 2010).

    Parameters
    ----------
    max_value : float, optional
        Upper bound of the output.
    negative_slope : float, default 0
        Factor of negative inputs.
    """

    uses_input, uses_output = True, False

    def __init__(self, max_value=None, negative_slope=0.0, **kwargs):
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else check_number("max_value", max_value)
        self.negative_slope = check_number("negative_slope", negative_slope)

    @property
    def is_plain(self) -> bool:
        """Whether this is max(x, 0), which kernels can fuse."""
        return self.max_value is None and self.negative_slope == 0

    def forward(self, xs, ws):
        if self.is_plain:
            np.maximum(xs[0], 0, out=ws.y)
            return
        np.multiply(xs[0], self.negative_slope, out=ws.y)
        np.copyto(ws.y, np.minimum(xs[0], self.max_value) if self.max_value is not None else xs[0], where=xs[0] > 0)

    def backward(self, dy, ws):
        np.multiply(dy, self.negative_slope, out=ws.dxs[0])
        np.copyto(ws.dxs[0], dy, where=ws.xs[0] > 0)
        if self.max_value is not None:
            np.copyto(ws.dxs[0], 0, where=ws.xs[0] >= self.max_value)

    def to_onnx(self, xs, graph):
        y = graph.add("LeakyRelu", xs, alpha=self.negative_slope) if self.negative_slope else graph.add("Relu", xs)
        return y if self.max_value is None else graph.add("Min", [y, graph.constant(np.float32(self.max_value))])

    @classmethod
    def examples(cls):
        yield cls(), [(5, 4, 3)]
        yield cls(max_value=0.5, negative_slope=0.1), [(7,)]


@_registry.register
class LeakyReLU(_Elementwise):
    """x where x > 0, else negative_slope · x (Maas, Hannun, Ng, 2013). The name "leaky_relu" means a slope of 0.2.

    Parameters
    ----------
    negative_slope : float, default 0.3
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        negative_slope = kwargs.pop("alpha", negative_slope)  # its name in Keras 2
        super().__init__(**kwargs)
        self.negative_slope = check_number("negative_slope", negative_slope)

    def forward(self, xs, ws):
        np.multiply(xs[0], self.negative_slope, out=ws.y)
        np.copyto(ws.y, xs[0], where=xs[0] > 0)

    def backward(self, dy, ws):
        np.multiply(dy, self.negative_slope, out=ws.dxs[0])
        np.copyto(ws.dxs[0], dy, where=ws.xs[0] > 0)

    def to_onnx(self, xs, graph):
        return graph.add("LeakyRelu", xs, alpha=self.negative_slope)


@_registry.register
class Sigmoid(_Elementwise):
    """1 / (1 + exp(-x)), computed as (1 + tanh(x / 2)) / 2, which cannot overflow."""

    uses_input, uses_output = False, True

    def forward(self, xs, ws):
        np.multiply(xs[0], 0.5, out=ws.y)
        np.tanh(ws.y, out=ws.y)
        np.multiply(ws.y, 0.5, out=ws.y)
        np.add(ws.y, 0.5, out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, ws.y * (1 - ws.y), out=ws.dxs[0])

    def to_onnx(self, xs, graph):
        return graph.add("Sigmoid", xs)


@_registry.register
class Tanh(_Elementwise):
    """The hyperbolic tangent."""

    uses_input, uses_output = False, True

    def forward(self, xs, ws):
        np.tanh(xs[0], out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, 1 - ws.y * ws.y, out=ws.dxs[0])

    def to_onnx(self, xs, graph):
        return graph.add("Tanh", xs)


@_registry.register
class Softmax(_Elementwise):
    """exp(x) / Σ exp(x) over the last axis; the row's maximum is subtracted first, so that nothing overflows.

    Parameters
    ----------
    axis : int, default -1
        Must be the last axis.
    """

    uses_input, uses_output = False, True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if axis != -1:
            raise ValueError(f"softmax goes over the last axis: axis=-1. Received: axis={axis!r}")
        self.axis = axis

    def forward(self, xs, ws):
        np.subtract(xs[0], xs[0].max(axis=-1, keepdims=True), out=ws.y)
        np.exp(ws.y, out=ws.y)
        ws.y /= ws.y.sum(axis=-1, keepdims=True)

    def backward(self, dy, ws):
        inner = (dy * ws.y).sum(axis=-1, keepdims=True)  # (N, …, 1)
        np.multiply(dy - inner, ws.y, out=ws.dxs[0])

    def to_onnx(self, xs, graph):
        return graph.add("Softmax", xs, axis=graph.axis(xs[0], -1))
