"""Random pictures of the same thing: layers that move, turn, scale, shear and flip images while a model trains.

Each is a 2×3 matrix M that is drawn for every image: the output's pixel (column x, row y) is what the input holds at
M · (x, y, 1), counted in pixels from the centre of the first one. Neighbouring layers become one `Warp` by the product
of their matrices, so that an image is interpolated once (`docs/fusion.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice, check_number, check_range, check_seed
from minicnn.geometry import FILL_MODES
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.given import images_as_batch
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Arrays, Buffer, Shape, Shapes, Step, Workspace

__all__ = ["RandomRotation", "RandomShear", "RandomTranslation", "RandomZoom"]

Factor = float | tuple[float, float] | None
Entry = float | np.ndarray

FillMode: TypeAlias = Literal["reflect", "wrap", "constant", "nearest"]
Interpolation: TypeAlias = Literal["bilinear", "nearest"]

NUMBERS = 4  # random numbers that a layer gets for each image: one block of the generator


class Warp(Step):
    """One resampling of every image, for one layer or for several that follow each other.

    Parameters
    ----------
    layers : tuple of layers of this module
        In the order in which they act.
    streams : tuple of int, optional
        Keys of their random numbers; default: the place's, for a single layer.
    """

    uses_input = False
    only_in_training = True

    def __init__(self, layers: Iterable[RandomImages], streams: tuple[int, ...] | None = None) -> None:
        self.layers: tuple[RandomImages, ...] = tuple(layers)
        self.streams: tuple[int, ...] | None = streams

    def then(self, other: Warp, streams: tuple[int, ...]) -> Warp | None:
        """The step that does this, then `other`; None where one resampling cannot stand for both."""
        if not (self.is_exact or other.is_exact or self._sampling == other._sampling):
            return None
        return Warp(self.layers + other.layers, streams)

    @property
    def is_exact(self) -> bool:
        """Whether it only flips: every pixel goes to a pixel, nothing is interpolated or filled."""
        return all(layer.is_exact for layer in self.layers)

    @property
    def _sampling(self):
        """(bilinear, fill mode, fill value), the kernel's last arguments."""
        flips_last = sorted(self.layers, key=lambda layer: layer.is_exact)
        return flips_last[0].sampling

    def build(self, input_shapes: Shapes) -> Shape:
        return self.layers[0].build(input_shapes)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"numbers": Buffer((NUMBERS,), "float32")}

    def bind(self, ws: Workspace) -> None:
        streams = (ws.stream,) if self.streams is None else self.streams
        seeds = [ws.seed if layer.seed is None else layer.seed for layer in self.layers]
        ws.keys = list(zip(seeds, streams, strict=True))
        ws.sampling = self._sampling

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training:
            ws.ops.warp(xs[0], self._matrix(ws), ws.y, *ws.sampling)
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.training:
            ws.ops.warp_backward(dy, self._matrix(ws), ws.dxs[0], *ws.sampling[:2])
        else:
            ws.dxs[0][...] = dy

    def _matrix(self, ws):
        """The product of what the layers draw for this step of the training, (N, 2, 3) float64.

        The last layer comes last in the product: its pixel lies in the image that the others make.
        """
        numbers, total = ws.buffers["numbers"], None  # (N, 4)
        height, width, _ = ws.input_shapes[0]
        for layer, key in zip(self.layers, ws.keys, strict=True):
            ws.ops.uniform(numbers, *key, ws.iteration, ws.first)
            matrix = layer.matrix(numbers.T.astype("float64"), height, width)
            total = matrix if total is None else _product(total, matrix)
        return total


def _product(first, second):
    """The matrix of `first`, then `second`, on images: (N, 2, 3)."""
    # Sums of products, not a matrix product: that would be cuBLAS's on a GPU, which cannot be part of a graph.
    product = first[:, :, :1] * second[:, :1] + first[:, :, 1:2] * second[:, 1:]  # (N, 2, 3)
    product[:, :, 2] += first[:, :, 2]
    return product


def _affine(xx, xy, x0, yx, yy, y0, like):
    """[[xx, xy, x0], [yx, yy, y0]] for every image, (N, 2, 3); entries are numbers or (N,), `like` is (4, N)."""
    matrix = np.empty_like(like, shape=(like.shape[1], 2, 3))
    for at, entry in zip(np.ndindex(2, 3), (xx, xy, x0, yx, yy, y0), strict=True):
        matrix[:, *at] = entry
    return matrix


def about_centre(xx: Entry, xy: Entry, yx: Entry, yy: Entry, height: int, width: int, like: np.ndarray) -> np.ndarray:
    """The map [[xx, xy], [yx, yy]] around the middle of the image: `_affine` with that fixed point."""
    x, y = (width - 1) / 2, (height - 1) / 2
    return _affine(xx, xy, x - xx * x - xy * y, yx, yy, y - yx * x - yy * y, like)


class ImageLayer(Layer):
    """A layer for images, which takes a single one, (H, W, C), or a list of them, where it is called on arrays.

    Called on a dict of arrays, it changes "images", and no "labels".
    """

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        if not isinstance(inputs, Mapping):
            return super().__call__(images_as_batch(inputs), training)
        if "images" not in inputs or not inputs.keys() <= {"images", "labels"}:
            raise ValueError(
                f"'{self.name}' takes images, or a dict of them with 'images' and 'labels'; what else belongs to an "
                f"image, a layer of images alone would leave as it is. Received: a dict of {sorted(map(str, inputs))}"
            )
        return self.call_on_dict(inputs, self.acts_on_arrays if training is None else bool(training))

    def call_on_dict(self, inputs: Mapping[str, Any], training: bool) -> dict[str, Any]:
        """The dict with changed images."""
        return {**inputs, "images": self(inputs["images"], training)}

    def call_on_arrays(self, arrays: Sequence[ArrayLike], training: bool) -> np.ndarray:
        images = [np.asarray(a) for a in arrays]
        is_single = len(images) == 1 and self.is_image(images[0])
        result = super().call_on_arrays([images[0][None]] if is_single else images, training)
        return result[0] if is_single else result

    def is_image(self, array: np.ndarray) -> bool:
        """Whether an array is a single image; otherwise it is a batch."""
        return array.ndim == 3

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], 3, "(height, width, channels)")
        return input_shapes[0]


class RandomImages(ImageLayer):
    """Base of the layers: options that they share.

    Attributes
    ----------
    sampling : tuple
        (bilinear, fill mode, fill value).
    """

    acts_on_arrays = True
    is_exact: bool = False  # whether every pixel goes to a pixel, so that nothing is interpolated or filled

    def __init__(
        self,
        fill_mode: FillMode,
        interpolation: Interpolation,
        seed: int | None,
        fill_value: float,
        data_format: DataFormat,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.fill_mode: FillMode = check_choice("fill_mode", fill_mode, FILL_MODES)
        self.interpolation: Interpolation = check_choice("interpolation", interpolation, ("bilinear", "nearest"))
        self.fill_value: float = check_number("fill_value", fill_value, minimum=-np.inf)
        self.seed: int | None = check_seed("seed", seed)
        self.data_format: DataFormat = check_data_format(data_format)
        value = self.fill_value if fill_mode == "constant" else 0.0
        self.sampling: tuple[bool, str, float] = (interpolation == "bilinear", fill_mode, value)

    def lower(self) -> list[Step]:
        return [Warp((self,))]

    def matrix(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        """M for every image.

        Parameters
        ----------
        numbers : (4, N) float64
            Random numbers in [0, 1).
        height, width : int
            Of an image.

        Returns
        -------
        array (N, 2, 3) float64
        """
        raise NotImplementedError


def _as_written(factor):
    """A factor as it appears in code: a pair from a file is a list."""
    return tuple(factor) if isinstance(factor, list) else factor


def _between(limits, numbers):
    """Numbers in [0, 1) spread over [lower, upper)."""
    return limits[0] + (limits[1] - limits[0]) * numbers


class RandomTranslation(RandomImages):
    """In training, moves each image by a random part of its size.

    Parameters
    ----------
    height_factor, width_factor : float or (float, float)
        Limits of the shift as a part of the height or width, from -1 to 1: positive is down and right; a number f
        means (-abs(f), abs(f)).
    fill_mode : {"reflect", "wrap", "constant", "nearest"}, default "reflect"
        What lies beyond the edges a and d of a row: d c b a | a b c d | d c b a for reflect,
        a b c d | a b c d | a b c d for wrap, k k k k | a b c d | k k k k with the fill value k for constant,
        a a a a | a b c d | d d d d for nearest.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
    seed : int, optional
        Default: drawn from the model's seed. With one, calls on arrays draw the same in the same order.
    fill_value : float, default 0
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    M = [[1, 0, -dx], [0, 1, -dy]]. What is drawn is a function of the seed, the place of the layer, the iteration
    and the number of the image in the batch: it is drawn again for the gradient and never stored. With
    ``fill_mode="wrap"`` the image goes on at the edges with interpolation, as in Keras on NumPy and JAX; on TensorFlow
    Keras repeats the edge's pixel there, and more than one image away reads others.
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float],
        fill_mode: FillMode = "reflect",
        interpolation: Interpolation = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor: Factor = _as_written(height_factor)
        self.width_factor: Factor = _as_written(width_factor)
        self._height_limits = check_range("height_factor", height_factor)
        self._width_limits = check_range("width_factor", width_factor)

    def matrix(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        down = height * _between(self._height_limits, numbers[0])
        right = width * _between(self._width_limits, numbers[1])
        return _affine(1, 0, -right, 0, 1, -down, numbers)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.3, 0.2), [(5, 6, 3)]
        yield cls((-0.4, -0.1), (0.5, 0.2), fill_mode="constant", fill_value=0.7, seed=5), [(6, 7, 1)]
        yield cls(-0.9, 1, fill_mode="wrap"), [(4, 3, 2)]
        yield cls(0.5, 0.5, fill_mode="nearest", interpolation="nearest"), [(5, 5, 1)]


class RandomRotation(RandomImages):
    """In training, turns each image about its middle by a random angle.

    Parameters
    ----------
    factor : float or (float, float)
        Limits of the angle as a part of a full turn, from -1 to 1: positive is counter-clockwise; a number f means
        (-abs(f), abs(f)), so that 0.1 is ±36°.
    fill_mode, interpolation, seed, fill_value, data_format :
        As for `RandomTranslation`.

    Notes
    -----
    M = [[cos a, -sin a], [sin a, cos a]] around ((width - 1)/2, (height - 1)/2).
    """

    def __init__(
        self,
        factor: float | tuple[float, float],
        fill_mode: FillMode = "reflect",
        interpolation: Interpolation = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.factor: Factor = _as_written(factor)
        self._limits = check_range("factor", factor, most=np.inf)

    def matrix(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        angle = 2 * np.pi * _between(self._limits, numbers[0])
        cos, sin = np.cos(angle), np.sin(angle)
        return about_centre(cos, -sin, sin, cos, height, width, numbers)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.2), [(6, 5, 3)]
        yield cls((0.1, 0.3), fill_mode="constant"), [(5, 8, 1)]
        yield cls(0.5, fill_mode="wrap", interpolation="nearest"), [(4, 4, 2)]


class RandomZoom(RandomImages):
    """In training, makes each image smaller or larger about its middle.

    Parameters
    ----------
    height_factor : float or (float, float)
        Limits of the zoom, above -1 and up to 1: positive zooms out, 0.2 shows 1.2 times the height; negative zooms
        in; a number f means (-abs(f), abs(f)).
    width_factor : float or (float, float), optional
        Default: as much as the height, so that the aspect ratio stays.
    fill_mode, interpolation, seed, fill_value, data_format :
        As for `RandomTranslation`.

    Notes
    -----
    M = [[1 + w, 0], [0, 1 + h]] around ((width - 1)/2, (height - 1)/2).
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float] | None = None,
        fill_mode: FillMode = "reflect",
        interpolation: Interpolation = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor: Factor = _as_written(height_factor)
        self.width_factor: Factor = _as_written(width_factor)
        self._height_limits = check_range("height_factor", height_factor, above=-1)
        self._width_limits = None if width_factor is None else check_range("width_factor", width_factor, above=-1)

    def matrix(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        tall = 1 + _between(self._height_limits, numbers[0])
        wide = tall if self._width_limits is None else 1 + _between(self._width_limits, numbers[1])
        return about_centre(wide, 0, 0, tall, height, width, numbers)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.4), [(6, 5, 3)]
        yield cls((-0.6, -0.2), (0.1, 0.9), fill_mode="constant", fill_value=-2), [(5, 6, 1)]


class RandomShear(RandomImages):
    """In training, moves the rows of each image sideways, the further down the more, and its columns likewise.

    Parameters
    ----------
    x_factor, y_factor : float or (float, float), default 0
        Limits of the columns' shift for each row, and of the rows' shift for each column; a number f from 0 to 1 means
        (-f, f). The sign of both is turned for half of the images.
    interpolation, fill_mode, fill_value, data_format, seed :
        As for `RandomTranslation`.

    Notes
    -----
    M = [[1, x, 0], [y, 1, 0]]: the fixed point is the first pixel, as in Keras.
    """

    def __init__(
        self,
        x_factor: float | tuple[float, float] = 0.0,
        y_factor: float | tuple[float, float] = 0.0,
        interpolation: Interpolation = "bilinear",
        fill_mode: FillMode = "reflect",
        fill_value: float = 0.0,
        data_format: DataFormat = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.x_factor: Factor = _as_written(x_factor)
        self.y_factor: Factor = _as_written(y_factor)
        self._x_limits = check_range("x_factor", x_factor, allows_negative=False)
        self._y_limits = check_range("y_factor", y_factor, allows_negative=False)

    def matrix(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        sign = np.where(numbers[0] < 0.5, 1.0, -1.0)
        y = sign * _between(self._y_limits, numbers[1])
        x = sign * _between(self._x_limits, numbers[2])
        return _affine(1, x, 0, y, 1, 0, numbers)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.5, 0.2), [(6, 5, 3)]
        yield cls((0.2, 0.4), fill_mode="constant"), [(5, 6, 1)]
