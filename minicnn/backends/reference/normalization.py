"""Batch normalization."""

import numpy as np

__all__ = ["batch_norm", "batch_norm_backward"]


def batch_norm(x, y, gamma, beta, mean, inverse_std, moving_mean, moving_variance, momentum, epsilon, training):
    """y = gamma · (x - mean) / √(variance + epsilon) + beta, per channel.

    Parameters
    ----------
    x, y : (N, …, C)
    gamma, beta : (C,) or None
    mean, inverse_std : (C,), written
        What y was computed with; the backward pass reads them.
    moving_mean, moving_variance : (C,)
        In training: updated in place. Otherwise y is computed with them.
    """
    if training:
        axes = tuple(range(x.ndim - 1))
        mean[...] = x.mean(axis=axes)
        np.subtract(x, mean, out=y)
        variance = np.square(y).mean(axis=axes)
        moving_mean += (1 - momentum) * (mean - moving_mean)
        moving_variance += (1 - momentum) * (variance - moving_variance)
    else:
        mean[...] = moving_mean
        np.subtract(x, mean, out=y)
        variance = moving_variance
    inverse_std[...] = 1 / np.sqrt(variance + epsilon)
    y *= inverse_std if gamma is None else inverse_std * gamma
    if beta is not None:
        y += beta


def batch_norm_backward(x, dy, gamma, mean, inverse_std, dx, dgamma, dbeta, training):
    """Gradients of `batch_norm`; in training, mean and variance depend on x."""
    axes = tuple(range(dy.ndim - 1))
    normalized = (x - mean) * inverse_std  # (N, …, C)
    sum_dy, sum_dy_x = dy.sum(axis=axes), (dy * normalized).sum(axis=axes)  # (C,)
    if dbeta is not None:
        dbeta[...] = sum_dy
    if dgamma is not None:
        dgamma[...] = sum_dy_x
    if dx is None:
        return
    if training:
        dy = dy - (sum_dy + normalized * sum_dy_x) / (dy.size // dy.shape[-1])
    np.multiply(dy, inverse_std if gamma is None else inverse_std * gamma, out=dx)
