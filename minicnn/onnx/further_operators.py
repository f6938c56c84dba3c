"""Operators of networks beyond classifiers: further activations and normalizations, images that grow, arithmetic.

As in `operators`, which stands for what most files hold; what a table there names, too, also goes through the functions
here where constants take part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.geometry import effective_size
from minicnn.onnx import operators, rearranging
from minicnn.onnx.arguments import checked_axis, integers, operator, pair
from minicnn.onnx.operators import CHANNEL_OPERATORS, ELEMENTWISE_OPERATORS
from minicnn.onnx.values import Value, channels_first, is_last_axis
from minicnn.resampling import taps_between

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

FUNCTIONS = {
    "Erf": "erf",
    "Exp": "exponential",
    "Gelu": "gelu",
    "HardSwish": "hard_silu",
    "Mish": "mish",
    "Selu": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
}
"""Operator → the function that `layers.Pointwise` computes."""

CHANNEL_OPERATORS |= {"ConvTranspose", "GroupNormalization", "InstanceNormalization", "PRelu", "Resize", "Upsample"}
ELEMENTWISE_OPERATORS |= {"Div", "Elu", "HardSigmoid", "Max", "Mean", "Mul", "Sub", *FUNCTIONS}


# ------------------------------------------------------------------------------------------------------- activations


@operator(*FUNCTIONS)
def _pointwise(node, graph):
    known = {"Selu": {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}}.get(node.operator, {})
    for name, value in known.items():
        if abs(node.get(name, value, float) - value) > 1e-6:
            raise node.error(f"only {name}={value:g} is supported. Received: {node.get(name, value, float)}")
    if node.operator == "Gelu" and node.get("approximate", "none", str) != "none":
        raise node.error("only the exact function is supported, approximate='none'")
    _call_elementwise(node, graph, layers.Pointwise, function=FUNCTIONS[node.operator])


@operator("Elu")
def _elu(node, graph):
    _call_elementwise(node, graph, layers.ELU, alpha=node.get("alpha", 1.0, float))


@operator("HardSigmoid")
def _hard_sigmoid(node, graph):
    """max(0, min(1, alpha · x + beta))"""
    x, slope, offset = graph.value(node, 0), node.get("alpha", 0.2, float), node.get("beta", 0.5, float)
    for name, known in (("hard_sigmoid", 1 / 6), ("sparse_sigmoid", 0.5)):
        if abs(slope - known) < 1e-6 and offset == 0.5:
            _call_elementwise(node, graph, layers.Pointwise, True, function=name)
            return
    line = graph.call(node, layers.Rescaling, x.tensor, "_line", scale=slope, offset=offset)
    graph.give(node, Value(graph.call(node, layers.ReLU, line, max_value=1.0), x.positions, True))


def _call_elementwise(node, graph, layer_class, is_nonnegative=False, **arguments):
    x = graph.value(node, 0)
    graph.give(node, Value(graph.call(node, layer_class, x.tensor, **arguments), x.positions, is_nonnegative))


@operator("PRelu")
def _prelu(node, graph):
    x = graph.value(node, 0)
    slope = graph.constant(node, 1)
    if slope is None or slope.dtype.kind != "f":
        raise node.error("its slopes are an array in the file")
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


# --------------------------------------------------------------------------------------------------------- arithmetic


@operator("Add", "Mul", "Sub", "Div")
def _arithmetic(node, graph):
    """With a constant: `Rescaling`. Else a layer of two inputs."""
    known = [graph.is_constant(node, index) for index in range(2)]
    if any(known) and len(node.inputs) == 2:
        _rescale(node, graph, known.index(True))
    elif node.operator == "Add":
        operators.add(node, graph)
    elif node.operator == "Div":
        raise node.error("only constants divide")
    else:
        _merge(node, graph, {"Mul": layers.Multiply, "Sub": layers.Subtract}[node.operator])


@operator("Mean")
def _mean(node, graph):
    _merge(node, graph, layers.Average)


@operator("Max")
def _max(node, graph):
    _merge(node, graph, layers.Maximum)


def _merge(node, graph, layer_class):
    """A layer of all inputs, number by number, in one layout."""
    tensors, layout = graph.aligned(node, graph.values(node))
    y = graph.call(node, layer_class, tensors) if len(tensors) > 1 else tensors[0]
    graph.check_size(node, y.shape[1:])
    graph.give(node, Value(y, layout(y.shape[1:])))


def _rescale(node, graph, index):
    """x · scale + offset, with one number for all or one a channel."""
    x, array = graph.value(node, 1 - index), graph.constant(node, index)
    if array.dtype.kind != "f" or not np.isfinite(array).all() or array.size == 0:
        raise node.error(f"its constant holds finite floating-point numbers. Received: dtype {array.dtype}")
    numbers = array.astype(np.float64)
    if node.operator == "Div":
        if index == 0 or not numbers.all():
            raise node.error("only constants divide, none of them 0")
        numbers = 1 / numbers
    scale, offset = {
        "Add": (1.0, numbers),
        "Sub": (-1.0, numbers) if index == 0 else (1.0, -numbers),
        "Mul": (numbers, 0.0),
        "Div": (numbers, 0.0),
    }[node.operator]
    scale, offset = (_by_channel(node, x, part) for part in (scale, offset))
    y = graph.call(node, layers.Rescaling, x.tensor, scale=scale, offset=offset)
    graph.give(node, Value(y, x.positions))


def _by_channel(node: FileNode, x: Value, numbers: object) -> float | list[float]:
    """One number, or one for each of the last axis of the model's tensor."""
    numbers = np.asarray(numbers)
    if numbers.size == 1:
        return float(numbers.item())
    if numbers.ndim > len(x.shape) and numbers.shape[0] == 1:
        numbers = numbers[0]
    spread = np.broadcast_to(numbers, x.shape)
    ordered = np.empty(spread.size)
    ordered[x.positions.ravel()] = spread.ravel()
    rows = ordered.reshape(-1, x.tensor.shape[-1])
    if not (rows == rows[0]).all():
        raise node.error(
            f"its constant holds one number, or one a channel. Received: an array of shape {numbers.shape}"
        )
    return rows[0].tolist()


# ----------------------------------------------------------------------------------------------------- normalizations


@operator("InstanceNormalization", "GroupNormalization")
def _group_normalization(node, graph):
    x, is_group = graph.value(node, 0), node.operator == "GroupNormalization"
    scale, bias = (graph.weight(node, index, rank=1) for index in (1, 2))
    epsilon = node.get("epsilon", 1e-5, float)
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
    x = graph.value(node, 0)
    axis = checked_axis(node, node.get("axis", -1), len(x.shape) + 1)
    node.get("stash_type", 1)
    if axis != len(x.shape) or not is_last_axis(x, axis - 1):
        raise node.error(f"it goes over the last axis, the channels. Received: axis={axis} of a sample {x.shape}")
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    weights = [graph.weight(node, index, rank=1) for index in range(1, 3 if has_bias else 2)]
    epsilon = node.get("epsilon", 1e-5, float)
    y = graph.call_with_weights(
        node, layers.LayerNormalization, x.tensor, weights, node.inputs[1:], epsilon=epsilon, center=has_bias
    )
    graph.give(node, Value(y, x.positions))


# ------------------------------------------------------------------------------------------------- images that change


@operator("ConvTranspose")
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


@operator("Resize", "Upsample")
def _resize(node, graph):
    x = graph.images(node)
    old = x.shape[1:3]
    new = _new_size(node, graph, old)
    graph.check_size(node, (*new, x.shape[3]))
    mode = node.get("mode", "nearest", str)
    where = "asymmetric" if node.operator == "Upsample" else "half_pixel"
    where = node.get("coordinate_transformation_mode", where, str)
    method = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}.get(mode)
    cubic = node.get("cubic_coeff_a", -0.75, float), node.get("exclude_outside", 0)
    node.get("extrapolation_value", 0.0, float)
    if mode == "nearest":
        rounding = node.get("nearest_mode", "floor" if node.operator == "Upsample" else "round_prefer_floor", str)
        is_ours = all(_is_nearest(*sizes, where, rounding) for sizes in zip(old, new, strict=True))
    else:
        is_ours = where == "half_pixel" or (where == "pytorch_half_pixel" and min(new) > 1)
        is_ours &= method == "bilinear" or cubic == (-0.5, 1)
    if method is None or not is_ours or node.get("antialias", 0):
        raise node.error(f"no layer finds pixels in this way. Received: mode={mode!r}, {where!r}, {old} → {new}")
    if all(n % o == 0 for o, n in zip(old, new, strict=True)):
        factors = tuple(n // o for o, n in zip(old, new, strict=True))
        y = graph.call(node, layers.UpSampling2D, x, size=factors, interpolation=method)
    else:
        y = graph.call(node, layers.Resizing, x, height=new[0], width=new[1], interpolation=method)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative and method != "bicubic")


def _new_size(node: FileNode, graph: Importer, old: tuple[int, ...]) -> list[int]:
    """(height, width), from factors or sizes."""
    at = 1 if node.operator == "Upsample" or graph.opset < 11 else 2
    factors = graph.constant(node, at) if len(node.inputs) > at else None
    if node.get("axes", None, list) is not None or node.get("keep_aspect_ratio_policy", "stretch", str) != "stretch":
        raise node.error("sizes and factors are given for all four axes")
    if factors is not None and factors.size:
        factors = factors.astype(np.float32).ravel()
        if len(factors) != 4 or (factors[:2] != 1).any() or not (factors > 0).all():
            raise node.error(f"only rows and columns are resized. Received: factors {factors.tolist()}")
        return [int(np.floor(np.float32(n) * f)) for n, f in zip(old, factors[2:], strict=True)]
    sizes = integers(node, graph.constant(node, 3)) if len(node.inputs) > 3 else None
    if sizes is None or len(sizes) != 4:
        raise node.error(f"factors or sizes are given, one for each axis. Received: {sizes}")
    return sizes[2:]


def _is_nearest(old, new, where, rounding) -> bool:
    """Whether the nearest pixels in ONNX's words are those that the layers take."""
    at = np.arange(new)
    places = {
        "asymmetric": at * (old / new),
        "half_pixel": (at + 0.5) * (old / new) - 0.5,
        "pytorch_half_pixel": (at + 0.5) * (old / new) - 0.5 if new > 1 else at * 0.0,
        "tf_half_pixel_for_nn": (at + 0.5) * (old / new),
    }.get(where)
    if places is None:
        return False
    index = {
        "floor": np.floor(places),
        "ceil": np.ceil(places),
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
    }.get(rounding)
    return index is not None and np.array_equal(np.clip(index, 0, old - 1), taps_between(old, new, "nearest").index[0])


@operator("Slice")
def _slice(node, graph):
    """Of images: `Cropping2D`; else a part of a shape."""
    if graph.is_constant(node, 0) or graph.opset < 10:
        rearranging.slice_shape(node, graph)
        return
    x = graph.value(node, 0)
    starts, ends, axes, strides = (integers(node, graph.constant(node, n)) for n in range(1, 5))
    rank = len(x.shape) + 1
    axes = [checked_axis(node, axis, rank) for axis in (range(len(starts or ())) if axes is None else axes)]
    if not starts or len(starts) != len(ends or ()) or len(starts) != len(axes) or any(s != 1 for s in strides or ()):
        raise node.error("a part begins and ends once on each axis, and leaves nothing out")
    (tensor,), layout = graph.aligned(node, [x])
    spatial = (2, 3) if layout is channels_first else (1, 2)
    cropping = [[0, 0], [0, 0]]
    for axis, start, end in zip(axes, starts, ends, strict=True):
        size = x.shape[axis - 1] if axis else 0
        first, last, _ = slice(start, end).indices(size)
        if axis in spatial and rank == 4:
            cropping[spatial.index(axis)] = [first, size - max(last, first)]
        elif axis == 0 or (first, last) != (0, size):
            raise node.error(f"only rows and columns of images are cut. Received: axis {axis} of a sample {x.shape}")
    y = graph.call(node, layers.Cropping2D, tensor, cropping=cropping)
    graph.give(node, Value(y, layout(y.shape[1:]), x.is_nonnegative))
