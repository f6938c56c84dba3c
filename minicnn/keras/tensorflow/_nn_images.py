"""``tf.nn``'s functions of images, convolutions, poolings and normalizations, and losses of several devices."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import value_of
from minicnn.errors import ShapeError
from minicnn.keras import _windows, ops
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.keras.tensorflow._of_1_arguments import today

__all__ = ["atrous_conv2d", "avg_pool", "avg_pool1d", "avg_pool2d", "batch_normalization", "bias_add", "conv1d"]
__all__ += ["compute_average_loss", "conv2d", "conv2d_transpose", "depth_to_space", "depthwise_conv2d"]
__all__ += ["local_response_normalization", "lrn", "max_pool", "max_pool1d", "max_pool2d"]
__all__ += ["scale_regularization_loss", "separable_conv2d", "space_to_depth", "weighted_moments", "zero_fraction"]


def _format(data_format: str | None) -> str:
    check_choice("data_format", data_format, (None, "NHWC", "NCHW", "NWC", "NCW", "NDHWC", "NCDHW"))
    return "channels_first" if str(data_format).startswith("NC") else "channels_last"


def _sizes(given: Any, data_format: str | None, axes: int = 2) -> tuple[int, ...]:
    """The numbers of the places, of one number, of one for each, or of one for each axis."""
    numbers = [int(n) for n in np.ravel(given)]
    if len(numbers) not in (1, axes, axes + 2):
        raise ValueError(f"expected one number, {axes} of them, or {axes + 2} for all axes. Received: {given}")
    if len(numbers) == axes + 2:
        inner = slice(2, None) if _format(data_format) == "channels_first" else slice(1, -1)
        others, numbers = numbers[:], numbers[inner]
        del others[inner]
        if others != [1, 1]:
            raise ValueError(f"windows reach over places alone, not over samples and channels. Received: {given}")
    return tuple(numbers * axes if len(numbers) == 1 else numbers)


def _pairs(padding: Any) -> tuple[tuple[int, ...], ...]:
    """Padding that is given by number, a pair for each axis."""
    return tuple(tuple(int(n) for n in pair) for pair in padding)


def _around(x: Any, padding: Any, value: float | None = None) -> tuple[Any, str]:
    """(the images with zeros, or a number, around them where padding is given by number, the padding by name)."""
    if isinstance(padding, str):
        return x, padding
    return ops.pad(x, _pairs(padding), constant_values=value), "valid"


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
    return _over_windows(ops.conv, input, kernel, strides, padding, data_format, dilations)


def _over_windows(function, images, kernel, strides, padding, data_format, dilations):
    """A convolution of `keras.ops` with TensorFlow's arguments."""
    x, padding = _around(images, padding)
    rates = (1, 1) if dilations is None else _sizes(dilations, data_format)
    return of_tensorflow(function(x, kernel, _sizes(strides, data_format), padding, _format(data_format), rates))


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
    return of_tensorflow(ops.conv(input, filters, strides, padding, _format(data_format), rate))


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
    return _over_windows(ops.depthwise_conv, input, filter, strides, padding, data_format, dilations)


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
def _transposed(x: Any, kernel: Any, size: Any, strides: Any, padding: str, data_format: str, rates: Any) -> Any:
    is_first = _format(data_format) == "channels_first"
    strides, function = _sizes(strides, data_format), _windows.transposed_convolution_of
    return _windows.with_channels_last(function, x, is_first, kernel, size, strides, padding, rates)


def _size_of(shape: Any, data_format: str, x: Any, kernel: Any) -> tuple[int, ...]:
    """The sizes along space in a shape of what is made, whose other numbers are those of the samples and the kernel.

    Of images, or of volumes if the kernel has five axes.
    """
    sizes, axes = [int(n) for n in np.ravel(value_of(shape))], len(kernel.shape)
    at, filters = 1 if _format(data_format) == "channels_first" else axes - 1, kernel.shape[-2]
    if len(sizes) != axes or sizes[at] != filters or x.shape[0] not in (None, sizes[0]):
        raise ShapeError(
            f"output_shape has {axes} numbers, the first of them the batch's size ({x.shape[0]}), and that of the "
            f"channels is the kernel's last but one ({filters}). Received: output_shape={sizes}"
        )
    return tuple(sizes[2:] if at == 1 else sizes[1:-1])


def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transposed convolution of images (N, H, W, C) with a kernel (KH, KW, F, C).

    Parameters
    ----------
    input, filters, strides, padding, data_format, dilations :
        As for `conv2d`.
    output_shape : sequence of int
        Of what is made.
    """
    input, filters = as_tensor(input), as_tensor(filters)
    size = _size_of(output_shape, data_format, input, filters)
    rates = (1, 1) if dilations is None else _sizes(dilations, data_format)
    if isinstance(padding, str):
        return of_tensorflow(_transposed(input, filters, size, strides, padding, data_format, rates))
    inner = slice(2, None) if _format(data_format) == "channels_first" else slice(1, -1)
    pads = _pairs(padding)[inner]  # around the images of which `input` would be the convolution
    padded = tuple(n + sum(pair) for n, pair in zip(size, pads, strict=True))
    made = _transposed(input, filters, padded, strides, "VALID", data_format, rates)
    cut = [slice(first, first + n) for n, (first, _) in zip(size, pads, strict=True)]
    return of_tensorflow(made[(slice(None), *[slice(None)] * (inner.start - 1), *cut)])


@entering
def _pooled(function: Any, x: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None) -> Any:
    if not isinstance(padding, str):  # by number: what is added counts for nothing
        if function is not ops.max_pool:
            raise ValueError(f"padding is 'VALID' or 'SAME', as in TensorFlow. Received: {padding!r}")
        x, padding = _around(x, padding, -np.inf)
    strides, axes = ksize if strides is None else strides, len(x.shape) - 2
    numbers = [_sizes(given, data_format, axes) for given in (ksize, strides)]
    return of_tensorflow(function(x, *numbers, padding, _format(data_format)))


@entering
def _pooled_channels(x, ksize, strides):
    """The maximum of each group of neighbouring channels, (N, H, W, C) -> (N, H, W, C / size)."""
    size, channels = ksize[3], int(x.shape[-1])
    if ksize != [1, 1, 1, size] or strides != ksize or channels % size:
        raise ValueError(
            f"windows over channels are (1, 1, 1, size), in ksize and strides, where size divides the {channels} "
            f"channels. Received: ksize={tuple(ksize)}, strides={tuple(strides)}"
        )
    return of_tensorflow(reduce(ops.maximum, [x[..., first::size] for first in range(size)]))


@today(value="input")
def max_pool(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str | None = None, name: str | None = None
) -> Any:
    """The maximum of each window of images (N, H, W, C); sizes as for `conv2d`, or (1, 1, 1, channels)."""
    if len(np.ravel(ksize)) == 4 and np.ravel(ksize)[3] != 1 and _format(data_format) == "channels_last":
        return _pooled_channels(input, [int(n) for n in ksize], [int(n) for n in np.ravel(strides)])
    return _pooled(ops.max_pool, input, ksize, strides, padding, data_format)


@today(value="input")
def avg_pool(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str | None = None, name: str | None = None
) -> Any:
    """The mean of each window of images (N, H, W, C), where padding does not count; sizes as for `conv2d`."""
    return _pooled(ops.average_pool, input, ksize, strides, padding, data_format)


max_pool2d, avg_pool2d = max_pool, avg_pool


def max_pool1d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NWC", name: str | None = None
) -> Any:
    """The maximum of each window of rows (N, W, C)."""
    return _pooled(ops.max_pool, input, ksize, strides, padding, data_format)


def avg_pool1d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NWC", name: str | None = None
) -> Any:
    """The mean of each window of rows (N, W, C)."""
    return _pooled(ops.average_pool, input, ksize, strides, padding, data_format)


@entering
def bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
    """The value plus one number for each channel."""
    bias = as_tensor(bias)
    channels = value.shape[1 if _format(data_format) == "channels_first" else -1]
    if tuple(bias.shape) != (channels,):
        raise ShapeError(f"expected a bias for {channels} channel(s). Received: shape {tuple(bias.shape)}")
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


@of_tensors_too
def _rearranged(x: Any, function: Any, block_size: int, is_first: bool) -> Any:
    return _windows.with_channels_last(function, x, is_first, block_size)


def depth_to_space(input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None) -> Any:
    """Channels as squares of pixels: (N, H, W, C) → (N, H · block, W · block, C / block²)."""
    return of_tensorflow(
        _rearranged(input, _windows.channels_to_blocks, block_size, _format(data_format) == "channels_first")
    )


def space_to_depth(input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None) -> Any:
    """Squares of pixels as channels: (N, H, W, C) → (N, H / block, W / block, C · block²)."""
    return of_tensorflow(
        _rearranged(input, _windows.blocks_to_channels, block_size, _format(data_format) == "channels_first")
    )


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


def _with_axes(weights: Any, axes: int) -> Any:
    """Weights with as many axes as losses have: one of length 1 at the end falls away, or is added."""
    if weights.ndim == axes + 1 and weights.shape[-1] == 1:
        return ops.squeeze(weights, -1)
    return ops.expand_dims(weights, -1) if weights.ndim and weights.ndim == axes - 1 else weights


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
    losses = as_tensor(per_example_loss)
    if is_symbolic(losses):
        raise TypeError("compute_average_loss takes numbers. Received: a model's tensor")
    if sample_weight is not None:
        losses = losses * ops.cast(_with_axes(as_tensor(sample_weight), losses.ndim), losses.dtype)
    if not losses.ndim and global_batch_size is None:
        raise ValueError("expected the losses of samples, (N, …), or global_batch_size. Received: one number")
    count = np.shape(value_of(losses))[0] if global_batch_size is None else global_batch_size
    return of_tensorflow(ops.sum(losses) / count)


@entering
def scale_regularization_loss(regularization_loss: Any) -> Any:
    """The sum of penalties, as there is one device."""
    return of_tensorflow(ops.sum(regularization_loss))
