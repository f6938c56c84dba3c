"""Dropout, and the random numbers of augmentation and noise."""

import math

import numpy as np

from minicnn import random
from minicnn.backends.memory import Array

__all__ = ["dropout", "normal", "uniform"]


def dropout(x: Array, y: Array, rate: float, seed: int, stream: int, iteration: int, first: int = 0) -> None:
    """y = x / (1 - rate) where the element's random number is at least `rate`, else 0.

    The numbers are `minicnn.random.uniform(seed, stream, iteration, x.size)`: nothing is stored, the backward pass
    calls this function again with dy for x.

    Parameters
    ----------
    x : any shape
    y : like x, written
    rate : float
        In [0, 1).
    seed, stream, iteration : int
        See `minicnn.random.uniform`.
    first : int, default 0
        The number in the batch of the first sample of x, where x is a part of a batch: a multiple of 4. Each element
        has the number that it would have in the whole batch.
    """
    keep = random.uniform(seed, stream, iteration, x.size, elements_before(first, x)).reshape(x.shape) >= rate
    np.multiply(x, np.asarray(keep / (1 - rate), x.dtype), out=y)


def uniform(numbers: Array, seed: int, stream: int, iteration: int, first: int = 0) -> None:
    """numbers = `minicnn.random.uniform(seed, stream, iteration, numbers.size)`.

    Parameters
    ----------
    numbers : float32, any shape, written
    seed, stream, iteration : int
    first : int, default 0
        As for `dropout`.
    """
    start = elements_before(first, numbers)
    numbers[...] = random.uniform(seed, stream, iteration, numbers.size, start).reshape(numbers.shape)


def elements_before(first: int, x: Array) -> int:
    """How many elements of a batch come before its sample `first`, for samples such as those of x."""
    return first * (x.size // len(x)) if first else 0


def normal(pairs: Array, numbers: Array) -> None:
    """numbers = √(-2 log(1 - u)) · cos(2πv) for the pairs (u, v): standard normal for uniform numbers.

    (Box, Muller: "A note on the generation of random normal deviates", 1958.)

    Parameters
    ----------
    pairs : float32, (…, 2)
        In [0, 1).
    numbers : (…), written
    """
    numbers[...] = normal_deviate(pairs[..., 0], pairs[..., 1])


def normal_deviate(u: Array, v: Array) -> Array:
    """One number of a pair."""
    return np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * math.pi * v)
