"""Activations that are one function of each number: a table, and the layers of which Keras has classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn import initializers, regularizers
from minicnn.backends.reference.activation import FORMULAS, SHRINK
from minicnn.checks import check_choice, check_number, is_integer
from minicnn.hints import InitializerLike, LayerOptions, RegularizerLike
from minicnn.initializers import Initializer
from minicnn.layers.activations import Elementwise, ReLU, name_options, register
from minicnn.layers.base import Examples, Layer
from minicnn.regularizers import Regularizer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

    class _PReLUOptions(LayerOptions, total=False):
        alpha_constraint: object


__all__ = ["ELU", "LogSoftmax", "PReLU", "Pointwise", "Sparsemax"]

ALIASES = {"hard_swish": "hard_silu", "swish": "silu"}  # Keras's second names
_OPERATORS = {"hard_silu": "HardSwish", "selu": "Selu", "softplus": "Softplus", "softsign": "Softsign"}


class Pointwise(Elementwise):
    """A function of each number, by its name: ``activation="gelu"`` means ``Pointwise("gelu")``.

    Parameters
    ----------
    function : str
        "elu", "erf", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "log_sigmoid",
        "mish", "selu", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus" or
        "tanh_shrink": see `minicnn.backends.reference.activation` for formulas and sources.
    """

    def __init__(self, function: str, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.function: str = check_choice("function", function, tuple(FORMULAS))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, xs, self.function)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (ws.xs[0], dy), f"{self.function}_gradient")

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        if self.function in _OPERATORS:
            return graph.add(_OPERATORS[self.function], xs)
        if self.function not in _ONNX:
            raise NotImplementedError
        return _ONNX[self.function](xs[0], graph)

    @classmethod
    def examples(cls) -> Examples:
        for name in ("gelu", "hard_silu", "mish", "selu"):
            yield cls(name), [(5, 3)]


def _onnx_gelu(x, graph):
    half = graph.add("Mul", [x, graph.constant(np.float32(0.5))])
    tail = graph.add("Erf", [graph.add("Mul", [x, graph.constant(np.float32(math.sqrt(0.5)))])])
    return graph.add("Mul", [half, graph.add("Add", [tail, graph.constant(np.float32(1))])])


def _onnx_mish(x, graph):
    return graph.add("Mul", [x, graph.add("Tanh", [graph.add("Softplus", [x])])])


def _onnx_log_sigmoid(x, graph):
    return graph.add("Neg", [graph.add("Softplus", [graph.add("Neg", [x])])])


def _onnx_squareplus(x, graph):
    root = graph.add("Sqrt", [graph.add("Add", [graph.add("Mul", [x, x]), graph.constant(np.float32(4))])])
    return graph.add("Mul", [graph.add("Add", [x, root]), graph.constant(np.float32(0.5))])


def _onnx_hard_tanh(x, graph):
    return graph.add("Clip", [x, graph.constant(np.float32(-1)), graph.constant(np.float32(1))])


_ONNX: dict[str, Callable[[Value, GraphWriter], Value]] = {
    "elu": lambda x, graph: graph.add("Elu", [x], alpha=1.0),
    "erf": lambda x, graph: graph.add("Erf", [x]),
    "exponential": lambda x, graph: graph.add("Exp", [x]),
    "gelu": _onnx_gelu,
    "hard_shrink": lambda x, graph: graph.add("Shrink", [x], lambd=SHRINK),
    "hard_sigmoid": lambda x, graph: graph.add("HardSigmoid", [x], alpha=1 / 6, beta=0.5),
    "hard_tanh": _onnx_hard_tanh,
    "log_sigmoid": _onnx_log_sigmoid,
    "mish": _onnx_mish,
    "silu": lambda x, graph: graph.add("Mul", [x, graph.add("Sigmoid", [x])]),
    "soft_shrink": lambda x, graph: graph.add("Shrink", [x], lambd=SHRINK, bias=SHRINK),
    "sparse_sigmoid": lambda x, graph: graph.add("HardSigmoid", [x], alpha=0.5, beta=0.5),
    "squareplus": _onnx_squareplus,
    "tanh_shrink": lambda x, graph: graph.add("Sub", [x, graph.add("Tanh", [x])]),
}


@register
class ELU(Elementwise):
    """x where x > 0, else alpha · (exp(x) - 1) (Clevert, Unterthiner, Hochreiter, 2015).

    Parameters
    ----------
    alpha : float, default 1
    """

    uses_input = False
    uses_output = True

    def __init__(self, alpha: float = 1.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.alpha: float = check_number("alpha", alpha)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, xs, "elu_of_alpha", (self.alpha,))

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (ws.y, dy), "elu_gradient_of_output", (self.alpha,))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Elu", xs, alpha=self.alpha)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(alpha=0.5), [(7,)]


@register
class LogSoftmax(Elementwise):
    """x - log Σ exp(x) over the last axis; the row's maximum is subtracted first, so that nothing overflows."""

    uses_input = False
    uses_output = True

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.softmax(xs[0], ws.y, log=True)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.softmax_backward(ws.y, dy, ws.dxs[0], log=True)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("LogSoftmax", xs, axis=graph.axis(xs[0], -1))

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3)]


EDGE = 4e-6  # what would be less than that is 0, so that rounding does not decide through what gradients go


def nearest_probabilities(x: np.ndarray) -> np.ndarray:
    """Of each row of x (…, C), along the last axis, the nearest point whose numbers are 0 or more, and 1 together."""
    x = x - x.max(axis=-1, keepdims=True)  # beside large numbers, 1 would be nothing
    ordered = -np.sort(-x, axis=-1)
    ranks = np.cumsum(np.ones_like(x), axis=-1)  # 1, 2, …, C
    support = (1 + ranks * ordered > np.cumsum(ordered, axis=-1) + EDGE).sum(axis=-1, keepdims=True)
    above = np.where(ranks <= support, ordered, 0)
    mean = (above.sum(axis=-1, keepdims=True) - 1) / support
    return np.where(x < above.min(axis=-1, keepdims=True), 0, np.maximum(x - mean, 0))


@register
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
        inside = graph.add("Cast", [graph.add("Less", [above, graph.constant(np.float32(1 - EDGE))])], to=1)
        total = graph.add("ReduceSum", [graph.add("Mul", [x, inside]), here])
        shared = graph.add("Sub", [total, graph.constant(np.float32(1))])
        mean = graph.add("Div", [shared, graph.add("ReduceSum", [inside, here])])
        return graph.add("Mul", [graph.add("Relu", [graph.add("Sub", [x, mean])]), inside])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 5)]


class PReLU(Elementwise):
    """x where x > 0, else alpha · x, with a weight alpha for every number of a sample.

    (He, Zhang, Ren, Sun: "Delving deep into rectifiers", 2015.)

    Parameters
    ----------
    alpha_initializer : str or Initializer, default "zeros"
    alpha_regularizer : str or Regularizer, optional
    shared_axes : sequence of int, optional
        Axes along which all numbers have the same alpha, counted with the batch axis: (1, 2) for images gives one a
        channel.
    """

    rare_options: tuple[str, ...] = (*Layer.rare_options, "alpha_constraint")

    def __init__(
        self,
        alpha_initializer: InitializerLike = "zeros",
        alpha_regularizer: RegularizerLike = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Unpack[_PReLUOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer: Initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer: Regularizer | None = regularizers.get(alpha_regularizer)
        self.shared_axes: list[int] | None = None
        if shared_axes is not None:
            self.shared_axes = list(shared_axes) if isinstance(shared_axes, list | tuple) else [shared_axes]
            if not all(map(is_integer, self.shared_axes)):
                raise ValueError(
                    "`shared_axes` must be an integer or a list of them, (1, 2) for images. "
                    f"Received: shared_axes={shared_axes!r}"
                )

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        shared = {axis % (len(shape) + 1) for axis in self.shared_axes or ()}
        alphas = tuple(1 if axis in shared else n for axis, n in enumerate(shape, 1))
        rules = self.alpha_regularizer, self.alpha_constraint
        self.add_weight("alpha", alphas, self.alpha_initializer, True, *rules)
        return shape

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, (xs[0], ws.params["alpha"]), "leaky_relu")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        alpha, dalpha, (dx,) = ws.params["alpha"], ws.grads["alpha"], ws.dxs
        if dalpha is not None:
            ws.ops.pointwise_sum(dalpha, (ws.xs[0], dy), "leaky_relu_slope_gradient")
        if dx is not None:
            ws.ops.pointwise(dx, (ws.xs[0], dy, alpha), "leaky_relu_gradient")

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        rank = len(xs[0].shape)
        axes = (rank - 1, *range(rank - 1)) if xs[0].channels_first else None
        return graph.add("PRelu", [xs[0], graph.weight(self.alpha, axes)])

    @classmethod
    def examples(cls) -> Examples:
        yield cls("ones", "l2"), [(3, 2)]
        yield cls(shared_axes=(1, 2)), [(4, 3, 2)]


name_options("celu", ELU, alpha=1.0)
name_options("relu6", ReLU, max_value=6.0)
for _name in (*FORMULAS, *ALIASES):
    if _name != "elu":  # a layer of its own
        name_options(_name, Pointwise, function=ALIASES.get(_name, _name))
