"""Dropout, and the random numbers of augmentation and noise."""

import math

import numpy as np

from minicnn import random
from minicnn.backends.memory import Array

__all__ = ["dropout", "normal", "uniform"]


def dropout(x: Array, y: Array, rate: float, seed: int, stream: int, iteration: int) -> None:
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
    """
    keep = random.uniform(seed, stream, iteration, x.size).reshape(x.shape) >= rate
    np.multiply(x, np.asarray(keep / (1 - rate), x.dtype), out=y)


def uniform(numbers: Array, seed: int, stream: int, iteration: int) -> None:
    """numbers = `minicnn.random.uniform(seed, stream, iteration, numbers.size)`.

    Parameters
    ----------
    numbers : float32, any shape, written
    seed, stream, iteration : int
    """
    numbers[...] = random.uniform(seed, stream, iteration, numbers.size).reshape(numbers.shape)


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
