"""One update of all parameters, by every rule. Formulas: ``docs/formulas.md``.

`theta`, `grad` and the state are flat vectors; theta and the state are updated in place.
"""

import numpy as np

from minicnn.backends.memory import Array, Maybe

__all__ = ["adadelta_update", "adagrad_update", "adam_update", "rmsprop_update", "sgd_update"]


def sgd_update(
    theta: Array, grad: Array, velocity: Maybe, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """SGD; `velocity` is None without momentum."""
    if velocity is None:
        theta -= learning_rate * grad
        return
    velocity *= momentum
    velocity -= learning_rate * grad
    theta += momentum * velocity - learning_rate * grad if nesterov else velocity


def adam_update(
    theta: Array, grad: Array, m: Array, v: Array, alpha: float, beta_1: float, beta_2: float, epsilon: float
) -> None:
    """Adam; `alpha` holds the learning rate and the bias corrections."""
    m += (1 - beta_1) * (grad - m)
    v += (1 - beta_2) * (grad * grad - v)
    theta -= alpha * m / (np.sqrt(v) + epsilon)


def adagrad_update(theta: Array, grad: Array, accumulator: Array, learning_rate: float, epsilon: float) -> None:
    """Adagrad."""
    accumulator += grad * grad
    theta -= learning_rate * grad / np.sqrt(accumulator + epsilon)


def adadelta_update(
    theta: Array,
    grad: Array,
    accumulated_grad: Array,
    accumulated_delta: Array,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Adadelta."""
    accumulated_grad += (1 - rho) * (grad * grad - accumulated_grad)
    delta = np.sqrt(accumulated_delta + epsilon) / np.sqrt(accumulated_grad + epsilon) * grad
    accumulated_delta += (1 - rho) * (delta * delta - accumulated_delta)
    theta -= learning_rate * delta


def rmsprop_update(
    theta: Array, grad: Array, mean_square: Array, learning_rate: float, rho: float, epsilon: float
) -> None:
    """RMSprop without momentum."""
    mean_square += (1 - rho) * (grad * grad - mean_square)
    theta -= learning_rate * grad / np.sqrt(mean_square + epsilon)
