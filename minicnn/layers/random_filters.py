"""Blurred and equalized images: layers that change pixels by those around them, or by all of their channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn import random
from minicnn.checks import check_positive_int, check_seed, is_integer
from minicnn.data.mixing import share_range
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import NUMBERS
from minicnn.layers.base import Examples
from minicnn.layers.random_colors import RandomColours
from minicnn.settings import floatx
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

__all__ = ["Equalization", "RandomGaussianBlur"]

_NO_NUMBER = np.zeros((1, 1, 1, 1))  # of a change that draws none


class RandomGaussianBlur(RandomColours):
    """In training, blurs some images.

    Parameters
    ----------
    factor : float or (float, float), default 1
        Limits of the probability, which is drawn for each image; a number f means (0, f), and (1, 1) blurs all.
    kernel_size : int or (int, int), default 3
        Pixels along the width and along the height, odd.
    sigma : float or (float, float), default 1
        Limits of the deviation in pixels, which is drawn for each image, one along the width and one along the
        height; a number s from 0 to 1 means (0, s), and a pair may reach beyond 1, as in Keras.
    value_range : (float, float), default (0, 255)
        The range of pixels, to which they are clipped.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed.

    Raises
    ------
    ValueError
        For an even kernel size, or limits that are not from 0 to 1 at all.

    Notes
    -----
    A pixel at a distance d has the weight exp(-d² / 2σ²), over the sum of these; there are zeros outside the image.
    """

    channels: tuple[int, ...] = ()

    def __init__(
        self,
        factor: float | Sequence[float] = 1.0,
        kernel_size: int | Sequence[int] = 3,
        sigma: float | Sequence[float] = 1.0,
        value_range: Sequence[float] = (0, 255),
        data_format: DataFormat = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)
        self.kernel_size: int | tuple[int, ...] = tuple(kernel_size) if isinstance(kernel_size, list) else kernel_size
        self.sigma: float | tuple[float, ...] = tuple(sigma) if isinstance(sigma, list) else sigma
        self._sizes = _odd_pair(self.kernel_size)
        self._deviations = share_range("sigma", self.sigma)

    def transform_images(
        self, images: ArrayLike, transformation: Mapping[str, Any] | None = None, training: bool = True
    ) -> np.ndarray:
        """The images, blurred where a transformation of Keras's names says.

        Parameters
        ----------
        images : array (N, H, W, C), or (N, C, H, W) with ``data_format="channels_first"``
        transformation : dict, optional
            should_apply_blur (N,) bool; blur_factor (2,) or (N, 2), the deviations along the width and along the
            height.
        training : bool, default True
            Whether anything is done.
        """
        images = np.asarray(images, floatx())
        if not training or transformation is None:
            return images
        changed = np.reshape(transformation["should_apply_blur"], (-1, 1, 1, 1))
        deviations = np.broadcast_to(np.reshape(transformation["blur_factor"], (-1, 1, 1, 2)), (len(changed), 1, 1, 2))
        number = np.concatenate([changed, deviations], axis=-1).astype(images.dtype)
        channels = 1 if self.data_format == "channels_first" else -1
        blurred = self.change(np.moveaxis(images, channels, -1), number)
        return np.moveaxis(np.clip(blurred, *self.value_range), -1, channels)

    def get_random_transformation(
        self, data: ArrayLike | Mapping[str, Any], training: bool = True, seed: int | None = None
    ) -> dict[str, np.ndarray] | None:
        """What `transform_images` takes: drawn for these images (N, …), or those of a dict; None if not in training."""
        if not training:
            return None
        count = len(np.asarray(data["images"] if isinstance(data, Mapping) else data))
        seed = self.seed if seed is None else check_seed("seed", seed)
        numbers = random.uniform(random.next_seed() if seed is None else seed, 0, 0, count * NUMBERS)
        drawn = self.drawn(numbers.reshape(-1, NUMBERS).astype("float64"))
        return {"should_apply_blur": drawn[:, 0] > 0, "blur_factor": drawn[:, 1:]}

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        """Whether an image is blurred, and its deviations: (N, 3)."""
        low, high = self._deviations
        deviations = low + (high - low) * numbers[:, 2:4] + 1e-6
        changed = numbers[:, 1] < super().drawn(numbers)
        return np.concatenate([changed[:, None].astype(numbers.dtype), deviations], axis=1)

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        blurred = x
        for place, axis in ((0, 2), (1, 1)):
            blurred = _blurred(blurred, self._sizes[place], number[..., 1 + place : 2 + place], axis)
        return np.where(number[..., :1] > 0, blurred, x)

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return self.change(dy, number)  # linear, and its own transpose

    @classmethod
    def examples(cls) -> Examples:
        yield cls(sigma=(0.5, 1.0), value_range=(-3, 3)), [(4, 3, 2)]
        yield cls((1, 1), (3, 5), 0.9, (-4, 4), seed=2), [(6, 5, 1)]


def _odd_pair(kernel_size):
    pair = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    if len(pair) != 2 or not all(is_integer(size) and size > 0 and size % 2 for size in pair):
        raise ValueError(f"kernel_size is an odd number, or a pair of such. Received: kernel_size={kernel_size!r}")
    return pair


def _blurred(x, size, deviation, axis):
    """Images blurred along one axis; `deviation` is (N, 1, 1, 1)."""
    half, length = size // 2, x.shape[axis]
    padded = np.pad(x, [(half, half) if a == axis else (0, 0) for a in range(4)])
    before = (slice(None),) * axis
    weights = [np.exp(-0.5 * ((k - half) / deviation) ** 2) for k in range(size)]
    total = sum(weights)
    return sum(weight / total * padded[(*before, slice(k, k + length))] for k, weight in enumerate(weights))


class Equalization(RandomColours):
    """In training, spreads the brightness of each channel of each image evenly over the range of pixels.

    Parameters
    ----------
    value_range : (float, float), default (0, 255)
        The range of pixels.
    bins : int, default 256
        How many degrees of brightness are told apart.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    A pixel becomes the share of its channel's pixels that are not brighter, without those of the darkest degree. A
    channel of one degree stays. Each image has a histogram of its own, where Keras makes one for the images of a
    batch. A staircase has no gradient: what stands before learns nothing.
    """

    clips = False
    channels: tuple[int, ...] = ()

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        bins: int = 256,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(0.0, value_range, data_format, **kwargs)
        self.bins: int = check_positive_int("bins", bins)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {}

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = self.change(xs[0], _NO_NUMBER) if ws.training else xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = self.slope(dy, ws.xs[0], _NO_NUMBER) if ws.training else dy

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        low, high = self.value_range
        degrees = self._degrees(x)
        counts = self._counts(degrees)
        lowest = np.where(counts > 0, counts, np.inf).min(axis=-1, keepdims=True)
        others = counts[..., -1:] - lowest  # (N, C, 1): pixels that are not of the darkest degree
        shares = np.rint(np.clip((counts - lowest) * 255 / np.where(others > 0, others, 1), 0, 255)) / 255
        found = shares[(*self._channels(degrees), degrees)]  # (N, C, H · W)
        spread = found.transpose(0, 2, 1).reshape(x.shape) * (high - low) + low
        return np.where((others.reshape(len(x), 1, 1, -1) > 0) & (x == x), spread, x)  # NaN stays NaN

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        counts = self._counts(self._degrees(x))
        is_flat = (counts == counts[..., -1:]) | (counts == 0)  # (N, C, bins)
        return dy * is_flat.all(axis=-1).reshape(len(x), 1, 1, -1)

    def _degrees(self, x):
        """The degree of brightness of each pixel: (N, C, H · W) int64."""
        low, high = self.value_range
        scaled = (x - low) / (high - low) * (self.bins - 1)
        degrees = np.fmin(np.fmax(scaled, 0), self.bins - 1).astype(
            "int64"
        )  # NaN is dark: no index may be out of range
        return degrees.reshape(len(x), -1, x.shape[-1]).transpose(0, 2, 1)

    def _channels(self, degrees):
        """The numbers of samples and channels, as indices beside `degrees`: (N, 1, 1), (C, 1)."""
        n, c = (np.arange(size, like=degrees) for size in degrees.shape[:2])
        return n[:, None, None], c[:, None]

    def _counts(self, degrees):
        """How many pixels are of each degree or a darker one: (N, C, bins) float64."""
        if not isinstance(degrees, np.ndarray):  # CuPy's arrays do not know np.add.at
            return np.stack([(degrees <= degree).sum(axis=-1) for degree in range(self.bins)], axis=-1) * 1.0
        counts = np.zeros((*degrees.shape[:2], self.bins))
        np.add.at(counts, (*self._channels(degrees), degrees), 1.0)
        return counts.cumsum(axis=-1)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((-3, 3)), [(4, 3, 2)]
        yield cls((-3, 3), bins=5), [(5, 4, 1)]
