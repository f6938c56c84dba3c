"""Activation functions, and their derivatives: a table for `pointwise`."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.backends.memory import Array

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # mean 0 and variance 1 are a fixed point
SHRINK = 0.5  # hard_shrink's and soft_shrink's threshold, Keras's default
_SQRT_HALF, _DENSITY = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)


class Formula(NamedTuple):
    """A function of x, and its derivative as a function of x."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, which cannot overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) (Dugas, Bengio, Bélisle, Nadeau, Garcia, 2001), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def erf(x: Array) -> Array:
    """2/√π · ∫ exp(-t²) dt from 0 to x, by the midpoint rule with a correction for its poles.

    erf(x) = tanh(πx/h) - 2hx/π · exp(-x²) · Σ over k ≥ 0 of exp(-t²) / (t² + x²), t = (k + 1/2)·h, up to exp(-(π/h)²)
    (Chiarella, Reichel: "On the evaluation of integrals related to the error function", 1968).
    """
    x = np.clip(x, -6, 6)  # beyond, it is ±1 in float64 too; but 0 · ∞ is NaN
    h, terms = (0.75, 6) if x.dtype == np.float32 else (0.5, 13)
    square, total = x * x, np.zeros_like(x)
    for k in range(terms):
        t = (k + 0.5) * h
        total += math.exp(-t * t) / (square + t * t)
    return np.tanh((math.pi / h) * x) - (2 * h / math.pi) * x * np.exp(-square) * total


def _normal_cdf(x):
    return 0.5 + 0.5 * erf(_SQRT_HALF * x)


def _gelu_slope(x):
    return _normal_cdf(x) + x * (_DENSITY * np.exp(-0.5 * x * x))


def _silu_slope(x):
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def _mish_slope(x):
    t = np.tanh(softplus(x))
    return t + x * sigmoid(x) * (1 - t * t)


def _hard_sigmoid(x):
    return np.clip(x, -3, 3) / 6 + 0.5


def _hard_silu_slope(x):
    return np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0)


def _elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _elu_slope(x):
    return np.exp(np.minimum(x, 0))


def _selu_slope(x):
    return SELU_SCALE * np.where(x >= 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0)))


def _sparse_plus(x):
    return np.where(x >= 1, x, np.square(np.maximum(x, -1) + 1) / 4)


FORMULAS: dict[str, Formula] = {
    # Clevert, Unterthiner, Hochreiter: "Fast and accurate deep network learning by ELUs" (2015)
    "elu": Formula(_elu, _elu_slope),
    "erf": Formula(erf, lambda x: (2 * _SQRT_HALF * 2 * _DENSITY) * np.exp(-x * x)),
    "exponential": Formula(np.exp, np.exp),
    # Hendrycks, Gimpel: "Gaussian error linear units" (2016): x · P(a standard normal number ≤ x)
    "gelu": Formula(lambda x: x * _normal_cdf(x), _gelu_slope),
    "hard_shrink": Formula(lambda x: x * (np.abs(x) > SHRINK), lambda x: np.abs(x) > SHRINK),
    # Courbariaux, Bengio, David: "BinaryConnect" (2015); with these slopes: Howard and others (2019)
    "hard_sigmoid": Formula(_hard_sigmoid, lambda x: (np.abs(x) < 3) / 6),
    # Howard and others: "Searching for MobileNetV3" (2019)
    "hard_silu": Formula(lambda x: x * _hard_sigmoid(x), _hard_silu_slope),
    "hard_tanh": Formula(lambda x: np.clip(x, -1, 1), lambda x: np.abs(x) <= 1),
    "log_sigmoid": Formula(lambda x: -softplus(-x), lambda x: sigmoid(-x)),
    # Misra: "Mish: a self regularized non-monotonic activation function" (2019)
    "mish": Formula(lambda x: x * np.tanh(softplus(x)), _mish_slope),
    # Klambauer, Unterthiner, Mayr, Hochreiter: "Self-normalizing neural networks" (2017)
    "selu": Formula(lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))), _selu_slope),
    # Elfwing, Uchibe, Doya (2017); Ramachandran, Zoph, Le: "Searching for activation functions" (2017), as Swish
    "silu": Formula(lambda x: x * sigmoid(x), _silu_slope),
    "soft_shrink": Formula(lambda x: x - np.clip(x, -SHRINK, SHRINK), lambda x: np.abs(x) > SHRINK),
    "softplus": Formula(softplus, sigmoid),
    # Bergstra, Desjardins, Lamblin, Bengio: "Quadratic polynomials learn better image features" (2009)
    "softsign": Formula(lambda x: x / (1 + np.abs(x)), lambda x: 1 / np.square(1 + np.abs(x))),
    "sparse_plus": Formula(_sparse_plus, lambda x: np.clip(x / 2 + 0.5, 0, 1)),
    "sparse_sigmoid": Formula(lambda x: np.clip(x / 2 + 0.5, 0, 1), lambda x: (np.abs(x) < 1) / 2),
    # Barron: "Squareplus: a softplus-like algebraic rectifier" (2021), with b = 4
    "squareplus": Formula(lambda x: (x + np.sqrt(x * x + 4)) / 2, lambda x: (1 + x / np.sqrt(x * x + 4)) / 2),
    "tanh_shrink": Formula(lambda x: x - np.tanh(x), lambda x: np.square(np.tanh(x))),
}
"""By Keras's names, all with its default arguments; erf for what other programs write of gelu."""
