"""Random numbers added to or multiplied with what passes, while a model trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_number, check_seed
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.dropout import Dropout
from minicnn.step import Arrays, Buffer, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.backends.memory import Array

__all__ = ["AlphaDropout", "GaussianDropout", "GaussianNoise"]

ALPHA_PRIME = -1.6732632423543772 * 1.0507009873554805  # SELU's limit far below 0


class _GaussianLayer(Layer):
    """Base: draws a standard normal number for every element, a function of seed, place and iteration."""

    uses_input = False
    only_in_training = True
    seed: int | None

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"uniform": Buffer((*output_shape, 2), "float32"), "normal": Buffer(output_shape)}

    def bind(self, ws: Workspace) -> None:
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)

    def draw(self, ws: Workspace) -> Array:
        """Standard normal numbers like y."""
        ws.ops.uniform(ws.buffers["uniform"], *ws.key, ws.iteration, ws.first)
        ws.ops.normal(ws.buffers["uniform"], ws.buffers["normal"])
        return ws.buffers["normal"]


class GaussianNoise(_GaussianLayer):
    """In training, adds a normally distributed number to every element.

    Parameters
    ----------
    stddev : float
        Standard deviation.
    seed : int, optional
        Default: drawn from the model's seed.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.stddev: float = check_number("stddev", stddev)
        self.seed: int | None = check_seed("seed", seed)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training:
            ws.ops.pointwise(ws.y, (xs[0], self.draw(ws)), "add_scaled", (self.stddev,))
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (dy,), "copy")

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.2), [(5, 4)]


class GaussianDropout(_GaussianLayer):
    """In training, multiplies every element with a normal random number of mean 1 and variance rate / (1 - rate).

    (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, 2014.)

    Parameters
    ----------
    rate : float
        In [0, 1).
    seed : int, optional
        Default: drawn from the model's seed.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.rate: float = check_number("rate", rate, below=1)
        self.seed: int | None = check_seed("seed", seed)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training:
            factor = self.draw(ws)
            ws.ops.pointwise(factor, (factor,), "scale_and_shift", (math.sqrt(self.rate / (1 - self.rate)), 1.0))
            ws.ops.pointwise(ws.y, (xs[0], factor), "multiply")
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.training:
            ws.ops.pointwise(ws.dxs[0], (dy, ws.buffers["normal"]), "multiply")
        else:
            ws.dxs[0][...] = dy

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.3), [(5, 4)]


class AlphaDropout(Dropout):
    """In training, sets each element to SELU's limit with probability `rate`; mean and variance stay what they are.

    (Klambauer, Unterthiner, Mayr, Hochreiter: "Self-normalizing neural networks", 2017.)

    Parameters
    ----------
    rate : float
        In [0, 1).
    noise_shape : tuple of int or None, optional
        As for `Dropout`.
    seed : int, optional
        Default: drawn from the model's seed.
    """

    def mask_shape(self, shape: Shape) -> Shape:
        return super().mask_shape(shape) or shape  # the mask is kept for every element too

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if not ws.training or self.rate == 0:
            ws.y[...] = xs[0]
            return
        mask = self.draw_mask(ws)
        ws.ops.pointwise(ws.y, (xs[0], mask), "moved_to", (self.rate, ALPHA_PRIME, *self._moments()))

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.training and self.rate > 0:
            factor = (1 - self.rate) * self._moments()[0]  # Dropout divides what it keeps by the former
            ws.ops.pointwise(ws.dxs[0], (dy, ws.buffers["mask"]), "multiply_scaled", (factor,))
        else:
            ws.dxs[0][...] = dy

    def _moments(self) -> tuple[float, float]:
        """(factor, summand) that bring mean and variance back to 0 and 1."""
        scale = ((1 - self.rate) * (1 + self.rate * ALPHA_PRIME**2)) ** -0.5
        return scale, -scale * ALPHA_PRIME * self.rate

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.3), [(5, 4)]
        yield cls(0.3, noise_shape=(None, 1, None)), [(4, 3)]
