"""Layers with several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Add", "Concatenate", "add", "concatenate"]


class Add(Layer):
    """The sum of two or more inputs of one shape (shortcuts: He, Zhang, Ren, Sun, 2015)."""

    uses_input = False
    input_count: int | None = None

    def build(self, input_shapes: Shapes) -> Shape:
        if len(input_shapes) < 2 or len(set(input_shapes)) != 1:
            raise ShapeError(f"Add needs two or more inputs of one shape. Received: {list(input_shapes)}")
        return input_shapes[0]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        np.add(xs[0], xs[1], out=ws.y)
        for x in xs[2:]:
            ws.y += x

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        for dx in ws.dxs:
            if dx is not None:
                dx[...] = dy

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Add" if len(xs) == 2 else "Sum", graph.same_layout(xs))

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 2), (4, 3, 2), (4, 3, 2)]


class Concatenate(Layer):
    """The inputs one after the other along an axis.

    Parameters
    ----------
    axis : int, default -1
        Counted with the batch axis, which is 0 and cannot be chosen.
    """

    uses_input = False
    input_count: int | None = None

    def __init__(self, axis: int = -1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.axis: int = axis

    def build(self, input_shapes: Shapes) -> Shape:
        rank = len(input_shapes[0]) + 1
        axis = self.axis % rank if -rank <= self.axis < rank else 0
        others = {(*shape[: axis - 1], *shape[axis:]) for shape in input_shapes}
        if len(input_shapes) < 2 or axis == 0 or len(others) != 1 or len({len(s) for s in input_shapes}) != 1:
            raise ShapeError(
                f"Concatenate(axis={self.axis}) needs two or more inputs that differ in that axis only. "
                f"Received: {[(None, *s) for s in input_shapes]}"
            )
        total = sum(shape[axis - 1] for shape in input_shapes)
        return (*input_shapes[0][: axis - 1], total, *input_shapes[0][axis:])

    def bind(self, ws: Workspace) -> None:
        axis = self.axis % (len(ws.output_shape) + 1)
        ends = np.cumsum([shape[axis - 1] for shape in ws.input_shapes])
        starts = [0, *ends[:-1]]
        ws.shares = [(*[slice(None)] * axis, slice(int(a), int(b))) for a, b in zip(starts, ends, strict=True)]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        for x, share in zip(xs, ws.shares, strict=True):
            ws.y[share] = x

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        for dx, share in zip(ws.dxs, ws.shares, strict=True):
            if dx is not None:
                dx[...] = dy[share]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        xs = graph.same_layout(xs)
        return graph.add("Concat", xs, axis=graph.axis(xs[0], self.axis))

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 2), (4, 3, 5)]
        yield cls(axis=1), [(2, 3), (4, 3), (1, 3)]


def add(inputs: Sequence[Tensor]) -> Tensor:
    """``Add()(inputs)``."""
    return Add()(inputs)


def concatenate(inputs: Sequence[Tensor], axis: int = -1) -> Tensor:
    """``Concatenate(axis)(inputs)``."""
    return Concatenate(axis)(inputs)
