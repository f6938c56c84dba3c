"""Convolutions of ``keras.backend`` beside `conv2d`, and small things that layers of Keras 2 asked it for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from minicnn.differentiation import met, value_of
from minicnn.graph import Tensor
from minicnn.keras import ops
from minicnn.keras._phase import is_unsaid
from minicnn.keras._state import Held, RecordedState
from minicnn.keras._updates import Update
from minicnn.keras.tensorflow import _elements, _nn_images
from minicnn.keras.utils.conv_utils import normalize_data_format as normalize_data_format
from minicnn.keras.utils.conv_utils import normalize_tuple
from minicnn.layers import function_numbers

_LAYOUTS = {"channels_last": "NHWC", "channels_first": "NCHW"}


def conv2d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Sequence[Any],
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """The transposed convolution of images (N, H, W, C) with a kernel (KH, KW, F, C).

    Parameters
    ----------
    x, kernel : array, or what a layer computes
    output_shape : (N, OH, OW, F)
    strides, dilation_rate : int or (int, int)
    padding : {"valid", "same"}
    data_format : str, optional
        Default: what `keras.backend` says.
    """
    layout = _LAYOUTS[normalize_data_format(data_format)]
    strides = normalize_tuple(strides, 2, "strides")
    rates = normalize_tuple(dilation_rate, 2, "dilation_rate")
    return _nn_images.conv2d_transpose(x, kernel, output_shape, strides, padding.upper(), layout, rates)


def depthwise_conv2d(
    x: Any,
    depthwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """The convolution of each channel by itself with a kernel (KH, KW, C, M); arguments as of `conv2d`."""
    data_format = normalize_data_format(data_format)
    return ops.depthwise_conv(x, depthwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """`depthwise_conv2d`, and a convolution with `pointwise_kernel` (1, 1, C · M, F)."""
    data_format = normalize_data_format(data_format)
    kernels = depthwise_kernel, pointwise_kernel
    return ops.separable_conv(x, *kernels, strides, padding, data_format, dilation_rate)


def map_fn(fn: Callable[[Any], Any], elems: Any, name: str | None = None, dtype: Any = None) -> Any:
    """What a function makes of each part along the first axis, cast to `dtype` if that is given."""
    return _elements.map_fn(fn, elems, dtype)


def get_variable_shape(x: Any) -> tuple[int | None, ...]:
    """The shape."""
    return tuple(x.shape)


def moving_average_update(x: Any, value: Any, momentum: float) -> Any:
    """Set a variable to x · momentum + value · (1 - momentum); of a layer's weight, what its `add_update` is given."""
    made = Update(x, value_of(met(x)) * momentum + value_of(met(value)) * (1 - momentum))
    in_training = function_numbers.training() and not is_unsaid()
    if in_training or not isinstance(x, Held | RecordedState):
        made.run()
    return made


def _placed(x: Any, like: Any, axes: Sequence[int]) -> Any:
    """Numbers of the axes of `like` that are not in `axes`, so that they are broadcast with it."""
    if x is None or len(ops.shape(x)) == len(ops.shape(like)):
        return x
    return ops.reshape(x, [1 if i in axes else size for i, size in enumerate(ops.shape(like))])


def batch_normalization(
    x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3
) -> Any:
    """(x − mean) / √(var + epsilon) · gamma + beta; `beta` and `gamma` may be None.

    Parameters
    ----------
    x : array
    mean, var, beta, gamma : array
        Of the length of an axis of x, or of as many axes as x has.
    axis : int, default -1
        Where they belong to.
    epsilon : float, default 1e-3
    """
    count = len(ops.shape(x))
    others = [i for i in range(count) if i != axis % count]
    mean, var, beta, gamma = (_placed(part, x, others) for part in (mean, var, beta, gamma))
    made = (x - mean) / ops.sqrt(var + epsilon)
    made = made if gamma is None else made * gamma
    return made if beta is None else made + beta


def normalize_batch_in_training(
    x: Any, gamma: Any, beta: Any, reduction_axes: Sequence[int], epsilon: float = 1e-3
) -> tuple[Any, Any, Any]:
    """(the normalized batch, its mean, its variance), as `BatchNormalization` computes them in training.

    Parameters
    ----------
    x : array
    gamma, beta : array or None
        Of the axes that are not reduced.
    reduction_axes : sequence of int
    epsilon : float, default 1e-3
    """
    count = len(ops.shape(x))
    axes = [axis % count for axis in reduction_axes]
    mean, var = ops.moments(x, axes)
    mean_, var_, beta, gamma = (_placed(part, x, axes) for part in (mean, var, beta, gamma))
    return batch_normalization(x, mean_, var_, beta, gamma, epsilon=epsilon), mean, var


def conv1d(
    x: Any,
    kernel: Any,
    strides: int = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int = 1,
) -> Any:
    """The convolution of rows (N, W, C) with a kernel (K, C, F).

    Parameters
    ----------
    x, kernel : array, or what a layer computes
    strides, dilation_rate : int
    padding : {"valid", "same", "causal"}
        "causal": zeros before the row alone, so that no output sees what comes behind it.
    data_format : str, optional
        Default: what `keras.backend` says.
    """
    data_format = normalize_data_format(data_format)
    if padding == "causal":
        before = dilation_rate * (ops.shape(kernel)[0] - 1)
        pairs = [(0, 0), (before, 0), (0, 0)]
        x = ops.pad(x, pairs if data_format == "channels_last" else [pairs[0], pairs[2], pairs[1]])
        padding = "valid"
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def separable_conv1d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """The convolution of each channel of rows (N, W, C) with (K, C, M), and one with a kernel (1, C · M, F)."""
    data_format = normalize_data_format(data_format)
    return ops.separable_conv(x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate)


def temporal_padding(x: Any, padding: Any = (1, 1)) -> Any:
    """Zeros before and behind the middle axis of rows (N, W, C)."""
    return ops.pad(x, [(0, 0), tuple(padding), (0, 0)])


def local_conv1d(inputs: Any, kernel: Any, kernel_size: Any, strides: Any, data_format: str | None = None) -> Any:
    """What a convolution of rows (N, W, C) is with a kernel (OW, K · C, F) of its own at every place.

    Parameters
    ----------
    inputs, kernel : array, or what a layer computes
    kernel_size, strides : int or (int,)
    data_format : str, optional
        Default: what `keras.backend` says.
    """
    size, step = (normalize_tuple(n, 1, "kernel_size")[0] for n in (kernel_size, strides))
    is_first = normalize_data_format(data_format) == "channels_first"
    rows = ops.expand_dims(ops.transpose(inputs, (0, 2, 1)) if is_first else inputs, 1)  # (N, 1, W, C)
    made = ops.squeeze(_local(rows, kernel, (1, size), (1, step)), 1)  # (N, OW, F)
    return ops.transpose(made, (0, 2, 1)) if is_first else made


def local_conv2d(
    inputs: Any,
    kernel: Any,
    kernel_size: Any,
    strides: Any,
    output_shape: Any = None,
    data_format: str | None = None,
) -> Any:
    """What a convolution of images (N, H, W, C) is with a kernel (OH · OW, KH · KW · C, F) of its own at every place.

    Parameters
    ----------
    inputs, kernel : array, or what a layer computes
    kernel_size, strides : int or (int, int)
    output_shape : optional
        Not used, as it follows from the others.
    data_format : str, optional
        Default: what `keras.backend` says. With the channels first a window's numbers are in the order (C, KH, KW).
    """
    size, steps = normalize_tuple(kernel_size, 2, "kernel_size"), normalize_tuple(strides, 2, "strides")
    if normalize_data_format(data_format) == "channels_last":
        return _local(inputs, kernel, size, steps)
    made = _local(ops.transpose(inputs, (0, 2, 3, 1)), kernel, size, steps, order=(0, 3, 1, 2))
    return ops.transpose(made, (0, 3, 1, 2))


def _local(x, kernel, size, steps, order=None):
    """(N, OH, OW, F); `order` is that of the axes of a window (N, KH, KW, C) in the kernel."""
    height, width = ((length - k) // s + 1 for length, k, s in zip(ops.shape(x)[1:3], size, steps, strict=True))
    places = [(i * steps[0], j * steps[1]) for i in range(height) for j in range(width)]
    windows = [x[:, i : i + size[0], j : j + size[1]] for i, j in places]
    windows = [ops.transpose(w, order) for w in windows] if order else windows
    rows = [ops.reshape(w, (-1, size[0] * size[1] * ops.shape(x)[3])) for w in windows]
    made = [ops.matmul(row, kernel[at]) for at, row in enumerate(rows)]  # (N, F) each
    return ops.reshape(ops.stack(made, axis=1), (-1, height, width, ops.shape(kernel)[2]))


def foldl(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """What ``fn(before, part)`` makes, part by part along the first axis."""
    return _folded(fn, list(elems), initializer)


def foldr(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """What ``fn(before, part)`` makes, part by part from the last one of the first axis on."""
    return _folded(fn, list(elems)[::-1], initializer)


def _folded(fn, parts, first):
    return reduce(fn, parts) if first is None else reduce(fn, parts, first)


def to_dense(tensor: Any) -> Any:
    """The tensor, as nothing is sparse."""
    return tensor


def is_placeholder(x: Any) -> bool:
    """Whether it is what `placeholder` or `Input` made."""
    return isinstance(x, Tensor) and not x.node.inputs


__all__ = ["batch_normalization", "conv1d", "foldl", "foldr", "is_placeholder", "local_conv1d", "local_conv2d"]
__all__ += ["normalize_batch_in_training", "separable_conv1d", "temporal_padding", "to_dense"]
__all__ += ["conv2d_transpose", "depthwise_conv2d", "get_variable_shape", "map_fn", "moving_average_update"]
__all__ += ["normalize_data_format", "separable_conv2d"]
