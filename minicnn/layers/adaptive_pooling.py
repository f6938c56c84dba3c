"""Pooling to a given size, whatever that of the images is."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from minicnn.checks import check_pair
from minicnn.errors import ShapeError
from minicnn.geometry import MAX_TAPS, Window, make_window
from minicnn.hints import DataFormat, LayerOptions, Pair
from minicnn.layers.base import Examples, Layer
from minicnn.layers.conv_parts import one_number
from minicnn.layers.one_dimensional import Rows
from minicnn.layers.pooling import MaxPooling2D
from minicnn.layers.resizing import Resampled
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.resampling import Taps, without_ones
from minicnn.step import Shape, Shapes, Step

__all__ = ["AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D"]


def windows(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """(starts, ends), (new_size,) each, of the windows of `size` pixels in a row that become the new ones.

    The i-th is from ⌊i · size / new_size⌋ to ⌈(i + 1) · size / new_size⌉, as PyTorch has it: windows may overlap, and
    there may be more of them than pixels.
    """
    at = np.arange(new_size)
    return at * size // new_size, -(-(at + 1) * size // new_size)


class _Adaptive2D(Layer):
    """What the poolings of images have in common: windows that divide each image into `output_size` parts.

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the output.
    data_format : {None, "channels_last", "channels_first"}
    """

    def __init__(self, output_size: Pair, data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.output_size: tuple[int, int] = check_pair("output_size", output_size)
        self.data_format: DataFormat = check_data_format(data_format)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((3, 2)), [(7, 4, 2)]
        yield cls(5), [(3, 8, 1)]


class AdaptiveAveragePooling2D(_Adaptive2D, Resampled):
    """The mean of windows that divide each image into `output_size` parts.

    Part i of n' goes over the rows from ⌊i · n / n'⌋ to ⌈(i + 1) · n / n'⌉ of n, and columns alike.

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the output.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, H, W, C), output (N, *output_size, C).
    """

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        rows, columns = (_means(*sizes) for sizes in zip((height, width), self.output_size, strict=True))
        return rows, columns


def _means(size, new_size) -> Taps:
    """The taps of which each new pixel is the mean of its window."""
    start, end = windows(size, new_size)
    index = start + np.arange((end - start).max())[:, None]  # (taps, new_size)
    weight = (index < end) / (end - start)
    return without_ones(np.minimum(index, size - 1), weight)


class AdaptiveMaxPooling2D(_Adaptive2D):
    """The maximum of windows that divide each image into `output_size` parts, see `AdaptiveAveragePooling2D`.

    The gradient goes to the first pixel that holds the maximum.

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the output.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, H, W, C), output (N, *output_size, C).
    """

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 3, "(height, width, channels)")
        return *self.output_size, input_shapes[0][2]

    def lower(self) -> list[Step]:
        height, width = self.output_size
        return [
            _Windows(self.output_size, self.name),
            _Maxima(height, None, self.name),
            _Maxima(None, width, self.name),
        ]


class _Windows(Resampled):
    """The windows side by side, all as large as the largest: (N, OH · KH, OW · KW, C)."""

    def __init__(self, output_size: tuple[int, int], name: str) -> None:
        super().__init__(name=name)
        self.output_size: tuple[int, int] = output_size

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        rows, columns = (_side_by_side(*sizes) for sizes in zip((height, width), self.output_size, strict=True))
        return rows, columns


def _side_by_side(size, new_size) -> Taps:
    """The pixels of each window; those of a shorter one end with its last pixel again."""
    start, end = windows(size, new_size)
    index = start[:, None] + np.arange((end - start).max())  # (new_size, longest)
    return Taps(np.minimum(index, end[:, None] - 1).reshape(1, -1), None)


class _Maxima(MaxPooling2D):
    """The maxima of so many windows, of equal height or width; None: that axis stays."""

    def __init__(self, rows: int | None, columns: int | None, name: str) -> None:
        super().__init__(1, name=name)
        self.rows, self.columns = rows, columns

    def window(self, input_shape: Shape) -> Window:
        counts = zip(input_shape[:2], (self.rows, self.columns), strict=True)
        height, width = (1 if count is None else size // count for size, count in counts)
        if height * width > MAX_TAPS:
            raise ShapeError(
                f"a window of a maximum has at most {MAX_TAPS} rows and columns: put a MaxPooling2D before it. "
                f"Received: {height * width}"
            )
        return make_window(input_shape[:2], (height, width), (height, width), "valid")


class _Adaptive1D(Rows):
    """What the poolings of rows have in common.

    Parameters
    ----------
    output_size : int
        Length of the output.
    data_format : {None, "channels_last", "channels_first"}
    """

    pooling: type[_Adaptive2D]

    def __init__(
        self, output_size: int | tuple[int], data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.output_size: tuple[int] = (one_number("output_size", output_size),)
        self.data_format: DataFormat = check_data_format(data_format)

    def over_images(self) -> Layer:
        return self.pooling((1, *self.output_size), name=self.name)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3), [(7, 2)]
        yield cls(5), [(3, 1)]


class AdaptiveAveragePooling1D(_Adaptive1D):
    """The mean of windows that divide each row into `output_size` parts, see `AdaptiveAveragePooling2D`.

    Parameters
    ----------
    output_size : int
        Length of the output.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, L, C), output (N, output_size, C).
    """

    pooling: type[_Adaptive2D] = AdaptiveAveragePooling2D


class AdaptiveMaxPooling1D(_Adaptive1D):
    """The maximum of windows that divide each row into `output_size` parts, see `AdaptiveAveragePooling2D`.

    Parameters
    ----------
    output_size : int
        Length of the output.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    Input (N, L, C), output (N, output_size, C).
    """

    pooling: type[_Adaptive2D] = AdaptiveMaxPooling2D
