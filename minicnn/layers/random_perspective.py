"""Images in another perspective, drawn at random: `RandomPerspective`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn import random
from minicnn.backends.reference.warp import extended
from minicnn.checks import check_choice, check_number, check_seed
from minicnn.data.mixing import share_range
from minicnn.differentiation import Recorded, gradients, value_of
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import ImageLayer, Interpolation
from minicnn.layers.base import Examples
from minicnn.layers.shapes import check_data_format
from minicnn.on_host import assign, on_host
from minicnn.settings import floatx
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

__all__ = ["RandomPerspective"]

NUMBERS = 12  # random numbers for each image, of which ten are used: whole blocks of the generator


class RandomPerspective(ImageLayer):
    """In training, shows some images in another perspective, in which their corners lie elsewhere.

    Parameters
    ----------
    factor : float or (float, float), default 1
        Limits of the probability that an image is changed, which is drawn for each; a number f means (0, f).
    scale : float from 0 to 1, default 1
        A corner (column, row) moves by up to half of the scale times its column and row, as in Keras: the first pixel
        stays.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
    fill_value : float, default 0
        Of pixels outside of the image.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
    """

    only_in_training = True
    acts_on_arrays = True

    def __init__(
        self,
        factor: float | tuple[float, float] = 1.0,
        scale: float = 1.0,
        interpolation: Interpolation = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor: float | tuple[float, float] = tuple(factor) if isinstance(factor, list) else factor
        self._factor = share_range("factor", self.factor)
        self.scale: float = share_range("scale", float(check_number("scale", scale)))[1]
        self.interpolation: Interpolation = check_choice("interpolation", interpolation, ("bilinear", "nearest"))
        self.fill_value: float = check_number("fill_value", fill_value, minimum=-np.inf)
        self.seed: int | None = check_seed("seed", seed)
        self.data_format: DataFormat = check_data_format(data_format)

    def get_random_transformation(
        self, data: ArrayLike | Mapping[str, Any], training: bool = True, seed: int | None = None
    ) -> dict[str, np.ndarray] | None:
        """What `transform_images` takes: drawn for these images (N, …), or those of a dict; None if not in training."""
        if not training:
            return None
        images = np.asarray(data["images"] if isinstance(data, Mapping) else data)
        images = images[None] if self.is_image(images) else images
        seed = self.seed if seed is None else check_seed("seed", seed)
        numbers = random.uniform(random.next_seed() if seed is None else seed, 0, 0, len(images) * NUMBERS)
        sizes = images.shape[2:] if self.data_format == "channels_first" else images.shape[1:3]
        return self._drawn(numbers.reshape(-1, NUMBERS).astype("float64"), *sizes)

    def _drawn(self, numbers, height, width):
        """What happens to each image, by Keras's names, of random numbers (N, NUMBERS)."""
        low, high = self._factor
        start = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
        moved = (numbers[:, 2:10].reshape(-1, 4, 2) - 0.5) * self.scale  # (N, 4, 2)
        return {
            "apply_perspective": numbers[:, 0] < low + (high - low) * numbers[:, 1],
            "start_points": np.broadcast_to(start, moved.shape),
            "end_points": start * (1 + moved),
        }

    def transform_images(
        self, images: ArrayLike, transformation: Mapping[str, Any] | None = None, training: bool = True
    ) -> np.ndarray:
        """The images, in the perspective that a transformation of Keras's names says.

        Parameters
        ----------
        images : array (N, H, W, C), or (N, C, H, W) with ``data_format="channels_first"``; or a single image
        transformation : dict, optional
            apply_perspective (N,) bool; start_points and end_points (N, 4, 2), of four points (column, row).
        training : bool, default True
            Whether anything is done.
        """
        images = np.asarray(images, floatx())
        if not training or transformation is None:
            return images
        if self.is_image(images):
            return self.transform_images(images[None], transformation)[0]
        channels = 1 if self.data_format == "channels_first" else -1
        return np.moveaxis(self._changed(np.moveaxis(images, channels, -1), transformation), -1, channels)

    def _changed(self, x, drawn):
        if min(x.shape[1:3]) < 2:
            return x  # a line of pixels has no perspective
        matrices = homographies(*(np.asarray(drawn[f"{end}_points"], np.float64) for end in ("start", "end")))
        elsewhere = read_elsewhere(x, matrices, self.interpolation, "constant", self.fill_value)
        return np.where(np.reshape(drawn["apply_perspective"], (-1, 1, 1, 1)), elsewhere, x)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"numbers": Buffer((NUMBERS,), "float32")}

    def bind(self, ws: Workspace) -> None:
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)

    def _in_training(self, x, ws):
        ws.ops.uniform(ws.buffers["numbers"], *ws.key, ws.iteration, ws.first)
        numbers = np.asarray(on_host(ws.buffers["numbers"]), np.float64)
        return self._changed(x, self._drawn(numbers, *ws.input_shapes[0][:2]))

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training:
            assign(ws.y, self._in_training(on_host(xs[0]), ws))
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.training:
            x = Recorded(on_host(ws.xs[0]))
            assign(ws.dxs[0], gradients(self._in_training(x, ws), on_host(dy), [x])[0])
        else:
            ws.dxs[0][...] = dy

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 2)]
        yield cls((0.4, 0.9), 0.3, fill_value=0.5, seed=3), [(4, 6, 1)]


def homographies(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The transforms (N, 8) that read, at each end point, the start point.

    Parameters
    ----------
    start, end : array (N, 4, 2)
        (column, row) of four points.
    """
    one, zero = np.ones(end.shape[:2]), np.zeros(end.shape[:2])
    x, y = end[..., 0], end[..., 1]  # (N, 4)
    across = np.stack([x, y, one, zero, zero, zero, -start[..., 0] * x, -start[..., 0] * y], axis=-1)
    down = np.stack([zero, zero, zero, x, y, one, -start[..., 1] * x, -start[..., 1] * y], axis=-1)  # (N, 4, 8)
    equations = np.concatenate([across, down], axis=1)  # (N, 8, 8)
    wanted = np.concatenate([start[..., 0], start[..., 1]], axis=1)  # (N, 8)
    return np.linalg.solve(equations, wanted[..., None])[..., 0].astype(np.float32)


def read_elsewhere(x: Any, matrices: np.ndarray, interpolation: str, fill_mode: str, fill_value: float) -> Any:
    """Images read at other points: y[i, j] = x at ((a0·j + a1·i + a2) / k, (b0·j + b1·i + b2) / k), as (column, row).

    Parameters
    ----------
    x : array (N, H, W, C)
        May be recorded.
    matrices : array (N, 8) or (1, 8) float32
        a0, a1, a2, b0, b1, b2, c0, c1; k = c0·j + c1·i + 1.
    interpolation : {"bilinear", "nearest"}
    fill_mode : {"constant", "nearest", "reflect"}
    fill_value : float

    Raises
    ------
    ValueError
        If there are neither one nor N transforms.
    """
    count, height, width, _ = np.shape(value_of(x))
    if len(matrices) not in (1, count):
        raise ValueError(f"one transform is for all images, or one for each of {count}. Received: {len(matrices)}")
    dtype = value_of(x).dtype
    j, i = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    a0, a1, a2, b0, b1, b2, c0, c1 = matrices.T[..., None, None]  # (N, 1, 1) each
    k = c0 * j + c1 * i + 1  # (N, H, W)
    with np.errstate(divide="ignore", invalid="ignore"):
        column, row = (a0 * j + a1 * i + a2) / k, (b0 * j + b1 * i + b2) / k
    is_nowhere = k == 0  # there Keras has the fill value
    column, row = (np.clip(np.where(is_nowhere, -9, at), -1e6, 1e6) for at in (column, row))
    images = np.arange(len(x))[:, None, None]

    def pixels(rows, columns):
        rows, columns = extended(rows.astype(int), height, fill_mode), extended(columns.astype(int), width, fill_mode)
        is_filled = ((rows < 0) | (columns < 0) | is_nowhere)[..., None]
        return np.where(is_filled, np.asarray(fill_value, dtype), x[images, rows, columns])  # (N, H, W, C)

    if interpolation == "nearest":
        return pixels(*(np.where(at < 0, np.ceil(at - 0.5), np.floor(at + 0.5)) for at in (row, column)))
    top, left = np.floor(row), np.floor(column)
    down, right = (row - top)[..., None], (column - left)[..., None]
    above = (1 - right) * pixels(top, left) + right * pixels(top, left + 1)
    below = (1 - right) * pixels(top + 1, left) + right * pixels(top + 1, left + 1)
    made = (1 - down) * above + down * below
    return made.astype(dtype)
