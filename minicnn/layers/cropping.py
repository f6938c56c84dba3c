"""Images without some rows and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.errors import ShapeError
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.layers.zero_padding import four_sides
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Cropping2D"]

ENDLESS = np.iinfo(np.int64).max  # where a slice of unknown length ends


class Cropping2D(Layer):
    """Images without rows at the top and bottom and columns at the left and right.

    Parameters
    ----------
    cropping : int, (int, int) or ((int, int), (int, int)), default 0
        One number for all sides; (rows above and below, columns left and right); or ((top, bottom), (left, right)).
    data_format : {None, "channels_last", "channels_first"}
    """

    uses_input = False

    def __init__(
        self,
        cropping: int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.cropping: tuple[tuple[int, int], ...] = four_sides("cropping", cropping)
        self.data_format: DataFormat = check_data_format(data_format)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        height, width = (size - sum(sides) for size, sides in zip(shape[:2], self.cropping, strict=True))
        if height < 1 or width < 1:
            raise ShapeError(f"cropping={self.cropping} leaves nothing of the image. Received: {(None, *shape)}")
        return height, width, shape[2]

    def bind(self, ws: Workspace) -> None:
        (top, _), (left, _) = self.cropping
        height, width, _ = ws.output_shape
        ws.inner = (slice(None), slice(top, top + height), slice(left, left + width))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = xs[0][ws.inner]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0].fill(0)
        ws.dxs[0][ws.inner] = dy

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        start = [top for top, _ in self.cropping]
        sizes = zip(xs[0].shape, self.cropping, strict=False)
        end = [(-after or ENDLESS) if size is None else size - after for size, (_, after) in sizes]
        axes = [graph.axis(xs[0], 1), graph.axis(xs[0], 2)]
        return graph.add("Slice", [xs[0], *(graph.constant(np.array(a, np.int64)) for a in (start, end, axes))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(((1, 0), (2, 1))), [(4, 5, 2)]
