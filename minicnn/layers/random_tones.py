"""Random negatives, sharpness and tones: layers that change pixels, each channel alone, while a model trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.data.mixing import share_range
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples
from minicnn.layers.random_colors import RandomColours
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

_NO_NUMBER = np.zeros((1, 1, 1, 1))  # of a change that draws none

__all__ = ["AutoContrast", "RandomInvert", "RandomPosterization", "RandomSharpness", "Solarization"]


def _scaled(x, value_range):
    """Pixels from 0 to 1."""
    low, high = value_range
    return (x - low) / (high - low)


class RandomInvert(RandomColours):
    """In training, turns some images into their negatives.

    Parameters
    ----------
    factor : float or (float, float), default 1
        Limits of the probability, which is drawn for each image; a number f means (0, f).
    value_range : (float, float), default (0, 255)
        A pixel x becomes the upper end minus x.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
    """

    clips = False
    channels: tuple[int, ...] = ()

    def __init__(
        self,
        factor: float | Sequence[float] = 1.0,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        return (numbers[:, 1] < super().drawn(numbers)).astype(numbers.dtype)

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return np.where(number > 0, self.value_range[1] - x, x)

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return dy * (1 - 2 * number)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 2)]


class RandomSharpness(RandomColours):
    """In training, sharpens or blurs each image.

    Parameters
    ----------
    factor : float or (float, float)
        Limits of a number f, from 0 to 1: 0 blurs, 0.5 leaves the image, 1 sharpens it; a number f means (0, f).
    value_range : (float, float), default (0, 255)
        The range of pixels, to which they are clipped.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed.

    Notes
    -----
    x + (1 - 2f) · (blurred - x), where a blurred pixel is (4x + the sum of 3×3 pixels, zeros outside) / 13.
    """

    channels: tuple[int, ...] = ()

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return x + (1 - 2 * number) * (_blurred(x) - x)

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return self.change(dy, number)  # linear, and its own transpose

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.9, (-3, 3)), [(4, 3, 2)]


def _blurred(x):
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :height] + padded[:, 1 : height + 1] + padded[:, 2:]
    return (rows[:, :, :width] + rows[:, :, 1 : width + 1] + rows[:, :, 2:] + 4 * x) / 13


class RandomPosterization(RandomColours):
    """In training, keeps only some bits of each image's pixels.

    Parameters
    ----------
    factor : int or (int, int)
        Limits of the number of bits, from 1 to 8, without the upper one; a number f means (1, f), (f, f) f bits.
    value_range : (float, float), default (0, 255)
        The range of pixels.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed.

    Notes
    -----
    A staircase has no gradient: what stands before learns nothing.
    """

    channels: tuple[int, ...] = ()

    def limits(self) -> tuple[float, float]:
        pair = self.factor if isinstance(self.factor, tuple) else (1, self.factor)
        if len(pair) != 2 or not all(1 <= part <= 8 for part in pair):
            raise ValueError(f"factor is a number of bits from 1 to 8, or a pair of such. Received: {self.factor!r}")
        low, high = sorted(pair)
        return float(low), float(high)

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        return 2 ** (8 - np.floor(super().drawn(numbers)))  # the step between pixels that are left

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        low, high = self.value_range
        levels = np.floor(_scaled(x, self.value_range) * 255)
        return np.floor(levels / number) * number / 255 * (high - low) + low

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return np.zeros_like(dy)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, (-4, 4)), [(4, 3, 2)]


def _unchanging(factor: float | Sequence[float]) -> float | Sequence[float]:
    """What nobody changes through a list of his."""
    return tuple(factor) if isinstance(factor, list) else factor


class Solarization(RandomColours):
    """In training, adds a random number to the pixels of each image, and inverts those that are then bright.

    Parameters
    ----------
    addition_factor : float or (float, float), default 0
        Limits, from 0 to 1, of what is added, of which, as in Keras, the upper is a part of 255; a number f means
        (0, f).
    threshold_factor : float or (float, float), default 0
        Likewise of the number from which on a pixel is inverted.
    value_range : (float, float), default (0, 255)
        The range of pixels, which are mapped to 0 … 255 and back.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
    """

    channels: tuple[int, ...] = ()

    def __init__(
        self,
        addition_factor: float | Sequence[float] = 0.0,
        threshold_factor: float | Sequence[float] = 0.0,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        self.addition_factor: float | Sequence[float] = _unchanging(addition_factor)
        self.threshold_factor: float | Sequence[float] = _unchanging(threshold_factor)
        super().__init__(0.0, value_range, data_format, seed, **kwargs)

    def limits(self) -> tuple[float, float]:
        self._additions = share_range("addition_factor", self.addition_factor)
        self._thresholds = share_range("threshold_factor", self.threshold_factor)
        return 0.0, 1.0

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        """What is added, and the threshold: (N, 2)."""
        pairs = ((low, 255 * high) for low, high in (self._additions, self._thresholds))
        return np.stack([low + (high - low) * numbers[:, i] for i, (low, high) in enumerate(pairs)], axis=-1)

    def _added(self, x, number):
        return np.clip(255 * _scaled(x, self.value_range) + number[..., :1], 0, 255)

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        low, high = self.value_range
        added = self._added(x, number)
        return np.where(added < number[..., 1:], added, 255 - added) / 255 * (high - low) + low

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        added = self._added(x, number)
        inside = (added > 0) & (added < 255)
        return dy * inside * np.where(added < number[..., 1:], 1, -1).astype(dy.dtype)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.1, 0.6, (-4, 4)), [(4, 3, 2)]


class AutoContrast(RandomColours):
    """Stretches each channel of each image so that it fills the range of pixels, in training and outside.

    Parameters
    ----------
    value_range : (float, float), default (0, 255)
    data_format : {None, "channels_last", "channels_first"}
    """

    clips = False
    channels: tuple[int, ...] = ()
    only_in_training = False

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(0.0, value_range, data_format, **kwargs)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {}

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = self.change(xs[0], _NO_NUMBER)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = self.slope(dy, ws.xs[0], _NO_NUMBER)

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        low, high = self.value_range
        least, most = self._extent(x)
        spread = np.where(most > least, most - least, 1)
        return np.where(most > least, (x - least) / spread * (high - low) + low, x)

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        low, high = self.value_range
        least, most = self._extent(x)
        spread = np.where(most > least, most - least, 1)
        part = (x - least) / spread
        of_least = ((part - 1) * dy).sum(axis=(1, 2), keepdims=True)
        of_most = (-part * dy).sum(axis=(1, 2), keepdims=True)
        moved = dy + (x == least) * of_least + (x == most) * of_most
        return np.where(most > least, moved * (high - low) / spread, dy)

    def _extent(self, x):
        """(smallest, largest) pixel of each channel, (N, 1, 1, C)."""
        return x.min(axis=(1, 2), keepdims=True), x.max(axis=(1, 2), keepdims=True)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, (low, high) = xs[0], self.value_range
        axes = [graph.axis(x, axis) for axis in (1, 2)]
        least, most = (graph.add(operator, [x], axes=axes) for operator in ("ReduceMin", "ReduceMax"))
        differ = graph.add("Greater", [most, least])
        spread = graph.add("Where", [differ, graph.add("Sub", [most, least]), graph.constant(np.float32(1))])
        y = graph.add("Div", [graph.add("Sub", [x, least]), spread])
        y = graph.add("Mul", [y, graph.constant(np.float32(high - low))])
        y = graph.add("Add", [y, graph.constant(np.float32(low))])
        return graph.add("Where", [differ, y, x])

    @classmethod
    def examples(cls) -> Examples:
        yield cls((0, 1)), [(4, 3, 2)]
