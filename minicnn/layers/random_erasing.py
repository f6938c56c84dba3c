"""Random rectangles that hide a part of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_number, check_seed
from minicnn.data.mixing import interval, share_range
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import ImageLayer
from minicnn.layers.base import Examples
from minicnn.layers.shapes import check_data_format
from minicnn.settings import floatx
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

__all__ = ["RandomErasing"]

NUMBERS = 8  # random numbers for each image, of which six are used: whole blocks of the generator


class RandomErasing(ImageLayer):
    """In training, replaces a rectangle of each image.

    (Zhong et al.: "Random erasing", 2017; DeVries and Taylor: "Improved regularization … with cutout", 2017.)

    Parameters
    ----------
    factor : float or (float, float), default 1
        Limits of the probability that an image is changed, which is drawn for each; a number f means (0, f), and
        (1, 1) changes all.
    scale : float or (float, float), default (0.02, 0.33)
        Limits, from 0 to 1, of the square of the rectangle's height as a part of the image's, and likewise of its
        width; a number s means (0, s). Cutout's squares of 12 of 32 pixels are ``(0.140625, 0.140625)``.
    fill_value : float or sequence of float, optional
        Of the erased pixels, or of each channel; default: normal noise, times the upper end of `value_range`.
    value_range : (float, float), default (0, 255)
        The range of pixels, to which what is filled in is clipped.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
    """

    uses_input = False
    only_in_training = True
    acts_on_arrays = True

    def __init__(
        self,
        factor: float | tuple[float, float] = 1.0,
        scale: float | tuple[float, float] = (0.02, 0.33),
        fill_value: float | Sequence[float] | None = None,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor: float | tuple[float, float] = tuple(factor) if isinstance(factor, list) else factor
        self.scale: float | tuple[float, float] = tuple(scale) if isinstance(scale, list) else scale
        self._factor = share_range("factor", self.factor)
        self._scale = share_range("scale", self.scale)
        self.fill_value: float | list[float] | None = _fill_value(fill_value)
        if not isinstance(value_range, list | tuple) or len(value_range) != 2:
            raise ValueError(f"value_range is a pair of numbers. Received: value_range={value_range!r}")
        low, high = sorted(value_range)
        self.value_range: tuple[float, float] = (float(low), float(high))
        self.seed: int | None = check_seed("seed", seed)
        self.data_format: DataFormat = check_data_format(data_format)

    def transform_images(
        self, images: ArrayLike, transformation: Mapping[str, Any] | None = None, training: bool = True
    ) -> np.ndarray:
        """The images, erased where a transformation of Keras's names says.

        Parameters
        ----------
        images : array (N, H, W, C)
        transformation : dict, optional
            apply_erasing (N,) bool; batch_masks, which broadcast against the images; fill_value.
        training : bool, default True
            Whether anything is done.
        """
        images = np.asarray(images, floatx())
        if not training or transformation is None:
            return images
        changed = np.asarray(transformation["apply_erasing"]).reshape(-1, 1, 1, 1)
        filling = np.asarray(transformation["fill_value"], images.dtype)
        return np.where(transformation["batch_masks"] & changed, filling, images)

    def build(self, input_shapes: Shapes) -> Shape:
        shape = super().build(input_shapes)
        if isinstance(self.fill_value, list) and len(self.fill_value) != shape[-1]:
            raise ValueError(
                f"fill_value is a number, or one for each of the {shape[-1]} channels. "
                f"Received: fill_value={self.fill_value}"
            )
        return shape

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        buffers = {"numbers": Buffer((NUMBERS,), "float32")}
        if self.fill_value is None and training:
            buffers |= {"uniform": Buffer((*output_shape, 2), "float32"), "normal": Buffer(output_shape)}
        return buffers

    def bind(self, ws: Workspace) -> None:
        seed = ws.seed if self.seed is None else self.seed
        ws.key, ws.noise_key = (seed, ws.stream), (seed ^ 1, ws.stream)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training:
            ws.y[...] = np.where(self._erased(ws), self._filling(ws), xs[0])
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.training:
            np.multiply(dy, ~self._erased(ws), out=ws.dxs[0])
        else:
            ws.dxs[0][...] = dy

    def _erased(self, ws):
        """Which pixels are erased: (N, H, W, 1) bool."""
        numbers = ws.buffers["numbers"]  # (N, NUMBERS)
        ws.ops.uniform(numbers, *ws.key, ws.iteration, ws.first)
        height, width, _ = ws.input_shapes[0]
        is_column = self._inside(width, numbers[:, 0], numbers[:, 1])
        is_row = self._inside(height, numbers[:, 2], numbers[:, 3])
        changed = numbers[:, 4] < self._factor[0] + (self._factor[1] - self._factor[0]) * numbers[:, 5]  # (N,)
        return (is_row[:, :, None] & is_column[:, None, :] & changed[:, None, None])[..., None]

    def _inside(self, length, size, place):
        """Which pixels of a row lie in an interval of random size at a random place: (N, length) bool."""
        size, place = size.astype("float64"), place.astype("float64")
        part = np.sqrt(self._scale[0] + (self._scale[1] - self._scale[0]) * size)
        return interval(length, part, place)[1]

    def _filling(self, ws):
        """What erased pixels become: (N, H, W, C), (C,) or a number."""
        low, high = self.value_range
        if self.fill_value is not None:
            return np.asarray(np.clip(self.fill_value, low, high), ws.y.dtype, like=ws.y)
        ws.ops.uniform(ws.buffers["uniform"], *ws.noise_key, ws.iteration, ws.first)
        ws.ops.normal(ws.buffers["uniform"], ws.buffers["normal"])
        return np.clip(ws.buffers["normal"] * high, low, high)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(fill_value=0.5, scale=(0.2, 0.6), value_range=(0, 1)), [(5, 4, 2)]
        yield cls((0.5, 0.8), scale=(0.3, 0.3), value_range=(-1, 1), seed=3), [(4, 6, 1)]
        yield cls((1, 1), fill_value=[0.1, 0.2, 0.3]), [(6, 5, 3)]


def _fill_value(value):
    """A number, a list of numbers or None."""
    if isinstance(value, list | tuple):
        return [check_number("fill_value", v, minimum=-np.inf) for v in value]
    return None if value is None else check_number("fill_value", value, minimum=-np.inf)
