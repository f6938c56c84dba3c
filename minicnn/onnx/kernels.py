"""Layers with kernels: convolutions and matrix products; constants and activations that follow become part of them."""

from __future__ import annotations

import numpy as np

from minicnn import layers
from minicnn.geometry import effective_size
from minicnn.onnx.arguments import CHANNEL_OPERATORS, operator, pair
from minicnn.onnx.folding import absorb
from minicnn.onnx.padding import padded
from minicnn.onnx.values import Value, same_order, with_last_axis
from minicnn.onnx.windows import keras_padding, padded_sides, padding_of_any_size

ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
"""Those that Conv2D and Dense take over as their activation, and its name."""
NONNEGATIVE = ("relu", "sigmoid", "softmax")


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


@operator("Conv", kind=CHANNEL_OPERATORS)
def _conv(node, graph):
    x = graph.images(node)
    kernel = graph.weight(node, 1, rank=4)  # (F, C / groups, KH, KW)
    kernel_size = tuple(kernel.shape[2:])
    if tuple(node.get("kernel_shape", list(kernel_size), list)) != kernel_size:
        raise node.error(f"kernel_shape should be that of the kernel, {kernel_size}")
    strides, dilations = pair(node, "strides"), pair(node, "dilations")
    sides, _ = padded_sides(node, x.shape[1:3], kernel_size, strides, dilations)
    chosen = padding_of_any_size(node, strides) if graph.has_open_sizes else None
    padding, outside = keras_padding(sides, x.shape[1:3], kernel_size, strides, dilations, chosen)
    groups, filters = node.get("group", 1), kernel.shape[0]
    bias = graph.weight(node, 2, rank=1) if len(node.inputs) > 2 and node.inputs[2] else None
    scale, shift, last, names = absorb(node, graph, filters, 4, -3)
    weights = _weights(kernel.transpose(2, 3, 1, 0), bias, scale, shift, bool(names))  # (KH, KW, C / groups, F)
    x = padded(node, graph, x, outside)
    activation, last = _activation_after(last, graph)
    arguments = {
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": padding,
        "dilation_rate": dilations,
        "use_bias": len(weights) > 1,
        "activation": activation,
    }
    if groups == x.shape[3] > 1 and filters % groups == 0 and _is_depthwise(strides, dilations):
        weights[0] = weights[0].reshape(*kernel_size, groups, filters // groups)
        arguments["depth_multiplier"] = filters // groups
        layer_class = layers.DepthwiseConv2D
    else:
        arguments |= {"filters": filters, "groups": groups}
        layer_class = layers.Conv2D
    y = graph.call_with_weights(node, layer_class, x, weights, [*node.inputs[1:], *names], **arguments)
    graph.give_images(last, y, activation in NONNEGATIVE)


def _is_depthwise(strides, dilations) -> bool:
    """Whether Keras's DepthwiseConv2D can do it."""
    return strides[0] == strides[1] and (strides == (1, 1) or dilations == (1, 1))


def _weights(kernel, bias, scale, shift, is_absorbed):
    """[kernel, bias or not], of which the last axis is the channels, with constants that follow in the file."""
    if not is_absorbed:
        return [kernel] if bias is None else [kernel, bias]
    bias = shift if bias is None else bias * scale + shift
    return [kernel * scale, bias] if bias.any() else [kernel * scale]


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
    _dense(node, graph, x, kernel, bias, node.inputs[1:])


@operator("MatMul")
def _matmul(node, graph):
    x, kernel = graph.value(node, 0), graph.weight(node, 1, rank=2)
    _dense(node, graph, x, kernel, None, node.inputs[1:])


def _dense(node, graph, x, kernel, bias, constants):
    """A Dense layer; of vectors, the kernel's rows come into the model's order."""
    units, order = kernel.shape[1], None
    if not x.shape:
        raise node.error("it works on vectors, (N, C). Received: one number a sample, (N,)")
    graph.check_size(node, (*x.shape[:-1], units))
    if len(x.shape) == 1:
        tensor, order = graph.vector(x)
        positions = same_order((units,))
    else:
        tensor, x = graph.with_axis_last(node, x, len(x.shape) - 1)
        positions = with_last_axis(x, len(x.shape) - 1, units)
    if kernel.shape[0] != x.shape[-1]:
        raise node.error(f"its kernel takes {kernel.shape[0]} numbers. Received: a sample of shape {x.shape}")
    if order is not None:
        rows, kernel = kernel, np.empty_like(kernel)
        kernel[order] = rows
    bias = None if bias is None else np.broadcast_to(bias.reshape(-1), (units,))
    scale, shift, last, names = absorb(node, graph, units, len(x.shape) + 1, -1)
    weights = _weights(kernel, bias, scale, shift, bool(names))
    activation, last = _activation_after(last, graph, takes_softmax=order is not None)
    y = graph.call_with_weights(
        node,
        layers.Dense,
        tensor,
        weights,
        [*constants, *names],
        order,
        units=units,
        use_bias=len(weights) > 1,
        activation=activation,
    )
    graph.give(last, Value(y, positions, activation in NONNEGATIVE))


@operator("ConvTranspose", kind=CHANNEL_OPERATORS)
def _conv_transpose(node, graph):
    x = graph.images(node)
    kernel = graph.weight(node, 1, rank=4)  # (C, F, KH, KW)
    size, strides, dilations = tuple(kernel.shape[2:]), pair(node, "strides"), pair(node, "dilations")
    pads, more = _transposed_options(node, size)
    padding, cropping = _transposed_padding(x.shape[1:3], size, strides, dilations, pads, more)
    weights = [kernel.transpose(2, 3, 1, 0)]
    if has_bias := len(node.inputs) > 2 and bool(node.inputs[2]):
        weights.append(graph.weight(node, 2, rank=1))
    full = [n * s + k * d + m for n, s, k, d, m in zip(x.shape[1:3], strides, size, dilations, more, strict=True)]
    graph.check_size(node, (*full, kernel.shape[1]))
    y = graph.call_with_weights(
        node,
        layers.Conv2DTranspose,
        x,
        weights,
        node.inputs[1:],
        filters=kernel.shape[1],
        kernel_size=size,
        strides=strides,
        padding=padding,
        output_padding=None if padding == "same" else more,
        dilation_rate=dilations,
        use_bias=has_bias,
    )
    if any(map(any, cropping)):
        y = graph.call(node, layers.Cropping2D, y, "_crop", cropping=cropping)
    graph.give_images(node, y)


def _transposed_options(node, kernel_size):
    """(pads, output_padding), of a node that has no other options."""
    if node.get("group", 1) != 1 or node.get("output_shape", None, list) is not None:
        raise node.error("groups and output_shape are not supported")
    if tuple(node.get("kernel_shape", list(kernel_size), list)) != kernel_size:
        raise node.error(f"kernel_shape should be that of the kernel, {kernel_size}")
    if node.get("auto_pad", "NOTSET", str) not in ("NOTSET", "VALID"):
        raise node.error("its padding is given in numbers, auto_pad='NOTSET'")
    pads, more = node.get("pads", [0] * 4, list), node.get("output_padding", [0, 0], list)
    if len(pads) != 4 or len(more) != 2 or min((*pads, *more)) < 0:
        raise node.error(f"pads are four numbers, output_padding two. Received: {pads}, {more}")
    return pads, more


def _transposed_padding(sizes, kernel_size, strides, dilations, pads, more):
    """(Keras's padding, what is cropped afterwards)."""
    sides = ((pads[0], pads[2]), (pads[1], pads[3]))
    is_same = True
    for axis in range(2):
        span = effective_size(kernel_size[axis], dilations[axis])
        reach, full = (sizes[axis] - 1) * strides[axis] + span, sizes[axis] * strides[axis]
        total = max(reach - full, 0)
        is_same &= sides[axis] == (total // 2, total - total // 2) and more[axis] == full - (reach - total)
    return ("same", ((0, 0), (0, 0))) if is_same else ("valid", sides)
