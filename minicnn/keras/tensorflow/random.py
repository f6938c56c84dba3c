"""``tf.random``: ``keras.random``, with TensorFlow's arguments."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.differentiation import met
from minicnn.dtype_policies import of_python
from minicnn.keras import random as numbers
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._of_tensors import drawn
from minicnn.keras.tensorflow._functions import of_tensorflow
from minicnn.keras.tensorflow._generator import Generator
from minicnn.utils import set_random_seed as _set_random_seed

__all__ = [
    "Generator",
    "categorical",
    "gamma",
    "get_global_generator",
    "normal",
    "poisson",
    "set_seed",
    "shuffle",
    "split",
    "stateless_normal",
]
__all__ += ["stateless_truncated_normal", "stateless_uniform", "truncated_normal", "uniform"]

normal, truncated_normal = numbers.normal, numbers.truncated_normal


def uniform(
    shape: Sequence[int | None], minval: Any = 0, maxval: Any = None, dtype: Any = "float32", seed: int | None = None
) -> Any:
    """Numbers from `minval` to below `maxval`, 1 unless told; whole ones for a dtype of such.

    Raises
    ------
    ValueError
        If whole numbers are asked for without `maxval`.
    """
    if np.dtype(dtype).kind not in "iu":
        return numbers.uniform(shape, minval, 1 if maxval is None else maxval, dtype, seed)
    if maxval is None:
        raise ValueError("whole numbers need maxval, below which they lie. Received: maxval=None")
    return numbers.randint(shape, minval, maxval, dtype, seed)


def shuffle(value: Any, seed: int | None = None) -> Any:
    """The rows in a random order."""
    order = np.argsort(np.asarray(numbers.uniform((len(value),), seed=seed)))
    return of_tensorflow(np.asarray(value)[order])


def gamma(
    shape: Sequence[int],
    alpha: Any,
    beta: Any = None,
    dtype: Any = "float32",
    seed: int | None = None,
    name: Any = None,
) -> Any:
    """Numbers of gamma distributions with the rate `beta`, 1 unless told: `shape` of each alpha, (*shape, *alpha's)."""
    alpha, rate = (np.asarray(met(each), np.float64) for each in (alpha, 1.0 if beta is None else beta))
    alpha, rate = np.broadcast_arrays(alpha, rate)
    sizes = (*(int(n) for n in np.ravel(np.asarray(shape))), *alpha.shape)
    return of_tensorflow(np.asarray(numbers.gamma(sizes, alpha, dtype, seed)) / rate.astype(of_python(dtype)))


def poisson(
    shape: Sequence[int], lam: Any, dtype: Any = "float32", seed: int | None = None, name: str | None = None
) -> Any:
    """How often what happens `lam` times on average happens, `shape` of each: (*shape, *lam's)."""
    rates = np.asarray(lam, np.float64)
    sizes = (*(int(n) for n in np.ravel(np.asarray(shape))), *rates.shape)
    return of_tensorflow(drawn(sizes, dtype, seed, lambda source, size: source.poisson(rates, size)))


def categorical(
    logits: Any, num_samples: int, dtype: Any = "int64", seed: int | None = None, name: str | None = None
) -> Any:
    """Classes drawn by unnormalized log-probabilities (N, classes): (N, num_samples)."""
    return of_tensorflow(numbers.categorical(logits, int(num_samples), dtype, seed))


def set_seed(seed: Any) -> None:
    """`minicnn.keras.utils.set_random_seed`, of numbers below zero and with fractions, too; None: one by chance."""
    seed = secrets.randbits(63) if seed is None else seed
    _set_random_seed(int(seed) % 2**63 if isinstance(seed, int | float | np.number) else seed)


set_random_seed = set_seed  # TensorFlow 1's name


def get_global_generator() -> Generator:
    """A generator whose seed goes by `set_seed`."""
    return Generator.from_non_deterministic_state()


def one_seed(seed: Any) -> int | None:
    """One number for the two of TensorFlow's stateless functions; None stays."""
    if seed is None:
        return None
    parts = [int(part) for part in np.asarray(seed).reshape(-1)]
    return sum(part * 1_000_003**place for place, part in enumerate(parts)) % 2**31


def split(seed: Any, num: int = 2, alg: Any = None) -> Any:
    """`num` seeds that one makes, (num, 2)."""
    return of_tensorflow(Generator(one_seed(seed) or 0).make_seeds(num).T)


def stateless_uniform(
    shape: Sequence[int], seed: Any, minval: Any = 0, maxval: Any = None, dtype: Any = "float32", name: Any = None
) -> Any:
    """`uniform`, the same for the same pair of numbers `seed`."""
    return uniform(shape, minval, maxval, dtype, one_seed(seed))


def stateless_normal(
    shape: Sequence[int], seed: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, name: Any = None
) -> Any:
    """`normal`, the same for the same pair of numbers `seed`."""
    return normal(shape, mean, stddev, dtype, one_seed(seed))


def stateless_truncated_normal(
    shape: Sequence[int], seed: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, name: Any = None
) -> Any:
    """`truncated_normal`, the same for the same pair of numbers `seed`."""
    return truncated_normal(shape, mean, stddev, dtype, one_seed(seed))


__getattr__: Lookup = lookup(__name__)
