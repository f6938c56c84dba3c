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
from minicnn.differentiation import met, value_of
from minicnn.dtype_policies import of_python
from minicnn.keras._of_tensors import Computed, SeedGenerator, drawn
from minicnn.keras._operations import is_symbolic
from minicnn.keras._result_types import eager
from minicnn.settings import floatx
from minicnn.utils import set_random_seed

__all__ = ["SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint"]
__all__ += ["set_random_seed", "shuffle", "truncated_normal", "uniform"]


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


def gamma(shape: Sequence[int | None], alpha: Any, dtype: Any = None, seed: int | None = None) -> Any:
    """Numbers of a gamma distribution of the shape `alpha` and the scale 1; further arguments as for `normal`."""
    return drawn(shape, dtype, seed, lambda draw, size: draw.gamma(np.asarray(value_of(met(alpha))), size=size))


def beta(shape: Sequence[int | None], alpha: Any, beta: Any, dtype: Any = None, seed: int | None = None) -> Any:
    """Numbers from 0 to 1 of a beta distribution; further arguments as for `normal`."""
    a, b = (np.asarray(value_of(met(each))) for each in (alpha, beta))
    return drawn(shape, dtype, seed, lambda draw, size: draw.beta(a, b, size))


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: int | None = None) -> np.ndarray:
    """Classes drawn by unnormalized log-probabilities (N, classes): (N, num_samples).

    The largest of the logits and a Gumbel-distributed number each is such a class (Gumbel, 1954).
    """
    if is_symbolic(logits):
        return Computed(lambda x: np.asarray(categorical(value_of(x), num_samples, dtype, seed)))(logits)
    rows = np.asarray(value_of(met(logits)), np.float64)[:, None]  # (N, 1, classes)
    size = (len(rows), int(num_samples), rows.shape[-1])
    noise = drawn(size, "float64", seed, lambda draw, size: draw.gumbel(size=size)).value
    return np.argmax(rows + noise, axis=-1).astype(of_python(dtype)).view(EagerArray)


def shuffle(x: Any, axis: int = 0, seed: int | None = None) -> Any:
    """The parts along an axis in a random order."""
    if is_symbolic(x):
        return Computed(lambda x: shuffle(x, axis, seed))(x)
    x = met(x)
    order = drawn((np.shape(value_of(x))[axis],), "int64", seed, lambda draw, size: draw.permutation(size[0]))
    made = np.take(x, order.value, axis)
    return made.view(EagerArray) if type(made) is np.ndarray else made


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: int | None = None) -> Any:
    """The numbers, a part `rate` of which is 0, and the others divided by 1 − rate."""
    if is_symbolic(inputs):
        return Computed(lambda x: dropout(x, rate, noise_shape, seed))(inputs)
    x = met(inputs)
    x = np.asarray(x, floatx()) if isinstance(x, list | tuple) else x
    kept = drawn(x.shape if noise_shape is None else noise_shape, "float64", seed, lambda draw, size: draw.random(size))
    return eager(x * ((kept.value >= rate) / (1 - rate)).astype(x.dtype))
