"""Samples as they are, or with their axes in another order, and vectors repeated as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_positive_int, is_integer
from minicnn.foreign import items_of
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.flatten import View
from minicnn.layers.shapes import check_rank
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Identity", "Permute", "RepeatVector"]


class Identity(View):
    """Samples as they are."""

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return xs[0]

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 2)]


class Permute(Layer):
    """Samples with their axes in another order.

    Parameters
    ----------
    dims : sequence of int
        The input's axes in the order of the output's, counted with the batch axis, which stays the first: (2, 1)
        exchanges the first two axes of a sample.
    """

    uses_input = False

    def __init__(self, dims: Sequence[int], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.dims: tuple[int, ...] = items_of(dims) or ()
        if (
            not all(map(is_integer, self.dims))
            or sorted(self.dims) != list(range(1, len(self.dims) + 1))
            or not self.dims
        ):
            raise ValueError(f"dims holds 1 … n in some order, for samples of n axes. Received: dims={dims}")

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], len(self.dims), f"as dims={self.dims} says")
        return tuple(input_shapes[0][axis - 1] for axis in self.dims)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = xs[0].transpose(0, *self.dims)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0].transpose(0, *self.dims)[...] = dy

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Transpose", [graph.channels_last(xs[0])], perm=[0, *self.dims])

    @classmethod
    def examples(cls) -> Examples:
        yield cls((3, 1, 2)), [(4, 3, 2)]


class RepeatVector(Layer):
    """Each vector n times: (N, C) becomes (N, n, C).

    Parameters
    ----------
    n : int
    """

    uses_input = False

    def __init__(self, n: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.n: int = check_positive_int("n", n)

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 1, "(features,)")
        return self.n, *input_shapes[0]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, (xs[0][:, None],), "copy")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise_sum(ws.dxs[0][:, None], (dy,), "copy")

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        rows = graph.add("Unsqueeze", [xs[0], graph.constant(np.array([1]))])
        return graph.add("Expand", [rows, graph.constant(np.array([1, self.n, 1]))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3), [(5,)]
