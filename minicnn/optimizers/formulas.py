"""Rules that are no op of the backends, in NumPy, on flat vectors: variants that few use. They run on every backend."""

from collections.abc import Sequence

import numpy as np


def amsgrad(
    theta: np.ndarray,
    grad: np.ndarray,
    slots: Sequence[np.ndarray],
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Adam with the largest v so far (Reddi et al., 2018); `slots` are m, v and that."""
    m, v, largest = slots
    m += (1 - beta_1) * (grad - m)
    v += (1 - beta_2) * (grad * grad - v)
    np.maximum(largest, v, out=largest)
    theta -= rate * m / (np.sqrt(largest) + epsilon)


def rmsprop(
    theta: np.ndarray,
    grad: np.ndarray,
    slots: Sequence[np.ndarray],
    rate: float,
    rho: float,
    epsilon: float,
    momentum: float,
    centered: bool,
) -> None:
    """RMSprop with momentum, or with the gradient's variance in place of its mean square (Graves, 2013).

    `slots` are the mean square, with momentum that, and if `centered` the mean gradient.
    """
    slots = list(slots)
    mean_square = slots[0]
    mean_square += (1 - rho) * (grad * grad - mean_square)
    below = mean_square + epsilon
    if centered:
        mean = slots[-1]
        mean += (1 - rho) * (grad - mean)
        below = below - mean * mean
    step = rate * grad / np.sqrt(below)
    if momentum:
        slots[1] *= momentum
        slots[1] += step
        step = slots[1]
    theta -= step
