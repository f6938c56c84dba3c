"""Dropout, and the random numbers of augmentation."""

import numpy as np

from minicnn import random

__all__ = ["dropout", "uniform"]


def dropout(x, y, rate, seed, stream, step):
    """y = x / (1 - rate) where the element's random number is at least `rate`, else 0.

    The numbers are `minicnn.random.uniform(seed, stream, step, x.size)`: nothing is stored, the backward pass calls
    this function again with dy for x.
    """
    keep = random.uniform(seed, stream, step, x.size).reshape(x.shape) >= rate
    np.multiply(x, np.asarray(keep / (1 - rate), x.dtype), out=y)


def uniform(numbers, seed, stream, step):
    """numbers = `minicnn.random.uniform(seed, stream, step, numbers.size)`; float32."""
    numbers[...] = random.uniform(seed, stream, step, numbers.size).reshape(numbers.shape)
