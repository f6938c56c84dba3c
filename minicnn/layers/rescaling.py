"""`Rescaling`: pixels as the network wants them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.backends.memory import constant
from minicnn.checks import check_number, plain
from minicnn.errors import ShapeError
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Rescaling"]


class Rescaling(Layer):
    """y = x · scale + offset, in training and otherwise: ``Rescaling(1 / 255)`` for pixels from 0 to 255.

    Parameters
    ----------
    scale : float or sequence of float
        One number for all, or one for each channel (of the last axis).
    offset : float or sequence of float, default 0
    """

    uses_input = False

    def __init__(
        self, scale: float | Sequence[float], offset: float | Sequence[float] = 0.0, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.scale: float | list[float] = _number_or_numbers("scale", scale)
        self.offset: float | list[float] = _number_or_numbers("offset", offset)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(value, list) and shape[-1:] != (len(value),):
                needed = f"{shape[-1]} numbers, one for each channel" if shape else "one number, as a sample is one"
                raise ShapeError(f"{name} needs {needed}. Received: {len(value)}")
        return shape

    def bind(self, ws: Workspace) -> None:
        both, channels = (self.scale, self.offset), ws.output_shape[-1:]
        ws.numbers, ws.factors = both, ()
        if any(isinstance(value, list) for value in both):
            ws.numbers = ()
            ws.factors = tuple([constant(np.broadcast_to(v, channels), ws.y) for v in both])  # (C,)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, (*xs, *ws.factors), "scale_and_shift", ws.numbers)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (dy, *ws.factors[:1]), "scale", ws.numbers[:1])

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_last(xs[0])
        scaled = graph.add("Mul", [x, graph.constant(np.asarray(self.scale, np.float32))])
        return graph.add("Add", [scaled, graph.constant(np.asarray(self.offset, np.float32))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.5, -1), [(4, 3, 2)]
        yield cls([0.5, 2.0, -1.0], (1, 2, 3)), [(4, 3)]


def _number_or_numbers(name, value):
    """A float, or a list of floats."""
    value = plain(value)
    if isinstance(value, Real):
        return check_number(name, value, minimum=-np.inf)
    if not isinstance(value, list | tuple | np.ndarray) or np.ndim(value) != 1:
        raise ValueError(f"`{name}` must be a number, or one for each channel. Received: {name}={value!r}")
    return [check_number(name, v, minimum=-np.inf) for v in np.asarray(value).tolist()]
