"""Batch normalization."""

from typing import NamedTuple

import numpy as np

from minicnn.backends.memory import Array, Maybe

__all__ = ["batch_norm", "batch_norm_backward", "fold_normalization"]


class Moments(NamedTuple):
    """What inputs are normalized with, per channel."""

    mean: Array  # (C,)
    inverse_std: Array  # (C,)


class Affine(NamedTuple):
    """What is done with normalized numbers: gamma · number + beta, per channel, and ReLU in the end."""

    gamma: Maybe = None  # (C,)
    beta: Maybe = None  # (C,)
    relu: bool = False


class MovingAverages(NamedTuple):
    """What follows the batches' moments in training, and normalizes otherwise."""

    mean: Array  # (C,)
    variance: Array  # (C,)
    momentum: float  # moving ← momentum · moving + (1 - momentum) · batch


def batch_norm(
    x: Array,
    y: Array,
    affine: Affine,
    moments: Moments,
    moving: MovingAverages,
    epsilon: float,
    training: bool,
    added: Maybe = None,
) -> None:
    """y = gamma · (x - mean) / √(variance + epsilon) + beta, per channel; plus `added`, and ReLU, if asked for.

    Parameters
    ----------
    x : (N, …, C)
    y : (N, …, C), written
    affine : Affine
    moments : Moments, written
        What y was computed with; the backward pass reads them.
    moving : MovingAverages
        In training: updated in place. Otherwise y is computed with them.
    epsilon : float
    training : bool
    added : (N, …, C) or None, default None
        Before the ReLU.
    """
    (mean, inverse_std), (moving_mean, moving_variance, momentum) = moments, moving
    if training:
        axes = tuple(range(x.ndim - 1))
        mean[...] = x.mean(axis=axes)
        np.subtract(x, mean, out=y)
        variance = np.square(y).mean(axis=axes)  # (C,)
        moving_mean += (1 - momentum) * (mean - moving_mean)
        moving_variance += (1 - momentum) * (variance - moving_variance)
    else:
        mean[...] = moving_mean
        np.subtract(x, mean, out=y)
        variance = moving_variance
    inverse_std[...] = 1 / np.sqrt(variance + epsilon)
    _scale_and_shift(y, affine, inverse_std)
    if added is not None:
        y += added
    if affine.relu:
        np.maximum(y, 0, out=y)


def _scale_and_shift(centred, affine, inverse_std):
    centred *= inverse_std if affine.gamma is None else inverse_std * affine.gamma
    if affine.beta is not None:
        centred += affine.beta


def batch_norm_backward(
    x: Array,
    y: Maybe,
    dy: Array,
    affine: Affine,
    moments: Moments,
    dx: Maybe,
    dadded: Maybe,
    dgamma: Maybe,
    dbeta: Maybe,
    training: bool,
) -> None:
    """Gradients of `batch_norm`; in training, mean and variance depend on x.

    Parameters
    ----------
    x, dy : (N, …, C)
    y : (N, …, C) or None
        With ReLU behind an addition: what `batch_norm` has written. Without an addition, x tells where ReLU was.
    affine : Affine
        As `batch_norm` got it.
    moments : Moments
        As `batch_norm` has written them.
    dx, dadded : (N, …, C) or None, written
    dgamma, dbeta : (C,) or None, written
    training : bool
    """
    axes = tuple(range(dy.ndim - 1))
    mean, inverse_std = moments
    if affine.relu:
        if y is None:
            y = x - mean
            _scale_and_shift(y, affine, inverse_std)
        dy = np.where(y <= 0, dy.dtype.type(0), dy)
    if dadded is not None:
        dadded[...] = dy
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
    np.multiply(dy, inverse_std if affine.gamma is None else inverse_std * affine.gamma, out=dx)


def fold_normalization(
    kernel: Array,
    bias: Maybe,
    gamma: Maybe,
    beta: Maybe,
    mean: Array,
    variance: Array,
    epsilon: float,
    folded_kernel: Array,
    folded_bias: Array,
) -> None:
    """The kernel and the bias of a convolution or dense layer together with the normalization behind it.

    folded_kernel = scale · kernel and folded_bias = scale · (bias - mean) + beta, where
    scale = gamma / √(variance + epsilon).

    Parameters
    ----------
    kernel : (…, F)
    bias, gamma, beta : (F,) or None
    mean, variance : (F,)
    epsilon : float
    folded_kernel : (…, F), written
    folded_bias : (F,), written
    """
    scale = 1 / np.sqrt(variance + epsilon)  # (F,)
    if gamma is not None:
        scale *= gamma
    np.multiply(kernel, scale, out=folded_kernel)
    folded_bias[...] = ((0 if bias is None else bias) - mean) * scale
    if beta is not None:
        folded_bias += beta
