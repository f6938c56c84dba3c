"""Zeros around images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_pair, is_integer, plain
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["ZeroPadding2D"]


class ZeroPadding2D(Layer):
    """Rows and columns of zeros around every image.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int)), default 1
        One number for all sides; (rows above and below, columns left and right); or ((top, bottom), (left, right)).
    data_format : {None, "channels_last", "channels_first"}
    """

    uses_input = False

    def __init__(
        self,
        padding: int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = (1, 1),
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.padding: tuple[tuple[int, int], ...] = four_sides("padding", padding)
        self.data_format: DataFormat = check_data_format(data_format)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        return shape[0] + sum(self.padding[0]), shape[1] + sum(self.padding[1]), shape[2]

    def bind(self, ws: Workspace) -> None:
        (top, _), (left, _) = self.padding
        height, width, _ = ws.input_shapes[0]
        ws.inner = (slice(None), slice(top, top + height), slice(left, left + width))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y.fill(0)
        ws.y[ws.inner] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = dy[ws.inner]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        pads = np.zeros((2, 4), np.int64)  # before and after, on every axis
        pads[:, graph.axis(xs[0], 1)], pads[:, graph.axis(xs[0], 2)] = self.padding
        return graph.add("Pad", [*xs, graph.constant(pads.ravel())])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(3, 4, 2)]
        yield cls(((0, 1), (2, 3))), [(3, 4, 2)]


def four_sides(name: str, padding: object) -> tuple[tuple[int, int], ...]:
    """((top, bottom), (left, right)) from any of the accepted forms."""
    padding = plain(padding)
    if is_integer(padding):
        padding = (padding, padding)
    if not isinstance(padding, list | tuple) or len(padding) != 2:
        raise ValueError(f"{name} is an int, a pair, or a pair of pairs. Received: {name}={padding!r}")
    sides = [(side, side) if is_integer(side) else side for side in padding]
    return tuple(check_pair(name, side, minimum=0) for side in sides)
