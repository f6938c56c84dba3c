"""Transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_choice, check_pair, check_positive_int
from minicnn.geometry import Window, effective_size, make_window
from minicnn.hints import ActivationLike, DataFormat, InitializerLike, LayerOptions, Padding, Pair, RegularizerLike
from minicnn.layers.base import Examples
from minicnn.layers.conv_parts import one_number
from minicnn.layers.kernel import WithKernel
from minicnn.layers.open_sizes import with_number
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Conv1DTranspose", "Conv2DTranspose"]


class Conv2DTranspose(WithKernel):
    """The adjoint of a convolution, which makes images larger: what `Conv2D` computes for its input's gradient.

    Every input pixel adds kernel · x to the output pixels that a convolution over the output would have read for it.
    (Zeiler, Krishnan, Taylor, Fergus: "Deconvolutional networks", 2010; Dumoulin, Visin: "A guide to convolution
    arithmetic for deep learning", 2016.)

    Parameters
    ----------
    filters : int
        Number of output channels F.
    kernel_size : int or (int, int)
    strides : int or (int, int), default 1
    padding : {"valid", "same"}, default "valid"
        "same": the output is strides times as large; "valid": (size - 1) · stride + max(kernel, stride).
    output_padding : int or (int, int), optional
        Rows and columns beyond (size - 1) · stride + kernel ("valid") or + kernel mod 2 ("same").
    data_format : {None, "channels_last", "channels_first"}
    dilation_rate : int or (int, int), default 1
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer :
        As for `Conv2D`.

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, F), kernel (KH, KW, F, C), bias (F,).
    """

    rank: int = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: Padding = "valid",
        output_padding: Pair | None = None,
        data_format: DataFormat = None,
        dilation_rate: Pair = 1,
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
        self.kernel_size: tuple[int, ...] = self._sizes("kernel_size", kernel_size)
        self.strides: tuple[int, ...] = self._sizes("strides", strides)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.output_padding: tuple[int, ...] | None = None
        if output_padding is not None:
            self.output_padding = self._sizes("output_padding", output_padding, 0)
            if any(more >= stride for more, stride in zip(self.output_padding, self.strides, strict=True)):
                raise ValueError(
                    f"output_padding must be smaller than strides={strides}. Received: output_padding={output_padding}"
                )
        self.data_format: DataFormat = check_data_format(data_format)
        self.dilation_rate: tuple[int, ...] = self._sizes("dilation_rate", dilation_rate)

    def _sizes(self, name, value, minimum=1):
        return (one_number(name, value, minimum),) if self.rank == 1 else check_pair(name, value, minimum)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, self.rank + 1, ("(length, channels)", "(height, width, channels)")[self.rank - 1])
        window = self.window(shape)
        self.add_kernel((*self.kernel_size, self.filters, shape[-1]), self.filters)
        return *(window.in_height, window.in_width)[-self.rank :], self.filters

    def window(self, input_shape: Shape) -> Window:
        """The geometry of the convolution whose adjoint this is: from the output to the input."""
        row = (1,) * (2 - self.rank)
        size, kernel, strides = ((*row, *n[: self.rank]) for n in (input_shape, self.kernel_size, self.strides))
        gaps, more = (*row, *self.dilation_rate), self.output_padding
        return adjoint_window(size, kernel, strides, self.padding, gaps, more and ((0,) * len(row) + more))

    def bind(self, ws: Workspace) -> None:
        ws.window = self.window(ws.input_shapes[0])
        shape = (*(1,) * (2 - self.rank), *self.kernel.shape)
        gradient = ws.grads.get("kernel")
        ws.kernels = ws.params["kernel"].reshape(shape), None if gradient is None else gradient.reshape(shape)

    def _image(self, array):
        """An array (N, …, C) as images."""
        return array if self.rank == 2 else array[:, None]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        x, y = self._image(xs[0]), self._image(ws.y)
        ws.ops.conv2d_backward(y, ws.kernels[0], None, x, y, None, None, ws.window)
        if self.use_bias:
            ws.ops.pointwise(ws.y, (ws.y, ws.params["bias"]), "add")

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        kernel, dkernel = ws.kernels
        dbias = ws.grads.get("bias")
        if dbias is not None:
            ws.ops.pointwise_sum(dbias, (dy,), "copy")
        dy = self._image(dy)
        if dkernel is not None:
            ws.ops.conv2d_backward(dy, kernel, None, self._image(ws.xs[0]), None, dkernel, None, ws.window)
        if ws.dxs[0] is not None:
            ws.ops.conv2d(dy, kernel, None, self._image(ws.dxs[0]), ws.window)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, row = xs[0], (1,) * (2 - self.rank)
        if row:
            x = graph.add("Unsqueeze", [graph.channels_last(x), graph.constant([1])])
            x = replace(x, shape=(*row, *xs[0].shape))
        (shape,) = with_number([xs[0].shape], 1)  # neither padding nor what is left over depend on the size
        window = self.window(shape)
        attributes = graph.window(self.window, shape)
        reach = (
            (window.out_height - 1) * window.stride_y + effective_size(window.kernel_height, window.dilation_y),
            (window.out_width - 1) * window.stride_x + effective_size(window.kernel_width, window.dilation_x),
        )
        full = (
            window.in_height + window.pad_top + window.pad_bottom,
            window.in_width + window.pad_left + window.pad_right,
        )
        attributes["output_padding"] = [n - r for n, r in zip(full, reach, strict=True)]
        weights = [graph.weight(self.kernel, (3, 2, 0, 1), (*row, *self.kernel.shape))]  # (C, F, KH, KW)
        weights += [graph.weight(self.bias)] if self.use_bias else []
        y = graph.add("ConvTranspose", [graph.channels_first(x), *weights], **attributes)
        return graph.add("Squeeze", [graph.channels_last(y), graph.constant([1])]) if row else y

    @classmethod
    def examples(cls) -> Examples:
        sizes = (3, 4)[: cls.rank]
        yield cls(3, 3, strides=2, padding="same", activation="relu"), [(*sizes, 2)]
        yield cls(2, 2, strides=3, use_bias=False, kernel_regularizer="l2"), [(*sizes, 3)]
        yield cls(2, 4, strides=2, padding="same", output_padding=1), [(*sizes, 1)]


def adjoint_window(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str,
    gaps: Sequence[int],
    more: Sequence[int] | None,
) -> Window:
    """The window of the convolution whose adjoint makes images larger, from its output to its input.

    Parameters
    ----------
    size, kernel, strides, gaps : sequence of two int
        (height, width) each; `size` is that of what becomes larger.
    padding : {"valid", "same"}
    more : sequence of two int, optional
        The layer's `output_padding`.
    """
    axes = zip(size, kernel, strides, gaps, more or (None, None), strict=True)
    sides = [_side(padding, *axis) for axis in axes]
    window = make_window([full for full, _, _ in sides], (1, 1), strides, "valid")
    pads = dict(zip(("pad_top", "pad_left"), (before for _, before, _ in sides), strict=True))
    pads |= dict(zip(("pad_bottom", "pad_right"), (after for _, _, after in sides), strict=True))
    names = ("kernel_height", "kernel_width", "dilation_y", "dilation_x")
    return replace(window, **pads, **dict(zip(names, (*kernel, *gaps), strict=True)))


def _side(padding, size, kernel, stride, gap, more) -> tuple[int, int, int]:
    """(output size, pixels of padding before, after) along one axis."""
    span = effective_size(kernel, gap)
    reach = (size - 1) * stride + span
    if padding == "valid":
        return reach + (max(stride - span, 0) if more is None else more), 0, 0
    full = size * stride if more is None else (size - 1) * stride + span % 2 + more
    around = max(reach - full, 0)
    return full, around // 2, around - around // 2


class Conv1DTranspose(Conv2DTranspose):
    """`Conv2DTranspose` over rows: input (N, L, C), output (N, OL, F), kernel (K, F, C)."""

    rank = 1
