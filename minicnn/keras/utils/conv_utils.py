"""``keras.utils.conv_utils``: what layers of one's own asked in Keras 2 about sizes and arguments of windows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minicnn.checks import check_choice, is_integer
from minicnn.keras._data_format import or_current
from minicnn.keras.utils._helpers import convert_kernel as convert_kernel

_PADDINGS = ("valid", "same", "causal", "full")


def normalize_data_format(value: str | None) -> str:
    """The order of the axes of images that is meant: that of `keras.backend` for None.

    Raises
    ------
    ValueError
        For another one than "channels_last" and "channels_first".
    """
    return check_choice("data_format", or_current(value), ("channels_last", "channels_first"))


def normalize_padding(value: str) -> str:
    """The padding in lower case.

    Raises
    ------
    ValueError
        If it is none of "valid", "same", "causal" and "full".
    """
    return check_choice("padding", value.lower(), _PADDINGS)


def normalize_tuple(value: Any, n: int, name: str, allow_zero: bool = False) -> tuple[int, ...]:
    """n whole numbers: `value` for all, or the n of `value`.

    Parameters
    ----------
    value : int or iterable of int
    n : int
    name : str
        What it is, for the message.
    allow_zero : bool, default False

    Raises
    ------
    ValueError
        If they are not n, or not above 0 (from 0, with `allow_zero`).
    """
    numbers = (value,) * n if is_integer(value) else tuple(value) if isinstance(value, Iterable) else ()
    if len(numbers) != n or not all(is_integer(each) and each >= (0 if allow_zero else 1) for each in numbers):
        least = "0" if allow_zero else "1"
        raise ValueError(f"{name} is a whole number from {least}, or {n} of them. Received: {name}={value!r}")
    return tuple(map(int, numbers))


def conv_output_length(
    input_length: int | None, filter_size: int, padding: str, stride: int, dilation: int = 1
) -> int | None:
    """How many rows a convolution gives; None of an open size.

    Parameters
    ----------
    input_length : int or None
    filter_size, stride, dilation : int
    padding : {"valid", "same", "causal", "full"}
    """
    if input_length is None:
        return None
    reach = filter_size + (filter_size - 1) * (dilation - 1)
    gained = {"same": 0, "causal": 0, "valid": 1 - reach, "full": reach - 1}[
        check_choice("padding", padding, _PADDINGS)
    ]
    return (input_length + gained + stride - 1) // stride


def conv_input_length(output_length: int | None, filter_size: int, padding: str, stride: int) -> int | None:
    """How many rows a convolution had that gave `output_length`; arguments as of `conv_output_length`."""
    if output_length is None:
        return None
    pad = {"same": filter_size // 2, "valid": 0, "full": filter_size - 1}[
        check_choice("padding", padding, ("same", "valid", "full"))
    ]
    return (output_length - 1) * stride - 2 * pad + filter_size


def deconv_length(
    dim_size: int | None,
    stride_size: int,
    kernel_size: int,
    padding: str,
    output_padding: int | None = None,
    dilation: int = 1,
) -> int | None:
    """How many rows a transposed convolution gives; None of an open size.

    Parameters
    ----------
    dim_size : int or None
    stride_size, kernel_size, dilation : int
    padding : {"valid", "same", "full"}
    output_padding : int, optional
        Rows that are added at the end.
    """
    if dim_size is None:
        return None
    kernel = kernel_size + (kernel_size - 1) * (dilation - 1)
    check_choice("padding", padding, ("same", "valid", "full"))
    if output_padding is None:
        return dim_size * stride_size + {"valid": max(kernel - stride_size, 0), "full": 2 - stride_size - kernel}.get(
            padding, 0
        )
    pad = {"same": kernel // 2, "valid": 0, "full": kernel - 1}[padding]
    return (dim_size - 1) * stride_size + kernel - 2 * pad + output_padding


__all__ = ["conv_input_length", "conv_output_length", "convert_kernel", "deconv_length", "normalize_data_format"]
__all__ += ["normalize_padding", "normalize_tuple"]
