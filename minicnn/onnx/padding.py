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
    if len(indices) == size and list(indices) == list(range(size)):
        return tensor
    runs = np.split(np.asarray(indices), np.flatnonzero(np.diff(indices) != 1) + 1)
    if len(runs) > MAX_RUNS:
        raise node.error(f"it takes a tensor apart into more than {MAX_RUNS} pieces. Received: {len(runs)}")
    if len(tensor.shape) != 4 or (axis == 3 and not graph.has_open_sizes):
        tensor, axis = reshaped(node, graph, tensor, (before, size, behind), f"{suffix}_rows"), 2
    parts = [_run(node, graph, tensor, axis, (int(run[0]), size - 1 - int(run[-1])), suffix) for run in runs]
    y = parts[0] if len(parts) == 1 else graph.call(node, layers.Concatenate, parts, f"{suffix}_joined", axis=axis)
    return reshaped(node, graph, y, shape, suffix)


def bordered(node: FileNode, graph: Importer, tensor: Tensor, axis: int, mode: str, before: int, behind: int) -> Tensor:
    """A tensor (H, W, C) of open sizes with a border of its own rows, or columns, along `axis`.

    Each is a part by itself, counted from the nearer end: of an image that has not as many, there is no such part.
    """
    first, last = {
        "edge": ([0] * before, [-1] * behind),
        "reflect": (range(before, 0, -1), range(-2, -2 - behind, -1)),
        "wrap": (range(-before, 0), range(behind)),
    }[mode]
    if before + behind > MAX_RUNS:
        raise node.error(f"its border is made of more than {MAX_RUNS} rows. Received: {(before, behind)}")
    ends = {place: part(node, graph, tensor, axis, (place, place + 1 or None, None)) for place in {*first, *last}}
    parts = [*map(ends.get, first), tensor, *map(ends.get, last)]
    return graph.call(node, layers.Concatenate, parts, f"_axis{axis}", axis=axis) if len(parts) > 1 else tensor


def part(node: FileNode, graph: Importer, tensor: Tensor, axis: int, bounds: Sequence[int | None]) -> Tensor:
    """A part of a tensor along one axis, by (start, stop, step), for which its size needs not be known."""
    key = [[None] * 3 for _ in tensor.shape[1:]]
    key[axis - 1] = list(bounds)
    return graph.call(node, layers.GetItem, tensor, "_part", key=key)


def _run(node, graph, tensor, axis, outside, suffix):
    """A tensor (H, W, C) without so many numbers before and behind, along an axis: where rows are as many as they are.

    Channels are taken by an index: to bring them to an axis that Cropping2D cuts, the sizes have to be known.
    """
    if not any(outside):
        return tensor
    if axis == 3:
        before, behind = outside
        key = [[None] * 3, [None] * 3, [before or None, -behind or None, None]]
        return graph.call(node, layers.GetItem, tensor, f"{suffix}_part", key=key)
    cropping = [(0, 0), (0, 0)]
    cropping[axis - 1] = outside
    return graph.call(node, layers.Cropping2D, tensor, f"{suffix}_part", cropping=tuple(cropping))
