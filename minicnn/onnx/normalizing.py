"""Normalizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.onnx.arguments import CHANNEL_OPERATORS, along_axis, checked_axis, operator
from minicnn.onnx.computed import is_training
from minicnn.onnx.folding import absorb
from minicnn.onnx.values import Value, channels_first, placed_like, same_order

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode


@operator("BatchNormalization", kind=CHANNEL_OPERATORS)
def _batch_normalization(node, graph):
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    place, x = x, _of_samples(node, graph, x)
    if node.get("spatial", 1) != 1:
        raise node.error(
            "only statistics of channels are supported, spatial=1; those of single positions, spatial=0, were dropped "
            "by ONNX's opset 9"
        )
    if is_training(node):
        raise node.error("only its form for inference is supported: export the model in evaluation mode")
    weights = [graph.weight(node, index, rank=1) for index in range(1, 5)]  # scale, bias, mean, variance
    order = None
    if not x.shape:
        raise node.error("it works on vectors or images, (N, C, …). Received: one number a sample, (N,)")
    rank = len(x.shape) + 1
    scale, shift, last, names = absorb(node, graph, weights[0].size, rank, 1 - rank) if x is place else (1, 0, node, [])
    if names:
        weights[:2] = weights[0] * scale, weights[1] * scale + shift
    if len(x.shape) == 1:
        tensor, order = graph.vector(x)
        weights = [_reordered(weight, order) for weight in weights]
        positions = order
    else:
        tensor = graph.arranged(node, x, channels_first)
        positions = channels_first(tensor.shape[1:])
    options = {"momentum": node.get("momentum", 0.9, float), "epsilon": node.get("epsilon", 1e-5, float)}
    constants = [*node.inputs[1:], *names]
    y = graph.call_with_weights(node, layers.BatchNormalization, tensor, weights, constants, order, **options)
    if x is not place:
        positions = positions[None]
    graph.give(last, placed_like(Value(y, positions), place))


def _of_samples(node: FileNode, graph: Importer, x: Value) -> Value:
    """A value, also of images whose channels are counted with the samples, (1, N · C, H, W): InstanceNorm of PyTorch.

    Numbers for them, repeated for each sample, are those of one sample here.
    """
    if (x.batch_axis, x.led, x.folded) == (1, 0, 1) and len(x.shape) > 2 and x.shape[0] == 1:
        return Value(x.tensor, x.positions[0], x.is_nonnegative)
    return graph.value(node, 0)


def _reordered(vector, order):
    """The numbers of a vector in the model's order."""
    if vector.shape != order.shape:
        raise ValueError(f"it takes one number a channel. Received: {vector.shape} for {order.shape}")
    result = np.empty_like(vector)
    result[order] = vector
    return result


@operator("InstanceNormalization", "GroupNormalization", kind=CHANNEL_OPERATORS)
def _group_normalization(node, graph):
    x, is_group = graph.value(node, 0), node.operator == "GroupNormalization"
    scale, bias = (graph.weight(node, index, rank=1) for index in (1, 2))
    epsilon = node.get("epsilon", 1e-5, float)
    node.get("stash_type", 1)
    if not is_group and len(x.shape) == 2 and _are_groups(x):
        if (scale != 1).any() or bias.any():
            raise node.error("groups of channels have no weights of their own here")
        arguments = {"groups": x.shape[0], "epsilon": epsilon, "scale": False, "center": False}
        y = graph.call(node, layers.GroupNormalization, x.tensor, **arguments)
        graph.give(node, Value(y, x.positions))
        return
    tensor = graph.arranged(node, x, channels_first)
    channels = tensor.shape[-1]
    groups = node.get("num_groups", 1) if is_group else -1
    if is_group and scale.size == groups:  # before opset 21
        scale, bias = (np.repeat(weight, channels // groups) for weight in (scale, bias))
    y = graph.call_with_weights(
        node, layers.GroupNormalization, tensor, [scale, bias], node.inputs[1:], groups=groups, epsilon=epsilon
    )
    graph.give(node, Value(y, channels_first(y.shape[1:])))


def _are_groups(x: Value) -> bool:
    """Whether a value (G, …) is images whose channels, which come first in the file, were cut into G groups."""
    shape = x.tensor.shape[1:]
    return (
        len(shape) > 1
        and shape[-1] % x.shape[0] == 0
        and np.array_equal(x.positions.ravel(), channels_first(shape).ravel())
    )


@operator("LayerNormalization")
def _layer_normalization(node, graph):
    x, axis, place = along_axis(node, graph, node.get("axis", -1))
    node.get("stash_type", 1)
    if axis == 0:
        raise node.error("samples stay apart: axis=0 is the batch axis")
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    shape = x.shape[axis - 1 :]
    weights = [
        np.broadcast_to(graph.weight(node, index, graph.constant(node, index).ndim), shape)
        for index in range(1, 3 if has_bias else 2)
    ]
    if axis == len(x.shape):
        tensor, x = graph.with_axis_last(node, x, axis - 1)
    else:
        (tensor,), layout = graph.aligned(node, [x])
        x = Value(tensor, layout(tensor.shape[1:]))
    if 1 == axis < len(x.shape):
        graph.budget.charge(x, node.error)
        weights = [_reordered(weight.ravel(), x.positions.ravel()).reshape(tensor.shape[1:]) for weight in weights]
    elif axis < len(x.shape) and layout is not same_order:
        raise node.error(f"it goes over the last axis or all. Received: axis={axis} of a sample {x.shape}")
    y = graph.call_with_weights(
        node,
        layers.LayerNormalization,
        tensor,
        weights,
        node.inputs[1:],
        axis=-1 if axis == len(x.shape) else list(range(axis, len(x.shape) + 1)),
        epsilon=node.get("epsilon", 1e-5, float),
        center=has_bias,
    )
    graph.give(node, placed_like(Value(y, x.positions), place))


@operator("LRN", kind=CHANNEL_OPERATORS)
def _local_response_normalization(node, graph):
    """x / (bias + alpha / size · Σ over neighbouring channels of x²)^beta (Krizhevsky, Sutskever, Hinton, 2012)."""
    x, size = graph.images(node), node.get("size", 0)
    height, width, channels = x.shape[1:]
    before = (size - 1) // 2
    graph.check_size(node, (height, width, channels + size))
    y = graph.call(node, layers.Elementary, x, "_squares", function="power", exponent=2.0)
    y = graph.call(node, layers.Reshape, y, "_rows", target_shape=(height * width, channels, 1))
    y = graph.call(node, layers.ZeroPadding2D, y, "_pad", padding=((0, 0), (before, size - 1 - before)))
    y = graph.call(node, layers.AveragePooling2D, y, "_mean", pool_size=(1, size), strides=1)
    alpha, bias = node.get("alpha", 1e-4, float), node.get("bias", 1.0, float)
    y = graph.call(node, layers.Rescaling, y, "_line", scale=alpha, offset=bias)
    y = graph.call(node, layers.Elementary, y, "_power", function="power", exponent=-node.get("beta", 0.75, float))
    y = graph.call(node, layers.Reshape, y, "_images", target_shape=(height, width, channels))
    graph.give_images(node, graph.call(node, layers.Multiply, [x, y]), graph.value(node, 0).is_nonnegative)


@operator("LpNormalization")
def _length_normalization(node, graph):
    x = graph.value(node, 0)
    axis = checked_axis(node, node.get("axis", -1), len(x.shape) + 1)
    if node.get("p", 2) != 2 or axis == 0:
        raise node.error("it makes the sum of the squares 1, not along the batch axis, axis=0")
    tensor, x = graph.with_axis_last(node, x, axis - 1)
    graph.give(node, Value(graph.call(node, layers.UnitNormalization, tensor), x.positions))
