"""Pooling."""

import numpy as np

from minicnn.checks import check_choice, check_pair
from minicnn.geometry import MAX_TAPS, make_window
from minicnn.layers.base import Layer
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Buffer

__all__ = [
    "AveragePooling2D",
    "AvgPool2D",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "MaxPool2D",
    "MaxPooling2D",
]


class _Pooling2D(Layer):
    """What max and average pooling have in common."""

    uses_input = False
    onnx_name = None

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = check_pair("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else check_pair("strides", strides)
        self.padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format = check_data_format(data_format)

    def build(self, input_shapes):
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        window = self.window(shape)
        return window.out_height, window.out_width, shape[2]

    def window(self, input_shape):
        """The geometry for inputs of this shape."""
        return make_window(input_shape[:2], self.pool_size, self.strides, self.padding)

    def bind(self, ws):
        ws.window = self.window(ws.input_shapes[0])

    def to_onnx(self, xs, graph):
        x = graph.channels_first(xs[0])
        return graph.add(self.onnx_name, [x], **graph.window(self.window(x.shape)))  # padding counts in neither

    @classmethod
    def examples(cls):
        yield cls(), [(6, 6, 3)]
        yield cls(3, strides=2), [(7, 8, 2)]
        yield cls((2, 3), strides=(1, 2), padding="same"), [(5, 6, 17)]


class MaxPooling2D(_Pooling2D):
    """The maximum of each window; its gradient goes to the first pixel that holds the maximum.

    (Ranzato, Huang, Boureau, LeCun, 2007; compared with subsampling by Scherer, Müller, Behnke, 2010.)

    Parameters
    ----------
    pool_size : int or (int, int), default 2
        At most 255 pixels.
    strides : int or (int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
        Padding never wins.
    data_format : {None, "channels_last"}

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, C).
    """

    onnx_name = "MaxPool"

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        if self.pool_size[0] * self.pool_size[1] > MAX_TAPS:
            raise ValueError(f"a pooling window has at most {MAX_TAPS} pixels. Received: pool_size={pool_size}")

    def buffers(self, input_shapes, output_shape, training):
        return {"winner": Buffer(output_shape, "uint8")} if training else {}

    def forward(self, xs, ws):
        ws.ops.max_pool2d(xs[0], ws.y, ws.buffers.get("winner"), ws.window)

    def backward(self, dy, ws):
        ws.ops.max_pool2d_backward(dy, ws.buffers["winner"], ws.dxs[0], ws.window)


class AveragePooling2D(_Pooling2D):
    """The mean of each window; with "same" padding only the pixels of the image count.

    Parameters
    ----------
    pool_size : int or (int, int), default 2
    strides : int or (int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
    data_format : {None, "channels_last"}

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, C).
    """

    onnx_name = "AveragePool"

    def forward(self, xs, ws):
        ws.ops.avg_pool2d(xs[0], ws.y, ws.window)

    def backward(self, dy, ws):
        ws.ops.avg_pool2d_backward(dy, ws.dxs[0], ws.window)


class _GlobalPooling2D(Layer):
    """What the global poolings have in common."""

    uses_input = False
    onnx_name = None

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format = check_data_format(data_format)
        self.keepdims = keepdims

    def build(self, input_shapes):
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        return (1, 1, shape[2]) if self.keepdims else (shape[2],)

    def to_onnx(self, xs, graph):
        y = graph.add(self.onnx_name, [graph.channels_first(xs[0])])  # (N, C, 1, 1)
        return y if self.keepdims else graph.add("Flatten", [y], channels_first=False)

    @classmethod
    def examples(cls):
        yield cls(), [(5, 4, 3)]
        yield cls(keepdims=True), [(3, 2, 5)]


class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of each channel over the whole image (Lin, Chen, Yan: "Network in network", 2013).

    Parameters
    ----------
    data_format : {None, "channels_last"}
    keepdims : bool, default False
        Whether the output is (N, 1, 1, C) rather than (N, C).
    """

    onnx_name = "GlobalAveragePool"

    def forward(self, xs, ws):
        ws.y[...] = xs[0].mean(axis=(1, 2)).reshape(ws.y.shape)

    def backward(self, dy, ws):
        height, width, channels = ws.input_shapes[0]
        ws.dxs[0][...] = (dy / (height * width)).reshape(len(dy), 1, 1, channels)


class GlobalMaxPooling2D(_GlobalPooling2D):
    """The maximum of each channel over the whole image; its gradient goes to the first pixel that holds it.

    Parameters
    ----------
    data_format : {None, "channels_last"}
    keepdims : bool, default False
        Whether the output is (N, 1, 1, C) rather than (N, C).
    """

    uses_input = True
    onnx_name = "GlobalMaxPool"

    def forward(self, xs, ws):
        ws.y[...] = xs[0].max(axis=(1, 2)).reshape(ws.y.shape)

    def backward(self, dy, ws):
        channels = ws.input_shapes[0][2]
        pixels = ws.xs[0].reshape(len(dy), -1, channels)  # (N, H·W, C)
        winner = pixels.argmax(axis=1)[:, None]  # (N, 1, C)
        ws.dxs[0].fill(0)
        np.put_along_axis(ws.dxs[0].reshape(pixels.shape), winner, dy.reshape(winner.shape), axis=1)


MaxPool2D, AvgPool2D = MaxPooling2D, AveragePooling2D
GlobalMaxPool2D, GlobalAvgPool2D = GlobalMaxPooling2D, GlobalAveragePooling2D
