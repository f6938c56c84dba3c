"""``keras.random``: numbers that functions in layers, losses and metrics draw anew each time they run.

They come as recorded arrays, so that what is computed with them is differentiated, and no model is built with them as
constants; models and NumPy take them, and what was computed of them alone, as arrays.
For a shape with None for the batch, as `keras.ops.shape` of a model's tensor gives it, they may be added to a tensor or
multiplied with one, and have its shape. In a layer they go by the seed of the model; outside, by `set_random_seed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.keras._of_tensors import SeedGenerator, drawn
from minicnn.utils import set_random_seed

__all__ = ["SeedGenerator", "binomial", "normal", "randint", "set_random_seed", "truncated_normal", "uniform"]


def normal(
    shape: Sequence[int | None], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Normally distributed numbers.

    Parameters
    ----------
    shape : sequence of int or None
    mean, stddev : float, default 0, 1
    dtype : optional
        Default: `floatx`.
    seed : int, optional
        The same numbers each time.
    """
    return drawn(shape, dtype, seed, lambda draw, size: draw.normal(mean, stddev, size))


def uniform(
    shape: Sequence[int | None], minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Uniformly distributed numbers from `minval` to below `maxval`; further arguments as for `normal`."""
    return drawn(shape, dtype, seed, lambda draw, size: draw.uniform(minval, maxval, size))


def truncated_normal(
    shape: Sequence[int | None], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Normally distributed numbers within two deviations; arguments as for `normal`."""

    def within(draw, size):
        numbers = draw.normal(size=size)
        while (outside := np.abs(numbers) > 2).any():
            numbers[outside] = draw.normal(size=outside.sum())
        return mean + stddev * numbers

    return drawn(shape, dtype, seed, within)


def binomial(
    shape: Sequence[int | None], counts: Any, probabilities: Any, dtype: Any = None, seed: int | None = None
) -> Any:
    """How many of `counts` trials succeed; further arguments as for `normal`."""
    return drawn(shape, dtype, seed, lambda draw, size: draw.binomial(counts, probabilities, size))


def randint(
    shape: Sequence[int | None], minval: int, maxval: int, dtype: Any = "int32", seed: int | None = None
) -> np.ndarray:
    """Integers from `minval` to below `maxval`."""
    return drawn(shape, dtype, seed, lambda draw, size: draw.integers(minval, maxval, size)).value.view(EagerArray)
