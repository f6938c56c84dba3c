"""Channels that are not the last axis: ``data_format="channels_first"``, and `BatchNormalization` over any axis.

One mechanism for all: the layer's input is moved so that the channels are the last axis, a copy of the layer for that
order computes with the same weights, and its output is moved back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers.rare_forms import check_axes
from minicnn.layers.twins import twin_of
from minicnn.own_parts import is_of_package
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.layers.base import Layer
    from minicnn.onnx.writer import GraphWriter, Value


class MoveAxis(Step):
    """An axis of the samples at another place.

    Parameters
    ----------
    layer : Layer
        Which it is part of, for messages.
    source, target : int
        As of `numpy.moveaxis`, counted with the batch axis.
    """

    uses_input = False

    def __init__(self, layer: Layer, source: int, target: int) -> None:
        self.layer: Layer = layer
        self.source: int = source
        self.target: int = target

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_axes(self.layer, [a for a in (self.source, self.target) if a != -1], shape)
        return tuple(shape[axis - 1] for axis in self._order(shape))

    def keeps_order(self, shape: Shape) -> bool:
        """Whether the output is the input, for samples of this shape."""
        order = self._order(shape)
        return order == sorted(order)

    def _order(self, shape):
        """The input's axes in the order of the output's, without the batch axis."""
        axes = list(range(len(shape) + 1))
        target = self.target % len(axes)
        axes.insert(target, axes.pop(self.source))
        return axes[1:]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = np.moveaxis(xs[0], self.source, self.target)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = np.moveaxis(dy, self.target, self.source)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Transpose", [graph.channels_last(xs[0])], perm=[0, *self._order(xs[0].shape)])


def build_in_order(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build` of a layer, for channels at any axis."""

    @wraps(build)
    def wrapped(self: Layer, input_shapes: Shapes) -> Shape:
        axis = _channels_axis(self)
        self.is_flat = tuple(map(tuple, input_shapes)) == ((),)
        if axis == -1 or self.is_flat:
            return build(self, input_shapes)
        twin = _channels_last(self)
        twin.add_weight = self.add_weight  # they are this layer's
        shape = build(twin, (MoveAxis(self, axis, -1).build(input_shapes),))
        return MoveAxis(self, -1, axis).build((shape,))

    return wrapped


def lower_in_order(lower: Callable[..., Any]) -> Callable[..., Any]:
    """`lower` of a layer, for channels at any axis."""

    @wraps(lower)
    def wrapped(self: Layer) -> list[Step]:
        axis = _channels_axis(self)
        if axis == -1 or self.is_flat:
            return lower(self)
        twin = _channels_last(self)
        twin.activation = None
        steps = [MoveAxis(self, axis, -1), *lower(twin), MoveAxis(self, -1, axis)]
        return steps if self.activation is None else [*steps, *self.activation.lower()]

    return wrapped


def _channels_axis(layer):
    """Where a layer's input has its channels, counted with the batch axis; -1: where all formulas expect them."""
    if getattr(layer, "data_format", None) == "channels_first" and _has_data_format(type(layer)):
        return 1
    return layer.axis if layer.axis_is_of_channels else -1


def _has_data_format(cls):
    """Whether the argument is the package's; a user's layer may have one of its own, and its own formulas for it."""
    return any("data_format" in signature(c.__init__).parameters for c in cls.__mro__ if is_of_package(c))


def _channels_last(layer):
    """A copy with the same weights, for channels at the last axis."""
    twin = twin_of(layer)
    if layer.axis_is_of_channels:
        twin.axis = -1
    else:
        twin.data_format = "channels_last"
    return twin
