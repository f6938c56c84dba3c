"""One update of all parameters: theta, grad and the state are flat vectors."""

import math

from numba import prange

from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.launch import parallel_kernel, part
from minicnn.backends.numba.machine.offsets import flat_or_absent

_BLOCK = 2048  # parameters, within which denormal numbers are taken for zero


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


@part
def _blocks(theta):
    return (len(theta) + _BLOCK - 1) // _BLOCK


@part
def _block_of(vector, block):
    return vector[block * _BLOCK : (block + 1) * _BLOCK]


@part
def _sgd_block(theta, grad, velocity, rate, keep, nesterov):
    control = flush_denormals()
    if len(velocity) == 0:
        for i in range(len(theta)):
            theta[i] -= rate * grad[i]
    else:
        for i in range(len(theta)):
            velocity[i] = keep * velocity[i] - rate * grad[i]
            theta[i] += keep * velocity[i] - rate * grad[i] if nesterov else velocity[i]
    restore_denormals(control)


@parallel_kernel
def _sgd_update(theta, grad, velocity, learning_rate, momentum, nesterov):
    number = theta.dtype.type
    rate, keep = number(learning_rate), number(momentum)
    for block in prange(_blocks(theta)):
        _sgd_block(
            _block_of(theta, block), _block_of(grad, block), _block_of(velocity, block), rate, keep, nesterov
        )  # fmt: skip


@part
def _adam_block(theta, grad, m, v, rate, share_1, share_2, least):
    control = flush_denormals()
    for i in range(len(theta)):
        m[i] += share_1 * (grad[i] - m[i])
        v[i] += share_2 * (grad[i] * grad[i] - v[i])
        theta[i] -= rate * m[i] / (math.sqrt(v[i]) + least)
    restore_denormals(control)


@parallel_kernel
def _adam_update(theta, grad, m, v, alpha, change_1, change_2, epsilon):
    number = theta.dtype.type
    rate, share_1, share_2, least = number(alpha), number(change_1), number(change_2), number(epsilon)
    for block in prange(_blocks(theta)):
        _adam_block(
            _block_of(theta, block), _block_of(grad, block), _block_of(m, block), _block_of(v, block),
            rate, share_1, share_2, least,
        )  # fmt: skip


@part
def _adagrad_block(theta, grad, accumulator, rate, least):
    control = flush_denormals()
    for i in range(len(theta)):
        accumulator[i] += grad[i] * grad[i]
        theta[i] -= rate * grad[i] / math.sqrt(accumulator[i] + least)
    restore_denormals(control)


@parallel_kernel
def _adagrad_update(theta, grad, accumulator, learning_rate, epsilon):
    number = theta.dtype.type
    rate, least = number(learning_rate), number(epsilon)
    for block in prange(_blocks(theta)):
        _adagrad_block(_block_of(theta, block), _block_of(grad, block), _block_of(accumulator, block), rate, least)


@part
def _adadelta_block(theta, grad, accumulated_grad, accumulated_delta, rate, share, least):
    control = flush_denormals()
    for i in range(len(theta)):
        accumulated_grad[i] += share * (grad[i] * grad[i] - accumulated_grad[i])
        delta = math.sqrt(accumulated_delta[i] + least) / math.sqrt(accumulated_grad[i] + least) * grad[i]
        accumulated_delta[i] += share * (delta * delta - accumulated_delta[i])
        theta[i] -= rate * delta
    restore_denormals(control)


@parallel_kernel
def _adadelta_update(theta, grad, accumulated_grad, accumulated_delta, learning_rate, change, epsilon):
    number = theta.dtype.type
    rate, share, least = number(learning_rate), number(change), number(epsilon)
    for block in prange(_blocks(theta)):
        _adadelta_block(
            _block_of(theta, block), _block_of(grad, block), _block_of(accumulated_grad, block),
            _block_of(accumulated_delta, block), rate, share, least,
        )  # fmt: skip


@part
def _rmsprop_block(theta, grad, mean_square, rate, share, least):
    control = flush_denormals()
    for i in range(len(theta)):
        mean_square[i] += share * (grad[i] * grad[i] - mean_square[i])
        theta[i] -= rate * grad[i] / math.sqrt(mean_square[i] + least)
    restore_denormals(control)


@parallel_kernel
def _rmsprop_update(theta, grad, mean_square, learning_rate, rho_change, epsilon):
    number = theta.dtype.type
    rate, share, least = number(learning_rate), number(rho_change), number(epsilon)
    for block in prange(_blocks(theta)):
        _rmsprop_block(
            _block_of(theta, block), _block_of(grad, block), _block_of(mean_square, block), rate, share, least
        )
