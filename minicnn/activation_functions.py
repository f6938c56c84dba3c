"""Further activation functions on arrays of any shape, under Keras's names; see `minicnn.activations`.

float32 and float64 stay what they are, anything else becomes the current default (`minicnn.utils.floatx`).

Parameters
----------
x : array of real numbers, of any shape
axis : int, default -1
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import real_array
from minicnn.functional import sigmoid
from minicnn.layers.activations import stands_for
from minicnn.settings import floatx

SPARSEMAX_EDGE = 4e-6  # what would be less than that is 0, so that rounding does not decide through what gradients go
SELU_ALPHA = 1.6732632423543772  # both of Klambauer et al., 2017
SELU_SCALE = 1.0507009873554805

__all__ = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu6",
    "selu",
    "silu",
    "soft_shrink",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]


def _real(x):
    x = real_array(x, "x")
    return x if x.dtype in (np.float32, np.float64) else x.astype(floatx())


def elu(x: ArrayLike, alpha: float = 1.0) -> np.ndarray:
    """x where x > 0, else alpha · (exp(x) − 1) (Clevert et al., 2016).

    Parameters
    ----------
    alpha : float, default 1
    """
    x = _real(x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def selu(x: ArrayLike) -> np.ndarray:
    """1.0507 · elu(x, 1.6733), which keeps mean 0 and variance 1 (Klambauer et al., 2017)."""
    x = _real(x)
    return SELU_SCALE * elu(x, SELU_ALPHA)


def celu(x: ArrayLike, alpha: float = 1.0) -> np.ndarray:
    """x where x > 0, else alpha · (exp(x / alpha) − 1) (Barron, 2017).

    Parameters
    ----------
    alpha : float, default 1
    """
    x = _real(x)
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)


def gelu(x: ArrayLike, approximate: bool = False) -> np.ndarray:
    """x · Φ(x), Φ the normal distribution's, or its approximation by tanh (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    approximate : bool, default False
        Whether by tanh.
    """
    x = _real(x)
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return (0.5 * x * (1 + (erf(x / math.sqrt(2)) if x.size else x))).astype(x.dtype)


def silu(x: ArrayLike) -> np.ndarray:
    """x · sigmoid(x) (Elfwing et al., 2018; swish: Ramachandran et al., 2017)."""
    x = _real(x)
    return x * sigmoid(x)


def swish(x: ArrayLike) -> np.ndarray:
    """The same as `silu`."""
    return silu(x)


def softplus(x: ArrayLike) -> np.ndarray:
    """log(1 + exp(x)) (Glorot et al., 2011)."""
    x = _real(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softsign(x: ArrayLike) -> np.ndarray:
    """x / (1 + |x|)."""
    x = _real(x)
    return x / (1 + np.abs(x))


def mish(x: ArrayLike) -> np.ndarray:
    """x · tanh(softplus(x)) (Misra, 2019)."""
    x = _real(x)
    return x * np.tanh(softplus(x))


def exponential(x: ArrayLike) -> np.ndarray:
    """exp(x)."""
    return np.exp(_real(x))


def relu6(x: ArrayLike) -> np.ndarray:
    """min(max(x, 0), 6) (Krizhevsky, 2010)."""
    return np.clip(_real(x), 0, 6)


def hard_sigmoid(x: ArrayLike) -> np.ndarray:
    """x / 6 + 1/2, limited to 0 … 1."""
    return np.clip(_real(x) / 6 + 0.5, 0, 1)


def hard_silu(x: ArrayLike) -> np.ndarray:
    """x · hard_sigmoid(x) (Howard et al., 2019)."""
    x = _real(x)
    return x * hard_sigmoid(x)


def hard_swish(x: ArrayLike) -> np.ndarray:
    """The same as `hard_silu`."""
    return hard_silu(x)


def hard_tanh(x: ArrayLike) -> np.ndarray:
    """x, limited to −1 … 1."""
    return np.clip(_real(x), -1, 1)


def tanh_shrink(x: ArrayLike) -> np.ndarray:
    """x − tanh(x)."""
    x = _real(x)
    return x - np.tanh(x)


def hard_shrink(x: ArrayLike, threshold: float = 0.5) -> np.ndarray:
    """x where |x| > threshold, else 0.

    Parameters
    ----------
    threshold : float, default 0.5
    """
    x = _real(x)
    return np.where(np.abs(x) > threshold, x, 0)


def soft_shrink(x: ArrayLike, threshold: float = 0.5) -> np.ndarray:
    """x, moved by `threshold` towards 0.

    Parameters
    ----------
    threshold : float, default 0.5
    """
    x = _real(x)
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


def threshold(x: ArrayLike, threshold: float, default_value: float) -> np.ndarray:
    """x where x > threshold, else `default_value`.

    Parameters
    ----------
    threshold : float
    default_value : float
    """
    x = _real(x)
    return np.where(x > threshold, x, np.asarray(default_value, x.dtype))


def squareplus(x: ArrayLike, b: float = 4) -> np.ndarray:
    """(x + √(x² + b)) / 2 (Barron, 2021).

    Parameters
    ----------
    b : float, default 4
        The larger, the rounder.
    """
    x = _real(x)
    return (x + np.sqrt(x * x + b)) / 2


def sparse_plus(x: ArrayLike) -> np.ndarray:
    """0 up to −1, (x + 1)² / 4 up to 1, then x."""
    x = _real(x)
    return np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x))


def sparse_sigmoid(x: ArrayLike) -> np.ndarray:
    """(x + 1) / 2, limited to 0 … 1."""
    return np.clip((_real(x) + 1) / 2, 0, 1)


def log_sigmoid(x: ArrayLike) -> np.ndarray:
    """log sigmoid(x) = −softplus(−x)."""
    return -softplus(-_real(x))


def log_softmax(x: ArrayLike, axis: int = -1) -> np.ndarray:
    """log softmax(x) along an axis."""
    x = _real(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def nearest_probabilities(x: np.ndarray) -> np.ndarray:
    """Of each row of x (…, C), along the last axis, the nearest point whose numbers are 0 or more, and 1 together."""
    x = x - x.max(axis=-1, keepdims=True)  # beside large numbers, 1 would be nothing
    ordered = -np.sort(-x, axis=-1)
    ranks = np.cumsum(np.ones_like(x), axis=-1)  # 1, 2, …, C
    support = (1 + ranks * ordered > np.cumsum(ordered, axis=-1) + SPARSEMAX_EDGE).sum(axis=-1, keepdims=True)
    above = np.where(ranks <= support, ordered, 0)
    mean = (above.sum(axis=-1, keepdims=True) - 1) / support
    return np.where(x < above.min(axis=-1, keepdims=True), 0, np.maximum(x - mean, 0))


def sparsemax(x: ArrayLike, axis: int = -1) -> np.ndarray:
    """The nearest point to x among probabilities, which may be 0, along an axis (Martins and Astudillo, 2016)."""
    z = np.moveaxis(_real(x), axis, -1)
    return np.moveaxis(nearest_probabilities(z), -1, axis).astype(z.dtype)


def glu(x: ArrayLike, axis: int = -1) -> np.ndarray:
    """The first half of x along an axis times the sigmoid of the second one (Dauphin et al., 2017)."""
    x = _real(x)
    if x.shape[axis] % 2:
        raise ValueError(f"glu halves an axis of even length. Received: shape {x.shape}, axis={axis}")
    a, b = np.split(x, 2, axis=axis)
    return a * sigmoid(b)


stands_for(*(globals()[name] for name in __all__))
