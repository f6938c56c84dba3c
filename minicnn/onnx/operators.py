"""The table of ONNX's operators: what each one is in a model.

A function takes a node and the `Importer`, and says with `graph.give` what the node's output is. The names in the table
are those of https://onnx.ai/onnx/operators, which says what they mean.
"""

import itertools
import math

import numpy as np

from minicnn import layers
from minicnn.errors import is_integer
from minicnn.onnx.reader import DTYPES, FLOATS, MAX_AXES
from minicnn.onnx.values import Value, channels_first, is_last_axis, same_order, with_last_axis
from minicnn.onnx.windows import NO_SIDES, keras_padding, padded_sides

OPERATORS = {}
BATCH = -(2**40)  # stands for the number of samples in an array that holds a shape
MAX_SHAPE_ARRAY = 100  # numbers in an array that holds a shape

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


def operator(*names):
    """Function decorator: enter it in the table."""

    def enter(function):
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return enter


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
        low, high = _number(node, graph, 1, -np.inf), _number(node, graph, 2, np.inf)
    if low != 0:
        raise node.error(f"only a lower bound of 0 is supported. Received: {low}")
    is_bounded = high < np.finfo(np.float32).max
    _elementwise(node, graph, layers.ReLU, True, max_value=high if is_bounded else None)


@operator("Min")
def _min(node, graph):
    """After ReLU, that is: the upper bound that ReLU has here."""
    x, high = graph.value(node, 0), _number(node, graph, 1, -1.0)
    if len(node.inputs) != 2 or high < 0 or not x.is_nonnegative:
        raise node.error("only the minimum of a number and of what cannot be negative is supported: an upper bound")
    _elementwise(node, graph, layers.ReLU, True, max_value=high)


@operator("Softmax")
def _softmax(node, graph):
    x = graph.value(node, 0)
    rank = len(x.shape) + 1
    axis = _axis(node, node.get("axis", 1 if graph.opset < 13 else -1), rank)
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
    graph.give(node, Value(graph.call(node, layers.Softmax, tensor), positions, True))


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
    strides, dilations = _pair(node, "strides"), _pair(node, "dilations")
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
    weights = [graph.weight(node, number, rank=1) for number in range(1, 5)]  # scale, bias, mean, variance
    order = None
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
    if _pair(node, "dilations") != (1, 1):
        raise node.error("pooling windows have no gaps here: dilations=[1, 1]")
    size, pool_size, strides = x.shape[1:3], _pair(node, "kernel_shape", None), _pair(node, "strides")
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
    axes = _axes(node, graph, 4)
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
        pads, fill = _integers(node, graph.constant(node, 1)), _number(node, graph, 2, 0.0)
    axes = _integers(node, graph.constant(node, 3)) if len(node.inputs) > 3 else list(range(rank))
    if mode != "constant" or fill != 0:
        raise node.error(f"only zeros are put around. Received: mode={mode!r} with the value {fill}")
    axes = [_axis(node, axis, rank) for axis in axes]
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


def _pair(node, attribute, default=(1, 1)):
    """An attribute that holds two positive integers: for height and width."""
    value = node.get(attribute, default, list)
    if value is None or len(value) != 2 or not all(0 < n < 2**31 for n in value):
        raise node.error(f"{attribute} holds two positive numbers, for images. Received: {attribute}={value}")
    return tuple(value)


# ---------------------------------------------------------------------------------------------------- several inputs


@operator("Add", "Sum")
def _add(node, graph):
    if any(graph.is_constant(node, number) for number in range(len(node.inputs))):
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
    if all(graph.is_constant(node, number) for number in range(len(node.inputs))):
        arrays = [_shape_array(node, graph, number) for number in range(len(node.inputs))]
        _give_shape_array(node, graph, np.concatenate(arrays, axis=node.get("axis", None)))
        return
    values = graph.values(node)
    rank = len(values[0].shape) + 1
    axis = _axis(node, node.get("axis", None), rank)
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


# ------------------------------------------------------------------------------------ what only rearranges, or nothing


@operator("Identity")
def _identity(node, graph):
    graph.give(node, graph.constant(node, 0) if graph.is_constant(node, 0) else graph.value(node, 0))


@operator("Dropout")
def _dropout(node, graph):
    node.get("seed", 0)
    if _number(node, graph, 2, 0.0):
        raise node.error("only its form for inference is supported: export the model in evaluation mode")
    rate = node.get("ratio", 0.5, float) if graph.opset < 12 else _number(node, graph, 1, 0.5)
    x = graph.value(node, 0)
    graph.give(node, Value(graph.call(node, layers.Dropout, x.tensor, rate=rate), x.positions, x.is_nonnegative))


@operator("Cast")
def _cast(node, graph):
    to = node.get("to", None)
    node.get("saturate", 1)
    if graph.is_constant(node, 0):
        if to not in DTYPES:
            raise node.error(f"constants become numbers of 16 to 64 bits only. Received: to={to}")
        graph.give(node, graph.constant(node, 0).astype(DTYPES[to][0]))
    elif to not in FLOATS:
        raise node.error(f"numbers stay floating-point numbers. Received: to={to}")
    else:
        graph.give(node, graph.value(node, 0))


@operator("Flatten")
def _flatten(node, graph):
    x = graph.value(node, 0)
    if _axis(node, node.get("axis", 1), len(x.shape) + 1) != 1:
        raise node.error(f"samples stay apart: axis=1. Received: axis={node.get('axis', 1)}")
    graph.give(node, Value(x.tensor, x.positions.reshape(-1), x.is_nonnegative))


@operator("Reshape")
def _reshape(node, graph):
    target = _integers(node, graph.constant(node, 1))
    keeps_zeros = node.get("allowzero", 0)
    if graph.is_constant(node, 0):
        graph.give(node, graph.constant(node, 0).reshape(target))
        return
    x = graph.value(node, 0)
    shape = [None, *x.shape]
    batch, *sample = target or [1]
    sample = [shape[i] if n == 0 and i < len(shape) and not keeps_zeros else n for i, n in enumerate(sample, 1)]
    size = math.prod(x.shape)
    known = math.prod(n for n in sample if n != -1)
    if sample.count(-1) == 1 and known > 0 and size % known == 0:
        sample[sample.index(-1)] = size // known
    keeps_batch = batch in (0, -1, BATCH) or batch == graph.batch_size
    if target.count(-1) > 1 or not keeps_batch or any(n < 1 for n in sample) or math.prod(sample) != size:
        raise node.error(f"it should keep the samples of shape {x.shape} apart. Received: shape={target}")
    graph.give(node, Value(x.tensor, x.positions.reshape(sample), x.is_nonnegative))


@operator("Transpose")
def _transpose(node, graph):
    if graph.is_constant(node, 0):
        graph.give(node, graph.constant(node, 0).transpose(node.get("perm", None, list)))
        return
    x = graph.value(node, 0)
    rank = len(x.shape) + 1
    perm = node.get("perm", list(range(rank))[::-1], list)
    if sorted(perm) != list(range(rank)) or perm[0] != 0:
        raise node.error(f"it should reorder the axes 1 to {rank - 1}. Received: perm={perm}")
    graph.give(node, Value(x.tensor, x.positions.transpose([axis - 1 for axis in perm[1:]]), x.is_nonnegative))


@operator("Squeeze", "Unsqueeze")
def _squeeze(node, graph):
    is_constant = graph.is_constant(node, 0)
    x = graph.constant(node, 0) if is_constant else graph.value(node, 0)
    shape = list(x.shape) if is_constant else [None, *x.shape]
    squeezes = node.operator == "Squeeze"
    given = _axes(node, graph, len(shape), grows=not squeezes)
    if given is None and squeezes and is_constant:
        given = [axis for axis, n in enumerate(shape) if n == 1]
    if given is None or (squeezes and any(shape[axis] != 1 for axis in given)):
        raise node.error(f"it should name axes of size 1. Received: axes={given} of {shape}")
    if squeezes:
        shape = [n for axis, n in enumerate(shape) if axis not in given]
    else:
        for axis in sorted(given):
            shape.insert(axis, 1)
    if is_constant:
        graph.give(node, x.reshape(shape))
    elif shape[0] is not None:
        raise node.error("the batch axis stays the first. Received: axes=[0]")
    else:
        graph.give(node, Value(x.tensor, x.positions.reshape(shape[1:]), x.is_nonnegative))


# ---------------------------------------------------------------------------- constants, and arrays that hold a shape


@operator("Constant")
def _constant(node, graph):
    names = ("value", "value_float", "value_floats", "value_int", "value_ints")
    values = [node.attributes[name] for name in names if name in node.attributes]
    if len(values) != 1 or values[0] is None:
        raise node.error(f"it holds numbers, in one of the attributes {', '.join(names)}")
    for name in names:
        node.get(name, None, object)
    array = np.asarray(values[0])
    if array.dtype.kind not in "fib":
        raise node.error(f"it holds numbers. Received: {values[0]!r}")
    graph.give(node, array)


@operator("Shape")
def _shape(node, graph):
    shape = [BATCH, *graph.value(node, 0).shape]
    _give_shape_array(node, graph, np.array(shape[node.get("start", 0) : node.get("end", len(shape))], np.int64))


@operator("Gather")
def _gather(node, graph):
    array = _shape_array(node, graph, 0)
    _give_shape_array(node, graph, np.take(array, _shape_array(node, graph, 1), axis=node.get("axis", 0)))


@operator("Slice")
def _slice(node, graph):
    if graph.opset < 10:
        starts, ends, axes = (node.get(name, None, list) for name in ("starts", "ends", "axes"))
        steps = [1]
    else:
        starts, ends, axes, steps = (_integers(node, graph.constant(node, n)) for n in range(1, 5))
    array = _shape_array(node, graph, 0)
    if array.ndim != 1 or len(starts or ()) != 1 or len(ends or ()) != 1 or axes not in (None, [0], [-1]):
        raise node.error("only an array that holds a shape is cut")
    _give_shape_array(node, graph, array[starts[0] : ends[0] : (steps or [1])[0]])


def _shape_array(node, graph, number):
    """A constant that holds a shape, or a part of it: few integers."""
    array = graph.constant(node, number)
    if array is None or array.dtype.kind != "i" or array.size > MAX_SHAPE_ARRAY or array.ndim > 1:
        raise node.error(f"input {number} holds integers, at most {MAX_SHAPE_ARRAY}, that make up a shape")
    return array


def _give_shape_array(node, graph, array):
    if array.size > MAX_SHAPE_ARRAY:
        raise node.error(f"a shape has at most {MAX_SHAPE_ARRAY} numbers here. Received: {array.size}")
    graph.give(node, np.asarray(array))


def _number(node, graph, position, default):
    """A constant input that holds one number, as a float."""
    array = graph.constant(node, position)
    if array is None:
        return default
    if array.size != 1 or array.dtype.kind not in "fib":
        raise node.error(f"input {position} is one number. Received: an array of {array.dtype} of shape {array.shape}")
    return float(array.item())


def _integers(node, array):
    """The list of int in a constant; None if there is none."""
    if array is None:
        return None
    if array.dtype.kind != "i" or array.ndim > 1 or array.size > MAX_SHAPE_ARRAY:
        raise node.error(f"expected a few integers. Received: an array of {array.dtype} of shape {array.shape}")
    return [int(n) for n in array.ravel()]


def _axes(node, graph, rank, grows=False):
    """The axes that a node names, in an attribute or, in later opsets, an input; None if it names none."""
    axes = node.get("axes", None, list)
    if axes is None:
        axes = _integers(node, graph.constant(node, 1))
    if axes is None:
        return None
    if len(axes) > MAX_AXES:
        raise node.error(f"a tensor has at most {MAX_AXES} axes. Received: {len(axes)}")
    rank += len(axes) if grows else 0
    axes = [_axis(node, axis, rank) for axis in axes]
    if len(set(axes)) != len(axes):
        raise node.error(f"every axis is named once. Received: axes={axes}")
    return axes


def _axis(node, axis, rank):
    """An axis, counted from 0."""
    if not is_integer(axis) or not -rank <= axis < rank:
        raise node.error(f"expected an axis of {rank}. Received: axis={axis!r}")
    return axis % rank
