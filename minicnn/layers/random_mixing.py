"""Images of a batch that are mixed with others of it, and so are their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn import random
from minicnn.checks import check_number, check_seed
from minicnn.data.mixing import interval, mean_of_two, share_range
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import ImageLayer
from minicnn.layers.base import Examples
from minicnn.layers.shapes import check_data_format
from minicnn.settings import floatx
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

__all__ = ["CutMix", "MixUp"]

PROPOSALS = 4  # for a gamma variate: one of 20 at most is refused, so that all are in one of 160,000 cases
GAMMA = 3 * PROPOSALS + 1  # numbers that a gamma variate takes
NUMBERS = 32  # random numbers for each image, of which 30 are used: whole blocks of the generator
ORDER, PLACES, ALPHA = 2 * GAMMA, slice(2 * GAMMA + 1, 2 * GAMMA + 3), 2 * GAMMA + 3  # what follows the two gammas


class Mixing(ImageLayer):
    """Base: the share w of an image, and o, another one of the batch, are drawn for each image.

    Called on a dict of arrays with "images" and "labels" (N, classes), the layer returns one in which both are mixed.
    """

    uses_input = False
    only_in_training = True
    acts_on_arrays = True

    def __init__(self, seed: int | None, data_format: DataFormat, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.seed: int | None = check_seed("seed", seed)
        self.data_format: DataFormat = check_data_format(data_format)

    def drawn(self, numbers: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
        """What happens to each image, by Keras's names.

        Parameters
        ----------
        numbers : (N, NUMBERS) float64
            Random numbers in [0, 1).
        height, width : int
            Of an image.

        Returns
        -------
        dict
            permutation_order (N,) int, the other images; mix_weight (N,), the shares w; and CutMix's batch_masks
            (N, H, W, 1) bool, the pixels that are the other image's.
        """
        raise NotImplementedError

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: int | None = None
    ) -> dict[str, np.ndarray] | None:
        """What `transform_images` and `transform_labels` take: drawn for these images, or those of a dict."""
        images = np.asarray(data["images"] if isinstance(data, Mapping) else data)
        if not training or images.ndim == 3:
            return None
        seed = self.seed if seed is None else check_seed("seed", seed)
        drawn_seed = random.next_seed() if seed is None else seed
        numbers = random.uniform(drawn_seed, 0, 0, len(images) * NUMBERS).reshape(-1, NUMBERS).astype("float64")
        is_first = self.data_format == "channels_first"
        drawn = self.drawn(numbers, *(images.shape[2:] if is_first else images.shape[1:3]))
        if is_first and "batch_masks" in drawn:
            drawn["batch_masks"] = np.moveaxis(drawn["batch_masks"], -1, 1)
        return drawn

    def transform_images(
        self, images: ArrayLike, transformation: Mapping[str, Any] | None = None, training: bool = True
    ) -> np.ndarray:
        """The images (N, H, W, C), mixed as `get_random_transformation` says."""
        images = np.asarray(images, floatx())
        return self.mixed(images, transformation) if training and transformation is not None else images

    def transform_labels(
        self, labels: ArrayLike, transformation: Mapping[str, Any] | None, training: bool = True
    ) -> np.ndarray:
        """The labels (N, classes), mixed by the shares of the images."""
        labels = np.asarray(labels)
        if not training or transformation is None:
            return labels
        labels = np.asarray(labels, floatx())
        other = labels[transformation["permutation_order"]]
        return mean_of_two(labels, other, np.asarray(transformation["mix_weight"]))

    def mixed(self, images: np.ndarray, transformation: Mapping[str, Any]) -> np.ndarray:
        """The images (N, H, W, C), mixed, on whatever machine they are."""
        raise NotImplementedError

    def kept(self, transformation: Mapping[str, Any]) -> np.ndarray:
        """How much of each pixel is the image's own, from 0 to 1: (N, 1, 1, 1) or (N, H, W, 1)."""
        raise NotImplementedError

    def call_on_dict(self, inputs: Mapping[str, Any], training: bool) -> dict[str, Any]:
        transformation = self.get_random_transformation(inputs, training)
        images = self.transform_images(inputs["images"], transformation, training)
        labels = inputs.get("labels")
        if labels is None or transformation is None:
            return {**inputs, "images": images}
        if np.ndim(labels) != 2 or len(labels) != len(images):
            raise ValueError(
                f"'{self.name}' mixes labels (N, classes), one-hot: see utils.to_categorical. "
                f"Received: images of shape {images.shape}, labels of shape {np.shape(labels)}"
            )
        return {**inputs, "images": images, "labels": self.transform_labels(labels, transformation, training)}

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"numbers": Buffer((NUMBERS,), "float32")}

    def bind(self, ws: Workspace) -> None:
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = self.mixed(xs[0], self._drawn_in(ws)) if ws.training else xs[0]

    def _drawn_in(self, ws):
        numbers = ws.buffers["numbers"]  # (N, NUMBERS)
        ws.ops.uniform(numbers, *ws.key, ws.iteration, ws.first)
        return self.drawn(numbers.astype("float64"), *ws.input_shapes[0][:2])

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if not ws.training:
            ws.dxs[0][...] = dy
            return
        drawn = self._drawn_in(ws)
        own = self.kept(drawn).astype(dy.dtype) * dy  # (N, H, W, C)
        ws.dxs[0][...] = own + (dy - own)[inverse(drawn["permutation_order"])]


class MixUp(Mixing):
    """In training, makes images and labels weighted means of two (Zhang et al.: "mixup", 2018): w · x + (1 − w) · o.

    Parameters
    ----------
    alpha : float above 0, default 0.2
        w is drawn for each image from a beta distribution with both parameters alpha.
    data_format : {None, "channels_last", "channels_first"}
    seed : int, optional
        Default: drawn from the model's seed. With one, calls on arrays draw the same in the same order.

    Notes
    -----
    A layer of a model sees images alone, so that labels stay as they are; called on ``{"images": x, "labels": y}`` it
    mixes both, and `minicnn.data.MixUp` does on the pairs of a `Dataset`.
    """

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: DataFormat = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.alpha: float = check_number("alpha", alpha, above=0)

    def drawn(self, numbers: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
        return {"permutation_order": permutation(numbers[:, ORDER]), "mix_weight": beta(numbers, self.alpha)}

    def kept(self, transformation: Mapping[str, Any]) -> np.ndarray:
        return np.reshape(transformation["mix_weight"], (-1, 1, 1, 1))

    def mixed(self, images: np.ndarray, transformation: Mapping[str, Any]) -> np.ndarray:
        share = self.kept(transformation).astype(images.dtype)
        return share * images + (1 - share) * images[transformation["permutation_order"]]

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 3)]
        yield cls(1.5, seed=3), [(4, 6, 1)]


class CutMix(Mixing):
    """In training, puts a rectangle of another image into each (Yun et al.: "CutMix", 2019).

    Parameters
    ----------
    factor : float or (float, float), default 1
        For each batch, alpha is drawn from this range, (0, factor) for a number; for each image the share 1 − w of the
        area, w from a beta distribution with both parameters alpha. The rectangle has the image's aspect ratio and
        lies inside it.
    seed, data_format :
        As for `MixUp`.

    Notes
    -----
    Labels are mixed by the areas, where `MixUp` mixes them by w.
    """

    def __init__(
        self,
        factor: float | tuple[float, float] = 1.0,
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.factor: float | tuple[float, float] = tuple(factor) if isinstance(factor, list) else factor
        self._factor = share_range("factor", self.factor)

    def drawn(self, numbers: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
        lower, upper = self._factor
        alpha = lower + (upper - lower) * numbers[:1, ALPHA] + 1e-6  # (1,), one for the batch
        side = np.sqrt(1 - beta(numbers, alpha))  # (N,), of the rectangle as a part of the image's
        across, down = numbers[:, PLACES].T
        columns, is_column = interval(width, side, across)
        rows, is_row = interval(height, side, down)
        return {
            "permutation_order": permutation(numbers[:, ORDER]),
            "mix_weight": 1 - rows * columns / (height * width),
            "batch_masks": is_row[:, :, None, None] & is_column[:, None, :, None],
        }

    def kept(self, transformation: Mapping[str, Any]) -> np.ndarray:
        return ~transformation["batch_masks"]

    def mixed(self, images: np.ndarray, transformation: Mapping[str, Any]) -> np.ndarray:
        return np.where(transformation["batch_masks"], images[transformation["permutation_order"]], images)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 3)]
        yield cls((0.4, 0.9), seed=3), [(4, 6, 1)]


def permutation(numbers: np.ndarray) -> np.ndarray:
    """A random order, (N,) int: the ranks of N random numbers, those of equals by their places."""
    # Not a sort, which cannot be part of a graph on a GPU.
    place = np.arange(len(numbers), like=numbers)
    earlier = (numbers == numbers[:, None]) & (place < place[:, None])  # (N, N)
    return ((numbers < numbers[:, None]) | earlier).sum(axis=1)


def inverse(order: np.ndarray) -> np.ndarray:
    """The permutation that undoes `order`, (N,)."""
    place = np.arange(len(order), like=order)
    return ((order == place[:, None]) * place).sum(axis=1)


def beta(numbers: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
    """Variates of the beta distribution with both parameters alpha, (N,), of random numbers (N, ≥ 2 · GAMMA).

    With X and Y of the gamma distribution, X / (X + Y), by logarithms, since small alphas make X and Y vanish.
    """
    first, second = log_gamma(numbers[:, :GAMMA], alpha), log_gamma(numbers[:, GAMMA : 2 * GAMMA], alpha)
    return 1 / (1 + np.exp(np.clip(second - first, -700, 700)))


def log_gamma(numbers: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
    """Logarithms of variates of the gamma distribution, (N,), of random numbers (N, GAMMA).

    (Marsaglia, Tsang: "A simple method for generating gamma variables", 2000; the first proposal that is accepted. One
    of alpha + 1, times a power of a uniform number, is one of alpha.)
    """
    d = alpha + 2 / 3
    result = np.log(d + 0 * numbers[:, 0])  # where no proposal is accepted
    for at in reversed(range(0, GAMMA - 1, 3)):
        length, angle, threshold = 1 - numbers[:, at : at + 3].T  # above 0
        normal = np.sqrt(-2 * np.log(length)) * np.cos(2 * np.pi * angle)  # (N,), Box and Muller
        root = 1 + normal / np.sqrt(9 * d)
        cube = np.maximum(root, 1e-9) ** 3
        log_cube = np.log(cube)
        accepted = (root > 0) & (np.log(threshold) < normal * normal / 2 + d * (1 - cube + log_cube))
        result = np.where(accepted, np.log(d) + log_cube, result)
    return result + np.log(1 - numbers[:, -1]) / alpha
