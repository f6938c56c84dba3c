"""The operators that compute: what each one is in a model.

A function takes a node and the `Importer`, and says with `graph.give` what the node's output is. The names in the table
are those of https://onnx.ai/onnx/operators, which says what they mean.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.onnx.arguments import (
    axes_of,
    checked_axis,
    give_shape_array,
    integers,
    number_at,
    operator,
    pair,
    shape_array,
)
from minicnn.onnx.values import Value, channels_first, is_last_axis, same_order, with_last_axis
from minicnn.onnx.windows import NO_SIDES, keras_padding, padded_sides

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

CHANNEL_OPERATORS = {
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
    "ReduceMax",
    "ReduceMean",
}
"""Those that take axis 1 for the channels, as they are supported here."""

ELEMENTWISE_OPERATORS = {
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "Dropout",
    "Identity",
    "LeakyRelu",
    "Min",
    "Pad",
    "Relu",
    "Sigmoid",
    "Sum",
    "Tanh",
}
"""Those that leave the axes in their order."""

ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
"""Those that Conv2D and Dense take over as their activation, and its name."""
NONNEGATIVE = ("relu", "sigmoid", "softmax")


# ------------------------------------------------------------------------------------------------------- activations


@operator("Relu", "Sigmoid", "Tanh")
def _activation(node, graph):
    layer_class = {"Relu": layers.ReLU, "Sigmoid": layers.Sigmoid, "Tanh": layers.Tanh}[node.operator]
    _elementwise(node, graph, layer_class, node.operator != "Tanh")


@operator("LeakyRelu")
def _leaky_relu(node, graph):
    _elementwise(node, graph, layers.LeakyReLU, negative_slope=node.get("alpha", 0.01, float))


@operator("Clip")
def _clip(node, graph):
    if graph.opset < 11:
        low, high = node.get("min", -np.inf, float), node.get("max", np.inf, float)
    else:
        low, high = number_at(node, graph, 1, -np.inf), number_at(node, graph, 2, np.inf)
    if low != 0 or not high >= 0:
        raise node.error(f"only a lower bound of 0, and an upper one above it, are supported. Received: {low}, {high}")
    is_bounded = high < np.finfo(np.float32).max
    _elementwise(node, graph, layers.ReLU, True, max_value=high if is_bounded else None)


@operator("Min")
def _min(node, graph):
    """After ReLU, that is: the upper bound that ReLU has here."""
    x, high = graph.value(node, 0), number_at(node, graph, 1, -1.0)
    if len(node.inputs) != 2 or high < 0 or not x.is_nonnegative:
        raise node.error("only the minimum of a number and of what cannot be negative is supported: an upper bound")
    _elementwise(node, graph, layers.ReLU, True, max_value=high)


@operator("Softmax", "LogSoftmax")
def _softmax(node, graph):
    x = graph.value(node, 0)
    rank = len(x.shape) + 1
    axis = checked_axis(node, node.get("axis", 1 if graph.opset < 13 else -1), rank)
    if axis == 0:
        raise node.error("samples are not mixed: axis=0 is the batch axis")
    if graph.opset < 13:  # over all axes from this one on
        wide = [n for n in range(axis, rank) if x.shape[n - 1] > 1]
        if len(wide) > 1:
            raise node.error(f"before opset 13 it goes over several axes here. Received: axis={axis}")
        axis = wide[0] if wide else axis
    if rank == 2:
        tensor, positions = graph.vector(x)  # the order of the numbers does not matter
    elif is_last_axis(x, axis - 1):
        tensor, positions = x.tensor, x.positions
    else:
        raise node.error(f"it goes over the channels only. Received: axis={axis} of a sample of shape {x.shape}")
    is_log = node.operator == "LogSoftmax"
    y = graph.call(node, layers.LogSoftmax if is_log else layers.Softmax, tensor)
    graph.give(node, Value(y, positions, not is_log))


def _elementwise(node, graph, layer_class, is_nonnegative=False, **arguments):
    """A layer that does the same to every number, in whatever order they are."""
    x = graph.value(node, 0)
    graph.give(node, Value(graph.call(node, layer_class, x.tensor, **arguments), x.positions, is_nonnegative))


# ----------------------------------------------------------------------------------------------- layers with weights


def _activation_after(node, graph, takes_softmax=False):
    """(name, node) of the activation that alone reads a node's output, which the node's layer takes over.

    (None, `node`) if there is none.
    """
    after = graph.only_reader(node)
    names = ACTIVATIONS | ({"Softmax": "softmax"} if takes_softmax else {})
    if after is None or after.operator not in names or after.attributes.get("axis", -1) not in (-1, 1):
        return None, node
    graph.skip(after)
    return names[after.operator], after


@operator("Conv")
def _conv(node, graph):
    x = graph.images(node)
    kernel = graph.weight(node, 1, rank=4)  # (F, C / groups, KH, KW)
    kernel_size = tuple(kernel.shape[2:])
    if tuple(node.get("kernel_shape", list(kernel_size), list)) != kernel_size:
        raise node.error(f"kernel_shape should be that of the kernel, {kernel_size}")
    strides, dilations = pair(node, "strides"), pair(node, "dilations")
    sides, _ = padded_sides(node, x.shape[1:3], kernel_size, strides, dilations)
    padding, outside = keras_padding(sides, x.shape[1:3], kernel_size, strides, dilations)
    weights = [kernel.transpose(2, 3, 1, 0)]
    if has_bias := len(node.inputs) > 2 and bool(node.inputs[2]):
        weights.append(graph.weight(node, 2, rank=1))
    x = _padded(node, graph, x, outside)
    activation, last = _activation_after(node, graph)
    y = graph.call_with_weights(
        node,
        layers.Conv2D,
        x,
        weights,
        node.inputs[1:],
        filters=kernel.shape[0],
        kernel_size=kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilations,
        groups=node.get("group", 1),
        use_bias=has_bias,
        activation=activation,
    )
    graph.give_images(last, y, activation in NONNEGATIVE)


@operator("Gemm")
def _gemm(node, graph):
    x = graph.value(node, 0)
    if node.get("transA", 0) or len(x.shape) != 1:
        raise node.error(f"its first input is (N, I), not transposed. Received: a sample of shape {x.shape}")
    kernel = graph.weight(node, 1, rank=2)
    kernel = node.get("alpha", 1.0, float) * (kernel.T if node.get("transB", 0) else kernel)  # (I, units)
    bias, beta = graph.constant(node, 2), node.get("beta", 1.0, float)
    if bias is not None:
        bias = graph.weight(node, 2, bias.ndim) * beta
        if bias.size not in (1, *bias.shape[-1:]):
            raise node.error(f"its third input holds one number a column, for all samples. Received: {bias.shape}")
    _dense(node, graph, x, kernel, bias, node.inputs[1:], node)


@operator("MatMul")
def _matmul(node, graph):
    """With the Add of a constant that follows, if any: together they are one Dense layer."""
    x, kernel = graph.value(node, 0), graph.weight(node, 1, rank=2)
    after, bias = graph.only_reader(node), None
    if after is not None and after.operator == "Add" and len(after.inputs) == 2:
        other = 1 - after.inputs.index(node.outputs[0])
        if graph.is_constant(after, other):
            bias = graph.constant(after, other)
    if bias is None or bias.ndim > len(x.shape) + 1 or bias.size not in (1, *bias.shape[-1:]):
        _dense(node, graph, x, kernel, None, node.inputs[1:], node)
    else:
        bias = graph.weight(after, other, bias.ndim)
        graph.skip(after)
        _dense(node, graph, x, kernel, bias, [node.inputs[1], after.inputs[other]], after)


def _dense(node, graph, x, kernel, bias, constants, last):
    """A Dense layer for the nodes from `node` to `last`; of vectors, the kernel's rows come into the model's order."""
    units, order = kernel.shape[1], None
    if not x.shape:
        raise node.error("it works on vectors, (N, C). Received: one number a sample, (N,)")
    graph.check_size(node, (*x.shape[:-1], units))
    if len(x.shape) == 1:
        tensor, order = graph.vector(x)
        positions = same_order((units,))
    elif is_last_axis(x, len(x.shape) - 1):
        tensor, positions = x.tensor, with_last_axis(x, len(x.shape) - 1, units)
    else:
        raise node.error(f"its last axis is not the channels. Received: a sample of shape {x.shape}")
    if kernel.shape[0] != x.shape[-1]:
        raise node.error(f"its kernel takes {kernel.shape[0]} numbers. Received: a sample of shape {x.shape}")
    if order is not None:
        rows, kernel = kernel, np.empty_like(kernel)
        kernel[order] = rows
    weights = [kernel] if bias is None else [kernel, np.broadcast_to(bias.reshape(-1), (units,))]
    activation, last = _activation_after(last, graph, takes_softmax=order is not None)
    y = graph.call_with_weights(
        node,
        layers.Dense,
        tensor,
        weights,
        constants,
        order,
        units=units,
        use_bias=bias is not None,
        activation=activation,
    )
    graph.give(last, Value(y, positions, activation in NONNEGATIVE))


@operator("BatchNormalization")
def _batch_normalization(node, graph):
    x = graph.value(node, 0)
    if node.get("training_mode", 0) or node.get("spatial", 1) != 1:
        raise node.error("only its form for inference is supported: export the model in evaluation mode")
    weights = [graph.weight(node, index, rank=1) for index in range(1, 5)]  # scale, bias, mean, variance
    order = None
    if not x.shape:
        raise node.error("it works on vectors or images, (N, C, …). Received: one number a sample, (N,)")
    if len(x.shape) == 1:
        tensor, order = graph.vector(x)
        weights = [_reordered(weight, order) for weight in weights]
        positions = order
    else:
        tensor = graph.arranged(node, x, channels_first)
        positions = channels_first(tensor.shape[1:])
    y = graph.call_with_weights(
        node,
        layers.BatchNormalization,
        tensor,
        weights,
        node.inputs[1:],
        order,
        momentum=node.get("momentum", 0.9, float),
        epsilon=node.get("epsilon", 1e-5, float),
    )
    graph.give(node, Value(y, positions))


def _reordered(vector, order):
    """The numbers of a vector in the model's order."""
    if vector.shape != order.shape:
        raise ValueError(f"it takes one number a channel. Received: {vector.shape} for {order.shape}")
    result = np.empty_like(vector)
    result[order] = vector
    return result


# ----------------------------------------------------------------------------------------------------------- pooling


@operator("MaxPool")
def _max_pool(node, graph):
    node.get("storage_order", 0)  # of the second output, which nothing here gives
    is_nonnegative = graph.value(node, 0).is_nonnegative
    _pool(node, graph, layers.MaxPooling2D, zeros_lose=is_nonnegative)


@operator("AveragePool")
def _average_pool(node, graph):
    _pool(node, graph, layers.AveragePooling2D, zeros_count=bool(node.get("count_include_pad", 0)))


def _pool(node, graph, layer_class, zeros_lose=False, zeros_count=False):
    """A pooling; `zeros_lose`, `zeros_count`: why padding may be zeros that a layer before puts there."""
    x = graph.images(node)
    if pair(node, "dilations") != (1, 1):
        raise node.error("pooling windows have no gaps here: dilations=[1, 1]")
    size, pool_size, strides = x.shape[1:3], pair(node, "kernel_shape", None), pair(node, "strides")
    sides, added = padded_sides(node, size, pool_size, strides, (1, 1), node.get("ceil_mode", 0))
    padding, outside = keras_padding(sides, size, pool_size, strides, (1, 1))
    if zeros_count:
        padding, outside = "valid", sides
    is_possible = zeros_lose or (zeros_count and not added) or outside == NO_SIDES
    if not is_possible or any(max(side) >= span for side, span in zip(sides, pool_size, strict=True)):
        raise node.error(
            "its padding is neither none nor Keras's 'same', and a layer of zeros in its place would change the "
            f"result. Received: {sides} around images of {size}"
        )
    x = _padded(node, graph, x, outside)
    y = graph.call(node, layer_class, x, pool_size=pool_size, strides=strides, padding=padding)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative)


@operator("GlobalMaxPool", "GlobalAveragePool")
def _global_pool(node, graph):
    is_max = node.operator == "GlobalMaxPool"
    layer_class = layers.GlobalMaxPooling2D if is_max else layers.GlobalAveragePooling2D
    y = graph.call(node, layer_class, graph.images(node), keepdims=True)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative)


@operator("ReduceMax", "ReduceMean")
def _reduce(node, graph):
    """Over rows and columns, that is."""
    x, is_max = graph.images(node), node.operator == "ReduceMax"
    axes = axes_of(node, graph, 4)
    if sorted(axes or ()) != [2, 3]:
        raise node.error(f"only rows and columns are taken together, axes=[2, 3]. Received: {axes}")
    node.get("noop_with_empty_axes", 0)
    layer_class = layers.GlobalMaxPooling2D if is_max else layers.GlobalAveragePooling2D
    y = graph.call(node, layer_class, x, keepdims=True)
    positions = channels_first(y.shape[1:])
    positions = positions if node.get("keepdims", 1) else positions.reshape(-1)
    graph.give(node, Value(y, positions, graph.value(node, 0).is_nonnegative))


@operator("Pad")
def _pad(node, graph):
    x, rank = graph.value(node, 0), len(graph.value(node, 0).shape) + 1
    mode = node.get("mode", "constant", str)
    if graph.opset < 11:
        pads, fill = node.get("pads", None, list), node.get("value", 0.0, float)
    else:
        pads, fill = integers(node, graph.constant(node, 1)), number_at(node, graph, 2, 0.0)
    axes = integers(node, graph.constant(node, 3)) if len(node.inputs) > 3 else list(range(rank))
    if mode != "constant" or fill != 0:
        raise node.error(f"only zeros are put around. Received: mode={mode!r} with the value {fill}")
    axes = [checked_axis(node, axis, rank) for axis in axes]
    if pads is None or len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise node.error(f"pads are two numbers for each of the axes {axes}. Received: {pads}")
    before, after = pads[: len(axes)], pads[len(axes) :]
    sides = {axis: side for axis, *side in zip(axes, before, after, strict=True) if any(side)}
    (tensor,), layout = graph.aligned(node, [x])
    rows, columns = (2, 3) if layout is channels_first else (1, 2)
    if rank != 4 or sides.keys() - {rows, columns} or any(n < 0 for side in sides.values() for n in side):
        raise node.error(f"rows and columns are added to images only. Received: {sides} for {rank} axes")
    outside = (sides.get(rows, (0, 0)), sides.get(columns, (0, 0)))
    y = _padded(node, graph, tensor, outside, suffix="")
    graph.give(node, Value(y, layout(y.shape[1:]), x.is_nonnegative))


def _padded(node, graph, tensor, outside, suffix="_pad"):
    """A tensor of images with zeros around them."""
    if outside == NO_SIDES:
        return tensor
    (top, bottom), (left, right) = outside
    _, height, width, channels = tensor.shape
    graph.check_size(node, (height + top + bottom, width + left + right, channels))
    return graph.call(node, layers.ZeroPadding2D, tensor, suffix, padding=outside)


# ---------------------------------------------------------------------------------------------------- several inputs


@operator("Sum")
def add(node: FileNode, graph: Importer) -> None:
    """The sum of the inputs; `further_operators` knows what Add does with constants."""
    if any(graph.is_constant(node, index) for index in range(len(node.inputs))):
        raise node.error("a constant is added only after MatMul, as the bias of a Dense layer")
    values = graph.values(node)
    first = values[0]
    if all(v.tensor.shape == first.tensor.shape and np.array_equal(v.positions, first.positions) for v in values):
        tensors, positions = [v.tensor for v in values], first.positions
    else:
        tensors, layout = graph.aligned(node, values)
        positions = layout(tensors[0].shape[1:])
    if len(tensors) > 1:
        tensors = [graph.call(node, layers.Add, tensors)]
    graph.give(node, Value(tensors[0], positions, all(v.is_nonnegative for v in values)))


@operator("Concat")
def _concat(node, graph):
    if all(graph.is_constant(node, index) for index in range(len(node.inputs))):
        arrays = [shape_array(node, graph, index) for index in range(len(node.inputs))]
        give_shape_array(node, graph, np.concatenate(arrays, axis=node.get("axis", None)))
        return
    values = graph.values(node)
    rank = len(values[0].shape) + 1
    axis = checked_axis(node, node.get("axis", None), rank)
    if axis == 0:
        raise node.error("samples are not put behind each other: axis=0 is the batch axis")
    if rank == 2:
        parts = [graph.vector(value) for value in values]
        *starts, size = itertools.accumulate((order.size for _, order in parts), initial=0)
        graph.check_size(node, (size,))
        tensors = [tensor for tensor, _ in parts]
        positions = np.concatenate([start + order for start, (_, order) in zip(starts, parts, strict=True)])
    else:
        tensors, layout = graph.aligned(node, values)
        if layout is channels_first:
            axis = rank - 1 if axis == 1 else axis - 1
        positions = None
    y = tensors[0] if len(tensors) == 1 else graph.call(node, layers.Concatenate, tensors, axis=axis)
    if positions is None:
        graph.check_size(node, y.shape[1:])
        positions = layout(y.shape[1:])
    graph.give(node, Value(y, positions, all(v.is_nonnegative for v in values)))
