"""Pooling to a given size, which PyTorch's exporter takes apart: windows are gathered, masked, added and divided."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers.adaptive_pooling import AdaptiveAveragePooling2D
from minicnn.onnx.values import Value

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

MOST_NODES = 2000  # of one pooling
MOST_NUMBERS = 2**20  # in its windows, of one channel

_STEPS: dict[str, Callable[..., Any]] = {
    "Add": lambda node, a, b: a + b,
    "Div": lambda node, a, b: a / b,
    "Gather": lambda node, a, index: np.take(a, index, axis=node.get("axis", 0)),
    "ReduceMean": lambda node, a, axes: a.mean(axis=tuple(axes.tolist()), keepdims=bool(node.get("keepdims", 1))),
    "Where": lambda node, mask, a, b: np.where(mask, a, b),
}
"""What stands behind the windows: each step is linear in them."""
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
    if back.get("perm", None, list) != [4, 5, 0, 1, 2, 3] or index.ndim != 5 or index.size > MOST_NUMBERS:
        return False
    nodes = _nodes_behind(back, graph)
    size, new_size = x.shape[1:], (index.shape[0], index.shape[2])
    if nodes is None or not _is_mean(nodes, back, index, size, new_size, graph):
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


def _is_mean(nodes, back, index, size, new_size, graph) -> bool:
    """Whether the nodes make the means of adaptive windows of what was gathered."""
    if index.min() < 0 or (index.reshape(-1, 2).max(axis=0) >= size).any():
        return False
    x = np.random.default_rng(0).standard_normal((1, 1, *size))
    values = {back.outputs[0]: x[:, :, index[..., 0], index[..., 1]]}  # (1, 1, OH, KH, OW, KW)
    for node in nodes:
        inputs = [values[n] if n in values else graph.constant(node, i) for i, n in enumerate(node.inputs)]
        values[node.outputs[0]] = _STEPS[node.operator](node, *inputs)
    rows, columns = AdaptiveAveragePooling2D(new_size, name="pooling").taps(*size)
    expected = np.einsum("nchw,hi,wj->ncij", x, rows.matrix(size[0]), columns.matrix(size[1]))
    got = values[nodes[-1].outputs[0]]
    return got.shape == expected.shape and bool(np.allclose(got, expected, rtol=1e-5, atol=1e-6))
