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


def _of_places(name: str, numbers: Any, rank: int, is_first: bool) -> tuple[int, ...]:
    """Three numbers of volumes; two of images, and of rows, of which the second is that of their width.

    Raises
    ------
    ValueError
        Unless they are positive, and one, as many as there are axes of places, or with those of samples and channels.
    """
    given, around = [int(n) for n in np.ravel(numbers)], (2, rank + 2) if is_first else (1, rank + 1)
    if len(given) == rank + 2 and given[: around[0]] + given[around[1] :] == [1, 1]:
        given = given[slice(*around)]
    if len(given) not in (1, rank) or min(given) < 1:
        counts = " or ".join(map(str, dict.fromkeys((1, rank))))
        raise ValueError(
            f"{name} should be {counts} positive number(s) for inputs of {rank} axes of places, or {rank + 2} of which "
            f"those of samples and channels are 1. Received: {name}={numbers!r}"
        )
    given = given * rank if len(given) == 1 else given
    return (1, *given) if rank == 1 else tuple(given)


def _rank(inputs: Any) -> int:
    """How many axes of places there are: those of rows, images or volumes."""
    return len(inputs.shape if is_symbolic(inputs) else np.shape(value_of(inputs))) - 2


def _of_images(kernel: Any) -> Any:
    """A kernel with two axes in front: a row's gets one of length 1."""
    return np.expand_dims(kernel, 0) if np.ndim(value_of(kernel)) == 3 else kernel


def _conv(inputs: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any) -> Any:
    rank, first = _rank(inputs), _first(data_format)
    function = _volumes.convolution_of if rank == VOLUMES else _windows.convolution_of
    strides, rates = _strides_and_rates(strides, dilation_rate, rank, first)
    return _windows.with_channels_last(function, inputs, first, _of_images(kernel), strides, padding, rates)


def _strides_and_rates(strides, dilation_rate, rank, first):
    return _of_places("strides", strides, rank, first), _of_places("dilation_rate", dilation_rate, rank, first)


def _depthwise(inputs: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any) -> Any:
    kernel = _of_images(kernel)
    height, width, channels, times = np.shape(value_of(kernel))
    kernel = np.reshape(kernel, (height, width, 1, channels * times))
    return _conv(inputs, kernel, strides, padding, data_format, dilation_rate)


def _transposed(inputs: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any) -> Any:
    rank, first, kernel, padding = _rank(inputs), _first(data_format), _of_images(kernel), str(padding).lower()
    strides, rates = _strides_and_rates(strides, dilation_rate, rank, first)
    function = (_volumes if rank == VOLUMES else _windows).transposed_convolution_of

    def made(x: Any) -> Any:
        lengths = np.shape(value_of(x))[1 : len(strides) + 1]
        taps = map(effective_size, np.shape(value_of(kernel))[: len(strides)], rates)
        more = (max(k - s, 0) if padding == "valid" else 0 for k, s in zip(taps, strides, strict=True))
        size = tuple(n * s + extra for n, s, extra in zip(lengths, strides, more, strict=True))
        return function(x, kernel, size, strides, padding, rates)

    return _windows.with_channels_last(made, inputs, first)


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
    rank, first = _rank(inputs), _first(data_format)
    function = getattr(_volumes if rank == VOLUMES else _windows, name)
    size = _of_places("pool_size", size, rank, first)
    strides = size if strides is None else _of_places("strides", strides, rank, first)
    if is_symbolic(inputs):
        numbers = (size[1], strides[-1]) if rank == 1 else (size, strides)
        cls = getattr(layers, f"{layer}{rank}D")
        return cls(*numbers, padding=str(padding).lower(), data_format=_data_format.or_current(data_format))(inputs)
    return _windows.with_channels_last(function, inputs, first, size, strides, padding)


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
    inputs : array or Tensor (N, W, C), (N, H, W, C) or (N, D, H, W, C)
    output_size : int, or as many as there are axes of places
    data_format : {"channels_last", "channels_first"}, optional
        Default: that of Keras's configuration.
    """
    return _adaptive("AdaptiveMaxPooling", inputs, output_size, data_format)


def adaptive_average_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    """The mean of each window; arguments as for `adaptive_max_pool`."""
    return _adaptive("AdaptiveAveragePooling", inputs, output_size, data_format)


def _adaptive(name, inputs, output_size, data_format):
    x = inputs if hasattr(inputs, "shape") else np.asarray(inputs, np.float32)
    if len(x.shape) not in (3, 4, 5):
        raise ValueError(f"expected inputs of 3 to 5 axes: samples, places, channels. Received: shape {tuple(x.shape)}")
    cls = getattr(import_module("minicnn.keras.layers"), f"{name}{len(x.shape) - 2}D")  # which tapes know
    return cls(output_size, data_format=_data_format.or_current(data_format))(x)


FUNCTIONS: tuple[Callable[..., Any], ...] = (conv, depthwise_conv, separable_conv, conv_transpose)
FUNCTIONS += (max_pool, average_pool, adaptive_max_pool, adaptive_average_pool)
