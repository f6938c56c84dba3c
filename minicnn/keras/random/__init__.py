"""``keras.random``: numbers that functions in layers, losses and metrics draw anew each time they run.

They come as recorded arrays, so that what is computed with them is differentiated, and no model takes them for
constants; ``.numpy()`` gives the numbers. `set_random_seed` repeats them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded
from minicnn.random import generator, next_seed
from minicnn.settings import floatx
from minicnn.utils import set_random_seed

__all__ = ["binomial", "normal", "randint", "set_random_seed", "truncated_normal", "uniform"]


def normal(
    shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Recorded:
    """Normally distributed numbers.

    Parameters
    ----------
    shape : sequence of int
    mean, stddev : float, default 0, 1
    dtype : optional
        Default: `floatx`.
    seed : int, optional
        The same numbers each time.
    """
    return _drawn(shape, dtype, seed, lambda draw, size: draw.normal(mean, stddev, size))


def uniform(
    shape: Sequence[int], minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Recorded:
    """Uniformly distributed numbers from `minval` to below `maxval`; further arguments as for `normal`."""
    return _drawn(shape, dtype, seed, lambda draw, size: draw.uniform(minval, maxval, size))


def truncated_normal(
    shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Recorded:
    """Normally distributed numbers within two deviations; arguments as for `normal`."""

    def within(draw, size):
        numbers = draw.normal(size=size)
        while (outside := np.abs(numbers) > 2).any():
            numbers[outside] = draw.normal(size=outside.sum())
        return mean + stddev * numbers

    return _drawn(shape, dtype, seed, within)


def binomial(
    shape: Sequence[int], counts: Any, probabilities: Any, dtype: Any = None, seed: int | None = None
) -> Recorded:
    """How many of `counts` trials succeed; further arguments as for `normal`."""
    return _drawn(shape, dtype, seed, lambda draw, size: draw.binomial(counts, probabilities, size))


def randint(
    shape: Sequence[int], minval: int, maxval: int, dtype: Any = "int32", seed: int | None = None
) -> np.ndarray:
    """Integers from `minval` to below `maxval`."""
    return _drawn(shape, dtype, seed, lambda draw, size: draw.integers(minval, maxval, size)).value


def _drawn(shape, dtype, seed, draw):
    numbers = draw(generator(next_seed() if seed is None else int(seed), "keras.random"), tuple(shape))
    return Recorded(np.asarray(numbers, dtype or floatx()))
