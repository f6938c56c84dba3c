"""Convolution of volumes, and its adjoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_choice, check_positive_int
from minicnn.errors import ShapeError
from minicnn.geometry import Window, effective_size
from minicnn.hints import ActivationLike, DataFormat, InitializerLike, LayerOptions, Padding, RegularizerLike
from minicnn.layers.base import Examples
from minicnn.layers.conv_transpose import adjoint_window
from minicnn.layers.kernel import Fused, KernelLayer, WithKernel
from minicnn.layers.open_sizes import with_number
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.layers.volume_passes import VolumePasses
from minicnn.layers.volumes import AXES, Triple, check_triple, onnx_window, volume_windows
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Conv3D", "Conv3DTranspose"]


class Conv3D(KernelLayer):
    """3-D convolution (cross-correlation) over volumes, such as CT scans and videos.

    y[n,k,i,j,f] = bias[f] + Σ over taps (o,p,q) and channels c of x[n, k·s + o·d - pad, i·s + p·d - pad,
    j·s + q·d - pad, c] · kernel[o,p,q,c,f]

    (Ji, Xu, Yang, Yu: "3D convolutional neural networks for human action recognition", 2010.)

    Parameters
    ----------
    filters : int
        Number of output channels F.
    kernel_size : int or (int, int, int)
        Depth, height and width of the kernel.
    strides : int or (int, int, int), default 1
    padding : {"valid", "same"}, default "valid"
        "same" pads with zeros to ceil(size / stride) positions, the odd voxel at the end.
    data_format : {None, "channels_last", "channels_first"}
        Volumes are (N, D, H, W, C), or (N, C, D, H, W), which is slower.
    dilation_rate : int or (int, int, int), default 1
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
    Input (N, D, H, W, C), output (N, OD, OH, OW, F), kernel (KD, KH, KW, C / groups, F), bias (F,). It is computed by
    2-D convolutions of slices that are put side by side, see `minicnn.layers.depth`.
    """

    only_ops = False

    def __init__(
        self,
        filters: int,
        kernel_size: Triple,
        strides: Triple = (1, 1, 1),
        padding: Padding = "valid",
        data_format: DataFormat = None,
        dilation_rate: Triple = (1, 1, 1),
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
        self.kernel_size: tuple[int, int, int] = check_triple("kernel_size", kernel_size)
        self.strides: tuple[int, int, int] = check_triple("strides", strides)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format: DataFormat = check_data_format(data_format)
        self.dilation_rate: tuple[int, int, int] = check_triple("dilation_rate", dilation_rate)
        self.groups: int = check_positive_int("groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"filters must be a multiple of groups. Received: filters={filters}, groups={groups}")

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 4, AXES)
        if shape[3] % self.groups:
            raise ShapeError(f"the channels must be a multiple of groups={self.groups}. Received: {shape[3]} channels")
        depth, window = self.windows(shape)
        self.add_kernel((*self.kernel_size, shape[3] // self.groups, self.filters))
        return depth.out_height, window.out_height, window.out_width, self.filters

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The geometry for samples of this shape: over the depth, and over slices."""
        return volume_windows(shape[:3], self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def fused(self) -> FusedConv3D:
        return FusedConv3D(self)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_first(xs[0])
        weights = [graph.weight(self.kernel, axes=(4, 3, 0, 1, 2))]  # (F, C / groups, KD, KH, KW)
        weights += [graph.weight(self.bias)] if self.use_bias else []
        return graph.add("Conv", [x, *weights], group=self.groups, **onnx_window(graph, self, x.shape))

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, 3), [(4, 5, 3, 2)]
        yield cls(4, (3, 2, 1), strides=(2, 1, 2), padding="same", activation="relu"), [(5, 3, 4, 2)]
        yield cls(4, 2, dilation_rate=(2, 1, 2), groups=2, use_bias=False, activation="tanh"), [(4, 3, 4, 4)]
        yield cls(5, 1, kernel_regularizer="l2"), [(2, 3, 2, 3)]


@dataclass(eq=False)
class FusedConv3D(Fused):
    """A `Conv3D`, and BatchNormalization (outside training) and ReLU behind it."""

    only_ops = False
    layer: Conv3D

    @property
    def uses_output(self) -> bool:
        return self.has_relu

    def bind(self, ws: Workspace) -> None:
        ws.passes = VolumePasses(ws.ops, *self.layer.windows(ws.input_shapes[0]), self.layer.groups)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.passes.forward(xs[0], *self.kernel_and_bias(ws), ws.y, self.has_relu)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        x, y, out = ws.xs[0], ws.y if self.has_relu else None, (ws.dxs[0], ws.grads["kernel"], ws.grads.get("bias"))
        ws.passes.backward(x, ws.params["kernel"], y, dy, *out, self.has_relu)


class Conv3DTranspose(WithKernel):
    """The adjoint of a convolution, which makes volumes larger: what `Conv3D` computes for its input's gradient.

    Parameters
    ----------
    filters : int
        Number of output channels F.
    kernel_size : int or (int, int, int)
    strides : int or (int, int, int), default 1
    padding : {"valid", "same"}, default "valid"
        "same": the output is strides times as large; "valid": (size - 1) · stride + max(kernel, stride).
    data_format : {None, "channels_last", "channels_first"}
    output_padding : int or (int, int, int), optional
        Voxels beyond (size - 1) · stride + kernel ("valid") or + kernel mod 2 ("same") along each axis.
    dilation_rate : int or (int, int, int), default 1
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer :
        As for `Conv3D`.

    Notes
    -----
    Input (N, D, H, W, C), output (N, OD, OH, OW, F), kernel (KD, KH, KW, F, C), bias (F,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Triple,
        strides: Triple = (1, 1, 1),
        padding: Padding = "valid",
        data_format: DataFormat = None,
        output_padding: Triple | None = None,
        dilation_rate: Triple = (1, 1, 1),
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
        self.kernel_size: tuple[int, int, int] = check_triple("kernel_size", kernel_size)
        self.strides: tuple[int, int, int] = check_triple("strides", strides)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format: DataFormat = check_data_format(data_format)
        self.output_padding: tuple[int, int, int] | None = None
        if output_padding is not None:
            self.output_padding = check_triple("output_padding", output_padding, 0)
            if any(more >= stride for more, stride in zip(self.output_padding, self.strides, strict=True)):
                raise ValueError(
                    f"output_padding must be smaller than strides={strides}. Received: output_padding={output_padding}"
                )
        self.dilation_rate: tuple[int, int, int] = check_triple("dilation_rate", dilation_rate)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 4, AXES)
        depth, window = self.windows(shape)
        self.add_kernel((*self.kernel_size, self.filters, shape[3]), self.filters)
        return depth.in_height, window.in_height, window.in_width, self.filters

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The geometry of the convolution whose adjoint this is, from the output: over its depth, and over slices."""
        more = self.output_padding
        options = shape[:3], self.kernel_size, self.strides
        deep, flat = [(o[0], 1) for o in options], [o[1:] for o in options]
        gaps = self.dilation_rate
        depth = adjoint_window(*deep, self.padding, (gaps[0], 1), more and (more[0], 0))
        return depth, adjoint_window(*flat, self.padding, gaps[1:], more and more[1:])

    def bind(self, ws: Workspace) -> None:
        ws.passes = VolumePasses(ws.ops, *self.windows(ws.input_shapes[0]))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.passes.backward(ws.y, ws.params["kernel"], None, xs[0], ws.y, None, None)
        if self.use_bias:
            ws.ops.pointwise(ws.y, (ws.y, ws.params["bias"]), "add")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        kernel, dkernel, dbias = ws.params["kernel"], ws.grads["kernel"], ws.grads.get("bias")
        if dbias is not None:
            ws.ops.pointwise_sum(dbias, (dy,), "copy")
        if dkernel is not None:
            ws.passes.backward(dy, kernel, None, ws.xs[0], None, dkernel, None)
        if ws.dxs[0] is not None:
            ws.passes.forward(dy, kernel, None, ws.dxs[0])

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        (shape,) = with_number([xs[0].shape], 1)  # neither padding nor what is left over depend on the size
        depth, window = self.windows(shape)
        strides, gaps = self.strides, self.dilation_rate
        reach = [
            (n - 1) * stride + effective_size(kernel, gap)
            for n, stride, kernel, gap in zip(shape[:3], strides, self.kernel_size, gaps, strict=True)
        ]
        ends = (depth.pad_top, window.pad_top, window.pad_left), (depth.pad_bottom, window.pad_bottom, window.pad_right)
        sizes = depth.in_height, window.in_height, window.in_width
        full = [n + before + after for n, before, after in zip(sizes, *ends, strict=True)]
        attributes = {"kernel_shape": list(self.kernel_size), "strides": list(strides), "pads": [*ends[0], *ends[1]]}
        attributes |= {"dilations": list(gaps)} if gaps != (1, 1, 1) else {}
        attributes["output_padding"] = [n - r for n, r in zip(full, reach, strict=True)]
        weights = [graph.weight(self.kernel, (4, 3, 0, 1, 2))]  # (C, F, KD, KH, KW)
        weights += [graph.weight(self.bias)] if self.use_bias else []
        return graph.add("ConvTranspose", [graph.channels_first(xs[0]), *weights], **attributes)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, 3, strides=2, padding="same", activation="relu"), [(2, 3, 2, 2)]
        yield cls(2, (2, 1, 3), strides=(3, 1, 2), use_bias=False, kernel_regularizer="l2"), [(2, 2, 3, 3)]
        yield cls(2, 4, strides=2, padding="same", output_padding=1), [(2, 3, 2, 1)]
        yield cls(2, 2, dilation_rate=(2, 1, 1)), [(3, 2, 2, 2)]
        yield cls(2, (1, 2, 2), strides=(1, 2, 2)), [(3, 2, 2, 2)]
