"""The optimizers' rules: one kernel over flat vectors."""

import numpy as np

from minicnn.backends.cupy.launch import launch_over

SGD, MOMENTUM, NESTEROV, ADAM, ADAGRAD, ADADELTA, RMSPROP = range(7)  # enum Rule in training.cu


def sgd_update(theta, grad, velocity, learning_rate, momentum, nesterov):
    rule = SGD if velocity is None else NESTEROV if nesterov else MOMENTUM
    _update(rule, theta, grad, velocity, None, learning_rate, momentum)


def adam_update(theta, grad, m, v, alpha, beta_1, beta_2, epsilon):
    _update(ADAM, theta, grad, m, v, alpha, 1 - beta_1, 1 - beta_2, epsilon)


def adagrad_update(theta, grad, accumulator, learning_rate, epsilon):
    _update(ADAGRAD, theta, grad, accumulator, None, learning_rate, epsilon=epsilon)


def adadelta_update(theta, grad, accumulated_grad, accumulated_delta, learning_rate, rho, epsilon):
    _update(ADADELTA, theta, grad, accumulated_grad, accumulated_delta, learning_rate, 1 - rho, epsilon=epsilon)


def rmsprop_update(theta, grad, mean_square, learning_rate, rho, epsilon):
    _update(RMSPROP, theta, grad, mean_square, None, learning_rate, 1 - rho, epsilon=epsilon)


def _update(rule, theta, grad, first, second, rate, a=0.0, b=0.0, epsilon=0.0):
    """Launch the kernel; `rate` is a number, or a `DeviceNumber` (see ``graph.py``), which a graph reads anew."""
    real = theta.dtype.type
    rate_at, bad = (rate.at, rate.bad) if hasattr(rate, "at") else (None, None)
    at_once = np.float64(0 if rate_at is not None else rate)
    vectors = theta, grad, first, second, np.int64(theta.size)
    numbers = np.int32(rule), at_once, rate_at, bad, real(a), real(b), real(epsilon)
    launch_over(theta.size, "training", "optimize", theta.dtype, *vectors, *numbers)
