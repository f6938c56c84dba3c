"""Convolution of volumes, and its adjoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_choice, check_positive_int
from minicnn.errors import ShapeError
from minicnn.geometry import Window, effective_size
from minicnn.hints import ActivationLike, DataFormat, InitializerLike, LayerOptions, Padding, RegularizerLike
from minicnn.layers.base import Examples
from minicnn.layers.conv_transpose import adjoint_window
from minicnn.layers.depth import SideBySide, scratch
from minicnn.layers.kernel import Fused, KernelLayer, WithKernel
from minicnn.layers.open_sizes import with_number
from minicnn.layers.shapes import check_data_format, check_rank
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
        depth, ws.window = self.layer.windows(ws.input_shapes[0])
        ws.side_by_side = SideBySide(ws.ops, depth, self.layer.groups)
        ws.parts = ws.side_by_side.parts(len(ws.y), ws.input_shapes[0])

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        x, slices, (kernel, bias) = xs[0], ws.side_by_side, self.kernel_and_bias(ws)
        kernel, room, y = slices.flat(kernel), slices.room(x, ws.parts), as_slices(ws.y)
        for part in ws.parts:
            images, own = slices.images(x, part, room), y[part.start : part.stop]
            ws.ops.conv2d(images, kernel, bias, own, ws.window, self.layer.groups, self.has_relu)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        x, dx, slices = ws.xs[0], ws.dxs[0], ws.side_by_side
        kernel, total = slices.flat(ws.params["kernel"]), Total(ws.grads, slices)
        y, dy, rooms = as_slices(ws.y), as_slices(dy), [slices.room(x, ws.parts) for _ in range(2)]
        if dx is not None:
            dx.fill(0)
        for part in ws.parts:
            own = slice(part.start, part.stop)
            made = None if dx is None else slices.unwritten(dx, part, rooms[1])
            images = slices.images(x, part, rooms[0]) if total.is_wanted else made
            outputs = y[own] if self.has_relu else None, dy[own]
            options = ws.window, self.layer.groups, self.has_relu
            ws.ops.conv2d_backward(images, kernel, *outputs, made, *total.room, *options)
            total.add()
            if dx is not None:
                slices.add_back(made, part, dx)
        total.write()


def as_slices(array: np.ndarray) -> np.ndarray:
    """(N, D, H, W, C) as (N · D, H, W, C), without a copy."""
    return array.reshape(-1, *array.shape[2:])


class Total:
    """The gradients of a kernel (KD, KH, KW, C, F) and a bias, of parts of a batch.

    Parameters
    ----------
    gradients : mapping
        "kernel" and "bias" → what `write` assigns, or None.
    slices : SideBySide

    Attributes
    ----------
    room : list of array or None
        For those of a part: the kernel's as that of images, and the bias's.
    """

    def __init__(self, gradients: Mapping[str, np.ndarray | None], slices: SideBySide) -> None:
        self._ops = slices.ops
        self._kernel, self._bias = gradients["kernel"], gradients.get("bias")
        wanted = None if self._kernel is None else slices.flat(self._kernel), self._bias
        self.room: list[np.ndarray | None] = [None if a is None else scratch(a.shape, a) for a in wanted]
        self._sums = [None if a is None else np.zeros_like(a) for a in wanted]
        self._slices = slices

    @property
    def is_wanted(self) -> bool:
        """Whether there is a gradient to be computed."""
        return any(room is not None for room in self.room)

    def add(self) -> None:
        """Count what `room` holds."""
        for total, room in zip(self._sums, self.room, strict=True):
            if total is not None:
                self._ops.make_whole(room)
                total += room

    def write(self) -> None:
        """Assign the gradients."""
        kernel, bias = self._sums
        if kernel is not None:
            self._slices.unflat(kernel, self._kernel)
        if bias is not None:
            self._bias[...] = bias


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
        depth, ws.window = self.windows(ws.input_shapes[0])
        ws.side_by_side = SideBySide(ws.ops, depth)
        ws.parts = ws.side_by_side.parts(len(ws.y), ws.output_shape)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        x, slices = as_slices(xs[0]), ws.side_by_side
        kernel, room = slices.flat(ws.params["kernel"]), slices.room(ws.y, ws.parts)
        ws.y.fill(0)
        for part in ws.parts:
            images = slices.unwritten(ws.y, part, room)
            own = x[part.start : part.stop]
            ws.ops.conv2d_backward(images, kernel, None, own, images, None, None, ws.window)
            slices.add_back(images, part, ws.y)
        if self.use_bias:
            ws.ops.pointwise(ws.y, (ws.y, ws.params["bias"]), "add")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        dx, slices, dbias = ws.dxs[0], ws.side_by_side, ws.grads.get("bias")
        if dbias is not None:
            ws.ops.pointwise_sum(dbias, (dy,), "copy")
        kernel, total = slices.flat(ws.params["kernel"]), Total({"kernel": ws.grads["kernel"]}, slices)
        x, room = as_slices(ws.xs[0]), slices.room(dy, ws.parts)
        for part in ws.parts:
            images, own = slices.images(dy, part, room), slice(part.start, part.stop)
            if total.is_wanted:
                ws.ops.conv2d_backward(images, kernel, None, x[own], None, total.room[0], None, ws.window)
                total.add()
            if dx is not None:
                ws.ops.conv2d(images, kernel, None, as_slices(dx)[own], ws.window)
        total.write()

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
