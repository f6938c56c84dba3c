"""Activations, and other functions of single numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.onnx.arguments import (
    CHANNEL_OPERATORS,
    ELEMENTWISE_OPERATORS,
    along_axis,
    integers,
    number_at,
    operator,
)
from minicnn.onnx.constants import LARGEST
from minicnn.onnx.values import Value, placed_like, with_last_axis
from minicnn.parameters import weights_from_file

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

LAYERS: dict[str, tuple[str, dict[str, object]]] = {
    "Abs": ("Elementary", {"function": "abs"}),
    "Acos": ("Elementary", {"function": "arccos"}),
    "Acosh": ("Elementary", {"function": "arccosh"}),
    "Asin": ("Elementary", {"function": "arcsin"}),
    "Asinh": ("Elementary", {"function": "arcsinh"}),
    "Atan": ("Elementary", {"function": "arctan"}),
    "Atanh": ("Elementary", {"function": "arctanh"}),
    "Ceil": ("Elementary", {"function": "ceil"}),
    "Cos": ("Elementary", {"function": "cos"}),
    "Cosh": ("Elementary", {"function": "cosh"}),
    "Erf": ("Pointwise", {"function": "erf"}),
    "Exp": ("Pointwise", {"function": "exponential"}),
    "Floor": ("Elementary", {"function": "floor"}),
    "HardSwish": ("Pointwise", {"function": "hard_silu"}),
    "Log": ("Elementary", {"function": "log"}),
    "Mish": ("Pointwise", {"function": "mish"}),
    "Neg": ("Rescaling", {"scale": -1.0}),
    "Reciprocal": ("Elementary", {"function": "power", "exponent": -1.0}),
    "Relu": ("ReLU", {}),
    "Round": ("Elementary", {"function": "round"}),
    "Sigmoid": ("Sigmoid", {}),
    "Sign": ("Elementary", {"function": "sign"}),
    "Sin": ("Elementary", {"function": "sin"}),
    "Sinh": ("Elementary", {"function": "sinh"}),
    "Softplus": ("Pointwise", {"function": "softplus"}),
    "Softsign": ("Pointwise", {"function": "softsign"}),
    "Sqrt": ("Elementary", {"function": "power", "exponent": 0.5}),
    "Tan": ("Elementary", {"function": "tan"}),
    "Tanh": ("Tanh", {}),
}
"""Operator without attributes → the layer that it is, and the layer's arguments."""
NONNEGATIVE = ("Abs", "Exp", "Relu", "Sigmoid", "Softplus", "Sqrt")


@operator(*LAYERS, kind=ELEMENTWISE_OPERATORS)
def _function(node, graph):
    name, arguments = LAYERS[node.operator]
    elementwise(node, graph, getattr(layers, name), node.operator in NONNEGATIVE, **arguments)


def elementwise(
    node: FileNode, graph: Importer, layer_class: type[layers.Layer], is_nonnegative: bool = False, **arguments: object
) -> None:
    """A layer that does the same to every number, in whatever order they are."""
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    y = graph.call(node, layer_class, x.tensor, **arguments)
    graph.give(node, replace(x, tensor=y, is_nonnegative=is_nonnegative))


@operator("LeakyRelu", kind=ELEMENTWISE_OPERATORS)
def _leaky_relu(node, graph):
    elementwise(node, graph, layers.LeakyReLU, negative_slope=node.get("alpha", 0.01, float))


@operator("ThresholdedRelu", kind=ELEMENTWISE_OPERATORS)
def _thresholded_relu(node, graph):
    elementwise(node, graph, layers.ReLU, threshold=node.get("alpha", 1.0, float))


@operator("Clip", kind=ELEMENTWISE_OPERATORS)
def _clip(node, graph):
    if graph.opset < 11:
        low, high = node.get("min", -np.inf, float), node.get("max", np.inf, float)
    else:
        low, high = number_at(node, graph, 1, -np.inf), number_at(node, graph, 2, np.inf)
    clip(node, graph, min(low, high), high)


def clip(node: FileNode, graph: Importer, low: float, high: float) -> None:
    """No less than `low` and no more than `high`: a ReLU where it can be one."""
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    if np.isnan(low) or np.isnan(high):
        raise node.error(f"its bounds are numbers. Received: {low} and {high}")
    if (low == 0 and high >= 0) or (low <= -LARGEST and high >= 0 and x.is_nonnegative):
        elementwise(node, graph, layers.ReLU, True, max_value=high if high < LARGEST else None)
    else:
        bounds = {"minimum": None if low == -np.inf else low, "maximum": None if high == np.inf else high}
        elementwise(node, graph, layers.Clip, low >= 0 or (x.is_nonnegative and high >= 0), **bounds)


@operator("Softmax", "LogSoftmax")
def _softmax(node, graph):
    x, axis, place = along_axis(node, graph, node.get("axis", 1 if graph.opset < 13 else -1))
    shape, rank = x.shape, len(x.shape) + 1
    if axis == 0:
        raise node.error("samples are not mixed: axis=0 is the batch axis")
    wide = [n for n in range(axis, rank) if x.shape[n - 1] > 1]
    if graph.opset < 13 and len(wide) < 2:  # over all axes from this one on
        axis = wide[0] if wide else axis
    elif graph.opset < 13:
        x, rank = replace(x, positions=x.positions.reshape(*shape[: axis - 1], -1)), axis + 1
    if rank == 2:
        tensor, positions = graph.vector(x)  # the order of the numbers does not matter
    else:
        tensor, value = graph.with_axis_last(node, x, axis - 1)
        positions = value.positions
    is_log = node.operator == "LogSoftmax"
    y = graph.call(node, layers.LogSoftmax if is_log else layers.Softmax, tensor)
    graph.give(node, placed_like(Value(y, positions.reshape(shape), not is_log), place))


@operator("IsNaN", kind=ELEMENTWISE_OPERATORS)
def _is_nan(node, graph):
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    y = graph.call(node, layers.Elementary, x.tensor, function="nan")
    graph.give(node, replace(x, tensor=y, is_nonnegative=True, is_whole=True))


@operator("IsInf", kind=ELEMENTWISE_OPERATORS)
def _is_infinite(node, graph):
    """1 where what is left of the size of a number is positive once the largest one is taken away."""
    signs = [sign for sign, name in ((-1.0, "negative"), (1.0, "positive")) if node.get(f"detect_{name}", 1)]
    if not signs:
        raise node.error("it asks for one of the infinities at least")
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    y = graph.call(node, layers.Elementary, x.tensor, "_size", function="abs") if len(signs) == 2 else x.tensor
    scale = signs[0] if len(signs) == 1 else 1.0
    y = graph.call(node, layers.Rescaling, y, "_beyond", scale=scale, offset=-LARGEST)
    y = graph.call(node, layers.Elementary, y, function="positive")
    graph.give(node, replace(x, tensor=y, is_nonnegative=True, is_whole=True))


@operator("ArgMax", "ArgMin")
def _argmax(node, graph):
    x, axis, place = along_axis(node, graph, node.get("axis", 0))
    if axis == 0:
        raise node.error("samples stay apart: it does not go along the batch axis, axis=0")
    tensor, value = graph.with_axis_last(node, x, axis - 1)
    is_last = bool(node.get("select_last_index", 0))
    if is_last:  # the first one from behind
        key = [[None, None, None]] * (len(tensor.shape) - 2) + [[None, None, -1]]
        tensor = graph.call(node, layers.GetItem, tensor, "_turned", key=key)
    if node.operator == "ArgMin":
        tensor = graph.call(node, layers.Rescaling, tensor, "_negative", scale=-1.0)
    y = graph.call(node, layers.ArgMax, tensor)
    if is_last:
        y = graph.call(node, layers.Rescaling, y, "_from_the_first", scale=-1.0, offset=float(tensor.shape[-1] - 1))
    positions = with_last_axis(value, axis - 1, 1)
    positions = positions if node.get("keepdims", 1) else positions.squeeze(axis - 1)
    graph.give(node, placed_like(Value(y, positions, True, is_whole=True), place))


@operator("CumSum")
def _sums_up(node, graph):
    """A product with a triangle of ones."""
    axis = integers(node, graph.constant(node, 1).reshape(-1))
    x, axis, place = along_axis(node, graph, axis[0])
    if axis == 0:
        raise node.error("samples are not added up: axis=0 is the batch axis")
    tensor, value = graph.with_axis_last(node, x, axis - 1)
    size, is_exclusive = tensor.shape[-1], bool(node.get("exclusive", 0))
    graph.spare -= size**2
    if graph.spare < 0:
        raise node.error(f"it adds up too many numbers. Received: {size}")
    kernel = np.triu(np.ones((size, size), np.float32), int(is_exclusive))
    kernel = kernel[::-1, ::-1] if node.get("reverse", 0) else kernel
    options = {"units": size, "use_bias": False, "trainable": False}
    with weights_from_file(kernel.size):
        y = graph.call_with_weights(node, layers.Dense, tensor, [kernel], (), kernel, **options)
    graph.give(node, placed_like(Value(y, value.positions, x.is_nonnegative, x.is_whole), place))


@operator("Shrink", kind=ELEMENTWISE_OPERATORS)
def _shrink(node, graph):
    """x + bias where x < -lambd, x - bias where x > lambd, else 0"""
    bound, bias = node.get("lambd", 0.5, float), node.get("bias", 0.0, float)
    names = {(0.5, 0.0): "hard_shrink", (0.5, 0.5): "soft_shrink"}
    if (bound, bias) in names:
        elementwise(node, graph, layers.Pointwise, function=names[bound, bias])
        return
    if bound < 0:
        raise node.error(f"what is near 0 becomes 0. Received: lambd={bound}")
    x, parts = graph.value(node, 0), []
    for side, sign in (("above", 1.0), ("below", -1.0)):
        mask = graph.call(node, layers.Rescaling, x.tensor, f"_far_{side}", scale=sign, offset=-bound)
        mask = graph.call(node, layers.Elementary, mask, f"_mask_{side}", function="positive")
        y = graph.call(node, layers.Rescaling, x.tensor, f"_less_{side}", scale=1.0, offset=-sign * bias)
        parts.append(graph.call(node, layers.Multiply, [y, mask], f"_part_{side}"))
    graph.give(node, Value(graph.call(node, layers.Add, parts), x.positions))


@operator("Selu", kind=ELEMENTWISE_OPERATORS)
def _selu(node, graph):
    """gamma · ELU(x)"""
    alpha, gamma = node.get("alpha", 1.6732632, float), node.get("gamma", 1.050701, float)
    if abs(alpha - 1.6732632) < 1e-6 and abs(gamma - 1.050701) < 1e-6:
        elementwise(node, graph, layers.Pointwise, function="selu")
        return
    x = graph.value(node, 0)
    y = graph.call(node, layers.ELU, x.tensor, "_elu", alpha=alpha)
    graph.give(node, Value(graph.call(node, layers.Rescaling, y, scale=gamma), x.positions))


@operator("Celu", kind=ELEMENTWISE_OPERATORS)
def _celu(node, graph):
    """max(0, x) + min(0, alpha · (exp(x / alpha) - 1)) = alpha · ELU(x / alpha)"""
    x, alpha = graph.value(node, 0), node.get("alpha", 1.0, float)
    y = graph.call(node, layers.Rescaling, x.tensor, "_in", scale=1 / alpha)
    y = graph.call(node, layers.ELU, y, "_elu")
    graph.give(node, Value(graph.call(node, layers.Rescaling, y, scale=alpha), x.positions))


@operator("Swish", kind=ELEMENTWISE_OPERATORS)
def _swish(node, graph):
    """x · sigmoid(alpha · x)"""
    alpha = node.get("alpha", 1.0, float)
    if alpha == 1:
        elementwise(node, graph, layers.Pointwise, function="silu")
        return
    x = graph.value(node, 0)
    gate = graph.call(node, layers.Rescaling, x.tensor, "_in", scale=alpha)
    gate = graph.call(node, layers.Sigmoid, gate, "_gate")
    graph.give(node, Value(graph.call(node, layers.Multiply, [x.tensor, gate]), x.positions))


@operator("Gelu", kind=ELEMENTWISE_OPERATORS)
def _gelu(node, graph):
    if node.get("approximate", "none", str) != "tanh":
        elementwise(node, graph, layers.Pointwise, function="gelu")
        return
    x = graph.value(node, 0)  # x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³))): Hendrycks, Gimpel (2016)
    cube = graph.call(node, layers.Elementary, x.tensor, "_cube", function="power", exponent=3.0)
    line = graph.call(node, layers.Rescaling, cube, "_part", scale=0.044715)
    line = graph.call(node, layers.Add, [x.tensor, line], "_sum")
    line = graph.call(node, layers.Rescaling, line, "_scaled", scale=float(np.sqrt(2 / np.pi)))
    curve = graph.call(node, layers.Tanh, line, "_tanh")
    half = graph.call(node, layers.Rescaling, curve, "_half", scale=0.5, offset=0.5)
    graph.give(node, Value(graph.call(node, layers.Multiply, [x.tensor, half]), x.positions))


@operator("Elu", kind=ELEMENTWISE_OPERATORS)
def _elu(node, graph):
    elementwise(node, graph, layers.ELU, alpha=node.get("alpha", 1.0, float))


@operator("HardSigmoid", kind=ELEMENTWISE_OPERATORS)
def _hard_sigmoid(node, graph):
    """max(0, min(1, alpha · x + beta))"""
    x, slope, offset = graph.value(node, 0), node.get("alpha", 0.2, float), node.get("beta", 0.5, float)
    for name, known in (("hard_sigmoid", 1 / 6), ("sparse_sigmoid", 0.5)):
        if abs(slope - known) < 1e-6 and offset == 0.5:
            elementwise(node, graph, layers.Pointwise, True, function=name)
            return
    line = graph.call(node, layers.Rescaling, x.tensor, "_line", scale=slope, offset=offset)
    graph.give(node, Value(graph.call(node, layers.ReLU, line, max_value=1.0), x.positions, True))


@operator("PRelu", kind=CHANNEL_OPERATORS)
def _prelu(node, graph):
    x = graph.value(node, 0)
    slope = graph.constant(node, 1)
    if slope is None or slope.dtype.kind != "f":
        raise node.error("its slopes are an array in the file")
    graph.budget.charge(x, node.error)
    slope = np.broadcast_to(slope, (1, *x.shape)) if slope.ndim > len(x.shape) else np.broadcast_to(slope, x.shape)
    slope = slope.reshape(x.shape)
    alphas = np.empty(slope.size, slope.dtype)
    alphas[x.positions.ravel()] = slope.ravel()  # in the order of the model's tensor
    shape = x.tensor.shape[1:]
    alphas = alphas.reshape(shape)
    shared = [axis + 1 for axis in range(len(shape)) if (alphas == alphas.take([0], axis)).all()]
    for axis in shared:
        alphas = alphas.take([0], axis - 1)
    y = graph.call_with_weights(node, layers.PReLU, x.tensor, [alphas], node.inputs[1:], shared_axes=shared or None)
    graph.give(node, Value(y, x.positions))
