"""What layers of the file make of constants alone: kernels that are standardized, bounded, padded or multiplied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.onnx.arguments import checked_axis, integers
from minicnn.onnx.tensors import DTYPES

if TYPE_CHECKING:
    from minicnn.onnx.reader import FileNode

MAX_COMPUTED = 2**22  # numbers in an array that is computed
MAX_PRODUCTS = 2**28  # of two numbers, in a product of matrices


def check_computed(node: FileNode, size: float) -> None:
    """Raise `FileFormatError` if an array that is about to be made would have too many numbers."""
    if size > MAX_COMPUTED:
        raise node.error(f"it makes an array of more than {MAX_COMPUTED} numbers. Received: {int(size)}")


def integer_type(node: FileNode) -> np.dtype:
    """What a QuantizeLinear without a zero point makes: bytes from 0 on, unless it says another type."""
    kind = node.get("output_dtype", 0) or 2
    dtype = np.dtype(DTYPES.get(kind, ("<f4", None))[0])
    if dtype.kind not in "iu":
        raise node.error(f"it makes integers of 8 to 32 bits. Received: output_dtype={kind}")
    return dtype


def _clip(node, arrays):
    low, high = (node.get(name, None, float) for name in ("min", "max"))  # before opset 11
    low, high = (given if array is None else array for given, array in zip((low, high), _two(arrays[1:]), strict=True))
    result = arrays[0]
    for bound, function in ((low, np.maximum), (high, np.minimum)):
        if bound is not None and np.size(bound) != 1:
            raise node.error(f"its bounds are numbers. Received: an array of {np.size(bound)}")
        result = result if bound is None else function(result, np.asarray(bound, result.dtype).reshape(()))
    check_computed(node, result.size)
    return result


def _two(arrays):
    return (*arrays, None, None)[:2]


def is_training(node: FileNode) -> bool:
    """Whether a BatchNormalization takes the numbers of its own batch: before opset 14, more outputs say so."""
    return bool(node.get("training_mode", 0)) or len([name for name in node.outputs if name]) > 1


def _batch_normalization(node, arrays):
    x, scale, bias, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    node.get("momentum", 0.9, float)
    if is_training(node):
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        mean, variance = x.mean(axes), x.var(axes)
    return _normalized(node, arrays[0].dtype, x, scale, bias, *(_by_channel(node, x, a) for a in (mean, variance)))


def _instance_normalization(node, arrays):
    x, scale, bias = (np.asarray(array, np.float64) for array in arrays)
    axes = tuple(range(2, x.ndim))
    moments = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return _normalized(node, arrays[0].dtype, x, scale, bias, *moments)


def _by_channel(node, x, numbers):
    """One number for each entry of axis 1, with the other axes of x."""
    if numbers.size != x.shape[1]:
        raise node.error(f"it has a number for each of {x.shape[1]} channels. Received: {numbers.size}")
    return numbers.reshape(-1, *[1] * (x.ndim - 2))


def _normalized(node, dtype, x, scale, bias, mean, variance):
    y = (x - mean) / np.sqrt(variance + node.get("epsilon", 1e-5, float))
    return (y * _by_channel(node, x, scale) + _by_channel(node, x, bias)).astype(dtype)


def _matmul(node, arrays):
    a, b = arrays
    lead = np.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), dtype=float)
    size = lead * np.prod(a.shape[-2:-1], dtype=float) * np.prod(b.shape[1:][-1:], dtype=float)
    check_computed(node, size)
    if size * a.shape[-1] > MAX_PRODUCTS:
        raise node.error(f"it multiplies matrices of the file that are too large. Received: {a.shape} and {b.shape}")
    return a @ b


def _pad(node, arrays):
    pads, value = node.get("pads", None, list), node.get("value", 0.0, float)  # before opset 11
    given, fill = _two(arrays[1:])
    pads, value = pads if given is None else integers(node, given), value if fill is None else fill.item()
    rank = arrays[0].ndim
    axes = list(range(rank)) if len(arrays) < 4 else [checked_axis(node, n, rank) for n in integers(node, arrays[3])]
    if node.get("mode", "constant", str) != "constant" or len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        raise node.error(f"around arrays of the file it puts one number. Received: pads={pads}")
    sides = [(0, 0)] * rank
    for axis, *side in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        sides[axis] = tuple(side)
    check_computed(node, np.prod([n + sum(side) for n, side in zip(arrays[0].shape, sides, strict=True)], dtype=float))
    return np.pad(arrays[0], sides, constant_values=value)


def _split(node, arrays):
    """A list of arrays."""
    axis, count = checked_axis(node, node.get("axis", 0), arrays[0].ndim), len(node.outputs)
    sizes = node.get("split", None, list) if len(arrays) < 2 else integers(node, arrays[1])
    each = -(-arrays[0].shape[axis] // node.get("num_outputs", count))
    ends = np.cumsum(sizes) if sizes else [each * (n + 1) for n in range(count)]
    if len(ends) != count or (sizes and ends[-1] != arrays[0].shape[axis]):
        raise node.error(f"it should divide axis {axis} of {arrays[0].shape} into {count}. Received: {sizes}")
    return np.split(arrays[0], ends[:-1], axis)


def _gathered(node, arrays):
    x, indices = arrays
    if node.get("batch_dims", 0) or indices.ndim < 1:
        raise node.error("of arrays of the file, it takes numbers by indices of the first axes, batch_dims=0")
    depth = indices.shape[-1]
    check_computed(node, np.prod([*indices.shape[:-1], *x.shape[depth:]], dtype=float))
    return x[tuple(np.moveaxis(indices, -1, 0))]


def _scattered(node, arrays):
    x, indices, updates = arrays
    if node.get("reduction", "none", str) != "none" or indices.dtype.kind != "i" or indices.ndim < 1:
        raise node.error("numbers are put into an array of the file in place of others, reduction='none'")
    check_computed(node, x.size)
    wanted = *indices.shape[:-1], *x.shape[indices.shape[-1] :]
    if updates.shape != wanted:
        raise node.error(f"what it puts in has the shape {wanted}. Received: {updates.shape}")
    result = x.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return result


def _summed_up(node, arrays):
    axis, back = checked_axis(node, arrays[1].item(), arrays[0].ndim), slice(None, None, -1)
    x = np.moveaxis(arrays[0], axis, 0)[back if node.get("reverse", 0) else slice(None)]
    y = x.cumsum(0, dtype=x.dtype) - (x if node.get("exclusive", 0) else 0)
    return np.moveaxis(y[back if node.get("reverse", 0) else slice(None)], 0, axis)


def _triangle(node, arrays):
    diagonal = arrays[1].item() if len(arrays) > 1 and arrays[1] is not None else 0
    return (np.triu if node.get("upper", 1) else np.tril)(arrays[0], diagonal)


COMPUTED: dict[str, Callable[[FileNode, Sequence[Any]], Any]] = {
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "CumSum": _summed_up,
    "GatherND": _gathered,
    "InstanceNormalization": _instance_normalization,
    "MatMul": _matmul,
    "Pad": _pad,
    "ScatterND": _scattered,
    "Split": _split,
    "Trilu": _triangle,
}
"""Operator → what it makes of arrays."""

SEVERAL_OUTPUTS = ("BatchNormalization", "Split")
"""Those that are computed where they have several outputs, too; of the former, only the first one is given."""
