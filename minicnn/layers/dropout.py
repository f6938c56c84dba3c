"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from minicnn.checks import check_number, check_seed, is_integer
from minicnn.errors import ShapeError
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.shapes import check_data_format, check_rank
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

__all__ = ["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]


class Dropout(Layer):
    """In training, zeroes each element with probability `rate` and divides the others by 1 - rate.

    (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, 2014.) The mask is a function of the model's seed, the
    place of the layer and the iteration: it is drawn again for the gradient and never stored.

    Parameters
    ----------
    rate : float
        In [0, 1).
    noise_shape : tuple of int or None, optional
        Shape of the mask with the batch axis, None where it is the input's: (None, 1, 1, None) drops whole channels.
        Default: every element on its own.
    seed : int, optional
        Default: drawn from the model's seed.
    """

    uses_input = False
    only_in_training = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.noise_shape: tuple[int | None, ...] | None = None
        if noise_shape is not None:
            is_sequence = isinstance(noise_shape, list | tuple)
            if not is_sequence or not all(n is None or (is_integer(n) and n > 0) for n in noise_shape):
                raise ValueError(
                    "noise_shape holds positive integers and None, for what the input has there. "
                    f"Received: noise_shape={noise_shape!r}"
                )
            self.noise_shape = tuple(noise_shape)
        self.rate: float = check_number("rate", rate, below=1)
        self.seed: int | None = check_seed("seed", seed)

    def build(self, input_shapes: Shapes) -> Shape:
        self.mask_shape(input_shapes[0])
        return input_shapes[0]

    def mask_shape(self, shape: Shape) -> Shape | None:
        """Shape of one sample's mask, for samples of this shape; None where every element has its own.

        Raises
        ------
        ShapeError
            If `noise_shape` does not fit.
        """
        if self.noise_shape is None:
            return None
        mask = self.noise_shape[1:]
        found = tuple(n if m is None else m for m, n in zip(mask, shape, strict=False))
        if len(mask) != len(shape) or any(m not in (1, n) for m, n in zip(found, shape, strict=True)):
            raise ShapeError(
                f"noise_shape has the input's axes, each of its size or 1. Received: noise_shape={self.noise_shape} "
                f"for {(None, *shape)}"
            )
        return found

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        shape = self.mask_shape(output_shape)
        if shape is None:
            return {}
        if self.noise_shape and self.noise_shape[0] == 1:  # one mask for all samples
            return {name: Buffer((1, *shape), per_sample=False) for name in ("ones", "mask")}
        return {name: Buffer(shape) for name in ("ones", "mask")}

    def bind(self, ws: Workspace) -> None:
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training and "mask" in ws.buffers:
            self.draw_mask(ws)
        self._apply(xs[0], ws.y, ws)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        self._apply(dy, ws.dxs[0], ws)

    def draw_mask(self, ws: Workspace) -> np.ndarray:
        """The mask's buffer: 0, or 1 / (1 - rate)."""
        ones, mask = ws.buffers["ones"], ws.buffers["mask"]
        ones.fill(1)
        first = 0 if self.noise_shape and self.noise_shape[0] == 1 else ws.first
        ws.ops.dropout(ones, mask, self.rate, *ws.key, ws.iteration, first)
        return mask

    def _apply(self, x, y, ws):
        """The mask is linear: the same function serves the values and the gradients."""
        if not ws.training or self.rate == 0:
            y[...] = x
        elif "mask" in ws.buffers:
            ws.ops.pointwise(y, (x, ws.buffers["mask"]), "multiply")
        else:
            ws.ops.dropout(x, y, self.rate, *ws.key, ws.iteration, ws.first)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.4), [(5, 4, 3)]
        yield cls(0.0), [(5,)]
        yield cls(0.3, noise_shape=(None, 1, None)), [(4, 3)]


class _SpatialDropout(Dropout):
    """What dropout of whole channels has in common."""

    rank: int  # axes of a sample

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(rate, seed=seed, **kwargs)
        self.noise_shape: tuple[int | None, ...] | None = (None, *[1] * (self.rank - 1), None)

    def build(self, input_shapes: Shapes) -> Shape:
        check_rank(self, input_shapes[0], self.rank, "the channels last")
        return super().build(input_shapes)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.4), [(2, 4, 3, 5)[-cls.rank :]]


class SpatialDropout1D(_SpatialDropout):
    """In training, zeroes whole channels of samples (length, channels) and divides the others by 1 - rate.

    (Tompson, Goroshin, Jain, LeCun, Bregler: "Efficient object localization using convolutional networks", 2015.)

    Parameters
    ----------
    rate : float
        In [0, 1).
    seed : int, optional
        Default: drawn from the model's seed.
    """

    rank: int = 2


class _WithDataFormat(_SpatialDropout):
    """What those of images and of volumes have in common."""

    def __init__(
        self, rate: float, data_format: DataFormat = None, seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(rate, seed, **kwargs)
        self.data_format: DataFormat = check_data_format(data_format)


class SpatialDropout2D(_WithDataFormat):
    """In training, zeroes whole channels of images; arguments as for `SpatialDropout1D`, and `data_format`.

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Images are (N, H, W, C), or (N, C, H, W).
    """

    rank: int = 3


class SpatialDropout3D(_WithDataFormat):
    """In training, zeroes whole channels of volumes; arguments as for `SpatialDropout1D`, and `data_format`.

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Volumes are (N, D, H, W, C), or (N, C, D, H, W).
    """

    rank: int = 4
