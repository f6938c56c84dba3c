"""Pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_choice, check_pair
from minicnn.geometry import MAX_TAPS, Window, make_window
from minicnn.hints import DataFormat, LayerOptions, Padding, Pair
from minicnn.layers.base import Examples, Layer
from minicnn.layers.large_windows import in_parts
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Arrays, Buffer, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["AveragePooling2D", "AvgPool2D", "MaxPool2D", "MaxPooling2D"]


class _Pooling2D(Layer):
    """What max and average pooling have in common."""

    only_ops = True
    uses_input = False
    onnx_name: str

    def __init__(
        self,
        pool_size: Pair = (2, 2),
        strides: Pair | None = None,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size: tuple[int, int] = check_pair("pool_size", pool_size)
        self.strides: tuple[int, int] = self.pool_size if strides is None else check_pair("strides", strides)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format: DataFormat = check_data_format(data_format)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        window = self.window(shape)
        return window.out_height, window.out_width, shape[2]

    def window(self, input_shape: Shape) -> Window:
        """The geometry for inputs of this shape."""
        return make_window(input_shape[:2], self.pool_size, self.strides, self.padding)

    def bind(self, ws: Workspace) -> None:
        ws.window = self.window(ws.input_shapes[0])

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_first(xs[0])
        return graph.add(self.onnx_name, [x], **graph.window(self.window, x.shape))  # padding counts in neither

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(6, 6, 3)]
        yield cls(3, strides=2), [(7, 8, 2)]
        yield cls((2, 3), strides=(1, 2), padding="same"), [(5, 6, 17)]


class MaxPooling2D(_Pooling2D):
    """The maximum of each window; its gradient goes to the first pixel that holds the maximum.

    (Ranzato, Huang, Boureau, LeCun, 2007; compared with subsampling by Scherer, Müller, Behnke, 2010.)

    Parameters
    ----------
    pool_size : int or (int, int), default 2
    strides : int or (int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
        Padding never wins.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, C). A window of more than 255 pixels is run as several, one row high and
    one column wide: the same maxima and winners.
    """

    onnx_name = "MaxPool"

    def lower(self) -> list[Step]:
        return in_parts(self) if self.pool_size[0] * self.pool_size[1] > MAX_TAPS else super().lower()

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"winner": Buffer(output_shape, "uint8")} if training else {}

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.max_pool2d(xs[0], ws.y, ws.buffers.get("winner"), ws.window)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.max_pool2d_backward(dy, ws.buffers["winner"], ws.dxs[0], ws.window)


class AveragePooling2D(_Pooling2D):
    """The mean of each window; with "same" padding only the pixels of the image count.

    Parameters
    ----------
    pool_size : int or (int, int), default 2
    strides : int or (int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, C).
    """

    onnx_name = "AveragePool"

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.avg_pool2d(xs[0], ws.y, ws.window)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.avg_pool2d_backward(dy, ws.dxs[0], ws.window)


MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
