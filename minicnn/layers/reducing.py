"""Means and sums over axes of each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_choice, is_integer
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.rare_forms import check_axes
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Reduce"]


class Reduce(Layer):
    """The mean or the sum over axes of each sample: what ``keras.ops.mean(x, axis=-1)`` of a model's tensor is.

    Parameters
    ----------
    operation : {"mean", "sum"}
    axis : int or sequence of int, optional
        Counted with the batch axis, which cannot be among them. Default: all others.
    keepdims : bool, default False
        Whether the axes stay, with size 1.
    """

    uses_input = False

    def __init__(
        self,
        operation: str,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.operation: str = check_choice("operation", operation, ("mean", "sum"))
        self.axis: int | list[int] | None = axis if axis is None or is_integer(axis) else list(axis)
        self.keepdims: bool = bool(keepdims)

    def _axes(self, shape) -> tuple[int, ...]:
        """The axes, counted with the batch's."""
        if self.axis is None:
            return tuple(range(1, len(shape) + 1))
        return tuple(sorted(axis + 1 for axis in check_axes(self, self.axis, shape)))

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        axes = self._axes(shape)
        sizes = [1 if axis in axes else n for axis, n in enumerate(shape, 1)]
        return tuple(n for axis, n in enumerate(sizes, 1) if self.keepdims or axis not in axes)

    def bind(self, ws: Workspace) -> None:
        ws.axes = self._axes(ws.input_shapes[0])

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        getattr(np, self.operation)(xs[0], axis=ws.axes, keepdims=self.keepdims, out=ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        dx = ws.dxs[0]
        sizes = [1 if axis in ws.axes else n for axis, n in enumerate(dx.shape)]
        dx[...] = dy.reshape(sizes)
        if self.operation == "mean":
            dx /= dx.size // dy.size

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, axes = graph.channels_last(xs[0]), self._axes(xs[0].shape)
        if self.operation == "mean":
            return graph.add("ReduceMean", [x], axes=list(axes), keepdims=int(self.keepdims))
        return graph.add("ReduceSum", [x, graph.constant(np.array(axes, np.int64))], keepdims=int(self.keepdims))

    @classmethod
    def examples(cls) -> Examples:
        yield cls("mean", -1), [(4, 3)]
        yield cls("sum", (1, 2), keepdims=True), [(3, 4, 2)]
        yield cls("sum"), [(5, 2)]
