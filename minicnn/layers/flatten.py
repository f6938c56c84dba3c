"""`Flatten`, and what layers have in common that only change the shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.shapes import check_data_format
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Flatten"]


class View(Layer):
    """A layer whose output is its input's memory: nothing to compute.

    The gradient is the output gradient's memory too, unless the input has other readers whose gradients are added.
    """

    uses_input = False
    is_view = True

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        pass

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = dy.reshape(ws.dxs[0].shape)


class Flatten(View):
    """Every sample as a vector, in (height, width, channels) order.

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
    """

    def __init__(self, data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.data_format: DataFormat = check_data_format(data_format)

    def build(self, input_shapes: Shapes) -> Shape:
        return (math.prod(input_shapes[0]),)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Flatten", [graph.channels_last(xs[0])])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 2)]
