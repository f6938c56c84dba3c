"""Samples in any other shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import is_integer
from minicnn.errors import ShapeError
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples
from minicnn.layers.flatten import View
from minicnn.layers.open_sizes import StandIn, has_open
from minicnn.step import Shape, Shapes

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Reshape"]


class Reshape(View):
    """Every sample in another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis; one entry may be -1 and is computed.
    """

    def __init__(self, target_shape: int | Shape, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.target_shape: Shape = (target_shape,) if is_integer(target_shape) else tuple(target_shape)
        is_valid = all(is_integer(n) and (n > 0 or n == -1) for n in self.target_shape)
        if not is_valid or self.target_shape.count(-1) > 1:
            raise ValueError(
                f"target_shape holds positive integers and at most one -1. Received: target_shape={target_shape}"
            )

    def build(self, input_shapes: Shapes) -> Shape:
        known_in = math.prod(n for n in input_shapes[0] if not isinstance(n, StandIn))
        is_open = any(isinstance(n, StandIn) for n in input_shapes[0])
        if is_open and -1 not in self.target_shape and math.prod(self.target_shape) % known_in == 0:
            return self.target_shape  # data of another size is refused when it comes
        size, known = math.prod(input_shapes[0]), math.prod(n for n in self.target_shape if n > 0)
        shape = tuple(size // known if n == -1 else n for n in self.target_shape)
        if math.prod(shape) != size:
            raise ShapeError(
                f"target_shape={self.target_shape} does not fit samples of {size} elements. Received: {input_shapes[0]}"
            )
        return shape

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """As of every layer; of a size that is not known, target_shape says all that is to be said."""
        if None not in tuple(input_shape)[1:]:
            return super().compute_output_shape(input_shape)
        return (input_shape[0], *(None if n == -1 else n for n in self.target_shape))

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_last(xs[0])
        sizes = self.target_shape if has_open([x.shape]) else self.build([x.shape])
        shape = graph.constant(np.array([0, *sizes]))  # 0: the batch axis as it is
        return graph.add("Reshape", [x, shape])

    @classmethod
    def examples(cls) -> Examples:
        yield cls((6, -1)), [(4, 3, 2)]
