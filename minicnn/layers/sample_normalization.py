"""Normalizations of each sample by itself: layer, group, RMS and unit normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn import initializers
from minicnn.checks import check_number, is_integer
from minicnn.errors import ShapeError
from minicnn.hints import InitializerLike, LayerOptions
from minicnn.initializers import Initializer
from minicnn.layers.base import Examples, Layer
from minicnn.layers.normalization import SCALE_AND_SHIFT, ScaleAndShiftOptions
from minicnn.layers.rare_forms import check_axes, check_axis_argument
from minicnn.parameters import Weight
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"]


class Standardized(Layer):
    """Base: y = scale · (x - mean) / √(variance + epsilon) + shift, with the moments of parts of each sample.

    A subclass says in which shape samples are cut into parts, over which axes of it the moments go, and which axes of
    the sample have weights.
    """

    is_centred = True
    scale_name = "gamma"

    def cut(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        """(another shape of samples, axes of the moments in it, counted with the batch axis)."""
        raise NotImplementedError

    def weighted_axes(self, shape: Shape) -> tuple[int, ...]:
        """The sample's axes, counted from 0 without the batch axis, along which weights differ."""
        raise NotImplementedError

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        shape, axes = self.cut(output_shape)
        moments = tuple(1 if axis in axes else n for axis, n in enumerate(shape, 1))
        return {"mean": Buffer(moments), "inverse_std": Buffer(moments)}

    def bind(self, ws: Workspace) -> None:
        shape = ws.output_shape
        ws.cut, ws.axes = self.cut(shape)
        weighted = self.weighted_axes(shape)
        ws.weights_shape = tuple(n if axis in weighted else 1 for axis, n in enumerate(shape))
        ws.other_axes = (0, *(axis + 1 for axis in range(len(shape)) if axis not in weighted))
        ws.view = self._view(weighted, shape)

    def _view(self, weighted, shape):
        """(-1, pixels, channels) so that `standardize` computes this; None if weights are not along the last axes."""
        first = weighted[0]
        if weighted != tuple(range(first, len(shape))):
            return None
        goes_over_all = self.cut(shape)[1][0] == 1  # axes of a sample
        return -1, math.prod(shape[:first]) if goes_over_all else 1, math.prod(shape[first:])

    def _parts(self, array, ws):
        return array.reshape(len(array), *ws.cut)

    def _moments(self, ws):
        """Mean and inverse deviation, (samples, groups) as `standardize` takes them."""
        samples = ws.y.reshape(ws.view).shape[0]
        return [ws.buffers[name].reshape(samples, -1) for name in ("mean", "inverse_std")]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.view is None:
            self._forward_of_any_axes(xs, ws)
            return
        weights = [None if w is None else w.reshape(-1) for w in map(ws.params.get, (self.scale_name, "beta"))]
        arrays = xs[0].reshape(ws.view), ws.y.reshape(ws.view), *weights, *self._moments(ws)
        ws.ops.standardize(*arrays, self.epsilon, self.is_centred)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.view is None:
            self._backward_of_any_axes(dy, ws)
            return
        gamma, dgamma, dbeta = ws.params.get(self.scale_name), ws.grads.get(self.scale_name), ws.grads.get("beta")
        gamma, dgamma, dbeta = (None if w is None else w.reshape(-1) for w in (gamma, dgamma, dbeta))
        x, dy, dx = (None if a is None else a.reshape(ws.view) for a in (ws.xs[0], dy, ws.dxs[0]))
        ws.ops.standardize_backward(x, dy, gamma, *self._moments(ws), dx, dgamma, dbeta, self.is_centred)

    def _forward_of_any_axes(self, xs, ws):
        x, y = self._parts(xs[0], ws), self._parts(ws.y, ws)
        mean, inverse_std = ws.buffers["mean"], ws.buffers["inverse_std"]
        if self.is_centred:
            mean[...] = x.mean(axis=ws.axes, keepdims=True)
        else:
            mean.fill(0)
        np.subtract(x, mean, out=y)
        inverse_std[...] = 1 / np.sqrt(np.square(y).mean(axis=ws.axes, keepdims=True) + self.epsilon)
        y *= inverse_std
        if self.scale_name in ws.params:
            ws.y *= ws.params[self.scale_name].reshape(ws.weights_shape)
        if "beta" in ws.params:
            ws.y += ws.params["beta"].reshape(ws.weights_shape)

    def _backward_of_any_axes(self, dy, ws):
        inverse_std, (dx,) = ws.buffers["inverse_std"], ws.dxs
        normalized = (self._parts(ws.xs[0], ws) - ws.buffers["mean"]) * inverse_std
        for name, gradient in ws.grads.items():
            if gradient is not None:
                product = dy if name == "beta" else dy * normalized.reshape(dy.shape)
                gradient[...] = product.sum(axis=ws.other_axes).reshape(gradient.shape)
        if dx is None:
            return
        if self.scale_name in ws.params:
            dy = dy * ws.params[self.scale_name].reshape(ws.weights_shape)
        dy = self._parts(dy, ws)
        along = normalized * (dy * normalized).mean(axis=ws.axes, keepdims=True)
        if self.is_centred:
            along += dy.mean(axis=ws.axes, keepdims=True)
        self._parts(dx, ws)[...] = (dy - along) * inverse_std

    def decomposed(self, x: Value, graph: GraphWriter, scale: Weight | None, shift: Weight | None = None) -> Value:
        """The formula as single operators, for parts that are whole axes."""
        shape, x = x.shape, graph.channels_last(x)
        _, axes = self.cut(shape)
        if self.is_centred:
            x = graph.add("Sub", [x, graph.add("ReduceMean", [x], axes=list(axes))])
        variance = graph.add("ReduceMean", [graph.add("Mul", [x, x])], axes=list(axes))
        root = graph.add("Sqrt", [graph.add("Add", [variance, graph.constant(np.float32(self.epsilon))])])
        y, weighted = graph.add("Div", [x, root]), self.weighted_axes(shape)
        sizes = tuple(n if axis in weighted else 1 for axis, n in enumerate(shape))
        for operator, weight in (("Mul", scale), ("Add", shift)):
            y = y if weight is None else graph.add(operator, [y, graph.weight(weight, shape=sizes)])
        return y


class _ScaledAndShifted(Standardized):
    """Those with gamma and beta."""

    rare_options: tuple[str, ...] = (*Layer.rare_options, *SCALE_AND_SHIFT)

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: InitializerLike,
        gamma_initializer: InitializerLike,
        **kwargs: Unpack[ScaleAndShiftOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)
        self.center: bool = center
        self.scale: bool = scale
        self.beta_initializer: Initializer = initializers.get(beta_initializer)
        self.gamma_initializer: Initializer = initializers.get(gamma_initializer)

    def _add_weights(self, shape) -> None:
        if self.scale:
            rules = self.gamma_regularizer, self.gamma_constraint
            self.add_weight("gamma", shape, self.gamma_initializer, True, *rules)
        if self.center:
            rules = self.beta_regularizer, self.beta_constraint
            self.add_weight("beta", shape, self.beta_initializer, True, *rules)

    def _weights_onnx(self, graph):
        """gamma, beta; None for one that there is not."""
        return (graph.weight(self.gamma) if self.scale else None, graph.weight(self.beta) if self.center else None)


class LayerNormalization(_ScaledAndShifted):
    """y = gamma · (x - mean) / √(variance + epsilon) + beta, with the moments along an axis of each sample.

    (Ba, Kiros, Hinton: "Layer normalization", 2016.)

    Parameters
    ----------
    axis : int or sequence of int, default -1
        Over which the moments go, and along which gamma and beta differ; counted with the batch axis.
    epsilon : float, default 1e-3
    center, scale : bool, default True
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
        Defaults "zeros" and "ones".
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        **kwargs: Unpack[ScaleAndShiftOptions],
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **kwargs)
        self.axis: int | list[int] = check_axis_argument(axis)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        self._add_weights(tuple(shape[axis] for axis in self.weighted_axes(shape)))
        return shape

    def weighted_axes(self, shape: Shape) -> tuple[int, ...]:
        return tuple(sorted(check_axes(self, self.axis, shape)))

    def cut(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        return shape, tuple(axis + 1 for axis in self.weighted_axes(shape))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        shape, x = xs[0].shape, graph.channels_last(xs[0])
        axes = self.weighted_axes(shape)
        if axes != tuple(range(axes[0], len(shape))):
            return self.decomposed(xs[0], graph, self.gamma if self.scale else None, self.beta if self.center else None)
        sizes = shape[axes[0] :]
        gamma, beta = self._weights_onnx(graph)
        gamma = graph.constant(np.ones(sizes, np.float32)) if gamma is None else gamma
        inputs = [x, gamma] if beta is None else [x, gamma, beta]
        return graph.add("LayerNormalization", inputs, axis=axes[0] + 1, epsilon=self.epsilon)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 5)]
        yield cls(axis=(1, 2), center=False), [(3, 4, 2)]


class GroupNormalization(_ScaledAndShifted):
    """As `LayerNormalization`, with moments over all of a sample but an axis of channels, group by group.

    (Wu, He: "Group normalization", 2018.) As many groups as channels are instance normalization, one group is layer
    normalization over the whole sample.

    Parameters
    ----------
    groups : int, default 32
        The channels are cut into so many groups; -1: each is its own.
    axis : int, default -1
        Of the channels, along which gamma and beta differ; counted with the batch axis.
    epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
    gamma_constraint :
        As for `LayerNormalization`.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        **kwargs: Unpack[ScaleAndShiftOptions],
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **kwargs)
        if not is_integer(groups) or (groups < 1 and groups != -1):
            raise ValueError(f"groups is a positive integer, or -1 for one a channel. Received: groups={groups!r}")
        self.groups: int = groups
        self.axis: int = axis

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        (axis,) = self.weighted_axes(shape)
        if shape[axis] % self._count(shape[axis]):
            raise ShapeError(
                f"the channels must be a multiple of groups={self.groups}. Received: {shape[axis]} channels"
            )
        self._add_weights((shape[axis],))
        return shape

    def _count(self, channels):
        return channels if self.groups == -1 else self.groups

    def weighted_axes(self, shape: Shape) -> tuple[int, ...]:
        return check_axes(self, self.axis, shape)

    def cut(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        (axis,) = self.weighted_axes(shape)
        groups = self._count(shape[axis])
        parts = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
        return parts, tuple(n + 1 for n in range(len(parts)) if n != axis)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        shape = xs[0].shape
        (axis,) = self.weighted_axes(shape)
        if axis != len(shape) - 1:
            raise NotImplementedError
        x, groups = graph.channels_first(xs[0]), self._count(shape[-1])  # (N, C, …)
        one, zero = np.ones(groups, np.float32), np.zeros(groups, np.float32)
        y = graph.add("Reshape", [x, graph.constant(np.array([0, groups, -1]))])
        y = graph.add("InstanceNormalization", [y, graph.constant(one), graph.constant(zero)], epsilon=self.epsilon)
        target = graph.constant(np.array([0, shape[-1], *(-1 if n is None else n for n in shape[:-1])]))
        y = graph.add("Reshape", [y, graph.add("Shape", [x]) if shape[:-1].count(None) > 1 else target])
        across = np.arange(1, len(shape))
        for operator, weight in zip(("Mul", "Add"), self._weights_onnx(graph), strict=True):
            if weight is not None:
                weight = graph.add("Unsqueeze", [weight, graph.constant(across)]) if len(across) else weight
                y = graph.add(operator, [y, weight])
        return y

    @classmethod
    def examples(cls) -> Examples:
        yield cls(2), [(3, 4, 6)]
        yield cls(-1, scale=False), [(4, 3)]


class RMSNormalization(Standardized):
    """y = scale · x / √(mean of x² + epsilon), with the mean along an axis of each sample.

    (Zhang, Sennrich: "Root mean square layer normalization", 2019.)

    Parameters
    ----------
    axis : int or sequence of int, default -1
        Counted with the batch axis.
    epsilon : float, default 1e-6
    """

    is_centred = False
    scale_name = "scale"

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.axis: int | list[int] = check_axis_argument(axis)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        self.add_weight("scale", tuple(shape[axis] for axis in self.weighted_axes(shape)), "ones")
        return shape

    def weighted_axes(self, shape: Shape) -> tuple[int, ...]:
        return tuple(sorted(check_axes(self, self.axis, shape)))

    def cut(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        return shape, tuple(axis + 1 for axis in self.weighted_axes(shape))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return self.decomposed(xs[0], graph, self._weights["scale"])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 5)]


class UnitNormalization(Layer):
    """x / |x|, the length taken along an axis of each sample.

    Parameters
    ----------
    axis : int or sequence of int, default -1
        Counted with the batch axis.
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.axis: int | list[int] = check_axis_argument(axis)

    def build(self, input_shapes: Shapes) -> Shape:
        check_axes(self, self.axis, input_shapes[0])
        return input_shapes[0]

    def bind(self, ws: Workspace) -> None:
        ws.axes = tuple(axis + 1 for axis in check_axes(self, self.axis, ws.output_shape))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        np.divide(xs[0], self._length(xs[0], ws), out=ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        length = self._length(ws.xs[0], ws)
        unit = ws.xs[0] / length
        along = (dy * unit).sum(axis=ws.axes, keepdims=True)
        np.divide(dy - unit * along, length, out=ws.dxs[0])

    def _length(self, x, ws):
        squares = np.square(x).sum(axis=ws.axes, keepdims=True)
        return np.sqrt(np.maximum(squares, 1e-24))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        axes = [graph.axis(xs[0], axis) for axis in ([self.axis] if isinstance(self.axis, int) else self.axis)]
        squares = graph.add("ReduceSum", [graph.add("Mul", [xs[0], xs[0]]), graph.constant(np.array(axes, np.int64))])
        length = graph.add("Sqrt", [graph.add("Max", [squares, graph.constant(np.float32(1e-24))])])
        return graph.add("Div", [xs[0], length])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3)]
        yield cls((1, 2)), [(3, 2, 2)]
