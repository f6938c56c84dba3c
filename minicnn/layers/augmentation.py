"""Random pictures of the same thing: layers that move, turn, scale, shear and flip images while a model trains.

Each is a 2×3 matrix M that is drawn for every image: the output's pixel (column x, row y) is what the input holds at
M · (x, y, 1), counted in pixels from the centre of the first one. Neighbouring layers become one `Warp` by the product
of their matrices, so that an image is interpolated once (`docs/fusion.md`).
"""

import numpy as np

from minicnn.checks import check_choice, check_number, check_range
from minicnn.geometry import FILL_MODES
from minicnn.layers.base import Layer
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.random import check_seed
from minicnn.step import Buffer, Step

__all__ = ["RandomFlip", "RandomRotation", "RandomShear", "RandomTranslation", "RandomZoom"]

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

    def __init__(self, layers, streams=None):
        self.layers, self.streams = tuple(layers), streams

    def then(self, other, streams):
        """The step that does this, then `other`; None where one resampling cannot stand for both."""
        if not (self.is_exact or other.is_exact or self._sampling == other._sampling):
            return None
        return Warp(self.layers + other.layers, streams)

    @property
    def is_exact(self) -> bool:
        """Whether it only flips: every pixel goes to a pixel, nothing is interpolated or filled."""
        return all(isinstance(layer, RandomFlip) for layer in self.layers)

    @property
    def _sampling(self):
        """(bilinear, fill mode, fill value), the kernel's last arguments."""
        flips_last = sorted(self.layers, key=lambda layer: isinstance(layer, RandomFlip))
        return flips_last[0].sampling

    def build(self, input_shapes):
        return self.layers[0].build(input_shapes)

    def buffers(self, input_shapes, output_shape, training):
        return {"numbers": Buffer((NUMBERS,), "float32")}

    def bind(self, ws):
        streams = (ws.stream,) if self.streams is None else self.streams
        seeds = [ws.seed if layer.seed is None else layer.seed for layer in self.layers]
        ws.keys = list(zip(seeds, streams, strict=True))
        ws.sampling = self._sampling

    def forward(self, xs, ws):
        if ws.training:
            ws.ops.warp(xs[0], self._matrix(ws), ws.y, *ws.sampling)
        else:
            ws.y[...] = xs[0]

    def backward(self, dy, ws):
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
            ws.ops.uniform(numbers, *key, ws.iteration)
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
    for place, entry in zip(np.ndindex(2, 3), (xx, xy, x0, yx, yy, y0), strict=True):
        matrix[:, *place] = entry
    return matrix


def _about_centre(xx, xy, yx, yy, height, width, like):
    """The map [[xx, xy], [yx, yy]] around the middle of the image: `_affine` with that fixed point."""
    x, y = (width - 1) / 2, (height - 1) / 2
    return _affine(xx, xy, x - xx * x - xy * y, yx, yy, y - yx * x - yy * y, like)


class _RandomImages(Layer):
    """Base of the layers: options that they share.

    Attributes
    ----------
    sampling : tuple
        (bilinear, fill mode, fill value).
    """

    acts_on_arrays = True

    def __init__(self, fill_mode, interpolation, seed, fill_value, data_format, **kwargs):
        super().__init__(**kwargs)
        self.fill_mode = check_choice("fill_mode", fill_mode, FILL_MODES)
        self.interpolation = check_choice("interpolation", interpolation, ("bilinear", "nearest"))
        self.fill_value = check_number("fill_value", fill_value, minimum=-np.inf)
        self.seed = check_seed("seed", seed)
        self.data_format = check_data_format(data_format)
        self.sampling = (interpolation == "bilinear", fill_mode, self.fill_value if fill_mode == "constant" else 0.0)

    def build(self, input_shapes):
        check_rank(self, input_shapes[0], 3, "(height, width, channels)")
        return input_shapes[0]

    def lower(self):
        return [Warp((self,))]

    def matrix(self, numbers, height, width):
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


class RandomTranslation(_RandomImages):
    """In training, moves each image by a random part of its size.

    Parameters
    ----------
    height_factor, width_factor : float or (float, float)
        Limits of the shift as a part of the height or width, from -1 to 1: positive is down and right; a number f
        means (-abs(f), abs(f)).
    fill_mode : {"reflect", "wrap", "constant", "nearest"}
        What lies beyond the edges a and d of a row: d c b a | a b c d | d c b a for reflect,
        a b c d | a b c d | a b c d for wrap, k k k k | a b c d | k k k k with the fill value k for constant,
        a a a a | a b c d | d d d d for nearest.
    interpolation : {"bilinear", "nearest"}
    seed : int, optional
        Default: drawn from the model's seed. With one, a call on arrays draws the same each time.
    fill_value : float, default 0
    data_format : {None, "channels_last"}

    Notes
    -----
    M = [[1, 0, -dx], [0, 1, -dy]]. What is drawn is a function of the seed, the place of the layer, the training step
    and the number of the image in the batch: it is drawn again for the gradient and never stored. With
    ``fill_mode="wrap"`` the image goes on at the edges with interpolation, as in Keras on NumPy and JAX; on TensorFlow
    Keras repeats the edge's pixel there, and more than one image away reads others.
    """

    def __init__(
        self,
        height_factor,
        width_factor,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor, self.width_factor = _as_written(height_factor), _as_written(width_factor)
        self._height_limits = check_range("height_factor", height_factor)
        self._width_limits = check_range("width_factor", width_factor)

    def matrix(self, numbers, height, width):
        down = height * _between(self._height_limits, numbers[0])
        right = width * _between(self._width_limits, numbers[1])
        return _affine(1, 0, -right, 0, 1, -down, numbers)

    @classmethod
    def examples(cls):
        yield cls(0.3, 0.2), [(5, 6, 3)]
        yield cls((-0.4, -0.1), (0.5, 0.2), fill_mode="constant", fill_value=0.7, seed=5), [(6, 7, 1)]
        yield cls(-0.9, 1, fill_mode="wrap"), [(4, 3, 2)]
        yield cls(0.5, 0.5, fill_mode="nearest", interpolation="nearest"), [(5, 5, 1)]


class RandomRotation(_RandomImages):
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
        factor,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.factor = _as_written(factor)
        self._limits = check_range("factor", factor)

    def matrix(self, numbers, height, width):
        angle = 2 * np.pi * _between(self._limits, numbers[0])
        cos, sin = np.cos(angle), np.sin(angle)
        return _about_centre(cos, -sin, sin, cos, height, width, numbers)

    @classmethod
    def examples(cls):
        yield cls(0.2), [(6, 5, 3)]
        yield cls((0.1, 0.3), fill_mode="constant"), [(5, 8, 1)]
        yield cls(0.5, fill_mode="wrap", interpolation="nearest"), [(4, 4, 2)]


class RandomZoom(_RandomImages):
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
        height_factor,
        width_factor=None,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor, self.width_factor = _as_written(height_factor), _as_written(width_factor)
        self._height_limits = check_range("height_factor", height_factor, above=-1)
        self._width_limits = None if width_factor is None else check_range("width_factor", width_factor, above=-1)

    def matrix(self, numbers, height, width):
        tall = 1 + _between(self._height_limits, numbers[0])
        wide = tall if self._width_limits is None else 1 + _between(self._width_limits, numbers[1])
        return _about_centre(wide, 0, 0, tall, height, width, numbers)

    @classmethod
    def examples(cls):
        yield cls(0.4), [(6, 5, 3)]
        yield cls((-0.6, -0.2), (0.1, 0.9), fill_mode="constant", fill_value=-2), [(5, 6, 1)]


class RandomShear(_RandomImages):
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
        x_factor=0.0,
        y_factor=0.0,
        interpolation="bilinear",
        fill_mode="reflect",
        fill_value=0.0,
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.x_factor, self.y_factor = _as_written(x_factor), _as_written(y_factor)
        self._x_limits = check_range("x_factor", x_factor, allows_negative=False)
        self._y_limits = check_range("y_factor", y_factor, allows_negative=False)

    def matrix(self, numbers, height, width):
        sign = np.where(numbers[0] < 0.5, 1.0, -1.0)
        y = sign * _between(self._y_limits, numbers[1])
        x = sign * _between(self._x_limits, numbers[2])
        return _affine(1, x, 0, y, 1, 0, numbers)

    @classmethod
    def examples(cls):
        yield cls(0.5, 0.2), [(6, 5, 3)]
        yield cls((0.2, 0.4), fill_mode="constant"), [(5, 6, 1)]


class RandomFlip(_RandomImages):
    """In training, mirrors half of the images.

    Parameters
    ----------
    mode : {"horizontal_and_vertical", "horizontal", "vertical"}
        Horizontal exchanges left and right, vertical top and bottom. With both, an image is flipped both ways, which
        is half a turn, or not at all, as in Keras 3.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last"}
    """

    def __init__(self, mode="horizontal_and_vertical", seed=None, data_format=None, **kwargs):
        super().__init__("constant", "nearest", seed, 0.0, data_format, **kwargs)  # pixels go to pixels
        self.mode = check_choice("mode", mode, ("horizontal_and_vertical", "horizontal", "vertical"))

    def matrix(self, numbers, height, width):
        flipped = np.where(numbers[0] < 0.5, -1.0, 1.0)
        x = flipped if "horizontal" in self.mode else 1
        y = flipped if "vertical" in self.mode else 1
        return _about_centre(x, 0, 0, y, height, width, numbers)

    @classmethod
    def examples(cls):
        yield cls(), [(5, 4, 3)]
        yield cls("horizontal", seed=3), [(4, 5, 1)]
        yield cls("vertical"), [(5, 1, 2)]
