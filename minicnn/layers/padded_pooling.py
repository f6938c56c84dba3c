"""Pooling whose padding is given in numbers, which Keras's layers do not take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, Unpack

from minicnn.geometry import Window, make_window
from minicnn.hints import DataFormat, LayerOptions, Pair
from minicnn.layers.base import Examples
from minicnn.layers.pooling import AveragePooling2D, MaxPooling2D
from minicnn.layers.zero_padding import four_sides
from minicnn.step import Shape

__all__ = ["PaddedAveragePooling2D", "PaddedMaxPooling2D"]

Sides: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]]


class _Padded:
    """The window of a pooling layer, with `padding` around the image."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], ...]

    def __init__(
        self,
        pool_size: Pair = (2, 2),
        strides: Pair | None = None,
        padding: Sides = 0,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(pool_size, strides, data_format=data_format, **kwargs)
        self.padding: tuple[tuple[int, int], ...] = four_sides("padding", padding)
        self._check_padding()

    def window(self, input_shape: Shape) -> Window:
        """The geometry for inputs of this shape."""
        sides = dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), sum(self.padding, ()), strict=True))
        around = [size + sum(side) for size, side in zip(input_shape[:2], self.padding, strict=True)]
        window = make_window(around, self.pool_size, self.strides, "valid")
        return replace(window, in_height=input_shape[0], in_width=input_shape[1], **sides)

    def _check_padding(self):
        if any(max(side) >= span for side, span in zip(self.padding, self.pool_size, strict=True)):
            raise ValueError(
                "padding is narrower than the window, so that no window lies in it alone. "
                f"Received: padding={self.padding} for pool_size={self.pool_size}"
            )

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, 2, ((0, 1), (2, 0))), [(6, 7, 3)]
        yield cls((2, 3), 1, ((1, 0), (0, 2))), [(4, 5, 17)]


class PaddedMaxPooling2D(_Padded, MaxPooling2D):
    """As `MaxPooling2D`, with as much padding as one says on each side, which never wins.

    Parameters
    ----------
    pool_size : int or (int, int), default 2
    strides : int or (int, int), optional
        Default: the pool size.
    padding : int, (int, int) or ((int, int), (int, int)), default 0
        One number for all sides; (above and below, left and right); or ((top, bottom), (left, right)). Less than the
        pool size.
    data_format : {None, "channels_last", "channels_first"}

    Raises
    ------
    ValueError
        If a window could lie in the padding alone.

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, C), OH = (H + top + bottom - pool height) // stride + 1.
    """


class PaddedAveragePooling2D(_Padded, AveragePooling2D):
    """As `AveragePooling2D`, with as much padding as one says on each side; only the pixels of the image count.

    Parameters
    ----------
    pool_size : int or (int, int), default 2
    strides : int or (int, int), optional
        Default: the pool size.
    padding : int, (int, int) or ((int, int), (int, int)), default 0
        One number for all sides; (above and below, left and right); or ((top, bottom), (left, right)). Less than the
        pool size.
    data_format : {None, "channels_last", "channels_first"}

    Raises
    ------
    ValueError
        If a window could lie in the padding alone.

    Notes
    -----
    Input (N, H, W, C), output (N, OH, OW, C), OH = (H + top + bottom - pool height) // stride + 1.
    """
