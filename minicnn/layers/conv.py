"""Convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_choice, check_pair, check_positive_int
from minicnn.errors import ShapeError
from minicnn.geometry import Window, make_window
from minicnn.hints import ActivationLike, DataFormat, InitializerLike, LayerOptions, Padding, Pair, RegularizerLike
from minicnn.layers.base import Examples
from minicnn.layers.kernel import Fused, KernelLayer
from minicnn.layers.pooling import MaxPooling2D
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Conv2D"]


class Conv2D(KernelLayer):
    """2-D convolution (cross-correlation, as everywhere in the field) over NHWC images.

    y[n,i,j,f] = bias[f] + Σ over taps (p,q) and channels c of x[n, i·s + p·d - pad, j·s + q·d - pad, c] ·
    kernel[p,q,c,f]

    (LeCun, Bottou, Bengio, Haffner: "Gradient-based learning applied to document recognition", 1998.)

    Parameters
    ----------
    filters : int
        Number of output channels F.
    kernel_size : int or (int, int)
        Height and width of the kernel.
    strides : int or (int, int), default 1
    padding : {"valid", "same"}, default "valid"
        "same" pads with zeros to ceil(size / stride) positions, the odd pixel at the end.
    data_format : {None, "channels_last", "channels_first"}
        Images are (N, H, W, C), or (N, C, H, W), which is slower: see `layers.channel_order`.
    dilation_rate : int or (int, int), default 1
        Distance between taps.
    groups : int, default 1
        The channels and the filters are cut into so many groups that do not see each other.
    activation : str or layer, optional
        Applied to the output.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or Initializer
        Defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer : str or Regularizer, optional

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, F), kernel (KH, KW, C / groups, F), bias (F,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: Padding = "valid",
        data_format: DataFormat = None,
        dilation_rate: Pair = (1, 1),
        groups: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        first_values, penalties = (kernel_initializer, bias_initializer), (kernel_regularizer, bias_regularizer)
        super().__init__(activation, use_bias, *first_values, *penalties, **kwargs)
        self.filters: int = check_positive_int("filters", filters)
        self.kernel_size: tuple[int, int] = check_pair("kernel_size", kernel_size)
        self.strides: tuple[int, int] = check_pair("strides", strides)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format: DataFormat = check_data_format(data_format)
        self.dilation_rate: tuple[int, int] = check_pair("dilation_rate", dilation_rate)
        self.groups: int = check_positive_int("groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"filters must be a multiple of groups. Received: filters={filters}, groups={groups}")

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 3, "(height, width, channels)")
        channels = shape[2]
        if channels % self.groups:
            raise ShapeError(f"the channels must be a multiple of groups={self.groups}. Received: {channels} channels")
        window = self.window(shape)
        self.add_kernel((*self.kernel_size, channels // self.groups, self.filters))
        return window.out_height, window.out_width, self.filters

    def window(self, input_shape: Shape) -> Window:
        """The geometry for inputs of this shape."""
        return make_window(input_shape[:2], self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def fused(self) -> FusedConv2D:
        return FusedConv2D(self)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_first(xs[0])
        weights = [graph.weight(self.kernel, axes=(3, 2, 0, 1))]  # (F, C / groups, KH, KW)
        weights += [graph.weight(self.bias)] if self.use_bias else []
        return graph.add("Conv", [x, *weights], group=self.groups, **graph.window(self.window, x.shape))

    @classmethod
    def examples(cls) -> Examples:
        yield cls(4, 3), [(6, 7, 3)]
        yield cls(5, (3, 2), strides=2, padding="same", activation="relu"), [(7, 6, 2)]
        yield cls(4, 3, dilation_rate=2, use_bias=False, activation="tanh"), [(8, 7, 1)]
        yield cls(6, 3, groups=2, padding="same", kernel_regularizer="l2"), [(5, 5, 4)]
        yield cls(33, 1, strides=(2, 1)), [(5, 4, 17)]


@dataclass(eq=False)
class FusedConv2D(Fused):
    """A `Conv2D`, and BatchNormalization (outside training), ReLU, and MaxPooling2D after or before the ReLU.

    Attributes
    ----------
    pool : MaxPooling2D or None
        Then the convolution's full output is never written, only pooled values and, in training, the winners.
    """

    layer: Conv2D
    pool: MaxPooling2D | None = None

    @property
    def is_bare(self) -> bool:
        return super().is_bare and self.pool is None

    @property
    def uses_output(self) -> bool:
        return self.has_relu and self.pool is None

    def build(self, input_shapes: Shapes) -> Shape:
        shape = super().build(input_shapes)
        return shape if self.pool is None else self.pool.build((shape,))

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        buffers = super().buffers(input_shapes, output_shape, training)
        if training and self.pool is not None:
            buffers["winner"] = Buffer(output_shape, "uint8")  # (N, OH, OW, F)
        return buffers

    def bind(self, ws: Workspace) -> None:
        ws.window = self.layer.window(ws.input_shapes[0])
        if self.pool is not None:
            ws.pool = self.pool.window((ws.window.out_height, ws.window.out_width))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        kernel, bias = self.kernel_and_bias(ws)
        if self.pool is None:
            ws.ops.conv2d(xs[0], kernel, bias, ws.y, ws.window, self.layer.groups, self.has_relu)
        else:
            ws.ops.conv2d_pool(xs[0], kernel, bias, ws.y, ws.buffers.get("winner"), ws.window, ws.pool, self.has_relu)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        x, kernel, out = ws.xs[0], ws.params["kernel"], (ws.dxs[0], ws.grads["kernel"], ws.grads.get("bias"))
        if self.pool is None:
            y, groups = ws.y if self.has_relu else None, self.layer.groups
            ws.ops.conv2d_backward(x, kernel, y, dy, *out, ws.window, groups, self.has_relu)
        else:
            ws.ops.conv2d_pool_backward(x, kernel, ws.buffers["winner"], dy, *out, ws.window, ws.pool, self.has_relu)
