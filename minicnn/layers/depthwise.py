"""Convolutions that see each channel on its own: depthwise, and separable, which mixes the channels afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from minicnn import initializers, regularizers
from minicnn.checks import check_choice, check_pair, check_positive_int
from minicnn.geometry import Window, make_window
from minicnn.hints import ActivationLike, DataFormat, InitializerLike, LayerOptions, Padding, Pair, RegularizerLike
from minicnn.initializers import Initializer
from minicnn.layers import activations
from minicnn.layers.base import Examples, Layer
from minicnn.layers.conv_parts import Narrow, Part, PartConv2D, Widen, one_number
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.parameters import Weight
from minicnn.regularizers import Regularizer
from minicnn.step import Shape, Shapes, Step

__all__ = ["DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]

if TYPE_CHECKING:

    class _Options(LayerOptions, total=False):
        depthwise_constraint: object
        pointwise_constraint: object


class _Depthwise(Layer):
    """What the layers have in common: the geometry, and the kernel of the depthwise convolution."""

    rank: int  # of the window: 1 or 2
    bias: Weight | None = None

    def _set_window(self, kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate) -> None:
        self.kernel_size: tuple[int, ...] = self._sizes("kernel_size", kernel_size)
        self.strides: tuple[int, ...] = self._sizes("strides", strides)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.depth_multiplier: int = check_positive_int("depth_multiplier", depth_multiplier)
        self.data_format: DataFormat = check_data_format(data_format)
        self.dilation_rate: tuple[int, ...] = self._sizes("dilation_rate", dilation_rate)

    def _sizes(self, name, value):
        return (one_number(name, value),) if self.rank == 1 else check_pair(name, value)

    def window(self, shape: Shape) -> Window:
        """The geometry for images of this shape; rows are images of height 1."""
        row = (1,) * (2 - self.rank)
        sizes = ((*row, *size) for size in (self.kernel_size, self.strides, self.dilation_rate))
        kernel_size, strides, dilation_rate = sizes
        return make_window(shape[:2], kernel_size, strides, self.padding, dilation_rate)

    def _check(self, shape):
        meaning = "(height, width, channels)" if self.rank == 2 else "(length, channels)"
        check_rank(self, shape, self.rank + 1, meaning)

    def _output_shape(self, shape, channels) -> Shape:
        window = self.window((1,) * (2 - self.rank) + shape)
        return (*(window.out_height, window.out_width)[-self.rank :], channels)

    def _depthwise_part(self, weight, bias) -> Part:
        """As many groups as channels: kernel (KH, KW, 1, C · depth_multiplier)."""
        *size, channels, multiplier = weight.shape
        shape = (*(1,) * (2 - self.rank), *size, 1, channels * multiplier)
        return Part(self.name, weight, bias, shape, channels, self.window)

    def _steps(self, parts) -> list[Step]:
        steps = [PartConv2D(part) for part in parts]
        steps = [Widen(), *steps, Narrow()] if self.rank == 1 else steps
        return steps if self.activation is None else [*steps, *self.activation.lower()]


class DepthwiseConv2D(_Depthwise):
    """Convolution of each channel with kernels of its own.

    y[n,i,j,c·m + k] = bias[c·m + k] + Σ over taps (p,q) of x[n, i·s + p·d - pad, j·s + q·d - pad, c] · kernel[p,q,c,k],
    with m = depth_multiplier.

    (Sifre, Mallat, 2014; Howard and others: "MobileNets", 2017.)

    Parameters
    ----------
    kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias :
        As for `Conv2D`.
    depth_multiplier : int, default 1
        Kernels for each channel.
    depthwise_initializer, bias_initializer : str or Initializer
        Defaults "glorot_uniform" and "zeros".
    depthwise_regularizer, bias_regularizer : str or Regularizer, optional

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, C · m), kernel (KH, KW, C, m), bias (C · m,).
    """

    rank = 2
    rare_options: tuple[str, ...] = (*Layer.rare_options, "depthwise_constraint", "bias_constraint")

    def __init__(
        self,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: Padding = "valid",
        depth_multiplier: int = 1,
        data_format: DataFormat = None,
        dilation_rate: Pair = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        **kwargs: Unpack[_Options],
    ) -> None:
        super().__init__(**kwargs)
        self._set_window(kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate)
        self.activation: Layer | None = activations.get(activation)
        self.use_bias: bool = use_bias
        self.depthwise_initializer: Initializer = initializers.get(depthwise_initializer)
        self.bias_initializer: Initializer = initializers.get(bias_initializer)
        self.depthwise_regularizer: Regularizer | None = regularizers.get(depthwise_regularizer)
        self.bias_regularizer: Regularizer | None = regularizers.get(bias_regularizer)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        self._check(shape)
        output_shape = self._output_shape(shape, shape[-1] * self.depth_multiplier)
        rules = self.depthwise_regularizer, self.depthwise_constraint
        kernel_shape = (*self.kernel_size, shape[-1], self.depth_multiplier)
        self.add_weight("kernel", kernel_shape, self.depthwise_initializer, True, *rules)
        if self.use_bias:
            rules = self.bias_regularizer, self.bias_constraint
            self.add_weight("bias", output_shape[-1:], self.bias_initializer, True, *rules)
        return output_shape

    def lower(self) -> list[Step]:
        return self._steps([self._depthwise_part(self.kernel, self.bias)])

    @classmethod
    def examples(cls) -> Examples:
        sizes = (5, 6)[: cls.rank]
        yield cls(3, padding="same", activation="relu"), [(*sizes, 3)]
        yield cls(2, strides=2, depth_multiplier=2, use_bias=False), [(*sizes, 2)]


class DepthwiseConv1D(DepthwiseConv2D):
    """`DepthwiseConv2D` over rows: input (N, L, C), output (N, OL, C · m), kernel (K, C, m)."""

    rank = 1


class SeparableConv2D(_Depthwise):
    """A depthwise convolution, and then one with kernels of one pixel, which mixes the channels.

    (Chollet: "Xception: deep learning with depthwise separable convolutions", 2017.)

    Parameters
    ----------
    filters : int
        Number of output channels F.
    kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias :
        As for `Conv2D`.
    depth_multiplier : int, default 1
        Channels m that the depthwise convolution makes of each.
    depthwise_initializer, pointwise_initializer, bias_initializer : str or Initializer
        Defaults "glorot_uniform", "glorot_uniform" and "zeros".
    depthwise_regularizer, pointwise_regularizer, bias_regularizer : str or Regularizer, optional

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, F), depthwise_kernel (KH, KW, C, m), pointwise_kernel (1, 1, C · m, F), bias
    (F,).
    """

    rank = 2
    rare_options: tuple[str, ...] = (
        *Layer.rare_options,
        "depthwise_constraint",
        "pointwise_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        dilation_rate: Pair = 1,
        depth_multiplier: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None,
        pointwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        **kwargs: Unpack[_Options],
    ) -> None:
        super().__init__(**kwargs)
        self.filters: int = check_positive_int("filters", filters)
        self._set_window(kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate)
        self.activation: Layer | None = activations.get(activation)
        self.use_bias: bool = use_bias
        self.depthwise_initializer: Initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer: Initializer = initializers.get(pointwise_initializer)
        self.bias_initializer: Initializer = initializers.get(bias_initializer)
        self.depthwise_regularizer: Regularizer | None = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer: Regularizer | None = regularizers.get(pointwise_regularizer)
        self.bias_regularizer: Regularizer | None = regularizers.get(bias_regularizer)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        self._check(shape)
        output_shape = self._output_shape(shape, self.filters)
        multiplier = self.depth_multiplier
        kernels = {
            "depthwise": (*self.kernel_size, shape[-1], multiplier),
            "pointwise": (*(1,) * self.rank, shape[-1] * multiplier, self.filters),
        }
        for kind, kernel_shape in kernels.items():
            options = (getattr(self, f"{kind}_{option}") for option in ("initializer", "regularizer", "constraint"))
            initializer, *rules = options
            self.add_weight(f"{kind}_kernel", kernel_shape, initializer, True, *rules)
        if self.use_bias:
            rules = self.bias_regularizer, self.bias_constraint
            self.add_weight("bias", (self.filters,), self.bias_initializer, True, *rules)
        return output_shape

    def lower(self) -> list[Step]:
        shape = (1, 1, *self.pointwise_kernel.shape[-2:])
        pointwise = Part(self.name, self.pointwise_kernel, self.bias, shape, 1, _one_pixel)
        return self._steps([self._depthwise_part(self.depthwise_kernel, None), pointwise])

    @classmethod
    def examples(cls) -> Examples:
        sizes = (5, 6)[: cls.rank]
        yield cls(4, 3, padding="same", depth_multiplier=2, activation="softplus"), [(*sizes, 3)]
        yield cls(3, 2, strides=2, use_bias=False), [(*sizes, 2)]


def _one_pixel(shape):
    """The window of a convolution with kernels of one pixel."""
    return make_window(shape[:2], (1, 1), (1, 1), "valid")


class SeparableConv1D(SeparableConv2D):
    """`SeparableConv2D` over rows: input (N, L, C), output (N, OL, F), kernels (K, C, m) and (1, C · m, F)."""

    rank = 1
