"""``tf.nn``'s functions of volumes, (N, D, H, W, C)."""

from __future__ import annotations

from typing import Any

from minicnn.keras import _volumes, ops
from minicnn.keras._operations import entering
from minicnn.keras._windows import with_channels_last
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow import _nn_images as _images
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["avg_pool3d", "conv3d", "conv3d_transpose", "max_pool3d"]


@entering
def conv3d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: str,
    data_format: str = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The convolution of volumes (N, D, H, W, C) with a kernel (KD, KH, KW, C, F).

    Parameters
    ----------
    input, filters : array or tensor
    strides, dilations : int, or sequence of 1, 3 or 5 int
    padding : {"VALID", "SAME"}
    data_format : {"NDHWC", "NCDHW"}
    """
    rates = 1 if dilations is None else _images._sizes(dilations, data_format, 3)
    steps = _images._sizes(strides, data_format, 3)
    return of_tensorflow(ops.conv(input, filters, steps, padding, _images._format(data_format), rates))


@of_tensors_too
def _transposed(x: Any, kernel: Any, size: Any, strides: Any, padding: str, is_first: bool, rates: Any) -> Any:
    function = _volumes.transposed_convolution_of
    return with_channels_last(function, x, is_first, kernel, size, strides, padding, rates)


def conv3d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transposed convolution of volumes (N, D, H, W, C) with a kernel (KD, KH, KW, F, C).

    Parameters
    ----------
    input, filters, strides, padding, data_format, dilations :
        As for `conv3d`.
    output_shape : sequence of int
        Of what is made.

    Raises
    ------
    ShapeError
        If it does not fit.
    """
    x, kernel, is_first = as_tensor(input), as_tensor(filters), _images._format(data_format) == "channels_first"
    size = _images._size_of(output_shape, data_format, x, kernel)
    steps = _images._sizes(strides, data_format, 3)
    rates = (1, 1, 1) if dilations is None else _images._sizes(dilations, data_format, 3)
    return of_tensorflow(_transposed(x, kernel, size, steps, padding, is_first, rates))


def max_pool3d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NDHWC", name: str | None = None
) -> Any:
    """The maximum of each window of volumes (N, D, H, W, C); sizes as for `conv3d`."""
    return _images._pooled(ops.max_pool, input, ksize, strides, padding, data_format)


def avg_pool3d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NDHWC", name: str | None = None
) -> Any:
    """The mean of each window of volumes (N, D, H, W, C), where padding does not count; sizes as for `conv3d`."""
    return _images._pooled(ops.average_pool, input, ksize, strides, padding, data_format)
