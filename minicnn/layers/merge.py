"""Layers with several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import is_integer, plain
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.activations import ReLU
from minicnn.layers.base import Examples, Layer
from minicnn.layers.given import OfSameSamples
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Add", "Concatenate", "add", "concatenate"]


def aligned(arrays: Sequence[np.ndarray], rank: int) -> Arrays:
    """The arrays, those of fewer axes with axes of size 1 after the batch axis."""
    return tuple([a if a.ndim == rank else a.reshape(len(a), *[1] * (rank - a.ndim), *a.shape[1:]) for a in arrays])


def give(ws: Workspace, index: int, arrays: Arrays, name: str = "copy", numbers: tuple[float, ...] = ()) -> None:
    """Assign the gradient of an input: `pointwise` of these arguments, of which the first array is like y.

    It is summed over the axes along which the input counted for all.
    """
    dx = ws.dxs[index]
    if dx is None:
        return
    if dx.shape == ws.y.shape:
        ws.ops.pointwise(dx, arrays, name, numbers)
    else:
        ws.ops.pointwise_sum(*aligned([dx], ws.y.ndim), arrays, name, numbers)


class Merge(OfSameSamples, Layer):
    """Base of the layers that compute number by number: inputs of size 1 along an axis count for all of the others."""

    uses_input = False
    input_count: int | None = None

    @property
    def needs(self) -> str:
        """For messages."""
        return f"{type(self).__name__} needs two or more inputs"

    def takes(self, count: int) -> bool:
        """Whether it computes of so many inputs."""
        return count >= 2

    def build(self, input_shapes: Shapes) -> Shape:
        try:
            if not self.takes(len(input_shapes)):
                raise ValueError
            return tuple(np.broadcast_shapes(*input_shapes))
        except ValueError:
            raise ShapeError(
                f"{self.needs} of one shape, or of size 1 where they differ. Received: {list(input_shapes)}"
            ) from None

    def onnx_inputs(self, xs: Sequence[Value], graph: GraphWriter) -> list[Value]:
        """The inputs in one order of axes, all with as many."""
        rank = max(len(x.shape) for x in xs)
        if all(len(x.shape) == rank for x in xs):
            return graph.same_layout(xs)
        xs = [graph.channels_last(x) for x in xs]
        missing = [np.arange(1, rank - len(x.shape) + 1) for x in xs]
        return [
            graph.add("Unsqueeze", [x, graph.constant(axes)]) if len(axes) else x
            for x, axes in zip(xs, missing, strict=True)
        ]

    @classmethod
    def examples(cls) -> Examples:
        several = 2 if cls.input_count == 2 else 3
        yield cls(), [(4, 3, 2)] * several
        yield cls(), [(4, 3, 2), (1, 1, 2)]


class Add(Merge):
    """The sum of two or more inputs (shortcuts: He, Zhang, Ren, Sun, 2015)."""

    only_ops = True

    def fused(self) -> FusedAdd:
        return FusedAdd(self)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, aligned(xs, ws.y.ndim), "add")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        for index in range(len(ws.dxs)):
            give(ws, index, (dy,))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Add" if len(xs) == 2 else "Sum", self.onnx_inputs(xs, graph))


@dataclass(eq=False)
class FusedAdd(Step):
    """An `Add`, and the ReLU behind it, outside training."""

    only_ops = True
    layer: Add
    relu: ReLU | None = None

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, aligned(xs, ws.y.ndim), "added_relu")


class Concatenate(OfSameSamples, Layer):
    """The inputs one after the other along an axis.

    Parameters
    ----------
    axis : int, default -1
        Counted with the batch axis, which is 0 and cannot be chosen.
    """

    only_ops = True
    uses_input = False
    input_count: int | None = None

    def __init__(self, axis: int = -1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if not is_integer(axis := plain(axis)):
            raise TypeError(
                "Concatenate takes an axis, and the inputs in a second call: Concatenate(axis=-1)([a, b]). "
                f"Received: axis={axis!r}"
            )
        self.axis: int = int(axis)

    def build(self, input_shapes: Shapes) -> Shape:
        rank = len(input_shapes[0]) + 1
        axis = self.axis % rank if -rank <= self.axis < rank else 0
        others = {(*shape[: axis - 1], *shape[axis:]) for shape in input_shapes}
        if axis == 0 and -rank <= self.axis < rank:
            raise ShapeError(
                f"Concatenate(axis={self.axis}) would put the samples of one input behind those of another, and inputs "
                "of a model have the same samples: axis=-1 puts their numbers side by side, and batches are joined "
                f"outside, with np.concatenate. Received: {[(None, *s) for s in input_shapes]}"
            )
        if len(input_shapes) < 2 or axis == 0 or len(others) != 1 or len({len(s) for s in input_shapes}) != 1:
            raise ShapeError(
                f"Concatenate(axis={self.axis}) needs two or more inputs that differ in that axis only. "
                f"Received: {[(None, *s) for s in input_shapes]}"
            )
        total = sum(shape[axis - 1] for shape in input_shapes)
        return (*input_shapes[0][: axis - 1], total, *input_shapes[0][axis:])

    def bind(self, ws: Workspace) -> None:
        ws.axis = self.axis % (len(ws.output_shape) + 1)
        ends = np.cumsum([shape[ws.axis - 1] for shape in ws.input_shapes])
        ws.starts = [0, *ends[:-1].tolist()]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        for x, start in zip(xs, ws.starts, strict=True):
            ws.ops.put_part(x, ws.y, ws.axis, start)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        for dx, start in zip(ws.dxs, ws.starts, strict=True):
            if dx is not None:
                ws.ops.take_part(dy, dx, ws.axis, start)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        xs = graph.same_layout(xs)
        return graph.add("Concat", xs, axis=graph.axis(xs[0], self.axis))

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 2), (4, 3, 5)]
        yield cls(axis=1), [(2, 3), (4, 3), (1, 3)]


def add(inputs: Sequence[Tensor]) -> Tensor:
    """``Add()(inputs)``.

    Parameters
    ----------
    inputs : list of tensors
        Of one shape, as `Add` takes them.
    """
    return Add()(inputs)


def concatenate(inputs: Sequence[Tensor], axis: int = -1) -> Tensor:
    """``Concatenate(axis)(inputs)``.

    Parameters
    ----------
    inputs : list of tensors
        That differ along `axis` only.
    axis : int, default -1
    """
    return Concatenate(axis)(inputs)
