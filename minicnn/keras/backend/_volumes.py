"""``keras.backend``'s functions of volumes, (N, D, H, W, C), of arrays and of what layers compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.checks import check_choice
from minicnn.keras import ops
from minicnn.keras.tensorflow import _nn_volumes
from minicnn.keras.utils.conv_utils import normalize_data_format, normalize_tuple

_LAYOUTS = {"channels_last": "NDHWC", "channels_first": "NCDHW"}


def conv3d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1, 1),
) -> Any:
    """The convolution of volumes (N, D, H, W, C) with a kernel (KD, KH, KW, C, F).

    Parameters
    ----------
    x, kernel : array, or what a layer computes
    strides, dilation_rate : int or (int, int, int)
    padding : {"valid", "same"}
    data_format : str, optional
        Default: what `keras.backend` says.
    """
    return ops.conv(x, kernel, strides, padding, normalize_data_format(data_format), dilation_rate)


def conv3d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Sequence[Any],
    strides: Any = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The transposed convolution of volumes with a kernel (KD, KH, KW, F, C), of (N, OD, OH, OW, F) numbers.

    Parameters
    ----------
    x, kernel, strides, padding, data_format :
        As of `conv3d`.
    output_shape : (N, OD, OH, OW, F)
    """
    layout = _LAYOUTS[normalize_data_format(data_format)]
    strides = normalize_tuple(strides, 3, "strides")
    return _nn_volumes.conv3d_transpose(x, kernel, output_shape, strides, padding.upper(), layout)


def pool3d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """The largest number, or the mean, of each window of volumes.

    Parameters
    ----------
    x : array, or what a layer computes
    pool_size, strides : int or (int, int, int)
    padding : {"valid", "same"}
    data_format : str, optional
        Default: what `keras.backend` says.
    pool_mode : {"max", "avg"}
    """
    function = ops.max_pool if check_choice("pool_mode", pool_mode, ("max", "avg")) == "max" else ops.average_pool
    return function(x, pool_size, strides, padding, normalize_data_format(data_format))


def resize_volumes(
    x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str | None = None
) -> Any:
    """Volumes whose voxels are repeated along each axis."""
    first = 2 if normalize_data_format(data_format) == "channels_first" else 1
    for axis, factor in enumerate((depth_factor, height_factor, width_factor), first):
        x = ops.repeat(x, factor, axis=axis)
    return x


def spatial_3d_padding(
    x: Any, padding: Sequence[Sequence[int]] = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Volumes with a margin of zeros: pairs of how many before and behind, for depth, height and width."""
    sides = [(0, 0), *map(tuple, padding)]
    sides.insert(1 if normalize_data_format(data_format) == "channels_first" else 4, (0, 0))
    return ops.pad(x, sides)
