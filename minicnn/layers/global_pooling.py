"""Pooling over whole images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["GlobalAveragePooling2D", "GlobalAvgPool2D", "GlobalMaxPool2D", "GlobalMaxPooling2D"]


class _GlobalPooling2D(Layer):
    """What the global poolings have in common."""

    only_ops = True
    uses_input = False
    onnx_name: str

    def __init__(self, data_format: DataFormat = None, keepdims: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.data_format: DataFormat = check_data_format(data_format)
        self.keepdims: bool = keepdims

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        return (1, 1, shape[2]) if self.keepdims else (shape[2],)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        y = graph.add(self.onnx_name, [graph.channels_first(xs[0])])  # (N, C, 1, 1)
        return y if self.keepdims else graph.add("Flatten", [y], channels_first=False)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 3)]
        yield cls(keepdims=True), [(3, 2, 5)]


class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of each channel over the whole image (Lin, Chen, Yan: "Network in network", 2013).

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
    keepdims : bool, default False
        Whether the output is (N, 1, 1, C) rather than (N, C).
    """

    onnx_name = "GlobalAveragePool"

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        height, width, channels = ws.input_shapes[0]
        ws.ops.pointwise_sum(ws.y.reshape(-1, 1, 1, channels), xs, "copy", factor=1 / (height * width))

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        height, width, channels = ws.input_shapes[0]
        ws.ops.pointwise(ws.dxs[0], (dy.reshape(-1, 1, 1, channels),), "scale", (1 / (height * width),))


class GlobalMaxPooling2D(_GlobalPooling2D):
    """The maximum of each channel over the whole image; its gradient goes to the first pixel that holds it.

    Parameters
    ----------
    data_format, keepdims :
        As for `GlobalAveragePooling2D`.
    """

    uses_input = True
    uses_output = True
    onnx_name = "GlobalMaxPool"

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        channels = ws.input_shapes[0][2]
        ws.ops.global_max(xs[0].reshape(len(ws.y), -1, channels), ws.y.reshape(-1, channels))

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        channels = ws.input_shapes[0][2]
        x, dx = (a.reshape(len(dy), -1, channels) for a in (ws.xs[0], ws.dxs[0]))  # (N, H·W, C)
        y, dy = (a.reshape(-1, channels) for a in (ws.y, dy))
        ws.ops.global_max_backward(x, y, dy, dx)


GlobalMaxPool2D = GlobalMaxPooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
