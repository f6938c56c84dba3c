"""Layers for rows of samples (N, L, C): the 2-D ones, over images of height 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

from minicnn.checks import check_choice, check_positive_int
from minicnn.errors import ShapeError
from minicnn.geometry import Window, effective_size, make_window
from minicnn.hints import ActivationLike, DataFormat, InitializerLike, LayerOptions, Padding, RegularizerLike
from minicnn.layers.base import Examples, Layer
from minicnn.layers.conv_parts import Narrow, Part, PartConv2D, Widen, one_number
from minicnn.layers.cropping import Cropping2D
from minicnn.layers.global_pooling import GlobalAveragePooling2D, GlobalMaxPooling2D
from minicnn.layers.kernel import WithKernel
from minicnn.layers.pooling import AveragePooling2D, MaxPooling2D
from minicnn.layers.resizing import UpSampling2D
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.layers.zero_padding import ZeroPadding2D
from minicnn.step import Shape, Shapes, Step

__all__ = [
    "AveragePooling1D",
    "AvgPool1D",
    "Conv1D",
    "Cropping1D",
    "GlobalAveragePooling1D",
    "GlobalAvgPool1D",
    "GlobalMaxPool1D",
    "GlobalMaxPooling1D",
    "MaxPool1D",
    "MaxPooling1D",
    "UpSampling1D",
    "ZeroPadding1D",
]


class Conv1D(WithKernel):
    """1-D convolution (cross-correlation) over rows: y[n,i,f] = bias[f] + Σ x[n, i·s + p·d - pad, c] · kernel[p,c,f].

    Parameters
    ----------
    filters : int
        Number of output channels F.
    kernel_size : int
    strides : int, default 1
    padding : {"valid", "same", "causal"}, default "valid"
        "causal" pads at the start alone, so that no output sees what comes after it (van den Oord and others:
        "WaveNet", 2016).
    data_format, dilation_rate, groups, activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
    bias_regularizer :
        As for `Conv2D`.

    Notes
    -----
    Input (N, L, C), output (N, OL, F), kernel (K, C / groups, F), bias (F,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: DataFormat = None,
        dilation_rate: int | Sequence[int] = 1,
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
        self.kernel_size: tuple[int] = (one_number("kernel_size", kernel_size),)
        self.strides: tuple[int] = (one_number("strides", strides),)
        self.padding: str = check_choice("padding", str(padding).lower(), ("valid", "same", "causal"))
        self.data_format: DataFormat = check_data_format(data_format)
        self.dilation_rate: tuple[int] = (one_number("dilation_rate", dilation_rate),)
        self.groups: int = check_positive_int("groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"filters must be a multiple of groups. Received: filters={filters}, groups={groups}")

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        check_rank(self, shape, 2, "(length, channels)")
        if shape[1] % self.groups:
            raise ShapeError(f"the channels must be a multiple of groups={self.groups}. Received: {shape[1]} channels")
        window = self.window((1, *shape))
        self.add_kernel((*self.kernel_size, shape[1] // self.groups, self.filters))
        return window.out_width, self.filters

    def window(self, shape: Shape) -> Window:
        """The geometry for images (1, L, C)."""
        size, causal = shape[:2], self.padding == "causal"
        before = effective_size(*self.kernel_size, *self.dilation_rate) - 1 if causal else 0
        options = (1, *self.kernel_size), (1, *self.strides), "valid" if causal else self.padding
        window = make_window((size[0], size[1] + before), *options, (1, *self.dilation_rate))
        return replace(window, in_width=size[1], pad_left=before) if causal else window

    def lower(self) -> list[Step]:
        part = Part(self.name, self.kernel, self.bias, (1, *self.kernel.shape), self.groups, self.window)
        steps = [Widen(), PartConv2D(part), Narrow()]
        return steps if self.activation is None else [*steps, *self.activation.lower()]

    @classmethod
    def examples(cls) -> Examples:
        yield cls(4, 3, strides=2, padding="same", activation="relu"), [(7, 2)]
        yield cls(4, 2, padding="causal", dilation_rate=2, groups=2), [(6, 4)]


class Rows(Layer):
    """A layer without weights that has a 2-D counterpart."""

    def over_images(self) -> Layer:
        """The layer that does the same to images (1, L, C)."""
        raise NotImplementedError

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 2, "(length, channels)")
        return self.over_images().build(((1, *input_shapes[0]),))[1:]

    def lower(self) -> list[Step]:
        return [Widen(), *self.over_images().lower(), Narrow()]


class _Pooling1D(Rows):
    """What max and average pooling have in common."""

    pooling: type[Layer]

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size: tuple[int] = (one_number("pool_size", pool_size),)
        self.strides: tuple[int] = self.pool_size if strides is None else (one_number("strides", strides),)
        self.padding: Padding = check_choice("padding", str(padding).lower(), ("valid", "same"))
        self.data_format: DataFormat = check_data_format(data_format)

    def over_images(self) -> Layer:
        return self.pooling((1, *self.pool_size), (1, *self.strides), self.padding, name=self.name)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, strides=2, padding="same"), [(6, 2)]


class MaxPooling1D(_Pooling1D):
    """The maximum of each window of a row.

    Parameters
    ----------
    pool_size : int, default 2
    strides : int, optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
    data_format : {None, "channels_last", "channels_first"}
    """

    pooling: type[Layer] = MaxPooling2D


class AveragePooling1D(_Pooling1D):
    """The mean of each window of a row; arguments as for `MaxPooling1D`.

    Parameters
    ----------
    pool_size : int, default 2
    strides : int, optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
        Padding does not count.
    data_format : {None, "channels_last", "channels_first"}
        Rows are (N, L, C), or (N, C, L).
    """

    pooling: type[Layer] = AveragePooling2D


class _GlobalPooling1D(Rows):
    """What the global poolings have in common."""

    pooling: type[Layer]

    def __init__(self, data_format: DataFormat = None, keepdims: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.data_format: DataFormat = check_data_format(data_format)
        self.keepdims: bool = keepdims

    def over_images(self) -> Layer:
        return self.pooling(keepdims=self.keepdims, name=self.name)

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 2, "(length, channels)")
        return (1, input_shapes[0][1]) if self.keepdims else (input_shapes[0][1],)

    def lower(self) -> list[Step]:
        steps = [Widen(), self.over_images()]
        return [*steps, Narrow()] if self.keepdims else steps

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 3)]
        yield cls(keepdims=True), [(4, 2)]


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of each channel over the whole row: (N, L, C) becomes (N, C), with `keepdims` (N, 1, C).

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Rows are (N, L, C), or (N, C, L).
    keepdims : bool, default False
        Whether the axis of the row stays, with length 1.
    """

    pooling: type[Layer] = GlobalAveragePooling2D


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The maximum of each channel over the whole row: (N, L, C) becomes (N, C), with `keepdims` (N, 1, C).

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Rows are (N, L, C), or (N, C, L).
    keepdims : bool, default False
        Whether the axis of the row stays, with length 1.
    """

    pooling: type[Layer] = GlobalMaxPooling2D


class UpSampling1D(Rows):
    """Every element of a row `size` times.

    Parameters
    ----------
    size : int, default 2
    """

    def __init__(self, size: int = 2, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.size: int = check_positive_int("size", size)

    def over_images(self) -> Layer:
        return UpSampling2D((1, self.size), name=self.name)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3), [(4, 2)]


class _Ends(Rows):
    """What adds or takes off elements at both ends of a row."""

    @staticmethod
    def _both(name, value):
        """(start, end) from one number for both, or two."""
        values = (value, value) if isinstance(value, int) else tuple(value)
        if len(values) != 2:
            raise ValueError(f"{name} is an integer or a pair (start, end). Received: {name}={value!r}")
        start, end = (one_number(name, n, minimum=0) for n in values)
        return start, end


class ZeroPadding1D(_Ends):
    """Zeros at both ends of a row.

    Parameters
    ----------
    padding : int or (int, int), default 1
        How many at each end, or (at the start, at the end).
    data_format : {None, "channels_last", "channels_first"}
    """

    def __init__(
        self, padding: int | Sequence[int] = 1, data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.padding: tuple[int, int] = self._both("padding", padding)
        self.data_format: DataFormat = check_data_format(data_format)

    def over_images(self) -> Layer:
        return ZeroPadding2D(((0, 0), self.padding), name=self.name)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((1, 2)), [(3, 2)]


class Cropping1D(_Ends):
    """A row without some elements at its ends.

    Parameters
    ----------
    cropping : int or (int, int), default 1
        How many at each end, or (at the start, at the end).
    """

    def __init__(self, cropping: int | Sequence[int] = (1, 1), **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.cropping: tuple[int, int] = self._both("cropping", cropping)

    def over_images(self) -> Layer:
        return Cropping2D(((0, 0), self.cropping), name=self.name)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((1, 2)), [(6, 2)]


MaxPool1D = MaxPooling1D
AvgPool1D = AveragePooling1D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalAvgPool1D = GlobalAveragePooling1D
