"""Random hue, saturation and greyness: layers that change the colours of images while a model trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, Unpack

import numpy as np

from minicnn.checks import check_range, check_seed
from minicnn.data.mixing import share_range
from minicnn.errors import ShapeError
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import ImageLayer
from minicnn.layers.base import Examples
from minicnn.layers.random_pixels import RandomBrightness, RandomContrast, RandomPixels
from minicnn.step import Shape, Shapes, Step

__all__ = ["RandomColorDegeneration", "RandomColorJitter", "RandomGrayscale", "RandomHue", "RandomSaturation"]

_LUMINANCE = (0.2989, 0.5870, 0.1140)  # of red, green and blue in a grey pixel (ITU-R BT.601)


Factor: TypeAlias = "float | tuple[float, ...] | None"


class RandomColours(RandomPixels):
    """Base: the order of arguments of Keras's newer layers.

    Attributes
    ----------
    channels : tuple of int
        How many channels images may have; any number if it is empty.
    """

    channels: tuple[int, ...] = (3,)

    def __init__(
        self,
        factor: float | Sequence[float],
        value_range: Sequence[float] = (0, 255),
        data_format: DataFormat = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(factor, value_range, seed, data_format, **kwargs)

    def build(self, input_shapes: Shapes) -> Shape:
        shape = super().build(input_shapes)
        if self.channels and shape[-1] not in self.channels:
            expected = " or ".join(map(str, self.channels))
            raise ShapeError(f"colours are changed in images of {expected} channels. Received: {shape[-1]}")
        return shape

    def limits(self) -> tuple[float, float]:
        return share_range("factor", self.factor)


# ---------------------------------------------------------------------------------------------------- hue, saturation


def _extremes(x):
    """(largest, largest minus smallest) channel, (N, H, W, 1)."""
    value = x.max(axis=-1, keepdims=True)
    return value, value - x.min(axis=-1, keepdims=True)


def _sixths(x, value, spread):
    """The hue in sixths of the circle, from 0 to 6, of pixels that are not grey: (N, H, W)."""
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value, spread = value[..., 0], np.where(spread > 0, spread, 1)[..., 0]
    sixths = np.where(value == green, 2 + (blue - red) / spread, 4 + (red - green) / spread)
    return np.where(value == red, (green - blue) / spread, sixths) % 6


def _below(sixths):
    """How far each channel lies below the largest, as a part of the spread; and the slope of that: (N, H, W, 3)."""
    away = [np.abs(sixths - 3), np.abs(sixths - 2), np.abs(sixths - 4)]  # from cyan, green, blue
    parts = np.stack([2 - away[0], away[1] - 1, away[2] - 1], axis=-1)
    side = np.stack([np.sign(3 - sixths), np.sign(sixths - 2), np.sign(sixths - 4)], axis=-1)
    return np.clip(parts, 0, 1), side * ((parts > 0) & (parts < 1))


def _to_channels(x, value, of_value, of_spread):
    """The gradient of x from those of its largest channel and of the spread, (N, H, W, 1) each."""
    smallest = x.min(axis=-1, keepdims=True)
    return (x == value) * (of_value + of_spread) - (x == smallest) * of_spread


class RandomHue(RandomColours):
    """In training, turns the hue of each image's pixels by a random part of the circle.

    Parameters
    ----------
    factor : float or (float, float)
        Limits, from 0 to 1, of the turn as a part of half a circle; a number f means (0, f). Its direction is random.
    value_range : (float, float), default (0, 255)
        The range of pixels.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed.

    Notes
    -----
    Hue, saturation and value as of Smith, 1978: value v is the largest channel, the hue a piecewise linear function of
    the others. So a pixel is v - (v - smallest) · w(hue), w for each channel from 0 to 1.
    """

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        return super().drawn(numbers) * np.where(numbers[:, 1] > 0.5, -0.5, 0.5).astype(numbers.dtype)

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        value, spread = _extremes(x)
        below, _ = _below((_sixths(x, value, spread) + 6 * number[..., 0]) % 6)
        return value - spread * below  # in any range: all are of one unit, and v where a pixel is grey

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        value, spread = _extremes(x)
        sixths, safe = _sixths(x, value, spread), np.where(spread > 0, spread, 1)
        below, steep = _below((sixths + 6 * number[..., 0]) % 6)
        of_value, of_spread = dy.sum(axis=-1, keepdims=True), -(dy * below).sum(axis=-1, keepdims=True)
        of_sixths = -(dy * steep * spread).sum(axis=-1, keepdims=True) / safe
        # hue = centre of the largest channel + (one of the others - the other) / spread
        red, green, blue = x[..., 0:1], x[..., 1:2], x[..., 2:3]
        is_red = value == red
        is_green = ~is_red & (value == green)
        is_blue = ~is_red & ~is_green
        offset = np.where(is_red, green - blue, np.where(is_green, blue - red, red - green)) / safe
        of_spread = of_spread - of_sixths * offset
        turned = np.concatenate([1.0 * is_blue - is_green, 1.0 * is_red - is_blue, 1.0 * is_green - is_red], axis=-1)
        return of_sixths * turned.astype(x.dtype) + _to_channels(x, value, of_value, of_spread)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.4, (0, 1)), [(4, 3, 3)]
        yield cls((0.2, 0.9), seed=3), [(3, 5, 3)]


class RandomSaturation(RandomColours):
    """In training, multiplies the saturation of each image's pixels with a random number.

    Parameters
    ----------
    factor : float or (float, float)
        Limits of a number u, from -1 to 1; the saturation is multiplied with u / (1 - u): 0 makes an image grey, 0.5
        leaves it, 1 makes its colours pure. A number f means (-abs(f), abs(f)).
    value_range : (float, float), default (0, 255)
        The range to which, as in Keras, the saturation is clipped, which is from 0 to 1 in an image.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed.
    """

    clips = False

    def limits(self) -> tuple[float, float]:
        return check_range("factor", self.factor, most=np.inf)

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        part = super().drawn(numbers)
        return part / (1 - part + 1e-7)

    def _ratio(self, x, number):
        """(value, spread, new saturation · value / spread, whether it is clipped), (N, H, W, 1)."""
        value, spread = _extremes(x)
        is_coloured = (value > 0) & (spread > 0)
        saturation = np.where(is_coloured, spread / np.where(value > 0, value, 1), 1)
        wanted = saturation * number
        made = np.clip(wanted, *self.value_range)
        return value, spread, np.where(is_coloured, made / saturation, 0), made != wanted

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        value, _, ratio, _ = self._ratio(x, number)
        return value - ratio * (value - x)

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        value, spread, ratio, is_clipped = self._ratio(x, number)
        total = (dy * (value - x)).sum(axis=-1, keepdims=True)
        # Where it is clipped to s, the ratio is s · value / spread, and moves with both.
        moving = np.where(is_clipped, ratio, 0)
        of_value = (dy * (1 - ratio)).sum(axis=-1, keepdims=True) - total * moving / np.where(value > 0, value, 1)
        of_spread = total * moving / np.where(spread > 0, spread, 1)
        return dy * ratio + _to_channels(x, value, of_value, of_spread)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((0.3, 0.7)), [(4, 3, 3)]
        yield cls((0.8, 0.9), (0, 1), seed=2), [(3, 4, 3)]


class RandomColorJitter(ImageLayer):
    """In training, changes brightness, contrast, saturation and hue of each image, in this order.

    Parameters
    ----------
    value_range : (float, float), default (0, 255)
        The range of pixels.
    brightness_factor, contrast_factor, saturation_factor, hue_factor : float or (float, float), optional
        As for `RandomBrightness`, `RandomContrast`, `RandomSaturation` and `RandomHue`; without one, that stays.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
    """

    acts_on_arrays = True

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        brightness_factor: float | Sequence[float] | None = None,
        contrast_factor: float | Sequence[float] | None = None,
        saturation_factor: float | Sequence[float] | None = None,
        hue_factor: float | Sequence[float] | None = None,
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        factors = brightness_factor, contrast_factor, saturation_factor, hue_factor
        self.value_range: tuple[float, float] = RandomBrightness(
            0.0, value_range, name="brightness"
        ).value_range  # which checks it
        pairs = [_as_pair(factor) for factor in factors]
        self.brightness_factor: Factor = pairs[0]
        self.contrast_factor: Factor = pairs[1]
        self.saturation_factor: Factor = pairs[2]
        self.hue_factor: Factor = pairs[3]
        self.seed: int | None = check_seed("seed", seed)
        self.data_format: DataFormat = data_format
        kinds = RandomBrightness, RandomContrast, RandomSaturation, RandomHue
        asked = [(factor, kind) for factor, kind in zip(factors, kinds, strict=True) if factor is not None]
        self._parts: list[RandomPixels] = [  # one alone draws what its layer does with that seed
            kind(factor, value_range, seed=None if seed is None else seed + i, name=kind.__name__)
            for i, (factor, kind) in enumerate(asked)
        ]

    def build(self, input_shapes: Shapes) -> Shape:
        for part in self._parts:
            part.build(input_shapes)
        return super().build(input_shapes)

    def lower(self) -> list[Step]:
        return list(self._parts)

    @classmethod
    def examples(cls) -> Examples:
        # What one step has cut off lies on the limit of the next one, where rounding decides: a range of all numbers.
        yield cls((-8, 8), 0.1, 0.2, hue_factor=0.1), [(4, 3, 3)]
        yield cls(contrast_factor=0.2, seed=1), [(3, 4, 1)]


def _as_pair(factor: float | Sequence[float] | None) -> Factor:
    """As it is kept: a list is a tuple."""
    return tuple(factor) if isinstance(factor, Sequence) else factor


# ---------------------------------------------------------------------------------------------------------- greyness


def _grey(x):
    """(…, C) → (…, 1)."""
    if x.shape[-1] == 1:
        return x
    return sum(weight * x[..., i : i + 1] for i, weight in enumerate(_LUMINANCE))


def _grey_backward(dy):
    """From the gradient of the grey pixel in every channel."""
    total = dy.sum(axis=-1, keepdims=True)
    return total if dy.shape[-1] == 1 else np.concatenate([weight * total for weight in _LUMINANCE], axis=-1)


class RandomColorDegeneration(RandomColours):
    """In training, mixes each image with its grey one.

    Parameters
    ----------
    factor : float or (float, float)
        Limits of the share of grey, from -1 to 1; a number f means (-abs(f), abs(f)).
    value_range : (float, float), default (0, 255)
        The range of pixels, to which they are clipped.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed.
    """

    channels: tuple[int, ...] = (1, 3)

    def limits(self) -> tuple[float, float]:
        return check_range("factor", self.factor, most=np.inf)

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return x + number * (_grey(x) - x)

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return dy * (1 - number) + _grey_backward(dy * number)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((0.2, 0.8), (-2, 2)), [(4, 3, 3)]


class RandomGrayscale(RandomColorDegeneration):
    """In training, makes some images grey.

    Parameters
    ----------
    factor : float, default 0.5
        How probable it is.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed.
    """

    clips = False

    def __init__(
        self,
        factor: float = 0.5,
        data_format: DataFormat = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(factor, (0, 1), data_format, seed, **kwargs)

    def limits(self) -> tuple[float, float]:
        return share_range("factor", (self.factor, self.factor))

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        return (numbers[:, 0] < self.factor).astype(numbers.dtype)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 3)]
        yield cls(1.0), [(2, 2, 1)]
