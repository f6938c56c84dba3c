"""Zeros around images, and parts of tensors: in Keras's layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.onnx.windows import NO_SIDES, Sides

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

MAX_RUNS = 256  # pieces that a part of a tensor may be put together from


def padded(node: FileNode, graph: Importer, tensor: Tensor, outside: Sides, suffix: str = "_pad") -> Tensor:
    """A tensor of images with zeros around them."""
    if outside == NO_SIDES:
        return tensor
    (top, bottom), (left, right) = outside
    _, height, width, channels = tensor.shape
    graph.check_size(node, (height + top + bottom, width + left + right, channels))
    return graph.call(node, layers.ZeroPadding2D, tensor, suffix, padding=outside)


def split_shape(tensor: Tensor, axis: int) -> tuple[int, int, int]:
    """The sizes before, along and behind an axis of a tensor, which counts the batch axis."""
    shape = tensor.shape[1:]
    return math.prod(shape[: axis - 1]), shape[axis - 1], math.prod(shape[axis:])


def reshaped(node: FileNode, graph: Importer, tensor: Tensor, shape: Sequence[int], suffix: str) -> Tensor:
    """The tensor in another shape."""
    if tensor.shape[1:] == tuple(shape):
        return tensor
    return graph.call(node, layers.Reshape, tensor, suffix, target_shape=tuple(shape))


def take(
    node: FileNode, graph: Importer, tensor: Tensor, axis: int, indices: Sequence[int], suffix: str = ""
) -> Tensor:
    """What lies at `indices` of a tensor's axis: runs of neighbours are cut out, and put one behind the other."""
    before, size, behind = split_shape(tensor, axis)
    shape = (*tensor.shape[1:axis], len(indices), *tensor.shape[axis + 1 :])
    graph.check_size(node, shape)
    if list(indices) == list(range(size)):
        return tensor
    runs = np.split(np.asarray(indices), np.flatnonzero(np.diff(indices) != 1) + 1)
    if len(runs) > MAX_RUNS:
        raise node.error(f"it takes a tensor apart into more than {MAX_RUNS} pieces. Received: {len(runs)}")
    flat = reshaped(node, graph, tensor, (before, size, behind), f"{suffix}_rows")
    parts = [flat] * len(runs)
    for number, run in enumerate(runs):
        sides = ((0, 0), (int(run[0]), size - 1 - int(run[-1])))
        if any(sides[1]):
            parts[number] = graph.call(node, layers.Cropping2D, flat, f"{suffix}_part", cropping=sides)
    y = parts[0] if len(parts) == 1 else graph.call(node, layers.Concatenate, parts, f"{suffix}_joined", axis=2)
    return reshaped(node, graph, y, shape, suffix)
