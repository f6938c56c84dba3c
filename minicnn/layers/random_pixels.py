"""Random brightness, contrast and crops: augmentation that is no warp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from minicnn.checks import check_positive_int, check_range, check_seed
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import NUMBERS, ImageLayer
from minicnn.layers.base import Examples
from minicnn.layers.resizing import Resampled, Resizing
from minicnn.layers.shapes import check_data_format
from minicnn.resampling import Taps
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

__all__ = ["RandomBrightness", "RandomContrast", "RandomCrop"]


class RandomPixels(ImageLayer):
    """Base: one number is drawn for each image, and what leaves the range of pixels is clipped.

    Attributes
    ----------
    clips : bool
        Whether it is.
    """

    clips: bool = True

    only_in_training = True
    acts_on_arrays = True

    def __init__(
        self,
        factor: float | Sequence[float],
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.data_format: DataFormat = check_data_format(data_format)
        self.factor: float | tuple[float, ...] = tuple(factor) if isinstance(factor, list | tuple) else factor
        self._limits = self.limits()
        if not isinstance(value_range, list | tuple) or len(value_range) != 2:
            raise ValueError(f"value_range is a pair of numbers. Received: value_range={value_range!r}")
        low, high = sorted(value_range)
        self.value_range: tuple[float, float] = (float(low), float(high))
        self.seed: int | None = check_seed("seed", seed)

    def limits(self) -> tuple[float, float]:
        """Between which the image's number lies."""
        raise NotImplementedError

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        """The images before they are clipped; `number` is (N, 1, 1, 1)."""
        raise NotImplementedError

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        """The gradient of the images x, from that of `change`."""
        raise NotImplementedError

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        """What `change` gets for each image, (N,) or (N, 2), of random numbers in [0, 1), (N, 4)."""
        low, high = self._limits
        return low + (high - low) * numbers[:, 0]

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"numbers": Buffer((NUMBERS,), "float32")}

    def bind(self, ws: Workspace) -> None:
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training:
            ws.ops.uniform(ws.buffers["numbers"], *ws.key, ws.iteration, ws.first)
            changed = self.change(xs[0], self._number(ws))
            ws.y[...] = np.clip(changed, *self.value_range) if self.clips else changed
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.training:
            x, number = ws.xs[0], self._number(ws)
            if self.clips:
                low, high = self.value_range
                changed = self.change(x, number)
                dy = dy * ((changed >= low) & (changed <= high))
            ws.dxs[0][...] = self.slope(dy, x, number)
        else:
            ws.dxs[0][...] = dy

    def _number(self, ws):
        """(N, 1, 1, 1), or (N, 1, 1, 2)."""
        numbers = self.drawn(ws.buffers["numbers"].astype(ws.y.dtype))
        return numbers.reshape(len(numbers), 1, 1, -1)


class RandomBrightness(RandomPixels):
    """In training, adds a random number to all pixels of an image.

    Parameters
    ----------
    factor : float or (float, float)
        Limits of the number as a part of the range, from -1 to 1; a number f means (-abs(f), abs(f)).
    value_range : (float, float), default (0, 255)
        The range of pixels, to which they are clipped.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
        Where the channels stand.
    """

    def limits(self) -> tuple[float, float]:
        return check_range("factor", self.factor, most=np.inf)

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return x + number * (self.value_range[1] - self.value_range[0])

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return dy

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.3, (-1, 1)), [(4, 3, 2)]


class RandomContrast(RandomPixels):
    """In training, multiplies the differences of an image's pixels from their channel's mean with a random number.

    Parameters
    ----------
    factor : float or (float, float)
        (lower, upper), in either order: the number is between 1 - lower and 1 + upper; a number from 0 to 1 stands for
        both.
    value_range : (float, float), default (0, 255)
        The range of pixels, to which they are clipped.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
        Where the channels stand.
    """

    def limits(self) -> tuple[float, float]:
        lower, upper = check_range("factor", self.factor, allows_negative=False, most=np.inf)
        return 1 - (lower if np.ndim(self.factor) else upper), 1 + upper

    def change(self, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        mean = x.mean(axis=(1, 2), keepdims=True)  # (N, 1, 1, C)
        return (x - mean) * number + mean

    def slope(self, dy: np.ndarray, x: np.ndarray, number: np.ndarray) -> np.ndarray:
        return dy * number + dy.mean(axis=(1, 2), keepdims=True) * (1 - number)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((0.2, 0.6), (-1, 1)), [(4, 3, 2)]


class RandomCrop(Resampled, ImageLayer):
    """In training, a part of the images at a random place, the same one in a batch; otherwise their middle.

    Otherwise, and where an image is not larger, the largest part in the middle that has the new aspect ratio is
    resized.

    Parameters
    ----------
    height, width : int
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
    """

    acts_on_arrays = True

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.height: int = check_positive_int("height", height)
        self.width: int = check_positive_int("width", width)
        self.seed: int | None = check_seed("seed", seed)
        self.data_format: DataFormat = check_data_format(data_format)

    def taps(self, height: int, width: int) -> tuple[Taps, Taps]:
        return Resizing(self.height, self.width, crop_to_aspect_ratio=True, name="resizing").taps(height, width)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"numbers": Buffer((NUMBERS,), "float32", per_sample=False)}

    def bind(self, ws: Workspace) -> None:
        super().bind(ws)
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)
        height, width, _ = ws.input_shapes[0]
        ws.is_cropped = ws.training and height > self.height and width > self.width

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.is_cropped:
            ws.ops.uniform(ws.buffers["numbers"], *ws.key, ws.iteration, ws.first)
            ws.y[...] = xs[0][self._part(ws)]
        else:
            super().forward(xs, ws)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.is_cropped:
            ws.dxs[0].fill(0)
            ws.dxs[0][self._part(ws)] = dy
        else:
            super().backward(dy, ws)

    def _part(self, ws):
        """The index of the part: where it begins lies on the device."""
        numbers, sizes = ws.buffers["numbers"], zip(ws.input_shapes[0][:2], ws.output_shape[:2], strict=True)
        rows, columns = (
            np.minimum(numbers[n] * (old - new + 1), old - new).astype("int64") + np.arange(new, like=numbers)
            for n, (old, new) in enumerate(sizes)
        )
        return slice(None), rows[:, None], columns

    @classmethod
    def examples(cls) -> Examples:
        yield cls(3, 2), [(5, 4, 2)]
