"""Operators that go over each frame of a sample by itself, where a Reshape has counted the frames with the samples.

That is how `TimeDistributed` is written, and what PyTorch's programs do with videos: (N, T, …) becomes (N · T, …),
goes through a network for images and comes back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.layers import TimeDistributed
from minicnn.models import Model
from minicnn.onnx.reader import FileGraph
from minicnn.onnx.values import Value, same_order

if TYPE_CHECKING:
    from minicnn.layers import Layer
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode


class CountsFramesError(FileFormatError):
    """An operator takes samples alone, and its input counts frames with them."""


def per_frame(node: FileNode, graph: Importer) -> bool:
    """Translate a node for each frame; whether that is possible.

    Parameters
    ----------
    node : FileNode
        All its inputs but one are arrays of the file.
    graph : Importer
    """
    places = [place for place, name in enumerate(node.inputs) if name and not graph.is_constant(node, place)]
    if len(places) != 1:
        return False
    x = graph.value(node, places[0], any_batch_axis=True, may_be_folded=True)
    if x.batch_axis or x.led:
        return False
    shape, frames = x.shape[x.folded :], math.prod(x.shape[: x.folded])
    inner = _of_one_frame(node, graph, node.inputs[places[0]], shape)
    layer, y = _translated(node, inner)
    positions = x.positions.reshape(frames, *shape)
    if inner.takes_images(node.inputs[places[0]]):
        positions = np.moveaxis(positions, 1, -1)  # (T, H, W, C)
    tensor = graph.arranged(node, Value(x.tensor, positions), same_order)
    graph.check_size(node, (frames, *y.tensor.shape[1:]))
    if layer is not None:
        tensor = graph.call(node, TimeDistributed, tensor, layer=layer)
    starts = math.prod(y.tensor.shape[1:]) * np.arange(frames, dtype=np.int32)
    positions = np.add.outer(starts, y.positions).reshape(*x.shape[: x.folded], *y.shape)
    graph.give(node, Value(tensor, positions, y.is_nonnegative, y.is_whole, folded=x.folded))
    return True


def _of_one_frame(node, graph, name, shape):
    """What translates the node alone, for samples that are one frame."""
    constants = {
        other: graph.constant(node, place) for place, other in enumerate(node.inputs) if other and other != name
    }
    inner = type(graph)(FileGraph("", graph.opset, {name: shape}, node.outputs[:1], None, constants, [node]))
    inner.budget, inner.spare = graph.budget, graph.spare
    return inner


def _translated(node, inner) -> tuple[Layer | None, Value]:
    """(layer, value): what a frame goes through, if its numbers do not only move, and the node's output of that."""
    start = inner.run().inputs
    y = inner.value(node.part("Identity", node.outputs[:1], [], {}), 0)
    if y.tensor in start:
        return None, y
    model = Model(start, y.tensor)
    return (model.layers[1] if len(model.layers) == 2 else model), y
