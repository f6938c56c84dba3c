"""``tf.nn``'s convolutions of rows or images, transposed ones, and the poolings of windows with holes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import value_of
from minicnn.errors import ShapeError
from minicnn.geometry import Window
from minicnn.keras import ops
from minicnn.keras._operations import entering
from minicnn.keras._windows import window_of, with_channels_last
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow import _nn_images as _images
from minicnn.keras.tensorflow import _nn_volumes as _volumes
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["atrous_conv2d_transpose", "conv1d_transpose", "conv_transpose", "convolution", "dilation2d", "erosion2d"]
__all__ += ["pool"]


def _is_row(x: Any) -> bool:
    """Whether these are rows (N, W, C), and not images (N, H, W, C) or volumes (N, D, H, W, C)."""
    if len(x.shape) not in (3, 4, 5):
        raise ShapeError(
            f"expected rows (N, W, C), images (N, H, W, C) or volumes (N, D, H, W, C). Received: shape {tuple(x.shape)}"
        )
    return len(x.shape) == 3


@entering
def convolution(
    input: Any,
    filters: Any,
    strides: Any = None,
    padding: Any = "VALID",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """`tf.nn.conv2d` of images, `conv1d` of rows, `conv3d` of volumes; strides and dilations of the places."""
    strides = 1 if strides is None else strides
    if len(as_tensor(input).shape) == 5:
        return _volumes.conv3d(input, filters, strides, padding, data_format or "NDHWC", dilations)
    if _is_row(as_tensor(input)):
        return _images.conv1d(input, filters, strides, padding, data_format or "NWC", dilations)
    return _images.conv2d(input, filters, strides, padding, data_format or "NHWC", dilations)


@entering
def conv1d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transposed convolution of rows (N, W, C) with a kernel (K, F, C); see `tf.nn.conv2d_transpose`."""
    x, shape = as_tensor(input), [int(n) for n in np.ravel(value_of(output_shape))]
    if len(shape) != 3:
        raise ShapeError(f"output_shape has three numbers, of samples, places, channels. Received: {shape}")
    is_first = _images._format(data_format) == "channels_first"
    axis, kernel = 2 if is_first else 1, ops.expand_dims(as_tensor(filters), 0)  # (1, K, F, C)
    (stride,), (rate,) = (_images._sizes(1 if n is None else n, data_format, 1) for n in (strides, dilations))
    size = [*shape[:axis], 1, *shape[axis:]]
    sizes = (1, stride), padding, "NCHW" if is_first else "NHWC", (1, rate)
    return ops.squeeze(_images.conv2d_transpose(ops.expand_dims(x, axis), kernel, size, *sizes), axis)


def conv_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """`tf.nn.conv2d_transpose` of images, `conv1d_transpose` of rows, `conv3d_transpose` of volumes."""
    if len(as_tensor(input).shape) == 5:
        own = data_format or "NDHWC", dilations
        return _volumes.conv3d_transpose(input, filters, output_shape, strides, padding, *own)
    if _is_row(as_tensor(input)):
        return conv1d_transpose(input, filters, output_shape, strides, padding, data_format or "NWC", dilations)
    return _images.conv2d_transpose(input, filters, output_shape, strides, padding, data_format or "NHWC", dilations)


def atrous_conv2d_transpose(
    value: Any, filters: Any, output_shape: Any, rate: int, padding: str, name: str | None = None
) -> Any:
    """`tf.nn.conv2d_transpose` with holes of `rate` - 1 pixels in the kernel."""
    return _images.conv2d_transpose(value, filters, output_shape, 1, padding, dilations=rate)


def _padded(x: Any, window: Window, value: float) -> Any:
    """Images (N, H, W, C) with a number in the padding of a window."""
    pads = (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right)
    return np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=value)


def _taps(x: Any, window: Window) -> Iterator[tuple[int, int, Any]]:
    """(row, column, the pixels (N, OH, OW, C) that all windows have there) of padded images, row by row."""
    counts, strides = (window.out_height, window.out_width), (window.stride_y, window.stride_x)
    gaps, sizes = (window.dilation_y, window.dilation_x), (window.kernel_height, window.kernel_width)
    for at in itertools.product(*map(range, sizes)):
        firsts = [n * gap for n, gap in zip(at, gaps, strict=True)]
        ends = [first + (count - 1) * by + 1 for first, count, by in zip(firsts, counts, strides, strict=True)]
        rows, columns = itertools.starmap(slice, zip(firsts, ends, strides, strict=True))
        yield *at, x[:, rows, columns]


def _largest(parts: Iterable[Any], least: Any) -> Any:
    """The largest of arrays, number by number, and no less than `least`; the first of equal ones has the gradient."""
    made: Any = None
    for part in parts:
        made = np.full(part.shape, least, part.dtype) if made is None else made
        made = np.where(value_of(part) > value_of(made), part, made)
    return made


@of_tensors_too
def _largest_sum(x: Any, filters: Any, strides: Any, padding: str, rates: Any) -> Any:
    """The largest of pixel + filter in each window, (N, OH, OW, C)."""
    window = window_of(x.shape[1:3], filters.shape[:2], strides, padding, rates)
    is_float = x.dtype.kind == "f"
    least = np.finfo(x.dtype).min if is_float else np.iinfo(x.dtype).min  # as TensorFlow begins
    taps = _taps(_padded(x, window, -np.inf if is_float else least), window)
    return _largest((part + filters[row, column] for row, column, part in taps), least)


@of_tensors_too
def _with_holes(x: Any, size: Any, is_max: bool, rates: Any, is_first: bool) -> Any:
    """The maximum or mean of windows with holes."""

    def pooled(images: Any) -> Any:
        parts = [part for *_, part in _taps(images, window_of(images.shape[1:3], size, (1, 1), "valid", rates))]
        return _largest(parts, -np.inf) if is_max else sum(parts) / len(parts)

    return with_channels_last(pooled, x, is_first)


@entering
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
    """`tf.nn.max_pool` or `avg_pool`, for ``pooling_type="MAX"`` or ``"AVG"``.

    Parameters
    ----------
    input : array or tensor (N, H, W, C) or (N, W, C)
    window_shape, strides, dilations : int, or one for each axis of places
    pooling_type : {"MAX", "AVG"}
    padding : {"VALID", "SAME"}
    data_format : str, optional

    Raises
    ------
    ValueError
        For dilations together with strides or "SAME", as in TensorFlow.
    """
    check_choice("pooling_type", pooling_type, ("MAX", "AVG"))
    is_max, x = pooling_type == "MAX", as_tensor(input)
    strides = 1 if strides is None else strides
    if dilations is None or np.all(np.asarray(dilations) == 1):
        function = ops.max_pool if is_max else ops.average_pool
        return _images._pooled(function, input, window_shape, strides, padding, data_format)
    if np.any(np.asarray(strides) != 1) or str(padding).upper() != "VALID":
        raise ValueError(
            "windows with dilations have strides of 1 and padding='VALID', as in TensorFlow. "
            f"Received: strides={strides}, padding={padding!r}, dilations={dilations}"
        )
    is_first = _images._format(data_format) == "channels_first"
    if is_row := _is_row(x):
        x = ops.expand_dims(x, 2 if is_first else 1)
    size, rates = ((1,) * is_row + _images._sizes(n, data_format, 2 - is_row) for n in (window_shape, dilations))
    made = _with_holes(x, size, is_max, rates, is_first)
    return of_tensorflow(ops.squeeze(made, 2 if is_first else 1) if is_row else made)


@entering
def dilation2d(
    input: Any, filters: Any, strides: Any, padding: str, data_format: str, dilations: Any, name: str | None = None
) -> Any:
    """Morphological dilation: the largest of pixel + filter in each window, channel by channel.

    Parameters
    ----------
    input : array or tensor (N, H, W, C)
    filters : array (KH, KW, C)
    strides, dilations : sequence of 4 int
    padding : {"VALID", "SAME"}
        Padding never is the largest.
    data_format : "NHWC"

    Raises
    ------
    ShapeError
        If the channels do not fit.
    """
    x, filters = as_tensor(input), as_tensor(filters)
    if data_format != "NHWC":
        raise ValueError(f"`data_format` is 'NHWC' here, as in TensorFlow. Received: {data_format!r}")
    if len(filters.shape) != 3 or filters.shape[2] != x.shape[-1]:
        raise ShapeError(
            f"images with {x.shape[-1]} channel(s) need filters (KH, KW, {x.shape[-1]}). "
            f"Received: shape {tuple(filters.shape)}"
        )
    sizes = _images._sizes(strides, "NHWC"), padding, _images._sizes(dilations, "NHWC")
    return of_tensorflow(_largest_sum(x, filters, *sizes))


@entering
def erosion2d(
    value: Any, filters: Any, strides: Any, padding: str, data_format: str, dilations: Any, name: str | None = None
) -> Any:
    """Morphological erosion: the least of pixel - filter in each window, the filter turned around; see `dilation2d`."""
    turned = np.flip(as_tensor(filters), (0, 1))
    return of_tensorflow(-dilation2d(-as_tensor(value), turned, strides, padding, data_format, dilations))
