"""Convolutions and poolings of volumes, (N, C, D, H, W): in the layers of three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.geometry import effective_size
from minicnn.graph import Tensor
from minicnn.onnx.arguments import integers
from minicnn.onnx.values import channels_first
from minicnn.onnx.windows import ceil_extra, padding_of_any_size

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

AXES = 3  # beside the channels
NO_SIDES = ((0, 0),) * AXES
REPEATING = {("asymmetric", "floor"), *(("half_pixel", f"round_prefer_{end}") for end in ("floor", "ceil"))}
"""(where, rounding) of a Resize by whole factors that repeats every voxel."""

Sides = tuple[tuple[int, int], ...]


def are_volumes(node: FileNode, graph: Importer) -> bool:
    """Whether a node's first input has three axes beside the channels."""
    return len(graph.value(node, 0).shape) == AXES + 1


def conv(node: FileNode, graph: Importer) -> None:
    """A `Conv3D`, behind zeros where its padding is not one of Keras's."""
    x, (kernel, kernel_size) = _volumes(node, graph), _kernel(node, graph)
    strides, dilations = _triple(node, "strides"), _triple(node, "dilations")
    sides, _ = _padded_sides(node, x.shape[1:4], kernel_size, strides, dilations)
    padding, outside = _keras_padding(node, graph, sides, x.shape[1:4], kernel_size, strides, dilations)
    weights = [kernel.transpose(2, 3, 4, 1, 0), *_bias(node, graph)]  # (KD, KH, KW, C / groups, F)
    options = {"filters": kernel.shape[0], "kernel_size": kernel_size, "strides": strides, "padding": padding}
    options |= {"dilation_rate": dilations, "groups": node.get("group", 1), "use_bias": len(weights) > 1}
    x = _padded(node, graph, x, outside)
    y = graph.call_with_weights(node, layers.Conv3D, x, weights, node.inputs[1:], **options)
    graph.give_images(node, y, axes=AXES)


def conv_transpose(node: FileNode, graph: Importer) -> None:
    """A `Conv3DTranspose` with Keras's padding, or with none and a `Cropping3D` of what the file's takes off."""
    x, (kernel, kernel_size) = _volumes(node, graph), _kernel(node, graph)
    strides, dilations = _triple(node, "strides"), _triple(node, "dilations")
    more, pads = node.get("output_padding", [0] * AXES, list), node.get("pads", [0] * 2 * AXES, list)
    automatic, groups = node.get("auto_pad", "NOTSET", str) or "NOTSET", node.get("group", 1)
    if automatic not in ("NOTSET", "VALID") or node.get("output_shape", None, list) is not None or groups != 1:
        raise node.error(
            "of volumes, it has its padding in numbers and one group. "
            f"Received: auto_pad={automatic!r}, output_shape={node.get('output_shape', None, list)}, group={groups}"
        )
    if len(pads) != 2 * AXES or len(more) != AXES or min((*pads, *more)) < 0:
        raise node.error(f"pads are six numbers, output_padding three, none negative. Received: {pads}, {more}")
    if any(n >= stride for n, stride in zip(more, strides, strict=True)):
        raise node.error(f"output_padding is smaller than the strides here. Received: {more} for strides={strides}")
    axes = zip(x.shape[1:4], strides, kernel_size, dilations, more, strict=True)
    full = [n * stride + span * gap + beyond for n, stride, span, gap, beyond in axes]
    graph.check_size(node, (*full, kernel.shape[1]))
    weights = [kernel.transpose(2, 3, 4, 1, 0), *_bias(node, graph)]  # (KD, KH, KW, F, C)
    options = {"filters": kernel.shape[1], "kernel_size": kernel_size, "strides": strides, "dilation_rate": dilations}
    options |= {"output_padding": tuple(more), "use_bias": len(weights) > 1}
    cropping = tuple(zip(pads[:AXES], pads[AXES:], strict=True))
    spans = [effective_size(kernel, gap) for kernel, gap in zip(kernel_size, dilations, strict=True)]
    if _are_same(cropping, more, spans, strides):
        options, cropping = options | {"padding": "same", "output_padding": None}, NO_SIDES
    y = graph.call_with_weights(node, layers.Conv3DTranspose, x, weights, node.inputs[1:], **options)
    if cropping != NO_SIDES:
        y = graph.call(node, layers.Cropping3D, y, "_crop", cropping=cropping)
    graph.give_images(node, y, axes=AXES)


def pool(node: FileNode, graph: Importer, is_max: bool) -> None:
    """A `MaxPooling3D` or `AveragePooling3D`, behind zeros where these count, or cannot win."""
    x, value = _volumes(node, graph), graph.value(node, 0)
    size, strides = _triple(node, "kernel_shape", None), _triple(node, "strides")
    if _triple(node, "dilations") != (1, 1, 1):
        raise node.error("windows of volumes have no gaps here. Received: dilations")
    sides, extra = _padded_sides(node, x.shape[1:4], size, strides, (1, 1, 1))
    zeros_count = not is_max and bool(node.get("count_include_pad", 0))
    goes_by_size = graph.has_open_sizes and max(strides) > 1 and _is_ceil(node)  # not by those that stand for them
    if goes_by_size or (any(extra) and not is_max):
        raise node.error("of volumes, ceil_mode=1 is taken for maxima of known sizes. Received: ceil_mode=1")
    sides = tuple((before, after + more) for (before, after), more in zip(sides, extra, strict=True))
    if zeros_count:
        padding, outside = "valid", sides
    else:
        padding, outside = _keras_padding(node, graph, sides, x.shape[1:4], size, strides, (1, 1, 1))
    if outside != NO_SIDES and not (zeros_count or (is_max and value.is_nonnegative)):
        raise node.error(
            "of volumes, its padding is none or Keras's 'same', or zeros that count, or that cannot be the maximum, as "
            f"behind a ReLU. Received: pads of {outside}"
        )
    x = _padded(node, graph, x, outside)
    layer_class = layers.MaxPooling3D if is_max else layers.AveragePooling3D
    y = graph.call(node, layer_class, x, pool_size=size, strides=strides, padding=padding)
    graph.give_images(node, y, value.is_nonnegative, AXES)


def global_pool(node: FileNode, graph: Importer, is_max: bool) -> None:
    """A `GlobalMaxPooling3D` or `GlobalAveragePooling3D`."""
    layer_class = layers.GlobalMaxPooling3D if is_max else layers.GlobalAveragePooling3D
    y = graph.call(node, layer_class, _volumes(node, graph), keepdims=True)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative, AXES)


def resize(node: FileNode, graph: Importer) -> None:
    """An `UpSampling3D`: whole factors, each voxel repeated."""
    x, is_old = _volumes(node, graph), node.operator == "Upsample" or graph.opset < 11
    where = node.get("coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel", str)
    mode = node.get("mode", "nearest", str)
    rounding = node.get("nearest_mode", "floor" if is_old else "round_prefer_floor", str)
    factors = graph.constant(node, 1 if is_old else 2) if len(node.inputs) > (1 if is_old else 2) else None
    if factors is None or not factors.size:
        sizes = (integers(node, graph.constant(node, 3)) if len(node.inputs) > 3 else None) or []
        factors = [n / old for n, old in zip(sizes[1:], (x.shape[4], *x.shape[1:4]), strict=False)]
        factors = [1, *factors] if len(sizes) == AXES + 2 and not graph.has_open_sizes else []
    factors = [float(n) for n in np.ravel(factors)]
    for name, default in (("cubic_coeff_a", -0.75), ("exclude_outside", 0), ("extrapolation_value", 0.0)):
        node.get(name, default, type(default))  # which say nothing of voxels that are repeated
    is_whole = len(factors) == AXES + 2 and all(n >= 1 and n.is_integer() for n in factors)
    if not is_whole or factors[:2] != [1, 1] or mode != "nearest":
        raise node.error(
            f"volumes are made larger by whole factors, each voxel repeated. Received: mode={mode!r}, factors={factors}"
        )
    if (where.removeprefix("pytorch_"), rounding) not in REPEATING:
        raise node.error(f"no layer finds voxels in this way. Received: {where!r}, {rounding!r}")
    size = tuple(int(n) for n in factors[2:])
    graph.check_size(node, (*(n * m for n, m in zip(x.shape[1:4], size, strict=True)), x.shape[4]))
    y = graph.call(node, layers.UpSampling3D, x, size=size)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative, AXES)


def _volumes(node, graph) -> Tensor:
    """The first input as a tensor (D, H, W, C), whose channels come first in the file."""
    return graph.arranged(node, graph.value(node, 0), channels_first)


def _kernel(node, graph):
    """(kernel, (KD, KH, KW)): of the file, (F, C / groups, KD, KH, KW) or (C, F, KD, KH, KW)."""
    kernel = graph.weight(node, 1, rank=AXES + 2)
    if _triple(node, "kernel_shape", kernel.shape[2:]) != kernel.shape[2:]:
        raise node.error(f"kernel_shape should be that of the kernel, {kernel.shape[2:]}")
    return kernel, kernel.shape[2:]


def _bias(node, graph):
    """[bias], or nothing."""
    return [graph.weight(node, 2, rank=1)] if len(node.inputs) > 2 and node.inputs[2] else []


def _triple(node, attribute, default: tuple[int, ...] | None = (1, 1, 1)) -> tuple[int, ...]:
    """An attribute that holds three positive integers."""
    value = node.get(attribute, default, list)
    if value is None or len(value) != AXES or not all(0 < n < 2**31 for n in value):
        raise node.error(f"{attribute} holds three positive numbers, for volumes. Received: {attribute}={value}")
    return tuple(value)


def _padded_sides(node, sizes, kernel_size, strides, dilations) -> tuple[Sides, list[int]]:
    """(what a node adds around volumes, what `ceil_mode` adds behind them)."""
    automatic, pads = node.get("auto_pad", "NOTSET", str) or "NOTSET", node.get("pads", None, list)
    if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise node.error(f"unknown padding. Received: auto_pad={automatic!r}")
    pads = [0] * 2 * AXES if pads is None or automatic != "NOTSET" else pads
    if len(pads) != 2 * AXES or any(n < 0 for n in pads):
        raise node.error(f"pads are six numbers, none negative. Received: pads={pads}")
    is_ceil, sides, extra = _is_ceil(node), [], []
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        span, (before, after) = effective_size(kernel_size[axis], dilations[axis]), (pads[axis], pads[axis + AXES])
        if automatic.startswith("SAME"):
            small, large = _same(size, span, stride)
            before, after = (small, large) if automatic == "SAME_UPPER" else (large, small)
        extra.append(ceil_extra(size, before, after, span, stride) if is_ceil else 0)
        sides.append((before, after))
    return tuple(sides), extra


def _is_ceil(node):
    """Whether a pooling has as many windows as begin in the volume, unless its automatic padding says how many."""
    return bool(node.get("ceil_mode", 0)) and "SAME" not in (node.get("auto_pad", "NOTSET", str) or "")


def _same(size, span, stride):
    """(voxels before, after) as Keras's "same" adds them."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def _keras_padding(node, graph, sides, sizes, kernel_size, strides, dilations) -> tuple[str, Sides]:
    """(padding argument, sides that are left to add before); where a size is open, one that is right for any."""
    chosen = padding_of_any_size(node, strides) if graph.has_open_sizes else None
    if chosen is not None:
        return chosen, NO_SIDES if chosen == "same" else sides
    if sides == NO_SIDES:
        return "valid", NO_SIDES
    axes = zip(sizes, kernel_size, strides, dilations, strict=True)
    same = tuple(_same(size, effective_size(kernel, gap), stride) for size, kernel, stride, gap in axes)
    return ("same", NO_SIDES) if sides == same else ("valid", sides)


def _are_same(sides, more, spans, strides) -> bool:
    """Whether what a transposed convolution takes off and adds makes its output `strides` times as large, as Keras."""
    wanted = [(max(span - stride, 0), max(stride - span, 0)) for span, stride in zip(spans, strides, strict=True)]
    return [(tuple(side), n) for side, n in zip(sides, more, strict=True)] == [
        ((total // 2, total - total // 2), rest) for total, rest in wanted
    ]


def _padded(node, graph, tensor: Tensor, outside: Sequence[Sequence[int]]) -> Tensor:
    """A tensor of volumes with zeros around them."""
    if tuple(outside) == NO_SIDES:
        return tensor
    sizes = [n + sum(side) for n, side in zip(tensor.shape[1:4], outside, strict=True)]
    graph.check_size(node, (*sizes, tensor.shape[4]))
    return graph.call(node, layers.ZeroPadding3D, tensor, "_pad", padding=tuple(outside))
