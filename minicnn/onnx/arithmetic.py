"""Sums, products and the like: of several inputs, and with constants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.onnx.activating import clip, elementwise
from minicnn.onnx.arguments import ELEMENTWISE_OPERATORS, number_at, operator
from minicnn.onnx.constants import LARGEST, as_value, lying_alike, operands
from minicnn.onnx.values import Value, is_last_axis, layout_of, placed_like, same_order

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode


@operator("Add", "Mul", "Sub", "Div", kind=ELEMENTWISE_OPERATORS)
def _arithmetic(node, graph):
    """With a constant: `Rescaling`, if that is one number or one a channel. Else a layer of two inputs."""
    known = [graph.is_constant(node, index) for index in range(2)]
    if any(known) and len(node.inputs) == 2 and _rescale(node, graph, known.index(True)):
        return
    if node.operator == "Add":
        _add(node, graph)
    elif node.operator == "Div":
        _divide(node, graph)
    else:
        _merge(node, graph, {"Mul": layers.Multiply, "Sub": layers.Subtract}[node.operator])


@operator("Sum", kind=ELEMENTWISE_OPERATORS)
def _sum(node, graph):
    _add(node, graph)


def _add(node, graph):
    values = lying_alike(node, graph) or operands(node, graph)
    first = values[0]
    if all(v.tensor.shape == first.tensor.shape and _lie_alike(v.positions, first.positions) for v in values):
        tensors = [v.tensor for v in values]
        y = graph.call(node, layers.Add, tensors) if len(tensors) > 1 else tensors[0]
        is_nonnegative = all(v.is_nonnegative for v in values)
        graph.give(node, replace(first, tensor=y, is_nonnegative=is_nonnegative, is_whole=_is_whole(node, graph)))
    else:
        _merge(node, graph, layers.Add, all(v.is_nonnegative for v in values))


def _is_whole(node, graph, first=0, count=None):
    """Whether a node's inputs, from one of them on, are of integers: all have one type."""
    places = range(first, count or len(node.inputs))
    constants = [graph.constant(node, index) for index in places if graph.is_constant(node, index)]
    tensors = [index for index in places if not graph.is_constant(node, index)]
    return any(each.dtype.kind in "iu" for each in constants) or any(
        graph.value(node, index, any_batch_axis=True, may_be_folded=True).is_whole for index in tensors
    )


def _lie_alike(a, b):
    return a is b or np.array_equal(a, b)


def _divide(node, graph):
    """a · 1/b"""
    if not any(graph.is_constant(node, index) for index in range(2)) and _is_whole(node, graph):
        raise node.error(
            "integers are divided by a number of the file: cast both to float32 and compute with them first"
        )
    values = lying_alike(node, graph)
    tensors, layout = graph.aligned(node, values) if values else _aligned(node, graph)
    inverse = graph.call(node, layers.Elementary, tensors[1], "_inverse", function="power", exponent=-1.0)
    y = graph.call(node, layers.Multiply, [tensors[0], inverse])
    graph.check_size(node, y.shape[1:])
    result = Value(y, layout(y.shape[1:]))
    graph.give(node, placed_like(result, values[0]) if values else result)


@operator("Pow", kind=ELEMENTWISE_OPERATORS)
def _power(node, graph):
    _check_axes(node, graph, [1])
    exponent = number_at(node, graph, 1, 1.0)
    if (exponent % 1 or exponent < 0) and _is_whole(node, graph, count=1):
        raise node.error(f"powers of integers are cut off there: cast them to float32 first. Received: to {exponent}")
    is_even = exponent % 2 == 0
    elementwise(node, graph, layers.Elementary, is_even, function="power", exponent=exponent)


def _check_axes(node, graph, numbers):
    """Raise `FileFormatError` if one of these inputs, numbers, has more axes than the tensor, as the output would."""
    tensors = [n for n in range(len(node.inputs)) if not graph.is_constant(node, n)]
    rank = max(graph.value(node, n, any_batch_axis=True, may_be_folded=True).rank for n in tensors)
    shapes = [graph.constant(node, n).shape for n in numbers]
    if any(len(shape) > rank for shape in shapes):
        raise node.error(f"numbers beside a tensor of {rank} axes have no more than that. Received: shapes {shapes}")


@operator("Mean", kind=ELEMENTWISE_OPERATORS)
def _mean(node, graph):
    _merge(node, graph, layers.Average)


@operator("Max", "Min", kind=ELEMENTWISE_OPERATORS)
def _extreme(node, graph):
    """Of tensors, or of one and a number: a bound."""
    is_max = node.operator == "Max"
    known = [graph.is_constant(node, index) for index in range(len(node.inputs))]
    if len(known) == 2 and any(known) and graph.constant(node, known.index(True)).size == 1:
        bound = number_at(node, graph, known.index(True), 0.0)
        _check_axes(node, graph, [known.index(True)])
        if known[0]:
            node.inputs.reverse()  # the tensor first, as in Clip
        clip(node, graph, *((bound, np.inf) if is_max else (-np.inf, bound)))
    else:
        _merge(node, graph, layers.Maximum if is_max else layers.Minimum)


COMPARISONS = {"Equal": (1.0, "zero"), "Greater": (1.0, "positive"), "GreaterOrEqual": (1.0, "nonnegative")}
COMPARISONS |= {"Less": (-1.0, "positive"), "LessOrEqual": (-1.0, "nonnegative")}
"""Operator → (sign, function): what of a · sign - b · sign is 1 where it holds, and 0 elsewhere."""


@operator(*COMPARISONS, kind=ELEMENTWISE_OPERATORS)
def _comparison(node, graph):
    """1 where a number is on that side of another one, or is equal to it, else 0: what Where reads."""
    sign, function = COMPARISONS[node.operator]
    if graph.is_constant(node, 1) and graph.constant(node, 1).size == 1:
        x, bound = graph.value(node, 0), number_at(node, graph, 1, 0.0)
        _check_axes(node, graph, [1])
        y, positions = x.tensor, x.positions
        if not np.isfinite(bound):
            y, bound = _finite(node, graph, y), float(np.clip(bound, -LARGEST, LARGEST))
        if bound or sign < 0:
            y = graph.call(node, layers.Rescaling, y, "_distance", scale=sign, offset=-sign * bound)
    else:
        tensors, layout = _aligned(node, graph)
        tensors = [_finite(node, graph, tensor, f"_{side}") for tensor, side in zip(tensors, "ab", strict=True)]
        y = graph.call(node, layers.Subtract, tensors if sign > 0 else tensors[::-1], "_distance")
        positions = layout(y.shape[1:])
    y = graph.call(node, layers.Elementary, y, function=function)
    graph.give(node, Value(y, positions, True, True))


@operator("Not", kind=ELEMENTWISE_OPERATORS)
def _not(node, graph):
    """1 for 0, and 0 for 1, which is what comparisons give."""
    elementwise(node, graph, layers.Rescaling, True, scale=-1.0, offset=1.0)


@operator("And", "Or", kind=ELEMENTWISE_OPERATORS)
def _both(node, graph):
    _merge(node, graph, layers.Multiply if node.operator == "And" else layers.Maximum, True)


@operator("Xor", kind=ELEMENTWISE_OPERATORS)
def _one_of_both(node, graph):
    """1 where one of both is, and not the other."""
    values = lying_alike(node, graph)
    tensors, layout = graph.aligned(node, values) if values else _aligned(node, graph)
    y = graph.call(node, layers.Subtract, tensors, "_difference")
    graph.check_size(node, y.shape[1:])
    result = Value(graph.call(node, layers.Elementary, y, function="abs"), layout(y.shape[1:]), True, True)
    graph.give(node, placed_like(result, values[0]) if values else result)


@operator("Where", kind=ELEMENTWISE_OPERATORS)
def _where(node, graph):
    """The second input where the first one holds, else the third."""
    known = [graph.is_constant(node, index) for index in range(3)]
    is_number = [known[index] and graph.constant(node, index).size == 1 for index in range(3)]
    _check_axes(node, graph, [index for index in range(3) if is_number[index]])
    if is_number[0] and any(is_number[1:]):
        index = 1 if graph.constant(node, 0).item() else 2
        if not known[index]:
            graph.give(node, graph.value(node, index, any_batch_axis=True, may_be_folded=True))
            return
    like = graph.value(node, known.index(False))
    values = [
        as_value(node, graph, index, like) if known[index] else graph.value(node, index)
        for index in range(3)
        if index == 0 or not is_number[index]
    ]
    if len({len(value.shape) for value in values}) > 1:
        raise node.error(f"its inputs have as many axes each. Received: samples {[v.shape for v in values]}")
    tensors, layout = graph.aligned(node, values)
    chosen, otherwise = (number_at(node, graph, n, 0.0) if is_number[n] else None for n in (1, 2))
    y = graph.call(node, layers.Select, tensors, chosen=chosen, otherwise=otherwise)
    graph.check_size(node, y.shape[1:])
    graph.give(node, Value(y, layout(y.shape[1:]), is_whole=_is_whole(node, graph, 1)))


def _finite(node, graph, tensor, suffix=""):
    """With the largest numbers in place of infinite ones, of which there are no differences, and no product with 0."""
    return graph.call(node, layers.Clip, tensor, f"_finite{suffix}", minimum=-LARGEST, maximum=LARGEST)


def _merge(node, graph, layer_class, is_nonnegative=False):
    """A layer of all inputs, number by number, in one layout."""
    values = lying_alike(node, graph)
    tensors, layout = graph.aligned(node, values) if values else _aligned(node, graph)
    y = graph.call(node, layer_class, tensors) if len(tensors) > 1 else tensors[0]
    graph.check_size(node, y.shape[1:])
    result = Value(y, layout(y.shape[1:]), is_nonnegative, _is_whole(node, graph))
    graph.give(node, placed_like(result, values[0]) if values else result)


def _aligned(node, graph):
    values = operands(node, graph)
    if len({len(v.shape) for v in values}) > 1:
        raise node.error(f"its inputs have as many axes each. Received: samples {[v.shape for v in values]}")
    size = np.broadcast_shapes(*(v.shape for v in values))
    graph.check_size(node, size)
    return graph.aligned(node, values)


def _rescale(node, graph, index):
    """x · scale + offset, with one number for all or one a channel; False if its constant holds others."""
    array = graph.constant(node, index)
    x = graph.value(node, 1 - index, any_batch_axis=True, may_be_folded=True)
    of_integers = array.size == 1 and array.dtype.kind in "iu"
    if of_integers and node.operator == "Div":
        _divide_integers(node, graph, x, index, int(array.item()))
        return True
    if array.size == 1 and array.dtype.kind in "iub":
        array = array.astype(np.float32)
    if array.dtype.kind != "f" or np.isnan(array).any() or array.size == 0:
        raise node.error(f"its constant holds floating-point numbers. Received: dtype {array.dtype}")
    if np.isinf(array).any():
        return False
    numbers, tensor = _by_channel(node, graph, x, array.astype(np.float64)), x.tensor
    if numbers is None:
        return False
    if node.operator == "Div" and index == 0:
        tensor = graph.call(node, layers.Elementary, tensor, "_inverse", function="power", exponent=-1.0)
    elif node.operator == "Div":
        if not np.all(numbers):
            raise node.error("nothing is divided by 0")
        numbers = 1 / numbers
    scale, offset = {
        "Add": (1.0, numbers),
        "Sub": (-1.0, numbers) if index == 0 else (1.0, -numbers),
        "Mul": (numbers, 0.0),
        "Div": (numbers, 0.0),
    }[node.operator]
    scale, offset = (np.asarray(part).tolist() for part in (scale, offset))
    y = graph.call(node, layers.Rescaling, tensor, scale=scale, offset=offset)
    graph.give(node, replace(x, tensor=y, is_nonnegative=False, is_whole=x.is_whole and of_integers))
    return True


def _divide_integers(node, graph, x, index, divisor):
    """Quotients of integers are cut off towards 0; with a half more before that, none is cut that has no fraction."""
    if index == 0 or not divisor:
        raise node.error(f"integers are divided by a number of the file that is not 0. Received: {divisor}")
    y = x.tensor if x.is_nonnegative else graph.call(node, layers.Elementary, x.tensor, "_size", function="abs")
    size = abs(divisor)
    y = graph.call(node, layers.Rescaling, y, "_parts", scale=1 / size, offset=0.5 / size)
    y = graph.call(node, layers.Elementary, y, "_whole", function="floor")
    if not x.is_nonnegative:
        sign = graph.call(node, layers.Elementary, x.tensor, "_sign", function="sign")
        y = graph.call(node, layers.Multiply, [y, sign], "_signed")
    y = y if divisor > 0 else graph.call(node, layers.Rescaling, y, "_negative", scale=-1.0)
    graph.give(node, replace(x, tensor=y, is_nonnegative=x.is_nonnegative and divisor > 0, is_whole=True))


def _by_channel(node: FileNode, graph: Importer, x: Value, numbers: np.ndarray) -> np.ndarray | None:
    """One number, (), or one for each of the last axis of the model's tensor, (C,); None if it is neither."""
    if numbers.size == 1 and numbers.ndim <= x.rank:
        return numbers.reshape(())
    if not x.is_plain:
        is_last = numbers.ndim <= x.rank > x.batch_axis + 1 and numbers.shape[-1:] == x.shape[-1:] == (numbers.size,)
        return numbers.ravel() if is_last and is_last_axis(x, len(x.shape) - 1) else None
    if numbers.ndim > len(x.shape) and numbers.shape[0] == 1:
        numbers = numbers[0]
    axis = -1 if layout_of(x.positions) is same_order else -len(x.shape)
    if layout_of(x.positions) and numbers.ndim >= -axis and numbers.shape[axis] == numbers.size == x.tensor.shape[-1]:
        return numbers.ravel()  # as nearly always: nothing has to be gone through
    graph.budget.charge(x, node.error)
    try:
        spread = np.broadcast_to(numbers, x.shape)
    except ValueError:  # it would make it larger
        return None
    ordered = np.empty(spread.size)
    ordered[x.positions.ravel()] = spread.ravel()
    rows = ordered.reshape(-1, x.tensor.shape[-1])
    return rows[0] if (rows == rows[0]).all() else None
