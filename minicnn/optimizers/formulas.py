"""Rules that are no op of the backends, in NumPy, on flat vectors: variants that few use. They run on every backend."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

Numbers: TypeAlias = Mapping[str, Any]
"""Arguments that few know, and what they are unless told."""

Formula: TypeAlias = Callable[..., None]
"""As `Optimizer.formula`."""

EPSILON_IN_ROOT: Numbers = MappingProxyType({"epsilon_in_root": True})
"""`Optimizer.rare` of rules that divide by √(G + ε), and before Keras 2.11 by √G + ε."""


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
    epsilon_in_root: bool = True,
) -> None:
    """RMSprop with momentum, or with the gradient's variance in place of its mean square (Graves, 2013).

    `slots` are the mean square, with momentum that, and if `centered` the mean gradient. Without `epsilon_in_root` and
    momentum ε is added to the root, as Keras did before 2.11.
    """
    slots = list(slots)
    mean_square = slots[0]
    mean_square += (1 - rho) * (grad * grad - mean_square)
    is_inside = epsilon_in_root or momentum
    below = mean_square + epsilon if is_inside else mean_square
    if centered:
        mean = slots[-1]
        mean += (1 - rho) * (grad - mean)
        below = below - mean * mean
    step = rate * grad / (np.sqrt(below) if is_inside else np.sqrt(np.maximum(below, 0)) + epsilon)
    if momentum:
        slots[1] *= momentum
        slots[1] += step
        step = slots[1]
    theta -= step


def adagrad(optimizer: Any, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
    """Adagrad with ε beside the root, as Keras had it before 2.11: a method; `slots` is the sum of squares."""
    squares = slots[0]
    squares += grad * grad
    theta -= rate * grad / (np.sqrt(squares) + optimizer.epsilon)
