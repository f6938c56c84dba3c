"""Layers that compute one sample from several, number by number, and scalar products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.checks import is_integer
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.given import OfSameSamples
from minicnn.layers.merge import Merge, aligned, give
from minicnn.layers.rare_forms import check_axes
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = [
    "Average",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "average",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class Multiply(Merge):
    """The product of the inputs, number by number."""

    only_ops = True
    uses_input = True

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, aligned(xs, ws.y.ndim), "multiply")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        xs = aligned(ws.xs, dy.ndim)
        for index in range(len(xs)):
            give(ws, index, (dy, *xs[:index], *xs[index + 1 :]), "multiply")

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        y, *others = self.onnx_inputs(xs, graph)
        for x in others:
            y = graph.add("Mul", [y, x])
        return y


class Subtract(Merge):
    """The first input minus the second."""

    only_ops = True
    input_count: int | None = 2

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, aligned(xs, ws.y.ndim), "subtract")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        give(ws, 0, (dy,))
        give(ws, 1, (dy,), "scale", (-1.0,))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Sub", self.onnx_inputs(xs, graph))


class Average(Merge):
    """The mean of the inputs, number by number."""

    only_ops = True

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, aligned(xs, ws.y.ndim), "average")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        for index in range(len(ws.dxs)):
            give(ws, index, (dy,), "scale", (1 / len(ws.dxs),))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Mean", self.onnx_inputs(xs, graph))


class _Extremum(Merge):
    """The largest or smallest of the inputs; the gradient goes to the first input that holds it."""

    only_ops = True
    uses_input = True
    uses_output = True
    function: str
    onnx_name: str

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, aligned(xs, ws.y.ndim), self.function)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        xs = aligned(ws.xs, dy.ndim)
        for index in range(len(xs)):
            give(ws, index, (dy, ws.y, *xs[: index + 1]), "first_holder")

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add(self.onnx_name, self.onnx_inputs(xs, graph))


class Maximum(_Extremum):
    """The largest of the inputs, number by number; the gradient goes to the first input that holds it."""

    function = "maximum"
    onnx_name = "Max"


class Minimum(_Extremum):
    """The smallest of the inputs, number by number; the gradient goes to the first input that holds it."""

    function = "minimum"
    onnx_name = "Min"


class Dot(OfSameSamples, Layer):
    """Scalar products of two inputs along an axis of each: y[n,p,q] = Σ over k of a[n,p,k] · b[n,q,k].

    Parameters
    ----------
    axes : int or (int, int)
        The axis k of both inputs, or of each, counted with the batch axis.
    normalize : bool, default False
        Whether the vectors along k are divided by their lengths first, which gives cosines.

    Notes
    -----
    The output has the other axes of the first input, then those of the second; (N, 1) if there are none.
    """

    input_count: int | None = 2

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        pair = (axes, axes) if is_integer(axes) else tuple(axes)
        if len(pair) != 2 or not all(is_integer(axis) for axis in pair):
            raise ValueError(f"axes is an integer or a pair of them. Received: axes={axes}")
        self.axes: int | tuple[int, ...] = axes if is_integer(axes) else pair
        self.normalize: bool = bool(normalize)

    def _axes(self, shapes) -> list[int]:
        """The axis of each input, counted without the batch axis."""
        pair = (self.axes,) * 2 if isinstance(self.axes, int) else self.axes
        return [check_axes(self, axis, shape)[0] for axis, shape in zip(pair, shapes, strict=True)]

    def build(self, input_shapes: Shapes) -> Shape:
        axes = self._axes(input_shapes)
        lengths = [shape[axis] for shape, axis in zip(input_shapes, axes, strict=True)]
        if lengths[0] != lengths[1]:
            raise ShapeError(
                f"the axes of a scalar product have one length. Received: {lengths}, of axes={self.axes} of "
                f"{[(None, *shape) for shape in input_shapes]}"
            )
        others = [n for shape, axis in zip(input_shapes, axes, strict=True) for n in shape[:axis] + shape[axis + 1 :]]
        return tuple(others) or (1,)

    def bind(self, ws: Workspace) -> None:
        ws.axes = self._axes(ws.input_shapes)

    def _rows(self, x, axis):
        """The vectors of an input, (N, P, K)."""
        moved = _last(x, axis)
        return moved.reshape(len(x), -1, moved.shape[-1])

    def _factors(self, ws):
        """The vectors of both inputs, and their lengths (None if they are not divided by them)."""
        rows = [self._rows(x, axis) for x, axis in zip(ws.xs, ws.axes, strict=True)]  # (N, P, K), (N, Q, K)
        if not self.normalize:
            return rows, (None, None)
        lengths = [_lengths(r) for r in rows]
        return [r / n for r, n in zip(rows, lengths, strict=True)], lengths

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        (a, b), _ = self._factors(ws)
        ws.y[...] = (a[:, :, None] * b[:, None]).sum(axis=-1).reshape(ws.y.shape)  # (N, P, Q)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        factors, lengths = self._factors(ws)
        counts = [rows.shape[1] for rows in factors]
        dy = dy.reshape(len(dy), *counts, 1)  # (N, P, Q, 1)
        gradients = (dy * factors[1][:, None]).sum(axis=2), (dy * factors[0][:, :, None]).sum(axis=1)
        for dx, axis, gradient, rows, length in zip(ws.dxs, ws.axes, gradients, factors, lengths, strict=True):
            if dx is None:
                continue
            if length is not None:  # of v / |v|: the part along v has no effect
                gradient = (gradient - rows * (rows * gradient).sum(axis=-1, keepdims=True)) / length
            target = _last(dx, axis)
            target[...] = gradient.reshape(target.shape)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        shapes = [x.shape for x in xs]
        rows = []
        for x, axis in zip(xs, self._axes(shapes), strict=True):
            rank = len(x.shape)
            x = graph.channels_last(x)
            perm = [0, *(n + 1 for n in range(rank) if n != axis), axis + 1]
            x = graph.add("Transpose", [x], perm=perm)
            x = graph.add("Reshape", [x, graph.constant(np.array([0, -1, shapes[0][self._axes(shapes)[0]]]))])
            rows.append(graph.add("LpNormalization", [x], axis=2, p=2) if self.normalize else x)
        y = graph.add("MatMul", [rows[0], graph.add("Transpose", [rows[1]], perm=[0, 2, 1])])
        return graph.add("Reshape", [y, graph.constant(np.array([0, *self.build(tuple(shapes))]))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(1), [(5,), (5,)]
        yield cls((2, 1), normalize=True), [(2, 4), (4, 3)]


def _last(array, axis):
    """The array with a sample's axis moved behind the others."""
    return array.transpose(*(n for n in range(array.ndim) if n != axis + 1), axis + 1)


def _lengths(rows):
    """|v| of the vectors along the last axis, kept away from 0 as in Keras."""
    return np.sqrt(np.maximum(np.square(rows).sum(axis=-1, keepdims=True), 1e-14))


def multiply(inputs: Sequence[Tensor], **options: Any) -> Tensor:
    """``Multiply()(inputs)``.

    Parameters
    ----------
    inputs : list of tensors
        Of one shape, as `Multiply` takes them.
    **options
        Of the layer.
    """
    return Multiply(**options)(inputs)


def subtract(inputs: Sequence[Tensor], **options: Any) -> Tensor:
    """``Subtract()(inputs)``.

    Parameters
    ----------
    inputs : list of two tensors
        Of one shape.
    **options
        Of the layer.
    """
    return Subtract(**options)(inputs)


def average(inputs: Sequence[Tensor], **options: Any) -> Tensor:
    """``Average()(inputs)``.

    Parameters
    ----------
    inputs : list of tensors
        Of one shape, as `Average` takes them.
    **options
        Of the layer.
    """
    return Average(**options)(inputs)


def maximum(inputs: Sequence[Tensor], **options: Any) -> Tensor:
    """``Maximum()(inputs)``.

    Parameters
    ----------
    inputs : list of tensors
        Of one shape, as `Maximum` takes them.
    **options
        Of the layer.
    """
    return Maximum(**options)(inputs)


def minimum(inputs: Sequence[Tensor], **options: Any) -> Tensor:
    """``Minimum()(inputs)``.

    Parameters
    ----------
    inputs : list of tensors
        Of one shape, as `Minimum` takes them.
    **options
        Of the layer.
    """
    return Minimum(**options)(inputs)


def dot(inputs: Sequence[Tensor], axes: int | Sequence[int] = -1, **options: Any) -> Tensor:
    """``Dot(axes)(inputs)``.

    Parameters
    ----------
    inputs : list of two tensors
    axes : int or (int, int), default -1
        Along which products are summed; of both inputs, or of each.
    **options
        Of the layer.
    """
    return Dot(axes, **options)(inputs)
