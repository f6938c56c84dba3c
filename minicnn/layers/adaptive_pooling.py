"""Pooling to a given size, whatever that of the images is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_pair
from minicnn.geometry import Window
from minicnn.hints import DataFormat, LayerOptions, Pair
from minicnn.layers.base import Examples, Layer
from minicnn.layers.conv_parts import one_number
from minicnn.layers.global_pooling import GlobalAveragePooling2D, GlobalMaxPooling2D
from minicnn.layers.one_dimensional import Rows
from minicnn.layers.resizing import Resampled
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.resampling import Taps, without_ones
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

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

    over_all: type[GlobalAveragePooling2D | GlobalMaxPooling2D]  # what it is with a single window

    def __init__(self, output_size: Pair, data_format: DataFormat = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.output_size: tuple[int, int] = check_pair("output_size", output_size)
        self.data_format: DataFormat = check_data_format(data_format)

    def lower(self) -> list[Step]:
        if self.output_size == (1, 1):
            return [self.over_all(keepdims=True, name=self.name)]
        return self.over_windows()

    def over_windows(self) -> list[Step]:
        """The steps, for more than one window."""
        return [self]

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
    Input (N, H, W, C), output (N, H', W', C), where `output_size` is (H', W').
    """

    over_all: type[GlobalAveragePooling2D | GlobalMaxPooling2D] = GlobalAveragePooling2D

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        rows, columns = (means(*sizes) for sizes in zip((height, width), self.output_size, strict=True))
        return rows, columns


def means(size, new_size) -> Taps:
    """The taps of which each new pixel is the mean of its window."""
    start, end = windows(size, new_size)
    length = end - start
    index = start + np.arange(length.max())[:, None]  # (taps, new_size)
    # Shorter windows share the weight of their last pixel: 0 · ∞ is no number, and other windows' pixels do not count.
    weight = np.where(index < end - 1, 1.0, 1 / (length.max() - length + 1)) / length
    return without_ones(np.minimum(index, end - 1), weight)


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
    Input (N, H, W, C), output (N, H', W', C), where `output_size` is (H', W').
    """

    over_all: type[GlobalAveragePooling2D | GlobalMaxPooling2D] = GlobalMaxPooling2D

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 3, "(height, width, channels)")
        return *self.output_size, input_shapes[0][2]

    def over_windows(self) -> list[Step]:
        height, width = self.output_size
        return [
            _Windows(self.output_size, self.name),
            Maxima(2, width, self.name),  # columns first: of equal numbers the first row's counts
            Maxima(1, height, self.name),
        ]


class _Windows(Resampled):
    """The windows side by side, all as large as the largest: (N, OH · KH, OW · KW, C)."""

    def __init__(self, output_size: tuple[int, int], name: str) -> None:
        super().__init__(name=name)
        self.output_size: tuple[int, int] = output_size

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        rows, columns = (side_by_side(*sizes) for sizes in zip((height, width), self.output_size, strict=True))
        return rows, columns


def side_by_side(size, new_size) -> Taps:
    """The pixels of each window; those of a shorter one end with its last pixel again."""
    start, end = windows(size, new_size)
    index = start[:, None] + np.arange((end - start).max())  # (new_size, longest)
    return Taps(np.minimum(index, end[:, None] - 1).reshape(1, -1), None)


class Maxima(Layer):
    """The maxima of `count` windows that stand side by side, one after the other along an axis.

    Windows count as images of one column: so they may be of any size.
    """

    only_ops = True
    uses_input = True
    uses_output = True

    def __init__(self, axis: int, count: int, name: str) -> None:
        super().__init__(name=name)
        self.axis: int = axis
        self.count: int = count

    def build(self, input_shapes: Shapes) -> Shape:
        height, width, channels = input_shapes[0]
        return (self.count, width, channels) if self.axis == 1 else (height, self.count, channels)

    def window(self, input_shape: Shape) -> Window:
        """The windows in an image."""
        height, width, _ = input_shape
        sides = (height // self.count, 1) if self.axis == 1 else (1, width // self.count)
        return Window(height, width, *sides, *sides)

    def _apart(self, array: np.ndarray) -> np.ndarray:
        """The windows of an array like the input: (windows, pixels of one, numbers of a pixel)."""
        pixels = array.shape[self.axis] // self.count
        return array.reshape(math.prod(array.shape[: self.axis]) * self.count, pixels, -1)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        windows = self._apart(xs[0])
        ws.ops.global_max(windows, ws.y.reshape(len(windows), -1))

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        windows, gradients = self._apart(ws.xs[0]), self._apart(ws.dxs[0])
        maxima, dy = (a.reshape(len(windows), -1) for a in (ws.y, dy))
        ws.ops.global_max_backward(windows, maxima, dy, gradients)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x = graph.channels_first(xs[0])
        return graph.add("MaxPool", [x], **graph.window(self.window, xs[0].shape))


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
