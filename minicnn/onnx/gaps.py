"""Pooling over windows with gaps (dilations), which no layer has: over parts of the image that are shifted."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from minicnn import layers
from minicnn.geometry import effective_size
from minicnn.graph import Tensor
from minicnn.onnx.arguments import pair
from minicnn.onnx.windows import Sides

if TYPE_CHECKING:
    from minicnn.onnx.importer import Importer
    from minicnn.onnx.reader import FileNode

MAX_TAPS = 16  # rows, or columns, of a window: each is a layer


def pooled_with_gaps(node: FileNode, graph: Importer, merging: type[layers.Layer], x: Tensor, sides: Sides) -> Tensor:
    """A pooling whose windows have gaps, over rows and then over columns.

    The mean over a window is that of its rows' means, since all of its rows have as many pixels in the image.

    Parameters
    ----------
    node : FileNode
        With `kernel_shape`, `strides` and `dilations`.
    graph : Importer
    merging : class
        `Maximum` or `Average`, of several tensors.
    x : Tensor
        Images (H, W, C).
    sides : tuple
        ((top, bottom), (left, right)), pixels around the image that do not count.

    Raises
    ------
    FileFormatError
        Where a window lies in the padding alone, or has too many rows or columns.
    """
    windows = zip(pair(node, "kernel_shape", None), pair(node, "strides"), pair(node, "dilations"), strict=True)
    for axis, (window, side) in enumerate(zip(windows, sides, strict=True), start=1):
        x = _along(node, graph, merging, x, axis, *_taps(node, x.shape[axis], window, side))
    return x


def _taps(node, size, window, side):
    """(stride; for each position of a window: where those of its pixels are that lie in the image, None for others)."""
    count, stride, gap = window
    total = (size + sum(side) - effective_size(count, gap)) // stride + 1
    firsts = [n * stride - side[0] for n in range(min(total, count * size + 1))]
    taps = [[at if 0 <= at < size else None for at in range(n, n + count * gap, gap)] for n in firsts]
    if count > MAX_TAPS or not taps or any(set(found) == {None} for found in taps):
        raise node.error(
            f"its windows have up to {MAX_TAPS} rows and columns, and each has pixels of the image. "
            f"Received: {count} of {size}, dilations={gap}, pads={side}"
        )
    return stride, taps


def _along(node, graph, merging, x, axis, stride, taps):
    """Windows along one axis: those that have the same pixels in the image together, for they are of one form."""
    runs = []
    for _, run in itertools.groupby(taps, lambda found: [at is None for at in found]):
        run = list(run)
        parts = []
        for first, last in zip(run[0], run[-1], strict=True):
            if first is not None:
                name = f"_{'rows' if axis == 1 else 'columns'}_{first}"
                key = [[None] * 3] * (axis - 1) + [[first, last + 1, stride]]
                parts.append(graph.call(node, layers.GetItem, x, name, key=key))
        runs.append(parts[0] if len(parts) == 1 else graph.call(node, merging, parts, "_merged"))
    return runs[0] if len(runs) == 1 else graph.call(node, layers.Concatenate, runs, "_joined", axis=axis)
