"""Pooling, and what is taken over axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.onnx import volumes
from minicnn.onnx.arguments import CHANNEL_OPERATORS, axes_of, operator, pair
from minicnn.onnx.gaps import pooled_with_gaps
from minicnn.onnx.padding import padded, reshaped, split_shape
from minicnn.onnx.values import Value, channels_first, same_order
from minicnn.onnx.windows import (
    NO_SIDES,
    extra_of_any_size,
    keras_padding,
    padded_sides,
    padding_of_any_size,
    with_extra,
)

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

MOST_PIXELS = 255  # in a window of MaxPooling2D


@operator("MaxPool", kind=CHANNEL_OPERATORS)
def _max_pool(node, graph):
    node.get("storage_order", 0)  # of the second output, which nothing here gives
    is_nonnegative = graph.value(node, 0).is_nonnegative
    _pool(node, graph, layers.MaxPooling2D, zeros_lose=is_nonnegative)


@operator("AveragePool", kind=CHANNEL_OPERATORS)
def _average_pool(node, graph):
    _pool(node, graph, layers.AveragePooling2D, zeros_count=bool(node.get("count_include_pad", 0)))


def give_border(node: FileNode, graph: Importer, x: Value, sides: dict[int, Sequence[int]]) -> bool:
    """Leave a border of -inf, {axis: (before, behind)}, to the MaxPool that alone reads it; False if that cannot be."""
    reader = graph.only_reader(node)
    axes = {2: (3,), 3: (2, 3)}.get(len(x.shape), ())  # of windows; rows have height 1
    wide = {axis + 3 - len(x.shape): tuple(side) for axis, side in sides.items()}
    if reader is None or reader.operator != "MaxPool" or not axes or not set(wide) <= set(axes):
        return False
    if min(min(side, default=0) for side in [*wide.values(), (0,)]) < 0:
        return False
    graph.borders[node.outputs[0]] = tuple(wide.get(axis, (0, 0)) for axis in (2, 3))
    graph.give(node, x)
    return True


def _pool(node, graph, layer_class, zeros_lose=False, zeros_count=False):
    """A pooling; `zeros_lose`, `zeros_count`: why padding may be zeros that a layer before puts there."""
    axes = len(graph.value(node, 0).shape) - 1
    if axes == volumes.AXES:
        volumes.pool(node, graph, layer_class is layers.MaxPooling2D)
        return
    if axes not in (1, 2):
        _pool_along(node, graph, layer_class, zeros_count)
        return
    x = graph.images(node)
    size, pool_size, strides = x.shape[1:3], pair(node, "kernel_shape", None), pair(node, "strides")
    sides, chosen = _sides(node, graph, size, pool_size, strides, zeros_count)
    if zeros_count:  # those of ceil_mode do not
        sides, counted = sides
        x, size = padded(node, graph, x, counted), [n + sum(side) for n, side in zip(size, counted, strict=True)]
    padding, outside = keras_padding(sides, size, pool_size, strides, (1, 1), chosen)
    if pair(node, "dilations") != (1, 1):
        y = pooled_with_gaps(node, graph, MERGING[layer_class], x, sides)
    elif outside == NO_SIDES and layer_class is layers.MaxPooling2D and pool_size == size and max(sides) == (0, 0):
        y = graph.call(node, layers.GlobalMaxPooling2D, x, keepdims=True)
    elif outside == NO_SIDES:
        y = _pooled(node, graph, layer_class, x, pool_size, strides, padding)
    elif any(max(side) >= span for side, span in zip(sides, pool_size, strict=True)):
        raise node.error(f"its padding is as wide as its windows. Received: {sides} for {pool_size}")
    elif zeros_lose:
        x = padded(node, graph, x, outside)
        y = _pooled(node, graph, layer_class, x, pool_size, strides, padding)
    else:
        y = _pooled(node, graph, PADDED[layer_class], x, pool_size, strides, sides)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative, axes)


def _sides(node, graph, size, pool_size, strides, zeros_count):
    """(what a pooling adds around images, Keras's padding if it does not go by the size).

    Of zeros that count: ((those that do not, those that do), …).
    """
    border = graph.borders.get(node.inputs[0], NO_SIDES)
    around = [n + sum(side) for n, side in zip(size, border, strict=True)]
    is_ceil = node.get("ceil_mode", 0)
    sides, extra = padded_sides(node, around, pool_size, strides, pair(node, "dilations"), is_ceil)
    chosen = padding_of_any_size(node, strides) if graph.has_open_sizes else None
    if chosen == "same" and (zeros_count or border != NO_SIDES):
        raise node.error("of padding that depends on the size of the input, which the file leaves open, zeros count")
    if chosen == "valid" and is_ceil:
        extra = extra_of_any_size(node, sides, pool_size, strides)
    if zeros_count:
        return (with_extra(NO_SIDES, extra), sides), chosen
    sides = with_extra(sides, extra)
    return tuple((a + c, b + d) for (a, b), (c, d) in zip(sides, border, strict=True)), chosen


PADDED = {
    layers.MaxPooling2D: layers.PaddedMaxPooling2D,
    layers.AveragePooling2D: layers.PaddedAveragePooling2D,
}
"""Keras's layers → those that take padding in numbers."""

MERGING = {layers.MaxPooling2D: layers.Maximum, layers.AveragePooling2D: layers.Average}
"""Keras's layers → those that do the same over tensors."""


def _pooled(node, graph, layer_class, x, pool_size, strides, padding):
    """One pooling; a maximum over more pixels than one has here goes over rows first."""
    if issubclass(layer_class, layers.MaxPooling2D) and pool_size[0] * pool_size[1] > MOST_PIXELS:
        (height, width), (down, right) = pool_size, strides
        above, beside = (padding,) * 2
        if not isinstance(padding, str):
            above, beside = (padding[0], (0, 0)), ((0, 0), padding[1])
        x = graph.call(node, layer_class, x, "_rows", pool_size=(height, 1), strides=(down, 1), padding=above)
        pool_size, strides, padding = (1, width), (1, right), beside
    return graph.call(node, layer_class, x, pool_size=pool_size, strides=strides, padding=padding)


def _pool_along(node, graph, layer_class, zeros_count):
    """A pooling along one axis, whatever the others are: of rows of an image that is reshaped."""
    x = graph.value(node, 0)
    count = len(x.shape) - 1
    spans = node.get("kernel_shape", None, list) or []
    strides, pads = node.get("strides", [1] * count, list), node.get("pads", [0] * 2 * count, list)
    dilations, is_plain = node.get("dilations", [1] * count, list), node.get("auto_pad", "NOTSET", str) == "NOTSET"
    wide = [n for n, span in enumerate(spans) if span != 1]
    lists = (spans, strides, dilations, pads[:count], pads[count:])
    if not is_plain or node.get("ceil_mode", 0) or len(wide) != 1 or any(len(part) != count for part in lists):
        raise node.error(f"it works on images, (N, C, H, W), or along one axis. Received: {spans} of {x.shape}")
    at = wide[0]
    others = [n for n in range(count) if n != at]
    sides = (pads[at], pads[at + count])
    if any(strides[n] != 1 or pads[n] or pads[n + count] for n in others) or set(dilations) != {1}:
        raise node.error(f"along one axis only. Received: strides={strides}, pads={pads}, dilations={dilations}")
    if any(sides) and not zeros_count:
        raise node.error(f"it has no padding along one axis. Received: pads={pads}")
    (tensor,), layout = graph.aligned(node, [x])
    axis = model_axis(layout, at + 2, count + 2)
    before, size, behind = split_shape(tensor, axis)
    y = reshaped(node, graph, tensor, (before, size, behind), "_rows")
    y = padded(node, graph, y, ((0, 0), sides))
    y = graph.call(node, layer_class, y, pool_size=(1, spans[at]), strides=(1, strides[at]))
    y = reshaped(node, graph, y, (*tensor.shape[1:axis], y.shape[2], *tensor.shape[axis + 1 :]), "_shaped")
    graph.give(node, Value(y, layout(y.shape[1:]), x.is_nonnegative))


@operator("GlobalMaxPool", "GlobalAveragePool", kind=CHANNEL_OPERATORS)
def _global_pool(node, graph):
    is_max = node.operator == "GlobalMaxPool"
    if volumes.are_volumes(node, graph):
        volumes.global_pool(node, graph, is_max)
        return
    layer_class = layers.GlobalMaxPooling2D if is_max else layers.GlobalAveragePooling2D
    y = graph.call(node, layer_class, graph.images(node), keepdims=True)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative, len(graph.value(node, 0).shape) - 1)


MERGED: dict[str, type[layers.Layer]] = {
    "ReduceMax": layers.Maximum,
    "ReduceMean": layers.Average,
    "ReduceMin": layers.Minimum,
    "ReduceSum": layers.Add,
}
"""What goes over tensors side by side → the layer that does so."""

OF_EACH = {"ReduceL1": ("abs", None), "ReduceL2": ("power", 2.0), "ReduceSumSquare": ("power", 2.0)}
"""Sums of a function of each number → that function, and its exponent."""


@operator("ReduceMax", "ReduceMean", "ReduceSum", "ReduceMin", *OF_EACH, kind=CHANNEL_OPERATORS)
def _reduce(node, graph):
    """Over axes that lie side by side in the model, a pooling; means and sums over any."""
    if node.inputs[0] in graph.stacks:
        _reduce_stack(node, graph, graph.stacks.pop(node.inputs[0]))
        return
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    axes, keeps = axes_of(node, graph, x.rank) or [], bool(node.get("keepdims", 1))
    if node.get("noop_with_empty_axes", 0) and not axes:
        if node.operator in OF_EACH:
            raise node.error("it names the axes that it goes over")
        graph.give(node, x)
        return
    x = _each(node, graph, x)
    axes = sorted(axes or range(x.rank))
    if x.batch_axis in axes:
        raise node.error(f"samples stay apart: axis {x.batch_axis} is the batch axis. Received: axes={axes}")
    gone = 0 if keeps else sum(axis < x.batch_axis for axis in axes)
    axes, rank = [x.sample_axis(axis) + 1 for axis in axes], len(x.shape) + 1
    if len(axes) == rank - 1:  # the order of the numbers does not matter
        tensor, layout, own = x.tensor, same_order, list(range(1, len(x.tensor.shape)))
    else:
        (tensor,), layout = graph.aligned(node, [x])
        own = sorted(model_axis(layout, axis, rank) for axis in axes)
    if node.operator in ("ReduceMax", "ReduceMin") and not _are_together(own):
        raise node.error(f"the axes lie side by side in the model, whose channels are last. Received: axes={axes}")
    y = _pooled_axes(node, graph, tensor, own)
    shape = [1 if axis in own else n for axis, n in enumerate(tensor.shape[1:], 1)]
    y = reshaped(node, graph, y, (1,) * (rank - 1) if len(axes) == rank - 1 else shape, "_shaped")
    positions = layout(y.shape[1:])
    if not keeps:
        positions = positions.squeeze(tuple(axis - 1 for axis in axes))
    graph.give(node, replace(x, tensor=y, positions=positions, batch_axis=x.batch_axis - gone))


def _each(node, graph, x):
    """What is added up, for each number."""
    if x.is_whole and node.operator == "ReduceMean":
        raise node.error("means of integers are cut off there, not here: cast them to float32 before it")
    if node.operator not in OF_EACH:
        return x
    function, exponent = OF_EACH[node.operator]
    arguments = {} if exponent is None else {"exponent": exponent}
    y = graph.call(node, layers.Elementary, x.tensor, "_each", function=function, **arguments)
    return replace(x, tensor=y, is_nonnegative=True)


def give_stack(node: FileNode, graph: Importer) -> bool:
    """Leave tensors, put side by side before the batch axis, to the Reduce that alone reads them; False if none does.

    PyTorch's ``torch.stack(xs).sum(0)``.
    """
    reader = graph.only_reader(node)
    if reader is None or reader.operator not in MERGED or node.get("axis", None) != 0:
        return False
    values = [graph.value(node, index, any_batch_axis=True) for index in range(len(node.inputs))]
    if any(value.batch_axis != 1 or value.shape[0] != 1 for value in values):
        return False
    graph.stacks[node.outputs[0]] = values
    graph.give(node, values[0])
    return True


def _reduce_stack(node, graph, values):
    """A layer of several inputs for what goes over an axis along which tensors were put side by side."""
    axes = axes_of(node, graph, len(values[0].shape) + 1)
    if axes != [0]:
        raise node.error(f"of tensors that are put side by side, it goes over axis 0. Received: axes={axes}")
    keeps = bool(node.get("keepdims", 1))
    node.get("noop_with_empty_axes", 0)
    tensors, layout = graph.aligned(node, [Value(value.tensor, value.positions[0]) for value in values])
    y = graph.call(node, MERGED[node.operator], tensors) if len(tensors) > 1 else tensors[0]
    positions = layout(y.shape[1:])
    graph.give(node, Value(y, positions[None] if keeps else positions, batch_axis=int(keeps)))


def model_axis(layout, axis: int, rank: int) -> int:
    """Where an axis of the file, not the batch's, is in a tensor in a layout; both count the batch axis."""
    if layout is not channels_first:
        return axis
    return rank - 1 if axis == 1 else axis - 1


def _pooled_axes(node, graph, tensor, axes):
    """The mean, sum, maximum or minimum over axes, in some shape."""
    sizes, kind = tensor.shape[1:], node.operator
    before, count, behind = (
        int(np.prod(part)) for part in (sizes[: axes[0] - 1], sizes[axes[0] - 1 : axes[-1]], sizes[axes[-1] :])
    )
    is_max, is_sum = kind in ("ReduceMax", "ReduceMin"), kind == "ReduceSum" or kind in OF_EACH
    is_open = graph.has_open_sizes and len(sizes) == 3
    if kind == "ReduceMin":
        tensor = graph.call(node, layers.Rescaling, tensor, "_negative", scale=-1.0)
    is_left = not _are_together(axes) or (graph.has_open_sizes and is_sum)
    if is_left or (is_open and axes != [1, 2] and not is_max):
        y = graph.call(node, layers.Reduce, tensor, operation="sum" if is_sum else "mean", axis=axes, keepdims=True)
    elif is_open and axes == [3]:
        y = graph.call(node, layers.Permute, tensor, "_turned", dims=(1, 3, 2))  # (N, H, C, W)
        y = graph.call(node, layers.Permute, _pooled_rows(node, graph, y, is_max), "_back", dims=(1, 3, 2))
    elif before == 1:
        shape = sizes if axes == [1, 2] and len(sizes) == 3 else (1, count, behind)
        tensor = reshaped(node, graph, tensor, shape, "_rows")
        layer_class = layers.GlobalMaxPooling2D if is_max else layers.GlobalAveragePooling2D
        y = graph.call(node, layer_class, tensor, keepdims=True)
    else:
        tensor = reshaped(node, graph, tensor, (before, count, behind), "_rows")
        y = _pooled_rows(node, graph, tensor, is_max)
    if is_sum and not is_left:
        y = graph.call(node, layers.Rescaling, y, "_sum", scale=float(count))
    if kind == "ReduceL2":
        y = graph.call(node, layers.Elementary, y, "_length", function="power", exponent=0.5)
    return graph.call(node, layers.Rescaling, y, "_positive", scale=-1.0) if kind == "ReduceMin" else y


def _are_together(axes):
    return axes == list(range(axes[0], axes[-1] + 1))


def _pooled_rows(node, graph, tensor, is_max):
    """(N, H, 1, C), the mean or maximum over the rows of images."""
    y, left = tensor, tensor.shape[2]
    while is_max and left > MOST_PIXELS:  # in steps
        part = max(n for n in range(1, MOST_PIXELS + 1) if left % n == 0)
        if part == 1:
            raise node.error(f"a maximum over {left} numbers, a prime, is not taken here")
        y, left = graph.call(node, layers.MaxPooling2D, y, "_part", pool_size=(1, part)), left // part
    layer_class = layers.MaxPooling2D if is_max else layers.AveragePooling2D
    return graph.call(node, layer_class, y, pool_size=(1, left), strides=1)
