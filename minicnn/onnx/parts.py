"""Parts of tensors, tensors put together, and borders around images."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from minicnn import layers
from minicnn.errors import FileFormatError
from minicnn.onnx.arguments import (
    BATCH,
    CHANNEL_OPERATORS,
    ELEMENTWISE_OPERATORS,
    NUMBER,
    checked_axis,
    integers,
    number_at,
    operator,
    part_of,
)
from minicnn.onnx.constants import LARGEST, constant_tensor, operands
from minicnn.onnx.padding import MAX_RUNS, bordered, padded, part, reshaped, split_shape, take
from minicnn.onnx.pooling import give_border, give_stack, model_axis
from minicnn.onnx.reshaping import shape_in_file
from minicnn.onnx.resizing import give_pixels
from minicnn.onnx.values import Value, placed_like
from minicnn.parameters import weights_from_file

ENDLESS = 2**31 - 1  # what is cut there goes to the end
MOST_SHIFT = 16.0  # by which numbers may be moved for a while: they lose digits


@operator("Slice")
def _slice(node, graph):
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    if graph.opset < 10:
        starts, ends, axes = (node.get(name, None, list) for name in ("starts", "ends", "axes"))
        steps = None
    else:
        starts, ends, axes, steps = (integers(node, graph.constant(node, n)) for n in range(1, 5))
    rank = x.rank
    axes = [checked_axis(node, axis, rank) for axis in (range(len(starts or ())) if axes is None else axes)]
    steps = steps or [1] * len(axes)
    count = len(starts or ())
    if not count == len(ends or ()) == len(set(axes)) == len(axes) == len(steps) or not count or 0 in steps:
        raise node.error("a part begins and ends once on each axis")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if axis == x.batch_axis:
            if start in (0, None) and end >= 2**31 - 1 and step == 1:
                continue
            raise node.error(f"samples stay apart: the batch axis, axis={axis}, is not cut")
        own = x.sample_axis(axis)
        found = _part_of_any_size(node, graph, x, own + 1, (start, end, step))
        if found is None:
            found = _taken(node, graph, x, own + 1, range(x.shape[own])[part_of(x.shape[own], start, end, step)])
        x = placed_like(found, x)
    graph.give(node, x)


def _part_of_any_size(node, graph, x, axis, bounds):
    """A part of images of open sizes, of which what is cut away would depend on them; None of any other."""
    start, end, step = bounds
    is_turned = step < 0 and (start == -1 or start >= ENDLESS) and end <= -ENDLESS
    is_bound = step > 0 and (-ENDLESS < start < 0 or 0 <= end < ENDLESS)
    if not graph.has_open_sizes or len(x.shape) != 3 or not (is_turned or is_bound):
        return None
    (tensor,), layout = graph.aligned(node, [x])
    own = model_axis(layout, axis, 4)
    if own == 3:
        return None
    bounds = (None, None, step) if is_turned else (start, end if end < ENDLESS else None, step)
    y = part(node, graph, tensor, own, bounds)
    return Value(y, layout(y.shape[1:]), x.is_nonnegative, x.is_whole)


def _taken(node, graph, x, axis, indices):
    """The part of a value at `indices` of an axis of the file."""
    if len(indices) == x.shape[axis - 1] and list(indices) == list(range(len(indices))):
        return x
    if not len(indices):
        raise node.error(f"it leaves nothing of axis {axis} of a sample {x.shape}")
    (tensor,), layout = graph.aligned(node, [x])
    rank, own = len(x.shape) + 1, model_axis(layout, axis, len(x.shape) + 1)
    steps = np.diff(indices)
    if rank == 4 and own < 3 and len(steps) and steps[0] > 1 and (steps == steps[0]).all():  # every n-th row or column
        tensor = take(node, graph, tensor, own, range(indices[0], indices[-1] + 1))
        strides = (int(steps[0]), 1) if own == 1 else (1, int(steps[0]))
        y = graph.call(node, layers.MaxPooling2D, tensor, pool_size=1, strides=strides)
    else:
        y = take(node, graph, tensor, own, indices)
    return Value(y, layout(y.shape[1:]), x.is_nonnegative, x.is_whole)


@operator("Split")
def _split(node, graph):
    x, count = graph.value(node, 0, any_batch_axis=True, may_be_folded=True), len(node.outputs)
    axis = checked_axis(node, node.get("axis", 0), x.rank)
    if axis == x.batch_axis:
        raise node.error(f"samples stay apart: the batch axis, axis={axis}, is not cut")
    size = x.shape[x.sample_axis(axis)]
    sizes = node.get("split", None, list) if graph.opset < 13 else integers(node, graph.constant(node, 1))
    if node.get("num_outputs", count) != count:
        raise node.error(f"it has as many outputs as it says. Received: {count}")
    if sizes is None:
        each = -(-size // count)
        sizes = [max(min(each, size - each * n), 0) for n in range(count)]
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 1:
        raise node.error(f"it should divide axis {axis} of a sample {x.shape}. Received: {sizes}")
    start = 0
    for number, length in enumerate(sizes):
        if node.outputs[number]:
            found = _taken(node, graph, x, x.sample_axis(axis) + 1, list(range(start, start + length)))
            graph.give(node, placed_like(found, x), number)
        start += length


@operator("Gather", "GatherND")
def _gather(node, graph):
    """GatherND only where it is a Gather of a list along the first axis."""
    if node.operator == "Gather" and graph.is_constant(node, 0):
        _rows_of_a_table(node, graph)
        return
    x, indices = graph.value(node, 0, any_batch_axis=True, may_be_folded=True), graph.constant(node, 1)
    if node.operator == "Gather" and x.rank == 1 and x.folded:
        _samples_again(node, graph, x, indices)
        return
    axis = checked_axis(node, node.get("axis", 0), x.rank) if node.operator == "Gather" else 0
    if axis == x.batch_axis or indices.dtype.kind != "i" or indices.size == 0:
        raise node.error("it takes a list of rows, columns or channels, not of samples")
    if node.operator == "GatherND":
        x = graph.value(node, 0, any_batch_axis=True)
        if node.get("batch_dims", 0) == 0 and x.batch_axis == 2 and give_pixels(node, graph, x, indices):
            return
        if node.get("batch_dims", 0) or indices.shape != (indices.size, 1):
            raise node.error(
                "it takes a list along one axis, or the pixels that resizing to the nearest takes: resize with Resize, "
                f"or before the network. Received: indices of shape {indices.shape}"
            )
        indices = indices[:, 0]
    own = x.sample_axis(axis)
    places = [checked_axis(node, n, x.shape[own]) for n in indices.ravel().tolist()]
    taken = _taken(node, graph, x, own + 1, places)
    positions = taken.positions.reshape((*x.shape[:own], *indices.shape, *x.shape[own + 1 :]))
    batch_axis = x.batch_axis + (indices.ndim - 1 if axis < x.batch_axis else 0)
    graph.give(node, replace(x, tensor=taken.tensor, positions=positions, batch_axis=batch_axis))


def _samples_again(node, graph, x, indices):
    """All numbers of all samples, one behind the other, as samples again: PyTorch's ``as_strided``."""
    node.get("axis", 0)
    size, own = x.positions.size, indices[:1]
    if node.inputs[1] in graph.origins.numbered:
        numbers, own = np.divmod(own, NUMBER)
        is_whole = len(indices) == 1 and (numbers == size).all()
    else:
        starts = size * np.arange(len(indices)).reshape(-1, *[1] * (indices.ndim - 1))
        is_whole = len(indices) == graph.batch_size and (indices - own == starts).all()
    if x.led or not is_whole or not np.array_equal(np.sort(own, axis=None), np.arange(size)):
        raise node.error(f"it takes the {size} numbers of each sample, from all of them in a row, sample by sample")
    graph.give(node, Value(x.tensor, x.positions.ravel()[own[0]], x.is_nonnegative, x.is_whole))


def _rows_of_a_table(node, graph):
    """The rows of a matrix of the file that the numbers of a tensor say."""
    table, x = graph.weight(node, 0, rank=2), graph.value(node, 1)
    if checked_axis(node, node.get("axis", 0), 2) != 0:
        raise node.error("of a table, rows are taken: axis=0")
    rows, size = table.shape
    graph.check_size(node, (*x.shape, size))
    y = graph.call_with_weights(
        node, layers.Embedding, x.tensor, [table], node.inputs[:1], input_dim=rows, output_dim=size
    )
    graph.give(node, Value(y, x.positions[..., None] * size + np.arange(size, dtype=np.int32)))


@operator("Concat", kind=ELEMENTWISE_OPERATORS)
def _concat(node, graph):
    is_empty = [graph.is_constant(node, n) and graph.constant(node, n).size == 0 for n in range(len(node.inputs))]
    node.inputs = [name for name, nothing in zip(node.inputs, is_empty, strict=True) if not nothing]
    if give_stack(node, graph):
        return
    values = operands(node, graph)
    rank = len(values[0].shape) + 1
    axis = checked_axis(node, node.get("axis", None), rank)
    if axis == 0:
        raise node.error("samples are not put behind each other: axis=0 is the batch axis")
    if rank == 2 and graph.readers(node):  # who reads it takes any order
        parts = [graph.vector(value) for value in values]
        *starts, size = itertools.accumulate((order.size for _, order in parts), initial=0)
        graph.check_size(node, (size,))
        tensors = [tensor for tensor, _ in parts]
        positions = np.concatenate([start + order for start, (_, order) in zip(starts, parts, strict=True)])
    else:
        tensors, layout = graph.aligned(node, values)
        axis = model_axis(layout, axis, rank)
        positions = None
    y = tensors[0] if len(tensors) == 1 else graph.call(node, layers.Concatenate, tensors, axis=axis)
    if positions is None:
        graph.check_size(node, y.shape[1:])
        positions = layout(y.shape[1:])
    is_nonnegative, is_whole = all(v.is_nonnegative for v in values), any(v.is_whole for v in values)  # of one type
    graph.give(node, Value(y, positions, is_nonnegative, is_whole))


@operator("Expand", kind=ELEMENTWISE_OPERATORS)
def _expand(node, graph):
    """Axes of size 1 repeat what they hold."""
    x = graph.value(node, 0, any_batch_axis=True, may_be_folded=True)
    shape = integers(node, graph.constant(node, 1))
    own, at = shape_in_file(x), x.batch_axis
    shape = [1] * (len(own) - len(shape)) + shape
    sizes = list(zip([*shape[:at], *shape[at + 1 :]], [*own[:at], *own[at + 1 :]], strict=False))
    fits = len(shape) == len(own) and all(n in (1, -1, m) or m == 1 < n for n, m in sizes)
    if not fits or shape[at] not in (1, -1, own[at], (graph.batch_size or BATCH) * (own[at] // BATCH)):
        raise node.error(f"it should repeat axes of size 1 of the sample's shape, {x.shape}. Received: {shape}")
    times = [n if m == 1 and n > 1 else 1 for n, m in sizes]
    times[at:at] = [1] * (x.led + x.folded)
    is_spread = graph.has_open_sizes and _is_spread_by_reader(node, graph, x, times)
    graph.give(node, x if is_spread else placed_like(_repeated(node, graph, x, times), x))


def _is_spread_by_reader(node, graph, x, times):
    """Whether it is only read by what spreads it itself, over the axes of its other input: ``x * s.expand_as(x)``."""
    reader = graph.only_reader(node)
    if reader is None or reader.operator not in ("Add", "Sub", "Mul", "Div") or len(reader.inputs) != 2:
        return False
    at = 1 - reader.inputs.index(node.outputs[0])
    try:
        other = graph.value(reader, at).shape
    except FileFormatError:  # an array, or not known yet
        return False
    return len(other) == len(times) and all(count in (1, n) for count, n in zip(times, other, strict=True))


@operator("Tile", kind=ELEMENTWISE_OPERATORS)
def _tile(node, graph):
    x, times = graph.value(node, 0), integers(node, graph.constant(node, 1))
    if not times or len(times) != len(x.shape) + 1 or times[0] != 1 or min(times) < 1:
        raise node.error(f"it should repeat axes of samples {x.shape}, and not the samples. Received: {times}")
    graph.give(node, _repeated(node, graph, x, times[1:]))


def _repeated(node, graph, x, times):
    """A value one behind the other, so many times along each of its axes."""
    graph.check_size(node, tuple(n * count for n, count in zip(x.shape, times, strict=True)))
    for axis, count in enumerate(times, 1):
        if count == 1:
            continue
        (tensor,), layout = graph.aligned(node, [x])
        own = model_axis(layout, axis, len(x.shape) + 1)
        before, size, behind = split_shape(tensor, own)
        shape = (*tensor.shape[1:own], size * count, *tensor.shape[own + 1 :])
        if size == 1:
            y = reshaped(node, graph, tensor, (before, 1, behind), f"_one{axis}")
            y = graph.call(node, layers.UpSampling2D, y, f"_repeated{axis}", size=(1, count))
        elif count <= MAX_RUNS:
            y = reshaped(node, graph, tensor, (before, size, behind), f"_one{axis}")
            y = graph.call(node, layers.Concatenate, [y] * count, f"_repeated{axis}", axis=2)
        else:
            raise node.error(f"it puts a tensor behind itself more than {MAX_RUNS} times. Received: {count}")
        y = reshaped(node, graph, y, shape, f"_shaped{axis}")
        x = Value(y, layout(y.shape[1:]), x.is_nonnegative, x.is_whole)
    return x


@operator("Pad", kind=ELEMENTWISE_OPERATORS)
def _pad(node, graph):
    x, rank = graph.value(node, 0), len(graph.value(node, 0).shape) + 1
    mode = node.get("mode", "constant", str)
    if graph.opset < 11:
        pads, fill = node.get("pads", None, list), node.get("value", 0.0, float)
    else:
        pads, fill = integers(node, graph.constant(node, 1)), number_at(node, graph, 2, 0.0)
    axes = integers(node, graph.constant(node, 3)) if len(node.inputs) > 3 and node.inputs[3] else list(range(rank))
    axes = [checked_axis(node, axis, rank) for axis in axes]
    if pads is None or len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise node.error(f"pads are two numbers for each of the axes {axes}. Received: {pads}")
    sides = {axis: side for axis, *side in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True) if any(side)}
    if mode == "constant" and fill <= -LARGEST and give_border(node, graph, x, sides):
        return
    if 0 in sides or mode not in ("constant", "reflect", "edge", "wrap") or not abs(fill) < LARGEST:
        raise node.error(
            "borders of finite numbers around samples only, or of -inf before MaxPool alone. "
            f"Received: {mode!r}, {fill}, {sides}"
        )
    (tensor,), layout = graph.aligned(node, [x])
    own = {model_axis(layout, axis, rank): side for axis, side in sides.items()}
    if mode == "constant":
        y = _with_zeros(node, graph, tensor, own, fill)
    else:
        y = tensor
        for axis, (before, behind) in own.items():
            size = y.shape[axis]
            if graph.has_open_sizes and rank == 4 and axis < 3 and min(before, behind) >= 0:
                y = bordered(node, graph, y, axis, mode, before, behind)
                continue
            y = take(node, graph, y, axis, _border(node, mode, size, before, behind), f"_axis{axis}")
    graph.give(node, Value(y, layout(y.shape[1:]), x.is_nonnegative and fill >= 0, x.is_whole))


def _border(node, mode, size, before, behind):
    """Which of `size` numbers stand in a row with a border; it is one of what a negative width leaves of them."""
    first = max(-before, 0)
    kept = size - first - max(-behind, 0)
    if kept < 1:
        raise node.error("it leaves nothing")
    if mode == "reflect" and max(before, behind, 0) >= kept:
        raise node.error(f"a reflected border is narrower than the image. Received: {(before, behind)} for {size}")
    at = np.arange(min(-before, 0), kept + max(behind, 0))
    if mode == "reflect" and kept > 1:
        at = np.abs((at + kept - 1) % (2 * kept - 2) - (kept - 1))
    return (first + (at % kept if mode == "wrap" else np.clip(at, 0, kept - 1))).tolist()


def _with_zeros(node, graph, tensor, sides, fill):
    """A tensor with one number around it, along the axes of `sides`; where that is negative, with less of it."""
    for axis, (before, behind) in sides.items():
        if min(before, behind) < 0:
            kept = range(max(-before, 0), tensor.shape[axis] - max(-behind, 0))
            if not kept:
                raise node.error("it leaves nothing")
            tensor = take(node, graph, tensor, axis, kept, f"_cut{axis}")
    sides = {axis: (max(before, 0), max(behind, 0)) for axis, (before, behind) in sides.items()}
    if not fill or not any(map(any, sides.values())):
        return _zeros_around(node, graph, tensor, sides)
    if not graph.has_open_sizes:
        y = _zeros_around(node, graph, tensor, sides)
        inner = np.zeros(tensor.shape[1:-1], np.float32)  # one number for all of the last axis, unless that is wider
        inner = inner[..., None] if len(tensor.shape) - 1 not in sides else np.zeros(tensor.shape[1:], np.float32)
        around = np.pad(inner, [sides.get(axis, (0, 0)) for axis in range(1, inner.ndim + 1)], constant_values=fill)
        return graph.call(node, layers.Add, [y, constant_tensor(node, graph, tensor, around, str(fill))], "_filled")
    if abs(fill) > MOST_SHIFT:
        raise node.error(f"around images whose sizes are open, it puts numbers up to {MOST_SHIFT}. Received: {fill}")
    tensor = graph.call(node, layers.Rescaling, tensor, "_below", scale=1.0, offset=-fill)
    tensor = _zeros_around(node, graph, tensor, sides)
    return graph.call(node, layers.Rescaling, tensor, "_above", scale=1.0, offset=fill)


def _zeros_around(node, graph, tensor, sides):
    """A tensor with zeros around it, {axis: (before, behind)} of them."""
    if len(tensor.shape) == 4:
        tensor = padded(node, graph, tensor, (sides.get(1, (0, 0)), sides.get(2, (0, 0))), "")
        sides = {axis: outside for axis, outside in sides.items() if axis == 3}
    for axis, outside in sides.items():
        if any(outside):
            before, size, behind = split_shape(tensor, axis)
            shape = (*tensor.shape[1:axis], size + sum(outside), *tensor.shape[axis + 1 :])
            graph.check_size(node, shape)
            flat = reshaped(node, graph, tensor, (before, size, behind), f"_rows{axis}")
            flat = padded(node, graph, flat, ((0, 0), outside), f"_axis{axis}")
            tensor = reshaped(node, graph, flat, shape, f"_shaped{axis}")
    return tensor


@operator("DepthToSpace", kind=CHANNEL_OPERATORS)
def _depth_to_space(node, graph):
    """Channels become the pixels of a block (Shi and others, 2016): the numbers only move."""
    x, block = graph.value(node, 0), node.get("blocksize", 0)
    mode = node.get("mode", "DCR", str)
    channels, height, width = _image_shape(node, x)
    if block < 1 or channels % block**2 or mode not in ("DCR", "CRD"):
        raise node.error(f"it needs blocksize² channels, or a multiple. Received: blocksize={block}, mode={mode!r}")
    new = channels // block**2
    if graph.has_open_sizes:
        graph.give_images(node, _unfolded(node, graph, new, block, mode), x.is_nonnegative)
        return
    if mode == "DCR":
        parts = x.positions.reshape(block, block, new, height, width).transpose(2, 3, 0, 4, 1)
    else:
        parts = x.positions.reshape(new, block, block, height, width).transpose(0, 3, 1, 4, 2)
    positions = np.ascontiguousarray(parts).reshape(new, height * block, width * block)
    graph.give(node, replace(x, positions=positions))


def _unfolded(node, graph, new, block, mode):
    """DepthToSpace of images of any size: a transposed convolution that puts every number where it belongs."""
    tensor, count = graph.images(node), new * block**2
    graph.spare -= count**2
    if graph.spare < 0:
        raise node.error(f"it has too many channels for images of open sizes. Received: {count}")
    order = np.arange(count).reshape((block, block, new) if mode == "DCR" else (new, block, block))
    order = order if mode == "DCR" else order.transpose(1, 2, 0)  # (block, block, new)
    kernel = np.eye(count, dtype=np.float32)[order]  # (block, block, new, C)
    options = {"filters": new, "kernel_size": block, "strides": block, "use_bias": False, "trainable": False}
    with weights_from_file(kernel.size):
        return graph.call_with_weights(node, layers.Conv2DTranspose, tensor, [kernel], (), **options)


@operator("SpaceToDepth", kind=CHANNEL_OPERATORS)
def _space_to_depth(node, graph):
    x, block, mode = graph.value(node, 0), node.get("blocksize", 0), node.get("mode", "DCR", str)
    channels, height, width = _image_shape(node, x)
    if mode not in ("DCR", "CRD"):
        raise node.error(f"its mode is DCR or CRD. Received: {mode}")
    if block < 1 or height % block or width % block:
        raise node.error(f"it needs images of whole blocks. Received: blocksize={block} for {height} × {width}")
    parts = x.positions.reshape(channels, height // block, block, width // block, block)
    parts = parts.transpose((2, 4, 0, 1, 3) if mode == "DCR" else (0, 2, 4, 1, 3))
    positions = np.ascontiguousarray(parts).reshape(channels * block**2, height // block, width // block)
    graph.give(node, replace(x, positions=positions))


def _image_shape(node, x):
    if len(x.shape) != 3:
        raise node.error(f"it works on images, (N, C, H, W). Received: a sample of shape {x.shape}")
    return x.shape
