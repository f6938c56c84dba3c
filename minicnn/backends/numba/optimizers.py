"""One update of all parameters: theta, grad and the state are flat vectors."""

import math

import numpy as np

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.offsets import flat
from minicnn.backends.numba.machine.parallel import in_parallel

_PIECE = 2048  # parameters, within which denormal numbers are taken for zero


def sgd_update(
    theta: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """See `minicnn.backends.reference.optimizers.sgd_update`."""
    velocity = flat(velocity, theta.dtype)
    _sgd_update.launch(_time(theta), theta, grad, velocity, float(learning_rate), float(momentum), bool(nesterov))


def adam_update(
    theta: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    alpha: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """See `minicnn.backends.reference.optimizers.adam_update`."""
    _adam_update.launch(_time(theta), theta, grad, m, v, float(alpha), 1.0 - beta_1, 1.0 - beta_2, float(epsilon))


def adagrad_update(
    theta: np.ndarray, grad: np.ndarray, accumulator: np.ndarray, learning_rate: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.adagrad_update`."""
    _adagrad_update.launch(_time(theta), theta, grad, accumulator, float(learning_rate), float(epsilon))


def adadelta_update(
    theta: np.ndarray,
    grad: np.ndarray,
    accumulated_grad: np.ndarray,
    accumulated_delta: np.ndarray,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """See `minicnn.backends.reference.optimizers.adadelta_update`."""
    _adadelta_update.launch(
        _time(theta), theta, grad, accumulated_grad, accumulated_delta, float(learning_rate), 1.0 - rho, float(epsilon)
    )


def rmsprop_update(
    theta: np.ndarray, grad: np.ndarray, mean_square: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.rmsprop_update`."""
    _rmsprop_update.launch(_time(theta), theta, grad, mean_square, float(learning_rate), 1.0 - rho, float(epsilon))


def _time(theta):
    """Nanoseconds that one core needs, about."""
    return theta.size // 2


@inline
def _pieces(theta):
    return (len(theta) + _PIECE - 1) // _PIECE


@inline
def _piece_of(vector, piece):
    return vector[piece * _PIECE : (piece + 1) * _PIECE]


@inline
def _sgd_piece(piece, theta, grad, velocity, rate, keep, nesterov):
    theta, grad, velocity = _piece_of(theta, piece), _piece_of(grad, piece), _piece_of(velocity, piece)
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
def _sgd_update(pool, theta, grad, velocity, learning_rate, momentum, nesterov):
    dtype = theta.dtype.type
    rate, keep = dtype(learning_rate), dtype(momentum)
    in_parallel(pool, _pieces(theta), _sgd_piece, (theta, grad, velocity, rate, keep, nesterov))


@inline
def _adam_piece(piece, theta, grad, m, v, rate, share_1, share_2, least):
    theta, grad, m, v = _piece_of(theta, piece), _piece_of(grad, piece), _piece_of(m, piece), _piece_of(v, piece)
    control = flush_denormals()
    for i in range(len(theta)):
        m[i] += share_1 * (grad[i] - m[i])
        v[i] += share_2 * (grad[i] * grad[i] - v[i])
        theta[i] -= rate * m[i] / (math.sqrt(v[i]) + least)
    restore_denormals(control)


@parallel_kernel
def _adam_update(pool, theta, grad, m, v, alpha, change_1, change_2, epsilon):
    dtype = theta.dtype.type
    rate, share_1, share_2, least = dtype(alpha), dtype(change_1), dtype(change_2), dtype(epsilon)
    in_parallel(pool, _pieces(theta), _adam_piece, (theta, grad, m, v, rate, share_1, share_2, least))


@inline
def _adagrad_piece(piece, theta, grad, accumulator, rate, least):
    theta, grad, accumulator = _piece_of(theta, piece), _piece_of(grad, piece), _piece_of(accumulator, piece)
    control = flush_denormals()
    for i in range(len(theta)):
        accumulator[i] += grad[i] * grad[i]
        theta[i] -= rate * grad[i] / math.sqrt(accumulator[i] + least)
    restore_denormals(control)


@parallel_kernel
def _adagrad_update(pool, theta, grad, accumulator, learning_rate, epsilon):
    dtype = theta.dtype.type
    rate, least = dtype(learning_rate), dtype(epsilon)
    in_parallel(pool, _pieces(theta), _adagrad_piece, (theta, grad, accumulator, rate, least))


@inline
def _adadelta_piece(piece, theta, grad, accumulated_grad, accumulated_delta, rate, share, least):
    theta, grad, accumulated_grad, accumulated_delta = (
        _piece_of(theta, piece),
        _piece_of(grad, piece),
        _piece_of(accumulated_grad, piece),
        _piece_of(accumulated_delta, piece),
    )
    control = flush_denormals()
    for i in range(len(theta)):
        accumulated_grad[i] += share * (grad[i] * grad[i] - accumulated_grad[i])
        delta = math.sqrt(accumulated_delta[i] + least) / math.sqrt(accumulated_grad[i] + least) * grad[i]
        accumulated_delta[i] += share * (delta * delta - accumulated_delta[i])
        theta[i] -= rate * delta
    restore_denormals(control)


@parallel_kernel
def _adadelta_update(pool, theta, grad, accumulated_grad, accumulated_delta, learning_rate, change, epsilon):
    dtype = theta.dtype.type
    rate, share, least = dtype(learning_rate), dtype(change), dtype(epsilon)
    in_parallel(
        pool, _pieces(theta), _adadelta_piece, (theta, grad, accumulated_grad, accumulated_delta, rate, share, least)
    )


@inline
def _rmsprop_piece(piece, theta, grad, mean_square, rate, share, least):
    theta, grad, mean_square = _piece_of(theta, piece), _piece_of(grad, piece), _piece_of(mean_square, piece)
    control = flush_denormals()
    for i in range(len(theta)):
        mean_square[i] += share * (grad[i] * grad[i] - mean_square[i])
        theta[i] -= rate * grad[i] / math.sqrt(mean_square[i] + least)
    restore_denormals(control)


@parallel_kernel
def _rmsprop_update(pool, theta, grad, mean_square, learning_rate, rho_change, epsilon):
    dtype = theta.dtype.type
    rate, share, least = dtype(learning_rate), dtype(rho_change), dtype(epsilon)
    in_parallel(pool, _pieces(theta), _rmsprop_piece, (theta, grad, mean_square, rate, share, least))
