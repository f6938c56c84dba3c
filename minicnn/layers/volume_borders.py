"""Zeros around volumes, and volumes without their borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Unpack

import numpy as np

from minicnn.checks import is_integer, plain
from minicnn.errors import ShapeError
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.cropping import ENDLESS
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.layers.volumes import AXES
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Cropping3D", "ZeroPadding3D"]

Sides: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]]


def six_sides(name: str, value: object) -> tuple[tuple[int, int], ...]:
    """((front, back), (top, bottom), (left, right)) from any of the accepted forms.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    value = plain(value)
    sides = (value,) * 3 if is_integer(value) else value
    wrong = (
        f"{name} is an int, three of them (depth, height, width), or three pairs of them, none negative. "
        f"Received: {name}={value!r}"
    )
    if not isinstance(sides, list | tuple) or len(sides) != 3:
        raise ValueError(wrong)
    pairs = tuple((side, side) if is_integer(side) else plain(side) for side in sides)
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs) or not all(
        is_integer(n) and n >= 0 for pair in pairs for n in pair
    ):
        raise ValueError(wrong)
    return tuple((int(before), int(after)) for before, after in pairs)


class ZeroPadding3D(Layer):
    """Slices, rows and columns of zeros around every volume.

    Parameters
    ----------
    padding : int, (int, int, int) or ((int, int), (int, int), (int, int)), default 1
        One number for all sides; (slices in front and behind, rows above and below, columns left and right); or
        ((front, back), (top, bottom), (left, right)).
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, D, H, W, C), output (N, D + front + back, H + top + bottom, W + left + right, C).
    """

    uses_input = False

    def __init__(
        self,
        padding: Sides = ((1, 1), (1, 1), (1, 1)),
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.padding: tuple[tuple[int, int], ...] = six_sides("padding", padding)
        self.data_format: DataFormat = check_data_format(data_format)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 4, AXES)
        return *(size + sum(sides) for size, sides in zip(shape[:3], self.padding, strict=True)), shape[3]

    def bind(self, ws: Workspace) -> None:
        ws.inner = _inside(self.padding, ws.input_shapes[0])

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y.fill(0)
        ws.y[ws.inner] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = dy[ws.inner]

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        pads = np.zeros((2, 5), np.int64)  # before and after, on every axis
        for axis, sides in enumerate(self.padding, 1):
            pads[:, graph.axis(xs[0], axis)] = sides
        return graph.add("Pad", [*xs, graph.constant(pads.ravel())])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(2, 1, 3, 2)]
        yield cls(((0, 1), (2, 0), (1, 2))), [(2, 3, 1, 2)]


class Cropping3D(Layer):
    """Volumes without some of their first and last slices, rows and columns.

    Parameters
    ----------
    cropping : int, (int, int, int) or ((int, int), (int, int), (int, int)), default 1
        One number for all sides; (slices in front and behind, rows above and below, columns left and right); or
        ((front, back), (top, bottom), (left, right)).
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, D, H, W, C), output (N, D - front - back, H - top - bottom, W - left - right, C).
    """

    uses_input = False

    def __init__(
        self,
        cropping: Sides = ((1, 1), (1, 1), (1, 1)),
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.cropping: tuple[tuple[int, int], ...] = six_sides("cropping", cropping)
        self.data_format: DataFormat = check_data_format(data_format)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 4, AXES)
        sizes = [size - sum(sides) for size, sides in zip(shape[:3], self.cropping, strict=True)]
        if min(sizes) < 1:
            raise ShapeError(f"cropping={self.cropping} leaves nothing of the volume. Received: {(None, *shape)}")
        return *sizes, shape[3]

    def bind(self, ws: Workspace) -> None:
        ws.inner = _inside(self.cropping, ws.output_shape)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = xs[0][ws.inner]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0].fill(0)
        ws.dxs[0][ws.inner] = dy

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        start = [before for before, _ in self.cropping]
        sizes = zip(xs[0].shape, self.cropping, strict=False)
        end = [(-after or ENDLESS) if size is None else size - after for size, (_, after) in sizes]
        axes = [graph.axis(xs[0], axis) for axis in (1, 2, 3)]
        return graph.add("Slice", [xs[0], *(graph.constant(np.array(a, np.int64)) for a in (start, end, axes))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(3, 4, 3, 2)]
        yield cls(((1, 0), (0, 2), (1, 1))), [(3, 3, 4, 2)]


def _inside(sides, shape):
    """Where a volume of this shape (D, H, W, C) is in an array (N, …) with `sides` around it."""
    return (slice(None), *(slice(before, before + n) for (before, _), n in zip(sides, shape, strict=False)))
