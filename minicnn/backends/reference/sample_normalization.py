"""Normalization of each sample by itself: layer, group, instance and RMS normalization are one formula."""

import numpy as np

from minicnn.backends.memory import Array, Maybe

__all__ = ["standardize", "standardize_backward"]


def standardize(
    x: Array, y: Array, gamma: Maybe, beta: Maybe, mean: Array, inverse_std: Array, epsilon: float, centred: bool = True
) -> None:
    """y = gamma · (x - mean) / √(mean of (x - mean)² + epsilon) + beta, with the means of groups of channels.

    Parameters
    ----------
    x : (S, P, C)
        Samples, pixels, channels.
    y : like x, written
    gamma, beta : (C,) or None
    mean, inverse_std : (S, G), written
        Of G groups of neighbouring channels, over all pixels.
    epsilon : float
    centred : bool, default True
        False: 0 takes the place of the mean.
    """
    groups = _in_groups(x, mean)  # (S, P, G, C / G)
    if centred:
        mean[...] = groups.mean(axis=(1, 3))
    else:
        mean.fill(0)
    centre = groups - mean[:, None, :, None]
    inverse_std[...] = 1 / np.sqrt(np.square(centre).mean(axis=(1, 3)) + epsilon)
    y[...] = (centre * inverse_std[:, None, :, None]).reshape(x.shape)
    if gamma is not None:
        y *= gamma
    if beta is not None:
        y += beta


def standardize_backward(
    x: Array,
    dy: Array,
    gamma: Maybe,
    mean: Array,
    inverse_std: Array,
    dx: Maybe,
    dgamma: Maybe,
    dbeta: Maybe,
    centred: bool = True,
) -> None:
    """Gradients of `standardize`.

    Parameters
    ----------
    x, dy : (S, P, C)
    gamma, mean, inverse_std, centred :
        As `standardize` got and left them.
    dx, dgamma, dbeta : like x, gamma and beta, or None, written
    """
    normalized = (_in_groups(x, mean) - mean[:, None, :, None]) * inverse_std[:, None, :, None]
    if dgamma is not None:
        np.sum(dy * normalized.reshape(dy.shape), axis=(0, 1), out=dgamma)
    if dbeta is not None:
        np.sum(dy, axis=(0, 1), out=dbeta)
    if dx is None:
        return
    dy = _in_groups(dy if gamma is None else dy * gamma, mean)
    along = normalized * (dy * normalized).mean(axis=(1, 3), keepdims=True)
    if centred:
        along += dy.mean(axis=(1, 3), keepdims=True)
    dx[...] = ((dy - along) * inverse_std[:, None, :, None]).reshape(dx.shape)


def _in_groups(array, moments):
    """(S, P, C) as (S, P, G, C / G)."""
    samples, pixels, channels = array.shape
    groups = moments.shape[1]
    return array.reshape(samples, pixels, groups, channels // groups)
