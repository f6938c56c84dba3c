"""Pooling to a given size, which PyTorch's exporter takes apart: windows are gathered, masked, added and divided."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers.adaptive_pooling import AdaptiveAveragePooling2D
from minicnn.onnx.arguments import axes_of, checked_axis
from minicnn.onnx.values import Value

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

MOST_NODES = 2000  # of one pooling
MOST_NUMBERS = 2**23  # in the windows of the images that are tried, and in what is made of them
TRIED = 2  # images


def _gathered(node, graph, a, index):
    """Parts of rows or columns: samples and channels stay, which an index could not take all of in every model."""
    axis = checked_axis(node, node.get("axis", 0), a.ndim)
    if axis < 2 or index.dtype.kind != "i" or a.size // a.shape[axis] * index.size > MOST_NUMBERS:
        raise ValueError
    return np.take(a, index, axis=axis)


def _averaged(node, graph, a, *_):
    axes = axes_of(node, graph, a.ndim)
    return a.mean(axis=None if axes is None else tuple(axes), keepdims=bool(node.get("keepdims", 1)))


_STEPS: dict[str, Callable[..., Any]] = {
    "Add": lambda node, graph, a, b: a + b,
    "Div": lambda node, graph, a, b: a / b,
    "Gather": _gathered,
    "ReduceMean": _averaged,
    "Where": lambda node, graph, mask, a, b: np.where(mask, a, b),
}
"""What stands behind the windows: each step is linear in them."""
_CONSTANT = {"Div": 1, "Gather": 1, "Where": 0}
"""Which input is an array in the file: otherwise the step would not be linear."""
_LAST = ("Div", "ReduceMean")


def adaptive_pooling(node: FileNode, graph: Importer, x: Value) -> bool:
    """Translate a Transpose of images that begins an average pooling to a given size, and all nodes of that.

    What the nodes make of random numbers is compared with what the layer does, so that it does not matter how the file
    puts it.

    Returns
    -------
    bool
        False if it begins something else; nothing has happened then.
    """
    gather = graph.only_reader(node)
    back = None if gather is None or gather.operator != "GatherND" else graph.only_reader(gather)
    is_windows = back is not None and back.operator == "Transpose" and graph.is_constant(gather, 1)
    if not is_windows or node.get("perm", None, list) != [2, 3, 0, 1] or len(x.shape) != 3:
        return False
    index = graph.constant(gather, 1)
    if back.get("perm", None, list) != [4, 5, 0, 1, 2, 3] or index.shape[4:] != (2,) or gather.get("batch_dims", 0):
        return False
    nodes = _nodes_behind(back, graph)
    new_size = index.shape[0], index.shape[2]
    if nodes is None or not _is_mean(nodes, back, index, x.shape, new_size, graph):
        return False
    y = graph.call(nodes[-1], AdaptiveAveragePooling2D, graph.images(node), output_size=new_size)
    for later in (gather, back, *nodes):
        graph.skip(later)
    graph.give_images(nodes[-1], y, x.is_nonnegative)
    return True


def _nodes_behind(node, graph):
    """The nodes between the windows and the one that gives the means, in their order; None if there are others."""
    found, waiting = {}, [node]
    while waiting and len(found) <= MOST_NODES:
        for reader in graph.readers(waiting.pop()):
            if reader.operator not in _STEPS:
                return None
            if reader.index not in found and reader.operator not in _LAST:
                waiting.append(reader)
            found[reader.index] = reader
    nodes = [found[index] for index in sorted(found)]
    ends = [reader for reader in nodes if reader.operator in _LAST]
    return nodes if not waiting and len(ends) == 1 and nodes[-1] is ends[0] else None


def _is_mean(nodes, back, index, shape, new_size, graph) -> bool:
    """Whether the nodes make the means of adaptive windows of what was gathered from images of a shape (C, H, W)."""
    channels, *size = shape
    if index.dtype.kind != "i" or index.size == 0 or index.min() < 0:
        return False
    numbers = TRIED * channels * max(index.size // 2, math.prod(size))
    numbers = max(numbers, *(old * new for old, new in zip(size, new_size, strict=True)))
    if numbers > MOST_NUMBERS or (index.reshape(-1, 2).max(axis=0) >= size).any():
        return False
    x = np.random.default_rng(0).standard_normal((TRIED, *shape))
    windows = x[:, :, index[..., 0], index[..., 1]]  # (TRIED, C, OH, KH, OW, KW)
    try:
        got = _computed(nodes, {back.outputs[0]: windows}, graph)
    except (ValueError, IndexError, TypeError):  # shapes do not fit, or inputs are missing
        return False
    rows, columns = AdaptiveAveragePooling2D(new_size, name="pooling").taps(*size)
    expected = np.einsum("nchw,hi,wj->ncij", x, rows.matrix(size[0]), columns.matrix(size[1]), optimize=True)
    return got.shape == expected.shape and bool(np.allclose(got, expected, rtol=1e-5, atol=1e-6))


def _computed(nodes, values, graph):
    """What the last node gives, from the values (by name) that are known; each is kept while a node reads it."""
    last = {name: node for node in nodes for name in node.inputs}
    for node in nodes:
        place = _CONSTANT.get(node.operator)
        if place is not None and not graph.is_constant(node, place):
            raise ValueError
        inputs = [values[n] if n in values else graph.constant(node, i) for i, n in enumerate(node.inputs)]
        if node.operator in ("Add", "Div", "Where"):
            shape = np.broadcast_shapes(*(np.shape(value) for value in inputs))
            if math.prod(shape) > MOST_NUMBERS:
                raise ValueError
        for name in node.inputs:
            if last[name] is node:
                values.pop(name, None)
        with np.errstate(all="ignore"):
            values[node.outputs[0]] = _STEPS[node.operator](node, graph, *inputs)
    return values[nodes[-1].outputs[0]]
