"""``tf.nn``'s functions of images, convolutions, poolings and normalizations, and losses of several devices."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.keras import _windows, ops
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["atrous_conv2d", "avg_pool", "avg_pool1d", "avg_pool2d", "batch_normalization", "bias_add", "conv1d"]
__all__ += ["compute_average_loss", "conv2d", "conv2d_transpose", "depth_to_space", "depthwise_conv2d"]
__all__ += ["local_response_normalization", "lrn", "max_pool", "max_pool1d", "max_pool2d", "pool"]
__all__ += ["scale_regularization_loss", "separable_conv2d", "space_to_depth", "weighted_moments", "zero_fraction"]


def _format(data_format: str | None) -> str:
    return "channels_first" if str(data_format).upper().startswith("NC") else "channels_last"


def _sizes(given: Any, data_format: str | None, axes: int = 2) -> tuple[int, ...]:
    """The numbers of the places, of one number, of one for each, or of one for each axis."""
    numbers = [int(n) for n in np.ravel(given)]
    if len(numbers) == axes + 2:
        numbers = numbers[2:] if _format(data_format) == "channels_first" else numbers[1:-1]
    return tuple(numbers * axes if len(numbers) == 1 else numbers)


def _around(x: Any, padding: Any) -> tuple[Any, str]:
    """(the images with zeros around them where these are given by number, the padding by name)."""
    if isinstance(padding, str):
        return x, padding.lower()
    return ops.pad(x, tuple(tuple(int(n) for n in pair) for pair in padding)), "valid"


@entering
def conv2d(
    input: Any,
    filters: Any = None,
    strides: Any = 1,
    padding: Any = "VALID",
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
    filter: Any = None,
) -> Any:
    """The convolution of images (N, H, W, C) with a kernel (KH, KW, C, F).

    Parameters
    ----------
    input : array or tensor
    filters : array
        `filter` is TensorFlow 1's name of it.
    strides, dilations : int, or sequence of 1, 2 or 4 int
    padding : {"VALID", "SAME"}, or a pair of int for each axis
    data_format : {"NHWC", "NCHW"}
    """
    kernel = filter if filters is None else filters
    x, padding = _around(input, padding)
    rates = (1, 1) if dilations is None else _sizes(dilations, data_format)
    given = (_sizes(strides, data_format), padding, _format(data_format), rates)
    return of_tensorflow(ops.conv(x, kernel, *given))


@entering
def conv1d(
    input: Any,
    filters: Any,
    stride: Any,
    padding: str,
    data_format: str = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The convolution of rows (N, W, C) with a kernel (K, C, F)."""
    rate = 1 if dilations is None else _sizes(dilations, data_format, 1)
    strides = _sizes(stride, data_format, 1)
    return of_tensorflow(ops.conv(input, filters, strides, padding.lower(), _format(data_format), rate))


def atrous_conv2d(value: Any, filters: Any, rate: int, padding: str, name: str | None = None) -> Any:
    """`conv2d` with holes of `rate` - 1 pixels in the kernel."""
    return conv2d(value, filters, 1, padding, dilations=rate)


@entering
def depthwise_conv2d(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The convolution of each channel by itself with a kernel (KH, KW, C, M); arguments as for `conv2d`."""
    x, padding = _around(input, padding)
    rates = (1, 1) if dilations is None else _sizes(dilations, data_format)
    given = (_sizes(strides, data_format), padding, _format(data_format), rates)
    return of_tensorflow(ops.depthwise_conv(x, filter, *given))


def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """`depthwise_conv2d`, and a convolution with a kernel (1, 1, C · M, F)."""
    inner = depthwise_conv2d(input, depthwise_filter, strides, padding, data_format, dilations)
    return conv2d(inner, pointwise_filter, 1, "VALID", data_format)


@of_tensors_too
def _transposed(x: Any, kernel: Any, shape: Any, strides: Any, padding: str, data_format: str) -> Any:
    size = tuple(int(n) for n in np.asarray(value_of(shape)))
    size = size[2:] if _format(data_format) == "channels_first" else size[1:-1]
    is_first = _format(data_format) == "channels_first"
    strides, function = _sizes(strides, data_format), _windows.transposed_convolution_of
    return _windows.with_channels_last(function, x, is_first, kernel, size, strides, padding.lower())


def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transposed convolution of images (N, H, W, C) with a kernel (KH, KW, F, C).

    Parameters
    ----------
    input, filters, strides, padding, data_format :
        As for `conv2d`.
    output_shape : sequence of int
        Of what is made.
    """
    return of_tensorflow(_transposed(input, filters, output_shape, strides, padding, data_format))


def _pooled(function: Any, x: Any, ksize: Any, strides: Any, padding: str, data_format: str | None, axes: int) -> Any:
    strides = ksize if strides is None else strides
    numbers = [_sizes(given, data_format, axes) for given in (ksize, strides)]
    return of_tensorflow(function(x, *numbers, padding.lower(), _format(data_format)))


def max_pool(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str | None = None, name: str | None = None
) -> Any:
    """The maximum of each window of images (N, H, W, C); sizes as for `conv2d`."""
    return _pooled(ops.max_pool, input, ksize, strides, padding, data_format, 2)


def avg_pool(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str | None = None, name: str | None = None
) -> Any:
    """The mean of each window of images (N, H, W, C), where padding does not count; sizes as for `conv2d`."""
    return _pooled(ops.average_pool, input, ksize, strides, padding, data_format, 2)


max_pool2d, avg_pool2d = max_pool, avg_pool


def max_pool1d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NWC", name: str | None = None
) -> Any:
    """The maximum of each window of rows (N, W, C)."""
    return _pooled(ops.max_pool, input, ksize, strides, padding, data_format, 1)


def avg_pool1d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NWC", name: str | None = None
) -> Any:
    """The mean of each window of rows (N, W, C)."""
    return _pooled(ops.average_pool, input, ksize, strides, padding, data_format, 1)


def pool(
    input: Any,
    window_shape: Any,
    pooling_type: str,
    strides: Any = None,
    padding: str = "VALID",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """`max_pool` or `avg_pool`, for ``pooling_type="MAX"`` or ``"AVG"``."""
    function = ops.max_pool if pooling_type == "MAX" else ops.average_pool
    strides = 1 if strides is None else strides
    return _pooled(function, input, window_shape, strides, padding, data_format, 2)


@entering
def bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
    """The value plus one number for each channel."""
    if _format(data_format) == "channels_first":
        bias = np.reshape(bias, (-1, *(1 for _ in value.shape[2:])))
    return of_tensorflow(ops.add(value, bias))


@entering
def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: float, name: str | None = None
) -> Any:
    """(x − mean) / √(variance + epsilon) · scale + offset; without `scale` or `offset` where these are None."""
    made = (x - mean) / ops.sqrt(variance + variance_epsilon)
    made = made if scale is None else made * scale
    return of_tensorflow(made if offset is None else made + offset)


_spread, _gathered = map(of_tensors_too, (_windows.channels_to_blocks, _windows.blocks_to_channels))


def depth_to_space(input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None) -> Any:
    """Channels as squares of pixels: (N, H, W, C) → (N, H · block, W · block, C / block²)."""
    return of_tensorflow(_spread(input, block_size))


def space_to_depth(input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None) -> Any:
    """Squares of pixels as channels: (N, H, W, C) → (N, H / block, W / block, C · block²)."""
    return of_tensorflow(_gathered(input, block_size))


@of_tensors_too
def _by_neighbours(x: Any, radius: int, bias: float, alpha: float, beta: float) -> Any:
    squares = np.pad(np.square(x), [(0, 0)] * (np.ndim(value_of(x)) - 1) + [(radius, radius)])
    channels = np.shape(value_of(x))[-1]
    total = sum(squares[..., at : at + channels] for at in range(2 * radius + 1))
    return x / (bias + alpha * total) ** beta


def local_response_normalization(
    input: Any,
    depth_radius: int = 5,
    bias: float = 1.0,
    alpha: float = 1.0,
    beta: float = 0.5,
    name: str | None = None,
) -> Any:
    """x / (bias + alpha · Σ x²)^beta, the sum over channels at most `depth_radius` away; Krizhevsky et al., 2012."""
    return of_tensorflow(_by_neighbours(input, int(depth_radius), bias, alpha, beta))


lrn = local_response_normalization


@entering
def weighted_moments(
    x: Any, axes: Any, frequency_weights: Any, keepdims: bool = False, name: str | None = None
) -> tuple[Any, Any]:
    """(the weighted mean, the weighted variance) along the axes."""
    axes = tuple(int(axis) for axis in np.ravel(axes))
    weights = np.broadcast_to(as_tensor(frequency_weights), x.shape)
    total = ops.sum(weights, axis=axes, keepdims=True)
    mean = ops.sum(x * weights, axis=axes, keepdims=True) / total
    variance = ops.sum(ops.square(x - mean) * weights, axis=axes, keepdims=True) / total
    kept = (mean, variance) if keepdims else (ops.squeeze(mean, axis=axes), ops.squeeze(variance, axis=axes))
    return tuple(map(of_tensorflow, kept))  # type: ignore[return-value]


@entering
def zero_fraction(value: Any, name: str | None = None) -> Any:
    """The share of the numbers that are 0."""
    return as_tensor(np.mean(np.asarray(value_of(value)) == 0), "float32")


@entering
def compute_average_loss(
    per_example_loss: Any, sample_weight: Any = None, global_batch_size: Any = None, max_expected_weight: Any = None
) -> Any:
    """The sum of the samples' losses, divided by the number of all samples of a step.

    Parameters
    ----------
    per_example_loss : array (N, …)
    sample_weight : array, optional
        What each is multiplied with.
    global_batch_size : int, optional
        Default: N.
    """
    losses = per_example_loss if sample_weight is None else per_example_loss * sample_weight
    if is_symbolic(losses):
        raise TypeError("compute_average_loss takes numbers. Received: a model's tensor")
    count = np.shape(value_of(losses))[0] if global_batch_size is None else global_batch_size
    return of_tensorflow(ops.sum(losses) / count)


@entering
def scale_regularization_loss(regularization_loss: Any) -> Any:
    """The sum of penalties, as there is one device."""
    return of_tensorflow(ops.sum(regularization_loss))
