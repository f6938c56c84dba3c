"""``keras.ops.conv``, ``max_pool`` and their like: of arrays, of values on a tape, and of a model's tensors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.checks import check_choice
from minicnn.differentiation import value_of
from minicnn.geometry import effective_size
from minicnn.keras import _data_format, _volumes, _windows
from minicnn.keras._operations import is_symbolic
from minicnn.keras.ops._further import of_tensors_too

VOLUMES = 3  # axes of places


def _first(data_format: str | None) -> bool:
    """Whether a format, or the one that is set, has the channels first."""
    chosen = check_choice("data_format", _data_format.or_current(data_format), _data_format.FORMATS)
    return chosen == "channels_first"


def _pair(numbers: Any, is_row: bool) -> tuple[int, int]:
    """Two numbers: a row's is that of its width."""
    given = [int(n) for n in np.ravel(numbers)]
    return (1, given[-1]) if is_row else (given[0], given[-1])


def _three(numbers: Any) -> tuple[int, int, int]:
    """Three numbers, of volumes."""
    given = [int(n) for n in np.ravel(numbers)]
    return (given[0],) * 3 if len(given) == 1 else (given[0], given[1], given[-1])


def _rank(inputs: Any) -> int:
    """How many axes of places there are: those of rows, images or volumes."""
    return len(inputs.shape if is_symbolic(inputs) else np.shape(value_of(inputs))) - 2


def _of_images(kernel: Any) -> Any:
    """A kernel with two axes in front: a row's gets one of length 1."""
    return np.expand_dims(kernel, 0) if np.ndim(value_of(kernel)) == 3 else kernel


def _conv(inputs: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any) -> Any:
    if _rank(inputs) == VOLUMES:
        args = (kernel, _three(strides), padding, _three(dilation_rate))
        return _windows.with_channels_last(_volumes.convolution_of, inputs, _first(data_format), *args)
    row = np.ndim(value_of(inputs)) == 3
    args = (_of_images(kernel), _pair(strides, row), padding, _pair(dilation_rate, row))
    return _windows.with_channels_last(_windows.convolution_of, inputs, _first(data_format), *args)


def _depthwise(inputs: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any) -> Any:
    kernel = _of_images(kernel)
    height, width, channels, times = np.shape(value_of(kernel))
    kernel = np.reshape(kernel, (height, width, 1, channels * times))
    return _conv(inputs, kernel, strides, padding, data_format, dilation_rate)


def _transposed(inputs: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any) -> Any:
    row, kernel, padding = np.ndim(value_of(inputs)) == 3, _of_images(kernel), str(padding).lower()
    is_volume = _rank(inputs) == VOLUMES
    strides, rates = (_three(n) if is_volume else _pair(n, row) for n in (strides, dilation_rate))
    function = _volumes.transposed_convolution_of if is_volume else _windows.transposed_convolution_of

    def made(x: Any) -> Any:
        lengths = np.shape(value_of(x))[1 : len(strides) + 1]
        taps = map(effective_size, np.shape(value_of(kernel))[: len(strides)], rates)
        more = (max(k - s, 0) if padding == "valid" else 0 for k, s in zip(taps, strides, strict=True))
        size = tuple(n * s + extra for n, s, extra in zip(lengths, strides, more, strict=True))
        return function(x, kernel, size, strides, padding, rates)

    return _windows.with_channels_last(made, inputs, _first(data_format))


_conv_, _depthwise_, _transposed_ = map(of_tensors_too, (_conv, _depthwise, _transposed))


def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: Any = None, dilation_rate: Any = 1
) -> Any:
    """The convolution of images (N, H, W, C) with a kernel (KH, KW, C, F).

    Or of rows (N, W, C) with (K, C, F), of volumes (N, D, H, W, C) with (KD, KH, KW, C, F).

    Parameters
    ----------
    inputs : array or tensor
    kernel : array
    strides, dilation_rate : int, or as many as there are axes of places, default 1
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    """
    return _conv_(inputs, kernel, strides, padding, data_format, dilation_rate)


def depthwise_conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: Any = None, dilation_rate: Any = 1
) -> Any:
    """The convolution of each channel by itself with a kernel (KH, KW, C, M); arguments as for `conv`."""
    return _depthwise_(inputs, kernel, strides, padding, data_format, dilation_rate)


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    """`depthwise_conv`, and a convolution with a kernel (1, 1, C · M, F); arguments as for `conv`."""
    inner = _depthwise_(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return _conv_(inner, pointwise_kernel, 1, "valid", data_format, 1)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: None = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    """The transposed convolution of images (N, H, W, C) with a kernel (KH, KW, F, C); arguments as for `conv`.

    Raises
    ------
    NotImplementedError
        For `output_padding`.
    """
    if output_padding is not None:
        raise NotImplementedError(
            "conv_transpose has no output_padding: tf.nn.conv2d_transpose takes the shape of what is made. "
            f"Received: output_padding={output_padding!r}"
        )
    return _transposed_(inputs, kernel, strides, padding, data_format, dilation_rate)


def _pooled(name: str, layer: str, inputs: Any, args: tuple[Any, ...]) -> Any:
    size, strides, padding, data_format = args
    rank = _rank(inputs)
    row, function = rank == 1, getattr(_volumes if rank == VOLUMES else _windows, name)
    size, strides = (
        _three(n) if rank == VOLUMES else _pair(n, row) for n in (size, size if strides is None else strides)
    )
    if is_symbolic(inputs):
        numbers = (size[1], strides[1]) if row else (size, strides)
        cls = getattr(layers, f"{layer}{rank}D")
        return cls(*numbers, padding=str(padding).lower(), data_format=_data_format.or_current(data_format))(inputs)
    return _windows.with_channels_last(function, inputs, _first(data_format), size, strides, padding)


def max_pool(inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None) -> Any:
    """The maximum of each window of images (N, H, W, C), rows (N, W, C) or volumes (N, D, H, W, C).

    Parameters
    ----------
    inputs : array or tensor
    pool_size : int, or as many as there are axes of places
    strides : int, or as many, optional
        Default: the pool size.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    """
    return _pooled("maximum_of", "MaxPooling", inputs, (pool_size, strides, padding, data_format))


def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    """The mean of each window, where padding does not count; arguments as for `max_pool`."""
    return _pooled("mean_of", "AveragePooling", inputs, (pool_size, strides, padding, data_format))


def adaptive_max_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    """The largest number of each of `output_size` windows, which lie over the whole input.

    Parameters
    ----------
    inputs : array or Tensor (N, W, C) or (N, H, W, C)
    output_size : int or pair of int
    data_format : {"channels_last", "channels_first"}, optional
        Default: that of Keras's configuration.
    """
    return _adaptive("AdaptiveMaxPooling", inputs, output_size, data_format)


def adaptive_average_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    """The mean of each window; arguments as for `adaptive_max_pool`."""
    return _adaptive("AdaptiveAveragePooling", inputs, output_size, data_format)


def _adaptive(name, inputs, output_size, data_format):
    x = inputs if hasattr(inputs, "shape") else np.asarray(inputs, np.float32)
    if len(x.shape) not in (3, 4):
        raise ValueError(f"expected inputs of 3 or 4 axes: samples, places, channels. Received: shape {tuple(x.shape)}")
    cls = getattr(import_module("minicnn.keras.layers"), f"{name}{len(x.shape) - 2}D")  # which tapes know
    return cls(output_size, data_format=_data_format.or_current(data_format))(x)


FUNCTIONS: tuple[Callable[..., Any], ...] = (conv, depthwise_conv, separable_conv, conv_transpose)
FUNCTIONS += (max_pool, average_pool, adaptive_max_pool, adaptive_average_pool)
