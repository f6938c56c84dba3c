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
        """Standard normal numbers like y (Box, Muller: "A note on the generation of random normal deviates", 1958)."""
        uniform, normal = ws.buffers["uniform"], ws.buffers["normal"]
        ws.ops.uniform(uniform, *ws.key, ws.iteration)
        radius = np.sqrt(-2 * np.log1p(-uniform[..., 0]))
        normal[...] = radius * np.cos(2 * math.pi * uniform[..., 1])
        return normal


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
            np.multiply(self.draw(ws), self.stddev, out=ws.y)
            ws.y += xs[0]
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = dy

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
            factor *= math.sqrt(self.rate / (1 - self.rate))
            factor += 1
            np.multiply(xs[0], factor, out=ws.y)
        else:
            ws.y[...] = xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        np.multiply(dy, ws.buffers["normal"] if ws.training else 1, out=ws.dxs[0])

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
        keep = self.draw_mask(ws)
        keep *= 1 - self.rate  # Dropout divides what it keeps
        scale, shift = self._moments()
        np.multiply(xs[0] - ALPHA_PRIME, keep, out=ws.y)
        ws.y += ALPHA_PRIME
        ws.y *= scale
        ws.y += shift

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.training and self.rate > 0:
            np.multiply(dy, ws.buffers["mask"] * self._moments()[0], out=ws.dxs[0])
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
