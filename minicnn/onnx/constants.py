"""Arrays of the file where an operator takes tensors: they become tensors of the model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.onnx.arguments import ELEMENTWISE_OPERATORS
from minicnn.onnx.values import Value, channels_first, layout_of, placed_like, same_order
from minicnn.parameters import weights_from_file

LARGEST = float(np.finfo(np.float32).max)

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode


def operands(node: FileNode, graph: Importer) -> list[Value]:
    """All inputs of a node, one of which depends on the graph's at least; arrays are the same for every sample.

    What is joined to others may be empty; then it is left out.

    Raises
    ------
    FileFormatError
        If an array holds what is no number, or different ones for the samples.
    """
    count = range(len(node.inputs))
    if node.operator == "Concat":
        count = [n for n in count if not graph.is_constant(node, n) or graph.constant(node, n).size]
    known = [graph.is_constant(node, index) for index in count]
    if all(known):
        raise node.error("one of its inputs at least depends on the graph's")
    like = graph.value(node, count[known.index(False)])
    return [
        as_value(node, graph, index, like) if is_known else graph.value(node, index)
        for index, is_known in zip(count, known, strict=True)
    ]


def lying_alike(node: FileNode, graph: Importer, but: int = 0) -> list[Value]:
    """The inputs, if all have the samples in the same place, which is not their first axis alone; else none.

    Their shapes are the same, `but` for so many of the last axes, or sizes of 1 that the samples are not counted with,
    which count for all of the others where it is 0. An array may be among them that is the same for all
    that the axis of the samples counts.
    """
    count = range(len(node.inputs))
    known = [graph.is_constant(node, index) for index in count]
    if any(known):
        return _with_array(node, graph, known) if len(known) == 2 and not all(known) and not but else []
    values = [graph.value(node, index, any_batch_axis=True, may_be_folded=True) for index in count]
    if len({v.shape for v in values}) > 1 and not any(v.is_plain for v in values):
        values = [_with_one_axis(value) for value in values]
    first, end = values[0], len(values[0].shape) - but
    is_alike = all(v.lies_like(first) and _fits(v, first, end, not but) for v in values)
    return values if is_alike and not first.is_plain else []


def _fits(x: Value, other: Value, end: int, may_be_spread: bool) -> bool:
    """Whether two values have equal sizes up to an axis, or such as may be spread over the other's."""
    counted = range(x.batch_axis, x.batch_axis + x.led + x.folded)
    return all(
        m == n or (may_be_spread and 1 in (m, n) and axis not in counted)
        for axis, (m, n) in enumerate(zip(x.shape[:end], other.shape[:end], strict=True))
    )


def _with_one_axis(x: Value) -> Value:
    """A value whose axes that are counted with the samples are one before them, and one behind."""
    begin, place, end = x.batch_axis, x.batch_axis + x.led, x.batch_axis + x.led + x.folded
    led, folded = (x.shape[a:b] for a, b in ((begin, place), (place, end)))
    counted = [math.prod(sizes) for sizes in (led, folded) if sizes]
    positions = x.positions.reshape((*x.shape[:begin], *counted, *x.shape[end:]))
    return replace(x, positions=positions, led=min(x.led, 1), folded=min(x.folded, 1))


def _with_array(node: FileNode, graph: Importer, known: list[bool]) -> list[Value]:
    """Both inputs, one of which is an array, where samples are elsewhere or counted with others; else none."""
    x, array = graph.value(node, known.index(False), True, True), graph.constant(node, known.index(True))
    if x.is_plain or array.ndim > x.rank:
        return []
    shape = [1] * (x.rank - array.ndim) + [*array.shape]
    if shape[x.batch_axis] != 1:
        return []
    shape[x.batch_axis : x.batch_axis + 1] = [1] * (x.led + x.folded)
    own = Value(x.tensor, x.positions, x.is_nonnegative, x.is_whole)
    values = [own, as_value(node, graph, known.index(True), own, array.reshape(shape))]
    return [placed_like(value, x) for value in values[:: -1 if known[0] else 1]]


def as_value(node: FileNode, graph: Importer, index: int, like: Value, array: np.ndarray | None = None) -> Value:
    """An input that is an array known from the file, or `array` in its place, with the axes of `like`, as they lie."""
    array = graph.constant(node, index) if array is None else array
    rank = len(like.shape)
    is_mask = node.operator == "Add" and array.dtype.kind == "f" and is_read_by_softmax(node, graph)
    if is_mask and not np.isneginf(array).all(-1).any():  # of such a row, what comes out is no number
        array = np.maximum(array, -LARGEST)
    if array.dtype.kind not in "fiub" or array.size == 0 or np.isnan(array).any():
        raise node.error(f"its constant holds numbers. Received: {array.dtype}, {array.shape}")
    counts = len(array) if array.ndim == rank + 1 else 0  # samples
    if counts and (counts == 1 or graph.batch_size in (None, counts)) and (array == array[:1]).all():
        array = array[0]
    if array.ndim > rank:
        raise node.error(
            f"its constant is the same for every sample. Received: shape {array.shape} for samples of {like.shape}"
        )
    array = array.astype(np.float32).reshape((1,) * (rank - array.ndim) + array.shape)
    is_spread = graph.has_open_sizes and node.operator in ELEMENTWISE_OPERATORS - {"Concat"}  # over the others
    if is_spread and (array == array.ravel()[0]).all():
        array = array[tuple(slice(1 if n == m else None) for n, m in zip(array.shape, like.shape, strict=True))]
    (tensor,), layout = graph.aligned(node, [like])
    found = _of_any_size(node, graph, Value(tensor, layout(tensor.shape[1:])), array) if is_spread else None
    if found is not None:
        return found
    array = np.moveaxis(array, 0, -1) if layout is channels_first else array
    y = constant_tensor(node, graph, tensor, np.where(np.isinf(array), 0, array), node.inputs[index])
    for infinite in (np.inf, -np.inf) if np.isinf(array).any() else ():
        is_there = (array == infinite).astype(np.float32)
        mask = constant_tensor(node, graph, tensor, is_there, f"{node.inputs[index]} {infinite}")
        y = graph.call(node, layers.Select, [mask, y], f"_{infinite}", chosen=infinite)
    return Value(y, layout(array.shape), bool((array >= 0).all()))


def _of_any_size(node: FileNode, graph: Importer, like: Value, array: np.ndarray) -> Value | None:
    """An array that the file computed from open sizes, of one number, or of one up to a diagonal and another behind.

    As causal masks are. None for any other array.
    """
    rows, columns = (1, 1, *array.shape)[-2:]
    is_spread = array.ndim == len(like.shape) and all(n in (1, m) for n, m in zip(array.shape, like.shape, strict=True))
    if array.shape[-2:] != like.shape[-2:] or min(rows, columns) < 2 or not is_spread:
        return None
    if layout_of(like.positions) is not same_order:
        return None
    inside, outside = array[..., 0, :2].reshape(-1, 2)[0].tolist()
    if not (array == np.where(np.tri(rows, columns), inside, outside)).all():
        return None
    y = graph.call(node, layers.EarlierPlaces, like.tensor, "_earlier")
    if np.isinf((inside, outside)).any():
        y = graph.call(node, layers.Select, [y], "_numbers", chosen=inside, otherwise=outside)
    elif (inside, outside) != (1, 0):
        y = graph.call(node, layers.Rescaling, y, "_numbers", scale=inside - outside, offset=outside)
    return Value(y, same_order(y.shape[1:]), min(inside, outside) >= 0)


def is_read_by_softmax(node: FileNode, graph: Importer) -> bool:
    """Whether a Softmax alone reads a node's output: of -inf and of the least number it leaves nothing, either way."""
    reader = graph.only_reader(node)
    return reader is not None and reader.operator == "Softmax"


def constant_tensor(node: FileNode, graph: Importer, like: Tensor, array: np.ndarray, name: str) -> Tensor:
    """An array of float32 as a tensor with as many samples as `like`; `name` is what the file calls it."""
    graph.spare -= array.size
    if graph.spare < 0:
        raise node.error(f"the file's constants become tensors of too many numbers. Received: one of {array.shape}")
    options = {"shape": array.shape, "trainable": False, "suffix": "_constant"}
    with weights_from_file(array.size):
        return graph.call_with_weights(node, layers.ConstantTensor, like, [array], [name], array, **options)
