"""Operators that choose, count and divide, as several others: the greatest number, places, remainders, products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.onnx.arguments import (
    AXES_KEPT,
    CHANNEL_OPERATORS,
    ELEMENTWISE_OPERATORS,
    axes_of,
    checked_axis,
    integers,
    number_at,
    operator,
)
from minicnn.onnx.composed import run_parts
from minicnn.onnx.fused import Parts

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

MOST_FACTORS = 64  # numbers that are multiplied along an axis


def _shape(node: FileNode, graph: Importer, index: int = 0) -> list[int]:
    """The sizes of an input's axes, 1 for that of the samples."""
    x = graph.value(node, index)
    return [1, *x.shape]


def _places(parts: Parts, axis: int, shape: list[int]) -> str:
    """0, 1, 2, … along an axis."""
    return parts.array(np.arange(shape[axis]).reshape([-1 if n == axis else 1 for n in range(len(shape))]))


@operator("Hardmax", kind=AXES_KEPT)
def _hardmax(node, graph):
    """1 where the first of the greatest numbers is, else 0."""
    shape, parts = _shape(node, graph), Parts(node)
    axis = checked_axis(node, node.get("axis", -1 if graph.opset >= 13 else 1), len(shape))
    if axis == 0 or (graph.opset < 13 and axis != len(shape) - 1):
        raise node.error(f"it goes over one axis of each sample, before opset 13 the last one. Received: axis={axis}")
    found = parts.add("ArgMax", [node.inputs[0]], {"axis": axis, "keepdims": 1})
    run_parts(parts, graph, parts.add("Equal", [found, _places(parts, axis, shape)]))


@operator("TopK", kind=AXES_KEPT)
def _greatest(node, graph):
    """The greatest or least numbers, and where they are: one after the other, each without those before it."""
    shape, parts, x = _shape(node, graph), Parts(node), node.inputs[0]
    count = node.get("k", 0) if graph.opset < 10 else integers(node, graph.constant(node, 1))[0]
    axis, is_largest = checked_axis(node, node.get("axis", -1), len(shape)), node.get("largest", 1)
    node.get("sorted", 1)
    if not 1 <= count <= min(MOST_FACTORS, shape[axis]) or axis == 0:
        raise node.error(
            f"it gives up to {MOST_FACTORS} of the greatest or least numbers along an axis of each sample: cut the "
            "file before it (onnx.utils.extract_model), and sort the model's outputs. "
            f"Received: k={count} of {shape[axis]}, axis={axis}"
        )
    reduced, place, least = ("ReduceMax", "ArgMax", -np.inf) if is_largest else ("ReduceMin", "ArgMin", np.inf)
    over = {"axes": [axis]} if graph.opset < 18 else {}
    over_input = [] if over else [parts.array([axis], np.int64)]
    values, places = [], []
    for _ in range(count):
        if places:
            taken = parts.add("Equal", [places[-1], _places(parts, axis, shape)])
            x = parts.add("Where", [taken, parts.array(least), x])
        values.append(parts.add(reduced, [x, *over_input], {**over, "keepdims": 1}))
        places.append(parts.add(place, [x], {"axis": axis, "keepdims": 1}))
    found = [values, places] if len(node.outputs) > 1 else [values]
    ends = [each[0] if count == 1 else parts.add("Concat", each, {"axis": axis}) for each in found]
    run_parts(parts, graph, *ends)


@operator("OneHot")
def _one_hot(node, graph):
    """A number where a whole number says, another one elsewhere."""
    x, parts = graph.value(node, 0), Parts(node)
    depth, off_on = int(number_at(node, graph, 1, 0.0)), graph.constant(node, 2)
    rank = len(x.shape) + 2
    axis = checked_axis(node, node.get("axis", -1), rank)
    if not (x.is_whole and x.is_nonnegative) or axis == 0 or off_on.shape != (2,) or depth < 1:
        raise node.error("it goes by places that ArgMax gives, and puts its axis behind that of the samples")
    added = {"axes": [axis]} if graph.opset < 13 else {}
    apart = parts.add("Unsqueeze", [node.inputs[0], *([] if added else [parts.array([axis], np.int64)])], added)
    shape = [1] * rank
    shape[axis] = depth
    found = parts.add("Equal", [apart, _places(parts, axis, shape)])
    off, on = (float(number) for number in off_on)
    if (off, on) != (0.0, 1.0):
        found = parts.add("Add", [parts.add("Mul", [found, parts.array(on - off)]), parts.array(off)])
    run_parts(parts, graph, found)


@operator("Trilu", kind=ELEMENTWISE_OPERATORS)
def _triangle(node, graph):
    """What is above or below a diagonal of matrices in the last two axes, and 0 elsewhere."""
    *_, rows, columns = shape = _shape(node, graph)
    if len(shape) < 3:
        raise node.error(f"it works on a matrix of each sample. Received: a sample of shape {shape[1:]}")
    cut = np.triu if node.get("upper", 1) else np.tril
    kept = cut(np.ones((rows, columns)), int(number_at(node, graph, 1, 0.0))).astype(bool)
    kept = np.broadcast_to(kept, (*shape[1:-2], rows, columns))
    parts = Parts(node)
    run_parts(parts, graph, parts.add("Where", [parts.array(kept, bool), node.inputs[0], parts.array(0.0)]))


@operator("Mod", kind=ELEMENTWISE_OPERATORS)
def _remainder(node, graph):
    """Of whole numbers, divided by a positive one of the file: x - y · ⌊(x + ½) / y⌋."""
    x, parts, name = graph.value(node, 0, True, True), Parts(node), node.inputs[0]
    divisor, is_cut_off = number_at(node, graph, 1, 0.0), node.get("fmod", 0)
    if not x.is_whole or not divisor.is_integer() or divisor < 1 or (is_cut_off and not x.is_nonnegative):
        raise node.error(
            "remainders are those of whole numbers, as ArgMax gives, divided by a positive one of the file, fmod=0. "
            f"Received: divided by {divisor}, fmod={is_cut_off}"
        )
    middle = parts.add("Add", [name, parts.array(0.5)])
    whole = parts.add("Floor", [parts.add("Mul", [middle, parts.array(1 / divisor)])])
    run_parts(parts, graph, parts.add("Sub", [name, parts.add("Mul", [whole, parts.array(divisor, np.int64)])]))


@operator("ReduceProd", kind=AXES_KEPT)
def _product(node, graph):
    """Factors, one after the other."""
    shape, parts, y = _shape(node, graph), Parts(node), node.inputs[0]
    axes, keeps = axes_of(node, graph, len(shape)) or [], node.get("keepdims", 1)
    if node.get("noop_with_empty_axes", 0) and not axes:
        raise node.error("it names the axes that it goes over")
    axes = sorted(axes or range(len(shape)))
    if 0 in axes or max(shape[axis] for axis in axes) > MOST_FACTORS:
        raise node.error(
            f"it multiplies up to {MOST_FACTORS} numbers along axes of each sample, not of the batch. "
            f"Received: axes={axes} of a sample of shape {tuple(shape[1:])}"
        )
    for axis in axes:
        factors = [parts.add("Gather", [y, parts.array([at], np.int64)], {"axis": axis}) for at in range(shape[axis])]
        y = factors[0]
        for factor in factors[1:]:
            y = parts.add("Mul", [y, factor])
    if not keeps:
        by_attribute = {"axes": axes} if graph.opset < 13 else {}
        y = parts.add("Squeeze", [y, *([] if by_attribute else [parts.array(axes, np.int64)])], by_attribute)
    run_parts(parts, graph, parts.add("Identity", [y]))


@operator("LpPool", "GlobalLpPool", kind=CHANNEL_OPERATORS)
def _pooled_powers(node, graph):
    """(Σ |x|ᵖ)^(1/p): a mean, times how many numbers there are in a window."""
    parts, power = Parts(node), node.get("p", 2)
    shape = _shape(node, graph)
    if node.get("ceil_mode", 0) or power < 1:
        raise node.error(f"it has ceil_mode=0 and p from 1 on. Received: p={power}")
    sizes = parts.add("Abs", [node.inputs[0]]) if power % 2 else node.inputs[0]
    powers = parts.add("Pow", [sizes, parts.array(float(power))])
    if node.operator == "GlobalLpPool":
        y, span = parts.add("GlobalAveragePool", [powers]), np.prod(shape[2:])
    else:
        span = np.prod(node.get("kernel_shape", None, list))
        names = ("kernel_shape", "strides", "pads", "dilations", "auto_pad")
        options = {name: node.attributes[name] for name in names if name in node.attributes}
        for name in options:
            node.get(name, None, object)
        y = parts.add("AveragePool", [powers], options | {"count_include_pad": 1})
    y = parts.add("Mul", [y, parts.array(float(span))])
    run_parts(parts, graph, parts.add("Pow", [y, parts.array(1 / power)]))
