"""``tf.random.Generator``: random numbers from a state of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.dtype_policies import of_python
from minicnn.random import generator, next_seed

__all__ = ["Generator"]


class Generator:
    """Random numbers, others at each call.

    Parameters
    ----------
    seed : int
        The same numbers, in the same order, for the same one.
    """

    def __init__(self, seed: int) -> None:
        self._source = generator(int(seed), "tf.random.Generator")

    @classmethod
    def from_seed(cls, seed: int, alg: Any = None) -> Generator:
        """A generator that begins with a seed."""
        return cls(seed)

    @classmethod
    def from_non_deterministic_state(cls, alg: Any = None) -> Generator:
        """A generator whose seed goes by `set_seed`, where that was called."""
        return cls(next_seed())

    def make_seeds(self, count: int = 1) -> EagerArray:
        """Seeds for functions that are called stateless_…, (2, count)."""
        return self._source.integers(0, 2**31, (2, int(count))).view(EagerArray)

    def normal(
        self, shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32", name: Any = None
    ) -> EagerArray:
        """Normally distributed numbers."""
        return self._source.normal(mean, stddev, tuple(shape)).astype(of_python(dtype)).view(EagerArray)

    def uniform(
        self, shape: Sequence[int], minval: Any = 0, maxval: Any = 1, dtype: Any = "float32", name: Any = None
    ) -> EagerArray:
        """Uniformly distributed numbers from `minval` to below `maxval`; whole ones for a dtype of such."""
        draw = self._source.integers if np.dtype(dtype).kind in "iu" else self._source.uniform
        return np.asarray(draw(minval, maxval, tuple(shape))).astype(of_python(dtype)).view(EagerArray)
