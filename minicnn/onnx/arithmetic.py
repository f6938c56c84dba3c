"""Sums, products and the like: of several inputs, and with constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.onnx.activating import clip, elementwise
from minicnn.onnx.arguments import ELEMENTWISE_OPERATORS, number_at, operator
from minicnn.onnx.values import Value

if TYPE_CHECKING:
    from minicnn.onnx.reader import FileNode


@operator("Add", "Mul", "Sub", "Div", kind=ELEMENTWISE_OPERATORS)
def _arithmetic(node, graph):
    """With a constant: `Rescaling`. Else a layer of two inputs."""
    known = [graph.is_constant(node, index) for index in range(2)]
    if any(known) and len(node.inputs) == 2:
        _rescale(node, graph, known.index(True))
    elif node.operator == "Add":
        _add(node, graph)
    elif node.operator == "Div":
        _divide(node, graph)
    else:
        _merge(node, graph, {"Mul": layers.Multiply, "Sub": layers.Subtract}[node.operator])


@operator("Sum", kind=ELEMENTWISE_OPERATORS)
def _sum(node, graph):
    if any(graph.is_constant(node, index) for index in range(len(node.inputs))):
        raise node.error("its inputs depend on the graph's; constants are added by Add")
    _add(node, graph)


def _add(node, graph):
    values = graph.values(node)
    first = values[0]
    if all(v.tensor.shape == first.tensor.shape and np.array_equal(v.positions, first.positions) for v in values):
        tensors = [v.tensor for v in values]
        y = graph.call(node, layers.Add, tensors) if len(tensors) > 1 else tensors[0]
        graph.give(node, Value(y, first.positions, all(v.is_nonnegative for v in values)))
    else:
        _merge(node, graph, layers.Add, all(v.is_nonnegative for v in values))


def _divide(node, graph):
    """a · 1/b"""
    tensors, layout = _aligned(node, graph)
    inverse = graph.call(node, layers.Elementary, tensors[1], "_inverse", function="power", exponent=-1.0)
    y = graph.call(node, layers.Multiply, [tensors[0], inverse])
    graph.check_size(node, y.shape[1:])
    graph.give(node, Value(y, layout(y.shape[1:])))


@operator("Pow", kind=ELEMENTWISE_OPERATORS)
def _power(node, graph):
    exponent = number_at(node, graph, 1, 1.0)
    is_even = exponent % 2 == 0
    elementwise(node, graph, layers.Elementary, is_even, function="power", exponent=exponent)


@operator("Mean", kind=ELEMENTWISE_OPERATORS)
def _mean(node, graph):
    _merge(node, graph, layers.Average)


@operator("Max", "Min", kind=ELEMENTWISE_OPERATORS)
def _extreme(node, graph):
    """Of tensors, or of one and a number: a bound."""
    is_max = node.operator == "Max"
    known = [graph.is_constant(node, index) for index in range(len(node.inputs))]
    if len(known) == 2 and any(known):
        bound = number_at(node, graph, known.index(True), 0.0)
        node.inputs = sorted(node.inputs, key=lambda name, given=tuple(node.inputs): known[given.index(name)])
        clip(node, graph, *((bound, np.inf) if is_max else (-np.inf, bound)))
    else:
        _merge(node, graph, layers.Maximum if is_max else layers.Minimum)


@operator("Greater", "Less", "GreaterOrEqual", "LessOrEqual", kind=ELEMENTWISE_OPERATORS)
def _comparison(node, graph):
    """1 where a number is on that side of a constant, else 0: what Where reads."""
    x, bound = graph.value(node, 0), number_at(node, graph, 1, 0.0)
    is_above = node.operator.startswith("Greater")
    if node.operator.endswith("OrEqual"):  # where it is not on the other side
        is_above = not is_above
    sign = 1.0 if is_above else -1.0
    y = graph.call(node, layers.Rescaling, x.tensor, "_distance", scale=sign, offset=-sign * bound)
    y = graph.call(node, layers.Elementary, graph.call(node, layers.ReLU, y, "_side"), function="sign")
    if node.operator.endswith("OrEqual"):
        y = graph.call(node, layers.Rescaling, y, "_not", scale=-1.0, offset=1.0)
    graph.give(node, Value(y, x.positions, True, True))


@operator("Where", kind=ELEMENTWISE_OPERATORS)
def _where(node, graph):
    """mask · a + (1 - mask) · b"""
    known = [graph.is_constant(node, index) for index in range(3)]
    values = [graph.value(node, index) for index in range(3) if not known[index]]
    if known[0] or len({value.shape for value in values}) > 1:
        raise node.error("it chooses between tensors of one shape, by a comparison")
    tensors, layout = graph.aligned(node, values)
    mask, parts = tensors.pop(0), []
    other = graph.call(node, layers.Rescaling, mask, "_not", scale=-1.0, offset=1.0)
    for index, where in ((1, mask), (2, other)):
        if known[index]:
            factor = number_at(node, graph, index, 0.0)
            parts.append(graph.call(node, layers.Rescaling, where, "_part", scale=factor))
        else:
            parts.append(graph.call(node, layers.Multiply, [where, tensors.pop(0)], "_part"))
    y = graph.call(node, layers.Add, parts)
    graph.give(node, Value(y, layout(y.shape[1:])))


def _merge(node, graph, layer_class, is_nonnegative=False):
    """A layer of all inputs, number by number, in one layout."""
    tensors, layout = _aligned(node, graph)
    y = graph.call(node, layer_class, tensors) if len(tensors) > 1 else tensors[0]
    graph.check_size(node, y.shape[1:])
    graph.give(node, Value(y, layout(y.shape[1:]), is_nonnegative))


def _aligned(node, graph):
    values = graph.values(node)
    if len({len(v.shape) for v in values}) > 1:
        raise node.error(f"its inputs have as many axes each. Received: samples {[v.shape for v in values]}")
    size = np.broadcast_shapes(*(v.shape for v in values))
    graph.check_size(node, size)
    return graph.aligned(node, values)


def _rescale(node, graph, index):
    """x · scale + offset, with one number for all or one a channel."""
    x, array = graph.value(node, 1 - index), graph.constant(node, index)
    if array.size == 1 and array.dtype.kind in "iub":
        array = array.astype(np.float32)
    if array.dtype.kind != "f" or not np.isfinite(array).all() or array.size == 0:
        raise node.error(f"its constant holds finite floating-point numbers. Received: dtype {array.dtype}")
    numbers = array.astype(np.float64)
    tensor = x.tensor
    if node.operator == "Div" and index == 0:
        tensor = graph.call(node, layers.Elementary, tensor, "_inverse", function="power", exponent=-1.0)
    elif node.operator == "Div":
        if not numbers.all():
            raise node.error("nothing is divided by 0")
        numbers = 1 / numbers
    scale, offset = {
        "Add": (1.0, numbers),
        "Sub": (-1.0, numbers) if index == 0 else (1.0, -numbers),
        "Mul": (numbers, 0.0),
        "Div": (numbers, 0.0),
    }[node.operator]
    scale, offset = (_by_channel(node, x, part) for part in (scale, offset))
    y = graph.call(node, layers.Rescaling, tensor, scale=scale, offset=offset)
    graph.give(node, Value(y, x.positions))


def _by_channel(node: FileNode, x: Value, numbers: object) -> float | list[float]:
    """One number, or one for each of the last axis of the model's tensor."""
    numbers = np.asarray(numbers)
    if numbers.size == 1:
        return float(numbers.item())
    if numbers.ndim > len(x.shape) and numbers.shape[0] == 1:
        numbers = numbers[0]
    if np.broadcast_shapes(numbers.shape, x.shape) != x.shape:
        raise node.error(f"its constant would make it larger. Received: {numbers.shape} for a sample of {x.shape}")
    spread = np.broadcast_to(numbers, x.shape)
    ordered = np.empty(spread.size)
    ordered[x.positions.ravel()] = spread.ravel()
    rows = ordered.reshape(-1, x.tensor.shape[-1])
    if not (rows == rows[0]).all():
        raise node.error(
            f"its constant holds one number, or one a channel. Received: an array of shape {numbers.shape}"
        )
    return rows[0].tolist()
