"""What the file computes from constants alone, and constants that become part of a layer's weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from minicnn.onnx.arguments import BATCH, MOST_SAMPLES, NUMBER, checked_axis, integers, part_of, samples_in
from minicnn.onnx.computed import COMPUTED, SEVERAL_OUTPUTS, check_computed, integer_type

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode


# ------------------------------------------------------------------------------------------ constants from constants


def _divide(a, b):
    if a.dtype.kind in "iu":
        floor = a // b
        is_above = (a % b != 0) & ((a < 0) != (b < 0))  # ONNX rounds towards zero
        return (floor + is_above).astype(a.dtype)
    return a / b


CALCULATIONS: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "Acos": np.arccos,
    "Acosh": np.arccosh,
    "And": np.logical_and,
    "Asin": np.arcsin,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Atanh": np.arctanh,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Div": _divide,
    "Equal": np.equal,
    "Exp": np.exp,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "IsInf": np.isinf,
    "IsNaN": np.isnan,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "Mod": np.mod,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Pow": lambda a, b: np.power(a, b).astype(a.dtype),
    "Reciprocal": lambda a: (1 / a).astype(a.dtype),
    "Relu": lambda a: np.maximum(a, 0),
    "Round": np.rint,
    "Sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Softplus": lambda a: np.logaddexp(a, 0),
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Tan": np.tan,
    "Tanh": np.tanh,
    "Xor": np.logical_xor,
}
"""Operators without attributes → the function of arrays that each one is."""

OF_SEVERAL: dict[str, Callable[[Any, Any], Any]] = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceL1": lambda a, **over: np.abs(a).sum(**over),
    "ReduceL2": lambda a, **over: np.sqrt(np.square(a).sum(**over)),
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceSumSquare": lambda a, **over: np.square(a).sum(**over),
}
PLAIN_REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")
"""Those that give a number by itself as it is."""
MOVING = {
    "CastLike",
    "Concat",
    "ConstantOfShape",
    "Expand",
    "Gather",
    "Shape",
    "Size",
    "Slice",
    "Split",
    "Tile",
    "Where",
}
MOVING.add("Equal")  # whether a size is -1, say: the number of samples is none of those that are written
"""What an array that holds the number of samples may go through."""


def fold(node: FileNode, graph: Importer) -> bool:
    """Compute a node's output if all its inputs are arrays known from the file; False if it is left to its translation.

    Raises
    ------
    FileFormatError
        If it calculates with the number of samples, which may be any, or gives too much.
    """
    arrays = graph.known_arrays(node)
    _check_numbers(node, graph)
    if arrays is None or node.operator not in FOLDED:
        return False
    if node.operator == "Range" and [a.item() for a in arrays] == [0, BATCH, 1]:
        graph.origins.numbered.update(node.outputs)
        graph.give(node, np.array([NUMBER]))
        return True
    if len(node.outputs) != 1 and node.operator not in SEVERAL_OUTPUTS:
        return False
    is_multiple = (node.operator == "Mul" and _are_multiples(arrays)) or (node.operator == "Div" and _are_parts(arrays))
    is_multiple |= node.operator == "ReduceProd" and arrays[0].ndim == 1 and _are_multiples(list(arrays[0]))
    if node.operator not in MOVING and not is_multiple and not (node.operator == "Max" and _agree(arrays)):
        _check_no_batch(node, arrays)
    if node.operator == "Equal" and _has_batch(arrays):
        graph.origins.counted.update(node.outputs)
    size = np.prod(np.broadcast_shapes(*(a.shape for a in arrays)), dtype=float) if node.operator in CALCULATIONS else 0
    check_computed(node, size)
    with np.errstate(all="ignore"):
        results = FOLDED[node.operator](node, arrays)
    for output, result in enumerate(results if isinstance(results, list) else [results]):
        check_computed(node, 0 if node.operator == "DequantizeLinear" else np.size(result))  # as many as the file holds
        graph.give(node, np.asarray(result), output)
    return True


def _check_numbers(node, graph):
    """Raise `FileFormatError` if what has a sample's number in it is calculated with, but by factors and sums."""
    found = [name for name in node.inputs if name in graph.origins.numbered]
    is_linear = node.operator in ("Add", "Cast", "Identity", "Reshape", "Unsqueeze")
    is_linear |= len(found) == 1 and (
        node.operator == "Mul" or (node.operator == "Gather" and found == node.inputs[1:])
    )
    if found and not is_linear:
        raise node.error("it calculates with the numbers of the samples, of which there may be any number here")


def _check_no_batch(node, arrays):
    if _has_batch(arrays):
        raise node.error("it calculates with the number of samples, which may be any number here")


def _has_batch(arrays):
    return any(a is not None and a.dtype.kind in "if" and _is_batch(a).any() for a in arrays)


def _is_batch(array):
    """Where an array holds the number of samples, or a multiple of it."""
    if array.dtype.kind == "u" or array.dtype.itemsize < (8 if array.dtype.kind == "i" else 4):  # no room for it
        return np.zeros(array.shape, bool)
    with np.errstate(invalid="ignore"):  # the rest of an infinite number
        return (array <= BATCH) & (array >= BATCH * MOST_SAMPLES) & (np.mod(array, -BATCH) == 0)


def _are_multiples(arrays):
    """Whether the product of two arrays is one of numbers of samples and sizes, as of samples and heads."""
    if any(a.dtype.kind != "i" for a in arrays):
        return False
    wide = [a.astype(np.int64) for a in arrays]  # BATCH has no room in 32 bits, in which sizes may be
    products = np.prod(np.broadcast_arrays(*(np.where(_is_batch(a), a // BATCH, a) for a in wide)), axis=0)
    is_once = sum(_is_batch(a).astype(int) for a in np.broadcast_arrays(*arrays)) <= 1
    return bool((is_once & (products > 0) & (products <= MOST_SAMPLES)).all())


def _agree(arrays):
    """Whether arrays hold the same where they hold numbers of samples, as shapes that are spread over each other."""
    spread = np.broadcast_arrays(*arrays)
    return all((a == spread[0])[np.any([_is_batch(b) for b in spread], axis=0)].all() for a in spread)


def _are_parts(arrays):
    """Whether numbers of samples and windows, say, are divided by one of windows that leaves nothing over."""
    a, b = arrays
    is_count = a.dtype.kind == b.dtype.kind == "i" and _is_batch(a).all() and not _is_batch(b).any() and (b > 0).all()
    return bool(is_count and ((a // BATCH) % b == 0).all())


def _calculation(node, arrays):
    if node.operator == "Mod" and node.get("fmod", 0):
        return np.fmod(*arrays)
    return CALCULATIONS[node.operator](*arrays)


def _of_several(node, arrays):
    result, *others = arrays
    for array in others:
        result = OF_SEVERAL[node.operator](result, array)
        check_computed(node, result.size)
    return result


def _where(node, arrays):
    check_computed(node, np.prod(np.broadcast_shapes(*(a.shape for a in arrays)), dtype=float))
    return np.where(*arrays)


def _reduced(node, arrays):
    axes = node.get("axes", None, list)
    if len(arrays) > 1 and arrays[1] is not None:
        axes = integers(node, arrays[1])
    if node.get("noop_with_empty_axes", 0) and not axes:
        if node.operator not in PLAIN_REDUCTIONS:
            raise node.error("over no axes some programs leave numbers as they are, others not their signs: name axes")
        return arrays[0]
    axes = tuple(axes) if axes else None
    result = REDUCTIONS[node.operator](arrays[0], axis=axes, keepdims=bool(node.get("keepdims", 1)))
    return np.asarray(result, arrays[0].dtype)


def _range(node, arrays):
    start, stop, step = (a.item() for a in arrays)
    check_computed(node, (stop - start) / step)
    return np.arange(start, stop, step, arrays[0].dtype)


def _expand(node, arrays):
    shape = _of_one_sample(node, arrays[1])
    shape = np.broadcast_shapes(arrays[0].shape, tuple(shape))
    check_computed(node, np.prod(shape, dtype=float))
    return np.broadcast_to(arrays[0], shape)


def _constant_of_shape(node, arrays):
    shape = _of_one_sample(node, arrays[0])
    check_computed(node, np.prod(shape, dtype=float))
    value = node.get("value", None, np.ndarray)
    return np.zeros(shape, np.float32) if value is None else np.full(shape, value.item(), value.dtype)


def _of_one_sample(node, array):
    """A shape, or how often axes are repeated: for one sample, which stands for all."""
    counts = [samples_in(n) or n for n in integers(node, array)]
    if any(samples_in(n) > 1 for n in integers(node, array)) or min(counts, default=0) < 0:
        raise node.error(f"its sizes are not negative, and the number of samples is one of them. Received: {counts}")
    return counts


def _tile(node, arrays):
    times = _of_one_sample(node, arrays[1])
    if len(times) != arrays[0].ndim:
        raise node.error(f"it says how often each of {arrays[0].ndim} axes is repeated. Received: {times}")
    check_computed(node, arrays[0].size * np.prod(times, dtype=float))
    return np.tile(arrays[0], times)


def _concat(node, arrays):
    check_computed(node, sum(array.size for array in arrays))
    return np.concatenate(arrays, axis=node.get("axis", None))


def _gather(node, arrays):
    axis = checked_axis(node, node.get("axis", 0), arrays[0].ndim)
    size = arrays[0].size / max(arrays[0].shape[axis], 1) * arrays[1].size
    check_computed(node, size)
    return np.take(arrays[0], arrays[1], axis=axis)


def _slice(node, arrays):
    if len(arrays) == 1:  # before opset 10
        starts, ends, axes = (node.get(name, None, list) for name in ("starts", "ends", "axes"))
        steps = None
    else:
        starts, ends, axes, steps = (integers(node, a) for a in (*arrays[1:], None, None)[:4])
    where = [slice(None)] * arrays[0].ndim
    for start, end, axis, step in zip(
        starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True
    ):
        axis = checked_axis(node, axis, arrays[0].ndim)
        where[axis] = part_of(arrays[0].shape[axis], start, end, step)
    return arrays[0][tuple(where)]


def _size(node, arrays):
    return np.int64(arrays[0].size)


def _shape(node, arrays):
    return np.array(arrays[0].shape[node.get("start", 0) : node.get("end", arrays[0].ndim)], np.int64)


def _along(node, shape, numbers):
    """One number, or one for each index of the axis that a node names, with as many axes as what it is to scale."""
    if node.get("block_size", 0):
        raise node.error("a scale is for a tensor, or for each index of an axis, not for blocks: block_size=0")
    axis = node.get("axis", 1)
    if numbers.size == 1:
        return numbers.reshape(())
    axis = checked_axis(node, axis, len(shape))
    if numbers.size != shape[axis]:
        raise node.error(f"it has one scale for each index of axis {axis}. Received: {numbers.size} for {shape}")
    return numbers.reshape([-1 if n == axis else 1 for n in range(len(shape))])


def _dequantize(node, arrays):
    node.get("output_dtype", 0)
    x, scale, zero = (*arrays, None)[:3]
    shape, dtype = x.shape, scale.dtype
    y = x.astype(dtype) if zero is None else x.astype(dtype) - _along(node, shape, zero).astype(dtype)
    return y * _along(node, shape, scale)


def _quantize(node, arrays):
    for name in ("precision", "saturate"):
        node.get(name, 0)
    x, scale, zero = (*arrays, None)[:3]
    zero = np.zeros((), integer_type(node)) if zero is None else zero
    bounds = np.iinfo(zero.dtype)
    y = np.rint(x / _along(node, x.shape, scale)) + _along(node, x.shape, zero).astype(np.float64)
    return np.clip(y, bounds.min, bounds.max).astype(zero.dtype)


def as_type(array: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """What Cast makes of an array; with the number of samples, for which there is no room in fewer bits, as it is."""
    result = array.astype(dtype)
    is_kept = result.dtype.kind == "b" or np.array_equal(_is_batch(result), _is_batch(array))
    return result if is_kept else array


def _cast_like(node, arrays):
    node.get("saturate", 1), node.get("round_mode", "up", str)  # of floating-point numbers of 8 bits
    return as_type(arrays[0], arrays[1].dtype)


FOLDED: dict[str, Callable[[FileNode, Sequence[Any]], Any]] = {
    **dict.fromkeys(CALCULATIONS, _calculation),
    **dict.fromkeys(OF_SEVERAL, _of_several),
    **dict.fromkeys(REDUCTIONS, _reduced),
    **COMPUTED,
    "CastLike": _cast_like,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantize,
    "Expand": _expand,
    "Gather": _gather,
    "QuantizeLinear": _quantize,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Tile": _tile,
    "Where": _where,
}
"""Operator → what it makes of arrays; `rearranging` has those that only move numbers."""


# --------------------------------------------------------------------------------------- constants that join weights


def absorb(
    node: FileNode, graph: Importer, channels: int, rank: int, axis: int
) -> tuple[np.ndarray, np.ndarray, FileNode, list[str]]:
    """The constants that are added to, and multiplied with, a node's output by nodes that alone read it.

    Parameters
    ----------
    node : FileNode
    graph : Importer
    channels : int
    rank : int
        Of the output, with the batch axis.
    axis : int
        That of the channels, counted from the end: -1 or -3.

    Returns
    -------
    scale, shift : (channels,) float64
        The output of all these nodes is scale · y + shift.
    last : FileNode
        The last of them, or `node`.
    names : list of str
        Which operators with which constants, to tell uses of the same weights apart.
    """
    scale, shift, last, names = np.ones(channels), np.zeros(channels), node, []
    while True:
        after = graph.only_reader(last)
        if after is None or after.operator not in ("Add", "Sub", "Mul", "Div") or len(after.inputs) != 2:
            return scale, shift, last, names
        index = 1 - after.inputs.index(last.outputs[0])
        number = _by_channel(graph, after, index, channels, rank, axis)
        if number is None or (after.operator == "Div" and (index == 0 or not number.all())):
            return scale, shift, last, names
        sign = -1.0 if after.operator == "Sub" else 1.0
        if after.operator in ("Add", "Sub"):
            of_output, of_number = (sign, 1.0) if index == 0 else (1.0, sign)
            scale, shift = scale * of_output, shift * of_output + number * of_number
        else:
            number = 1 / number if after.operator == "Div" else number
            scale, shift = scale * number, shift * number
        graph.skip(after)
        names.append(f"{after.operator} {index} {after.inputs[index]}")
        last = after


def _by_channel(graph, node, index, channels, rank, axis) -> np.ndarray | None:
    """A constant as one number a channel; None if it is no such."""
    array = graph.constant(node, index) if graph.is_constant(node, index) else None
    if array is None or array.dtype.kind != "f" or array.ndim > rank or not np.isfinite(array).all():
        return None
    if array.size != 1 and (array.ndim < -axis or array.shape[axis] != channels or array.size != channels):
        return None
    return np.broadcast_to(array.astype(np.float64).ravel(), (channels,))
