"""Arrays of the file where an operator takes tensors: they become tensors of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.onnx.values import Value, channels_first
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
        If an array holds other than finite numbers, or different ones for the samples.
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

    Their shapes are the same, `but` for so many of the last axes.
    """
    count = range(len(node.inputs))
    if any(graph.is_constant(node, index) for index in count):
        return []
    values = [graph.value(node, index, any_batch_axis=True, may_be_folded=True) for index in count]
    first, end = values[0], len(values[0].shape) - but
    is_alike = all(v.lies_like(first) and v.shape[:end] == first.shape[:end] for v in values)
    return values if is_alike and not first.is_plain else []


def as_value(node: FileNode, graph: Importer, index: int, like: Value) -> Value:
    """An input that is an array known from the file, with the axes of `like`, in its layout."""
    array = graph.constant(node, index)
    rank = len(like.shape)
    if node.operator == "Add" and array.dtype.kind == "f" and is_read_by_softmax(node, graph):
        if np.isneginf(array).all(-1).any():
            raise node.error("its mask leaves something of every row: what is computed of a row of -inf is no number")
        array = np.maximum(array, -LARGEST)
    if array.dtype.kind not in "fiub" or array.size == 0 or not np.isfinite(array).all():
        raise node.error(f"its constant holds finite numbers. Received: {array.dtype}, {array.shape}")
    counts = len(array) if array.ndim == rank + 1 else 0  # samples
    if counts and (counts == 1 or graph.batch_size in (None, counts)) and (array == array[:1]).all():
        array = array[0]
    if array.ndim > rank:
        raise node.error(
            f"its constant is the same for every sample. Received: shape {array.shape} for samples of {like.shape}"
        )
    array = array.astype(np.float32).reshape((1,) * (rank - array.ndim) + array.shape)
    (tensor,), layout = graph.aligned(node, [like])
    array = np.moveaxis(array, 0, -1) if layout is channels_first else array
    y = constant_tensor(node, graph, tensor, array, node.inputs[index])
    return Value(y, layout(array.shape), bool((array >= 0).all()))


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
