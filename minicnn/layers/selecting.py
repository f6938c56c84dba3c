"""One of two tensors, number by number, `Select`; and a mask of places that come before others, `EarlierPlaces`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_number
from minicnn.errors import ShapeError
from minicnn.hints import LayerOptions
from minicnn.layers.attention_parts import steps_to_onnx
from minicnn.layers.base import Examples, Layer
from minicnn.layers.merge import Merge, aligned, give
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["EarlierPlaces", "Select"]


class Select(Merge):
    """The second input where the first one, a mask, is above 0; the third one elsewhere.

    Parameters
    ----------
    chosen, otherwise : float or {"inf", "-inf"}, optional
        A number in the place of the second or of the third input, which there is not then.

    Notes
    -----
    Of what is not taken, nothing comes through, be it NaN or infinite, neither forward nor back: a sum of products with
    the mask gives NaN there. The mask has no gradient. Inputs of size 1 along an axis count for all of the others.
    """

    uses_input = True

    def __init__(
        self, chosen: float | str | None = None, otherwise: float | str | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.chosen: float | str | None = _checked("chosen", chosen)
        self.otherwise: float | str | None = _checked("otherwise", otherwise)

    @property
    def numbers(self) -> tuple[float | None, float | None]:
        """What stands in the place of the second and of the third input; None for an input."""
        chosen, otherwise = (None if n is None else float(n) for n in (self.chosen, self.otherwise))
        return chosen, otherwise

    @property
    def needs(self) -> str:
        count = 1 + self.numbers.count(None)
        return f"Select with chosen={self.chosen}, otherwise={self.otherwise} needs {count} inputs, a mask first,"

    def takes(self, count: int) -> bool:
        return count == 1 + self.numbers.count(None)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        mask, *tensors = aligned(xs, ws.y.ndim)
        chosen, otherwise = (tensors.pop(0) if number is None else number for number in self.numbers)
        np.copyto(ws.y, otherwise)
        np.copyto(ws.y, chosen, where=mask > 0)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        mask = aligned(ws.xs[:1], dy.ndim)[0] > 0
        if ws.dxs[0] is not None:
            ws.dxs[0].fill(0)
        kept = [where for number, where in zip(self.numbers, (mask, ~mask), strict=True) if number is None]
        for index, where in enumerate(kept, 1):
            give(ws, index, (np.where(where, dy, 0),))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        mask, *tensors = self.onnx_inputs(xs, graph)
        parts = [tensors.pop(0) if n is None else graph.constant(np.float32(n)) for n in self.numbers]
        return graph.add("Where", [graph.add("Greater", [mask, graph.constant(np.float32(0))]), *parts])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 2), (4, 3, 2), (4, 3, 2)]
        yield cls(), [(4, 3, 1), (1, 3, 2), (2,)]
        yield cls(chosen=0.5), [(4, 3), (4, 3)]
        yield cls(otherwise=-2), [(1, 3), (4, 3)]


class EarlierPlaces(Layer):
    """1 where a place of the last axis is not behind that of the one before it, and 0 elsewhere: a causal mask.

    Notes
    -----
    Input (N, …, T, S), scores of attention, of which the shape alone counts; output of that shape.
    """

    uses_input = False

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        if len(shape) < 2:
            raise ShapeError(f"EarlierPlaces needs samples of two axes or more. Received: {shape}")
        return shape

    def mask(self, shape: Shape) -> np.ndarray:
        """(T, S)"""
        return np.tri(*shape[-2:], dtype=np.float32)

    def bind(self, ws: Workspace) -> None:
        ws.mask = np.asarray(self.mask(ws.y.shape), ws.y.dtype, like=ws.y)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = ws.mask

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0].fill(0)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_last(xs[0])
        steps = graph.add("GreaterOrEqual", [steps_to_onnx(x, graph), graph.constant(0)])
        return graph.add("Expand", [graph.add("Cast", [steps], to=1), graph.add("Shape", [x])])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3)]
        yield cls(), [(2, 3, 5)]


def _checked(name: str, number: float | str | None) -> float | str | None:
    """A number as JSON has it, which knows no infinite one."""
    if number is None or number in ("inf", "-inf"):
        return number
    if isinstance(number, float) and math.isinf(number):
        return str(number)
    return check_number(name, number, minimum=-np.inf)
