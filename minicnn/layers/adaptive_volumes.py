"""Pooling of volumes to a given size, whatever theirs is."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.adaptive_pooling import (
    AdaptiveAveragePooling2D,
    AdaptiveMaxPooling2D,
    Maxima,
    means,
    side_by_side,
)
from minicnn.layers.base import Examples
from minicnn.layers.resizing import Resampled
from minicnn.layers.shapes import check_data_format
from minicnn.layers.volumes import Triple, Volumes, check_triple
from minicnn.resampling import Taps
from minicnn.step import Step

__all__ = ["AdaptiveAveragePooling3D", "AdaptiveMaxPooling3D"]


class _Adaptive3D(Volumes):
    """What the poolings have in common.

    Parameters
    ----------
    output_size : int or (int, int, int)
        Depth, height and width of the output.
    data_format : {None, "channels_last", "channels_first"}
    """

    has_onnx = False
    pooling: type[AdaptiveAveragePooling2D | AdaptiveMaxPooling2D]

    def __init__(self, output_size: Triple, data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.output_size: tuple[int, int, int] = check_triple("output_size", output_size)
        self.data_format: DataFormat = check_data_format(data_format)

    def of_slices(self) -> list[Step]:
        return self.pooling(self.output_size[1:], name=self.name).lower()

    @classmethod
    def examples(cls) -> Examples:
        yield cls((2, 3, 2)), [(5, 4, 3, 2)]
        yield cls(2), [(1, 3, 2, 1)]
        yield cls(1), [(3, 2, 2, 2)]


class AdaptiveAveragePooling3D(_Adaptive3D):
    """The mean of windows that divide each volume into `output_size` parts, see `AdaptiveAveragePooling2D`.

    Parameters
    ----------
    output_size : int or (int, int, int)
        Depth, height and width of the output.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, D, H, W, C), output (N, D', H', W', C), where `output_size` is (D', H', W').
    """

    pooling: type[AdaptiveAveragePooling2D | AdaptiveMaxPooling2D] = AdaptiveAveragePooling2D

    def along_depth(self) -> list[Step]:
        return [_Means(self.output_size[0], self.name)]


class AdaptiveMaxPooling3D(_Adaptive3D):
    """The maximum of windows that divide each volume into `output_size` parts, see `AdaptiveAveragePooling2D`.

    The gradient goes to the first voxel that holds the maximum.

    Parameters
    ----------
    output_size : int or (int, int, int)
        Depth, height and width of the output.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, D, H, W, C), output (N, D', H', W', C), where `output_size` is (D', H', W').
    """

    pooling: type[AdaptiveAveragePooling2D | AdaptiveMaxPooling2D] = AdaptiveMaxPooling2D

    def along_depth(self) -> list[Step]:
        return [_Windows(self.output_size[0], self.name), Maxima(1, self.output_size[0], self.name)]


class _Means(Resampled):
    """The means of windows of rows, for images (D, width, C)."""

    def __init__(self, new_size: int, name: str) -> None:
        super().__init__(name=name)
        self.new_size: int = new_size

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        return means(height, self.new_size), _each(width)


class _Windows(_Means):
    """The windows themselves, one after the other, all as large as the largest."""

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        return side_by_side(height, self.new_size), _each(width)


def _each(width):
    """Every column as it is."""
    return Taps(np.arange(width)[None], None)
