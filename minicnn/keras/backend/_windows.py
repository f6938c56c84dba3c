"""Convolutions of ``keras.backend`` beside `conv2d`, and small things that layers of Keras 2 asked it for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn.differentiation import met, value_of
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


__all__ = ["batch_normalization", "normalize_batch_in_training"]
__all__ += ["conv2d_transpose", "depthwise_conv2d", "get_variable_shape", "map_fn", "moving_average_update"]
__all__ += ["normalize_data_format", "separable_conv2d"]
