"""What definitions of networks written for Keras 1 and 2 import beside networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.keras._data_format import current, or_current
from minicnn.user_warnings import warn_user


def _obtain_input_shape(
    input_shape: Sequence[int | None] | None,
    default_size: int,
    min_size: int,
    data_format: str | None = None,
    require_flatten: bool = True,
    weights: str | None = "imagenet",
    *,
    include_top: bool | None = None,
) -> tuple[int | None, ...]:
    """The shape of a network's input, from the one that a user gives or not; `include_top` is what 2.0 calls the flag.

    Parameters
    ----------
    input_shape : tuple, optional
    default_size, min_size : int
        The side that the network is for, and the smallest.
    data_format : {"channels_last", "channels_first"}, optional
    require_flatten : bool
        Whether the sizes have to be known.
    weights : "imagenet", None or path
        Those of ImageNet are for three channels, and with dense layers for one size.

    Raises
    ------
    ValueError
        For a shape that the network cannot have.
    """
    fixed = require_flatten if include_top is None else include_top
    first = or_current(data_format) == "channels_first"
    usual = (default_size, default_size) if fixed else (None, None)
    if not input_shape:
        return (3, *usual) if first else (*usual, 3)
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(f"input_shape is a tuple of three integers. Received: {shape}")
    channels, sides = (shape[0], shape[1:]) if first else (shape[2], shape[:2])
    if weights == "imagenet" and (channels != 3 or (fixed and sides != usual)):
        wanted = (3, *usual) if first else (*usual, 3)
        raise ValueError(f"weights='imagenet' are for input_shape={wanted}. Received: {shape}")
    if channels not in (1, 3):
        warn_user(f"this network usually has 1 or 3 input channels. Received: input_shape={shape}")
    if any(side is not None and side < min_size for side in sides):
        raise ValueError(f"the sides of this network's input are {min_size} or more. Received: input_shape={shape}")
    if fixed and None in sides:
        raise ValueError(f"a network with dense layers has an input_shape without None. Received: {shape}")
    return shape


def correct_pad(inputs: Any, kernel_size: int | tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zeros that `ZeroPadding2D` puts around a tensor so that a convolution with strides of 2 halves its sizes.

    Parameters
    ----------
    inputs : Tensor (N, H, W, C), or (N, C, H, W)
    kernel_size : int or pair of int
    """
    first = 2 if current() == "channels_first" else 1
    kernels = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sizes = inputs.shape[first : first + 2]
    less = (1, 1) if sizes[0] is None else (1 - sizes[0] % 2, 1 - sizes[1] % 2)
    return ((kernels[0] // 2 - less[0], kernels[0] // 2), (kernels[1] // 2 - less[1], kernels[1] // 2))
