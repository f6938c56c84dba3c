"""Dropout."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from minicnn.checks import check_number, check_seed
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

__all__ = ["Dropout"]


class Dropout(Layer):
    """In training, zeroes each element with probability `rate` and divides the others by 1 - rate.

    (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, 2014.) The mask is a function of the model's seed, the
    place of the layer and the iteration: it is drawn again for the gradient and never stored.

    Parameters
    ----------
    rate : float
        In [0, 1).
    noise_shape : None
        Accepted for Keras's sake.
    seed : int, optional
        Default: drawn from the model's seed.
    """

    uses_input = False
    only_in_training = True

    def __init__(
        self, rate: float, noise_shape: None = None, seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        if noise_shape is not None:
            raise ValueError(
                f"every element is dropped on its own: noise_shape=None. Received: noise_shape={noise_shape!r}"
            )
        self.noise_shape: None = noise_shape
        self.rate: float = check_number("rate", rate, below=1)
        self.seed: int | None = check_seed("seed", seed)

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0]

    def bind(self, ws: Workspace) -> None:
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        self._apply(xs[0], ws.y, ws)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        self._apply(dy, ws.dxs[0], ws)

    def _apply(self, x, y, ws):
        """The mask is linear: the same function serves the values and the gradients."""
        if ws.training and self.rate > 0:
            ws.ops.dropout(x, y, self.rate, *ws.key, ws.iteration)
        else:
            y[...] = x

    @classmethod
    def examples(cls) -> Examples:
        yield cls(0.4), [(5, 4, 3)]
        yield cls(0.0), [(5,)]
