"""Dropout, and the random numbers of augmentation."""

import numpy as np

from minicnn import random
from minicnn.backends.memory import Array

__all__ = ["dropout", "uniform"]


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
