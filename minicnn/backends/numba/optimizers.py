"""One update of all parameters: theta, grad and the state are flat vectors."""

import math

from numba import prange

from minicnn.backends.numba.launch import parallel_kernel
from minicnn.backends.numba.tables import flat_or_absent


def sgd_update(theta, grad, velocity, learning_rate, momentum, nesterov):
    """See `minicnn.backends.reference.sgd_update`."""
    velocity = flat_or_absent(velocity, theta.dtype)
    _sgd_update.run(_time(theta), theta, grad, velocity, float(learning_rate), float(momentum), bool(nesterov))


def adam_update(theta, grad, m, v, alpha, beta_1, beta_2, epsilon):
    """See `minicnn.backends.reference.adam_update`."""
    _adam_update.run(_time(theta), theta, grad, m, v, float(alpha), 1.0 - beta_1, 1.0 - beta_2, float(epsilon))


def adagrad_update(theta, grad, accumulator, learning_rate, epsilon):
    """See `minicnn.backends.reference.adagrad_update`."""
    _adagrad_update.run(_time(theta), theta, grad, accumulator, float(learning_rate), float(epsilon))


def adadelta_update(theta, grad, accumulated_grad, accumulated_delta, learning_rate, rho, epsilon):
    """See `minicnn.backends.reference.adadelta_update`."""
    _adadelta_update.run(
        _time(theta), theta, grad, accumulated_grad, accumulated_delta, float(learning_rate), 1.0 - rho, float(epsilon)
    )


def rmsprop_update(theta, grad, mean_square, learning_rate, rho, epsilon):
    """See `minicnn.backends.reference.rmsprop_update`."""
    _rmsprop_update.run(_time(theta), theta, grad, mean_square, float(learning_rate), 1.0 - rho, float(epsilon))


def _time(theta):
    """Nanoseconds that one core needs, about."""
    return theta.size // 2


@parallel_kernel
def _sgd_update(theta, grad, velocity, learning_rate, momentum, nesterov):
    number = theta.dtype.type
    rate, keep = number(learning_rate), number(momentum)
    if len(velocity) == 0:
        for i in prange(len(theta)):
            theta[i] -= rate * grad[i]
    else:
        for i in prange(len(theta)):
            velocity[i] = keep * velocity[i] - rate * grad[i]
            theta[i] += keep * velocity[i] - rate * grad[i] if nesterov else velocity[i]


@parallel_kernel
def _adam_update(theta, grad, m, v, alpha, change_1, change_2, epsilon):
    number = theta.dtype.type
    rate, share_1, share_2, least = number(alpha), number(change_1), number(change_2), number(epsilon)
    for i in prange(len(theta)):
        m[i] += share_1 * (grad[i] - m[i])
        v[i] += share_2 * (grad[i] * grad[i] - v[i])
        theta[i] -= rate * m[i] / (math.sqrt(v[i]) + least)


@parallel_kernel
def _adagrad_update(theta, grad, accumulator, learning_rate, epsilon):
    number = theta.dtype.type
    rate, least = number(learning_rate), number(epsilon)
    for i in prange(len(theta)):
        accumulator[i] += grad[i] * grad[i]
        theta[i] -= rate * grad[i] / math.sqrt(accumulator[i] + least)


@parallel_kernel
def _adadelta_update(theta, grad, accumulated_grad, accumulated_delta, learning_rate, change, epsilon):
    number = theta.dtype.type
    rate, share, least = number(learning_rate), number(change), number(epsilon)
    for i in prange(len(theta)):
        accumulated_grad[i] += share * (grad[i] * grad[i] - accumulated_grad[i])
        delta = math.sqrt(accumulated_delta[i] + least) / math.sqrt(accumulated_grad[i] + least) * grad[i]
        accumulated_delta[i] += share * (delta * delta - accumulated_delta[i])
        theta[i] -= rate * delta


@parallel_kernel
def _rmsprop_update(theta, grad, mean_square, learning_rate, rho_change, epsilon):
    number = theta.dtype.type
    rate, share, least = number(learning_rate), number(rho_change), number(epsilon)
    for i in prange(len(theta)):
        mean_square[i] += share * (grad[i] * grad[i] - mean_square[i])
        theta[i] -= rate * grad[i] / math.sqrt(mean_square[i] + least)
