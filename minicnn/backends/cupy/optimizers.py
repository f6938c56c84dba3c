"""The optimizers' rules: one kernel over flat vectors."""

import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, launch_over

SGD, MOMENTUM, NESTEROV, ADAM, ADAGRAD, ADADELTA, RMSPROP = range(7)  # enum Rule in optimizers.cu


def sgd_update(
    theta: Array, grad: Array, velocity: Maybe, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """See `minicnn.backends.reference.optimizers.sgd_update`."""
    rule = SGD if velocity is None else NESTEROV if nesterov else MOMENTUM
    _update(rule, theta, grad, velocity, None, learning_rate, momentum)


def adam_update(
    theta: Array, grad: Array, m: Array, v: Array, alpha: float, beta_1: float, beta_2: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.adam_update`."""
    _update(ADAM, theta, grad, m, v, alpha, 1 - beta_1, 1 - beta_2, epsilon)


def adagrad_update(theta: Array, grad: Array, accumulator: Array, learning_rate: float, epsilon: float) -> None:
    """See `minicnn.backends.reference.optimizers.adagrad_update`."""
    _update(ADAGRAD, theta, grad, accumulator, None, learning_rate, epsilon=epsilon)


def adadelta_update(
    theta, grad, accumulated_grad, accumulated_delta, learning_rate: float, rho: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.adadelta_update`."""
    _update(ADADELTA, theta, grad, accumulated_grad, accumulated_delta, learning_rate, 1 - rho, epsilon=epsilon)


def rmsprop_update(
    theta: Array, grad: Array, mean_square: Array, learning_rate: float, rho: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.rmsprop_update`."""
    _update(RMSPROP, theta, grad, mean_square, None, learning_rate, 1 - rho, epsilon=epsilon)


def _update(rule, theta, grad, first, second, rate, a=0.0, b=0.0, epsilon=0.0):
    """Launch the kernel; `rate` is a number, or a `DeviceNumber` (graph.py), which is read at each launch."""
    real = theta.dtype.type
    rate_at, bad = (rate.at, rate.bad) if hasattr(rate, "at") else (None, None)
    at_once = np.float64(0 if rate_at is not None else rate)
    vectors = theta, grad, first, second, np.int64(theta.size)
    numbers = np.int32(rule), at_once, rate_at, bad, real(a), real(b), real(epsilon)
    launch_over(theta.size, "optimizers", "optimize", theta.dtype, *vectors, *numbers)
