"""Layers with kernels: convolutions and matrix products; constants and activations that follow become part of them."""

from __future__ import annotations

import numpy as np

from minicnn import layers
from minicnn.geometry import effective_size
from minicnn.onnx import volumes
from minicnn.onnx.arguments import CHANNEL_OPERATORS, operator, pair
from minicnn.onnx.constants import lying_alike, operands
from minicnn.onnx.folding import absorb
from minicnn.onnx.padding import padded, take
from minicnn.onnx.values import Value, placed_like, same_order, with_last_axis
from minicnn.onnx.windows import keras_padding, padded_sides, padding_of_any_size

ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
"""Those that Conv2D and Dense take over as their activation, and its name."""
NONNEGATIVE = ("relu", "sigmoid", "softmax")
MAX_GROUPS = 256  # of a transposed convolution, which become layers of their own


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
    if volumes.are_volumes(node, graph):
        volumes.conv(node, graph)
        return
    x, (kernel, kernel_size), axes = graph.images(node), _kernel(node, graph), len(graph.value(node, 0).shape) - 1
    strides, dilations = pair(node, "strides"), pair(node, "dilations")
    sides, _ = padded_sides(node, x.shape[1:3], kernel_size, strides, dilations)
    chosen = padding_of_any_size(node, strides) if graph.has_open_sizes else None
    padding, outside = keras_padding(sides, x.shape[1:3], kernel_size, strides, dilations, chosen)
    groups, filters = node.get("group", 1), kernel.shape[0]
    bias = graph.weight(node, 2, rank=1) if len(node.inputs) > 2 and node.inputs[2] else None
    scale, shift, last, names = absorb(node, graph, filters, axes + 2, -axes - 1)
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
    graph.give_images(last, y, activation in NONNEGATIVE, axes)


def _kernel(node, graph):
    """(kernel (F, C / groups, KH, KW) or (C, F / groups, KH, KW), (KH, KW)); of rows, KH is 1."""
    kernel = graph.weight(node, 1, rank=len(graph.value(node, 0).shape) + 1)
    kernel = kernel[:, :, None] if kernel.ndim == 3 else kernel
    kernel_size = tuple(kernel.shape[2:])
    if pair(node, "kernel_shape", kernel_size) != kernel_size:
        raise node.error(f"kernel_shape should be that of the kernel, {kernel_size}")
    return kernel, kernel_size


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
    x = graph.value(node, 0, may_be_folded=True)
    if node.get("transA", 0) or x.rank != 2:
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
    rank = graph.constant(node, 1).ndim if graph.is_constant(node, 1) else 0
    if rank in (1, 2) and not graph.is_constant(node, 0):
        kernel = graph.weight(node, 1, rank).reshape(-1, 1) if rank == 1 else graph.weight(node, 1, rank)
        x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
        _dense(node, graph, x, kernel, None, node.inputs[1:], keeps_axis=rank == 2)
        return
    if graph.is_constant(node, 0) and graph.constant(node, 0).ndim < 2:
        raise node.error(f"a vector of the file is its second input. Received: {graph.constant(node, 0).shape} first")
    values = lying_alike(node, graph, but=2) or operands(node, graph)
    shapes = [value.shape for value in values]
    if len({len(shape) for shape in shapes}) > 1 or values[0].batch_axis > values[0].rank - 3:
        raise node.error(f"it multiplies vectors by a matrix of the file, or matrices. Received: samples {shapes}")
    tensors = [graph.arranged(node, value, same_order) for value in values]
    graph.check_size(node, (*np.broadcast_shapes(*(s[:-2] for s in shapes)), shapes[0][-2], shapes[1][-1]))
    y = graph.call(node, layers.MatrixProduct, tensors)
    kinds = all(value.is_nonnegative for value in values), any(value.is_whole for value in values)  # of one type
    graph.give(node, placed_like(Value(y, same_order(y.shape[1:]), *kinds), values[0]))


def _dense(node, graph, x, kernel, bias, constants, keeps_axis=True):
    """A Dense layer; of vectors, the kernel's rows come into the model's order."""
    units, order = kernel.shape[1], None
    if x.batch_axis == x.rank - 1:
        raise node.error(f"it works on vectors, (N, C). Received: the samples in the last axis, a sample {x.shape}")
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
    scale, shift, last, names = absorb(node, graph, units, x.rank, -1)
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
    positions = positions if keeps_axis else positions[..., 0]
    graph.give(last, placed_like(Value(y, positions, activation in NONNEGATIVE), x))


@operator("ConvTranspose", kind=CHANNEL_OPERATORS)
def _conv_transpose(node, graph):
    if volumes.are_volumes(node, graph):
        volumes.conv_transpose(node, graph)
        return
    x, (kernel, size), axes = graph.images(node), _kernel(node, graph), len(graph.value(node, 0).shape) - 1
    strides, dilations, groups = pair(node, "strides"), pair(node, "dilations"), node.get("group", 1)
    pads, more = _transposed_options(node, graph, x.shape[1:3], size, strides, dilations)
    padding, cropping = _transposed_padding(x.shape[1:3], size, strides, dilations, pads, more)
    filters, channels = kernel.shape[1], x.shape[3]
    if not 0 < groups <= MAX_GROUPS or channels % groups or kernel.shape[0] != channels:
        raise node.error(
            f"group is 1 to {MAX_GROUPS} and divides the channels, of which the kernel has as many. "
            f"Received: group={groups}, {channels} channels, a kernel of {kernel.shape[0]}"
        )
    full = [n * s + k * d + m for n, s, k, d, m in zip(x.shape[1:3], strides, size, dilations, more, strict=True)]
    graph.check_size(node, (*full, filters * groups))
    bias = graph.weight(node, 2, rank=1) if len(node.inputs) > 2 and node.inputs[2] else None
    arguments = {"filters": filters, "kernel_size": size, "strides": strides, "padding": padding}
    arguments |= {"output_padding": None if padding == "same" else more, "dilation_rate": dilations}
    parts, width = [], channels // groups
    for group in range(groups):
        own = slice(group * width, (group + 1) * width)
        weights = [kernel[own].transpose(2, 3, 1, 0)]
        weights += [] if bias is None else [bias[group * filters : (group + 1) * filters]]
        part = x if groups == 1 else take(node, graph, x, 3, range(channels)[own], f"_group_{group}")
        names = [*node.inputs[1:], *([f"group {group}"] if groups > 1 else [])]
        options = arguments | {"use_bias": bias is not None}
        parts.append(graph.call_with_weights(node, layers.Conv2DTranspose, part, weights, names, **options))
    y = parts[0] if groups == 1 else graph.call(node, layers.Concatenate, parts, "_groups")
    if any(map(any, cropping)):
        y = graph.call(node, layers.Cropping2D, y, "_crop", cropping=cropping)
    graph.give_images(node, y, axes=axes)


def _transposed_options(node, graph, sizes, kernel_size, strides, dilations):
    """(pads, output_padding) of both axes, also where the file says how large the output is."""
    automatic = node.get("auto_pad", "NOTSET", str) or "NOTSET"
    wanted, more = node.get("output_shape", None, list), node.get("output_padding", [0, 0], list)
    pads = node.get("pads", [0] * 4, list) if automatic == "NOTSET" else [0] * 4
    more, pads = [0, *more] if len(more) == 1 else list(more), list(pads)
    pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads
    if wanted is not None and len(wanted) == 1:
        wanted = [1, *wanted]
    if automatic.startswith("SAME") and wanted is None:
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    elif wanted is not None and graph.has_open_sizes:
        raise node.error("output_shape is one size, and that of the input is open in the file")
    if len(pads) != 4 or len(more) != 2 or (wanted is not None and len(wanted) != 2):
        raise node.error(f"pads are four numbers, output_padding and output_shape two. Received: {pads}, {more}")
    if wanted is not None:
        for axis in range(2):
            span = effective_size(kernel_size[axis], dilations[axis])
            total = strides[axis] * (sizes[axis] - 1) + more[axis] + span - wanted[axis]
            small, large = total // 2, total - total // 2
            pads[axis], pads[axis + 2] = (small, large) if automatic == "SAME_UPPER" else (large, small)
            if pads[axis + 2] < 0 == pads[axis]:  # one row more than the windows reach
                more[axis], pads[axis + 2] = more[axis] - pads[axis + 2], 0
    if min((*pads, *more)) < 0:
        raise node.error(f"the output is no larger than the windows reach. Received: pads={pads}, {more}, {wanted}")
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
