"""Pooling, and what is taken over axes."""

from __future__ import annotations

import numpy as np

from minicnn import layers
from minicnn.onnx.arguments import CHANNEL_OPERATORS, axes_of, operator, pair
from minicnn.onnx.padding import padded, reshaped, split_shape
from minicnn.onnx.values import Value, channels_first, same_order
from minicnn.onnx.windows import NO_SIDES, keras_padding, padded_sides, padding_of_any_size

MOST_PIXELS = 255  # in a window of MaxPooling2D


@operator("MaxPool", kind=CHANNEL_OPERATORS)
def _max_pool(node, graph):
    node.get("storage_order", 0)  # of the second output, which nothing here gives
    is_nonnegative = graph.value(node, 0).is_nonnegative
    _pool(node, graph, layers.MaxPooling2D, zeros_lose=is_nonnegative)


@operator("AveragePool", kind=CHANNEL_OPERATORS)
def _average_pool(node, graph):
    _pool(node, graph, layers.AveragePooling2D, zeros_count=bool(node.get("count_include_pad", 0)))


def _pool(node, graph, layer_class, zeros_lose=False, zeros_count=False):
    """A pooling; `zeros_lose`, `zeros_count`: why padding may be zeros that a layer before puts there."""
    axes = len(graph.value(node, 0).shape) - 1
    if axes not in (1, 2):
        _pool_along(node, graph, layer_class, zeros_count)
        return
    x = graph.images(node)
    if pair(node, "dilations") != (1, 1):
        raise node.error("pooling windows have no gaps here: dilations=[1, 1]")
    size, pool_size, strides = x.shape[1:3], pair(node, "kernel_shape", None), pair(node, "strides")
    sides, added = padded_sides(node, size, pool_size, strides, (1, 1), node.get("ceil_mode", 0))
    chosen = padding_of_any_size(node, strides, node.get("ceil_mode", 0)) if graph.has_open_sizes else None
    if zeros_count and chosen == "same":
        raise node.error("of padding that depends on the size of the input, which the file leaves open, zeros count")
    padding, outside = keras_padding(sides, size, pool_size, strides, (1, 1), "valid" if zeros_count else chosen)
    if any(max(side) >= span for side, span in zip(sides, pool_size, strict=True)):
        raise node.error(f"its padding is as wide as its windows. Received: {sides} for {pool_size}")
    if zeros_count and added and any(node.get("pads", [0] * 4, list)):
        raise node.error("of its padding, pads= would count and what ceil_mode adds would not")
    if not (zeros_lose or (zeros_count and not added) or outside == NO_SIDES):
        y = _centred(node, graph, layer_class, x, pool_size, strides, sides)
    elif outside == NO_SIDES and layer_class is layers.MaxPooling2D and pool_size == size and max(sides) == (0, 0):
        y = graph.call(node, layers.GlobalMaxPooling2D, x, keepdims=True)
    else:
        x = padded(node, graph, x, outside)
        y = _pooled(node, graph, layer_class, x, pool_size, strides, padding)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative, axes)


def _pooled(node, graph, layer_class, x, pool_size, strides, padding):
    """One pooling; a maximum over more pixels than one has here goes over rows first."""
    if layer_class is layers.MaxPooling2D and pool_size[0] * pool_size[1] > MOST_PIXELS:
        (height, width), (down, right) = pool_size, strides
        x = graph.call(node, layer_class, x, "_rows", pool_size=(height, 1), strides=(down, 1), padding=padding)
        pool_size, strides = (1, width), (1, right)
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


def _centred(node, graph, layer_class, x, pool_size, strides, sides):
    """Windows around every pixel, of which some are kept: Keras's "same" padding does not depend on the stride then."""
    if any(side != (span // 2, span // 2) or span % 2 == 0 for side, span in zip(sides, pool_size, strict=True)):
        raise node.error(
            "its padding is neither none, nor Keras's 'same', nor half of its windows, and a layer of zeros in its "
            f"place would change the result. Received: {sides} around images of {x.shape[1:3]}"
        )
    y = graph.call(node, layer_class, x, "_around", pool_size=pool_size, strides=1, padding="same")
    return y if strides == (1, 1) else graph.call(node, layers.MaxPooling2D, y, pool_size=1, strides=strides)


@operator("GlobalMaxPool", "GlobalAveragePool", kind=CHANNEL_OPERATORS)
def _global_pool(node, graph):
    is_max = node.operator == "GlobalMaxPool"
    layer_class = layers.GlobalMaxPooling2D if is_max else layers.GlobalAveragePooling2D
    y = graph.call(node, layer_class, graph.images(node), keepdims=True)
    graph.give_images(node, y, graph.value(node, 0).is_nonnegative, len(graph.value(node, 0).shape) - 1)


OF_EACH = {"ReduceL1": ("abs", None), "ReduceL2": ("power", 2.0), "ReduceSumSquare": ("power", 2.0)}
"""Sums of a function of each number → that function, and its exponent."""


@operator("ReduceMax", "ReduceMean", "ReduceSum", "ReduceMin", *OF_EACH, kind=CHANNEL_OPERATORS)
def _reduce(node, graph):
    """Over axes that lie side by side in the model: a pooling."""
    x = graph.value(node, 0)
    rank = len(x.shape) + 1
    axes = axes_of(node, graph, rank) or []
    if node.get("noop_with_empty_axes", 0) and not axes:
        if node.operator in OF_EACH:
            raise node.error("it names the axes that it goes over")
        graph.give(node, x)
        return
    if node.operator in OF_EACH:
        function, exponent = OF_EACH[node.operator]
        arguments = {} if exponent is None else {"exponent": exponent}
        y = graph.call(node, layers.Elementary, x.tensor, "_each", function=function, **arguments)
        x = Value(y, x.positions, True)
    axes = sorted(axes or range(rank))
    if axes[0] == 0:
        raise node.error(f"samples stay apart: axis 0 is the batch axis. Received: axes={axes}")
    keeps = bool(node.get("keepdims", 1))
    if len(axes) == rank - 1:  # the order of the numbers does not matter
        tensor, layout, own = x.tensor, same_order, list(range(1, len(x.tensor.shape)))
    else:
        (tensor,), layout = graph.aligned(node, [x])
        own = sorted(model_axis(layout, axis, rank) for axis in axes)
    if own != list(range(own[0], own[-1] + 1)):
        raise node.error(f"the axes lie side by side in the model, whose channels are last. Received: axes={axes}")
    y = _pooled_axes(node, graph, tensor, own)
    shape = [1 if axis in own else n for axis, n in enumerate(tensor.shape[1:], 1)]
    is_all = len(axes) == rank - 1
    y = reshaped(node, graph, y, (1,) * (rank - 1) if is_all else shape, "_shaped")
    positions = layout(y.shape[1:])
    if not keeps:
        positions = positions.squeeze(tuple(axis - 1 for axis in axes))
    is_nonnegative = x.is_nonnegative
    graph.give(node, Value(y, positions, is_nonnegative))


def model_axis(layout, axis: int, rank: int) -> int:
    """Where an axis of the file, not the batch's, is in a tensor in a layout; both count the batch axis."""
    if layout is not channels_first:
        return axis
    return rank - 1 if axis == 1 else axis - 1


def _pooled_axes(node, graph, tensor, axes):
    """The mean, sum, maximum or minimum over neighbouring axes, in some shape."""
    sizes = tensor.shape[1:]
    before, count, behind = (
        int(np.prod(part)) for part in (sizes[: axes[0] - 1], sizes[axes[0] - 1 : axes[-1]], sizes[axes[-1] :])
    )
    kind = node.operator
    is_max = kind in ("ReduceMax", "ReduceMin")
    if kind == "ReduceMin":
        tensor = graph.call(node, layers.Rescaling, tensor, "_negative", scale=-1.0)
    if before == 1:
        shape = sizes if axes == [1, 2] and len(sizes) == 3 else (1, count, behind)
        tensor = reshaped(node, graph, tensor, shape, "_rows")
        y = graph.call(
            node, layers.GlobalMaxPooling2D if is_max else layers.GlobalAveragePooling2D, tensor, keepdims=True
        )
    else:
        tensor = reshaped(node, graph, tensor, (before, count, behind), "_rows")
        y, left = tensor, count
        while is_max and left > MOST_PIXELS:  # in steps
            part = max(n for n in range(1, MOST_PIXELS + 1) if left % n == 0)
            if part == 1:
                raise node.error(f"a maximum over {left} numbers, a prime, is not taken here")
            y, left = graph.call(node, layers.MaxPooling2D, y, "_part", pool_size=(1, part)), left // part
        y = graph.call(
            node, layers.MaxPooling2D if is_max else layers.AveragePooling2D, y, pool_size=(1, left), strides=1
        )
    if kind == "ReduceSum" or kind in OF_EACH:
        y = graph.call(node, layers.Rescaling, y, "_sum", scale=float(count))
    if kind == "ReduceL2":
        y = graph.call(node, layers.Elementary, y, "_length", function="power", exponent=0.5)
    return graph.call(node, layers.Rescaling, y, "_positive", scale=-1.0) if kind == "ReduceMin" else y
