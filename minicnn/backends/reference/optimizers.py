"""One update of all parameters."""

import numpy as np

__all__ = ["adadelta_update", "adagrad_update", "adam_update", "rmsprop_update", "sgd_update"]

# theta, grad and the state are flat vectors; theta and the state are updated in place. Formulas: docs/formulas.md.


def sgd_update(theta, grad, velocity, learning_rate, momentum, nesterov):
    """SGD; `velocity` is None without momentum."""
    if velocity is None:
        theta -= learning_rate * grad
        return
    velocity *= momentum
    velocity -= learning_rate * grad
    theta += momentum * velocity - learning_rate * grad if nesterov else velocity


def adam_update(theta, grad, m, v, alpha, beta_1, beta_2, epsilon):
    """Adam; `alpha` holds the learning rate and the bias corrections."""
    m += (1 - beta_1) * (grad - m)
    v += (1 - beta_2) * (grad * grad - v)
    theta -= alpha * m / (np.sqrt(v) + epsilon)


def adagrad_update(theta, grad, accumulator, learning_rate, epsilon):
    """Adagrad."""
    accumulator += grad * grad
    theta -= learning_rate * grad / np.sqrt(accumulator + epsilon)


def adadelta_update(theta, grad, accumulated_grad, accumulated_delta, learning_rate, rho, epsilon):
    """Adadelta."""
    accumulated_grad += (1 - rho) * (grad * grad - accumulated_grad)
    delta = np.sqrt(accumulated_delta + epsilon) / np.sqrt(accumulated_grad + epsilon) * grad
    accumulated_delta += (1 - rho) * (delta * delta - accumulated_delta)
    theta -= learning_rate * delta


def rmsprop_update(theta, grad, mean_square, learning_rate, rho, epsilon):
    """RMSprop without momentum."""
    mean_square += (1 - rho) * (grad * grad - mean_square)
    theta -= learning_rate * grad / np.sqrt(mean_square + epsilon)
