"""Activations of recorded arrays, and their products, through which gradients go back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import activations
from minicnn.backends.reference.activation import FORMULAS
from minicnn.checks import check_number
from minicnn.differentiation import Recorded, beside, flat, value_of
from minicnn.keras._arrangements import ARRANGEMENTS
from minicnn.keras._last_function import ending
from minicnn.keras._orders import ORDERS
from minicnn.reverse_mode import conjugated


def _softmax(x, axis=-1):
    powers = np.exp(x - np.max(value_of(x), axis=axis, keepdims=True))
    return powers / np.sum(powers, axis=axis, keepdims=True)


def _log_softmax(x, axis=-1):
    shifted = x - np.max(value_of(x), axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def _relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    for name, value in (("negative_slope", negative_slope), ("max_value", max_value or 0), ("threshold", threshold)):
        check_number(name, value)
    zero = x.dtype.type(0)
    is_below = x.value <= threshold  # so that NaN is handed on
    below = (x.value - threshold) * negative_slope if negative_slope else zero  # not 0 · ∞
    above = x.value if max_value is None else np.minimum(x.value, x.dtype.type(max_value))
    slope = np.where(is_below, x.dtype.type(negative_slope), x.dtype.type(1))
    slope[_is_flat(x.value, negative_slope, max_value, threshold)] = 0

    def back(g):
        passed = np.where(slope == 0, zero, g) * slope
        return passed + flat(np.zeros_like(x.value), x) if isinstance(g, Recorded) else passed  # 0, as in TensorFlow

    return Recorded(np.where(is_below, below, above), [(x, back)])


def _is_flat(x, negative_slope, max_value, threshold):
    """Where ReLU's gradient is 0 in Keras whatever the slope: at the threshold, but a leaky one's, and from its end."""
    is_leaky = bool(negative_slope) and max_value is None and not threshold
    is_flat = (x == threshold) & (not is_leaky)
    if max_value is None:
        return is_flat
    is_relu6 = max_value == 6 and not threshold  # an operation of TensorFlow's own; others are clips
    return is_flat | (x > max_value) | ((x == max_value) & is_relu6)


def by_slope(name):
    """An activation whose derivative stands beside it."""
    formula = FORMULAS[name]

    def back(g, x):
        slope = formula.slope(beside(g, x))
        return g * (slope if isinstance(slope, Recorded) else flat(slope, beside(g, x)))

    return lambda x: Recorded(formula.value(x.value), [(x, lambda g: back(g, x))])


def _gelu(x, approximate=False):
    if not approximate:
        return x * (by_slope("erf")(x * math.sqrt(0.5)) + 1) * 0.5
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _sigmoid(x):
    return (1 + np.tanh(x * 0.5)) * 0.5


def _glu(x, axis=-1):
    if x.shape[axis] % 2:
        raise ValueError(f"glu halves an axis of even length. Received: shape {x.shape}, axis={axis}")
    first, second = (np.take(x, half, axis=axis) for half in np.split(np.arange(x.shape[axis]), 2))
    return first * _sigmoid(second)


def _sparsemax(x, axis=-1):
    """Martins, Astudillo, "From softmax to sparsemax" (2016): a gradient less its mean over what is above 0."""
    y = activations.sparsemax(x.value, axis)
    above = y > 0

    def back(g):
        return above * (g - np.sum(g * above, axis=axis, keepdims=True) / np.sum(above, axis=axis, keepdims=True))

    return Recorded(y, [(x, back)])


def _dot(a, b):
    """``np.dot``, also where the second array has more than two axes: it sums over the last one but one."""
    if np.ndim(value_of(b)) < 3 or not np.ndim(value_of(a)):
        return np.dot(a, b)
    last = b.ndim - 1
    rows = np.transpose(b, (last - 1, *range(last - 1), last))
    made = a @ np.reshape(rows, (rows.shape[0], -1))
    return np.reshape(made, (*made.shape[:-1], *rows.shape[1:]))


def log_sum_of_powers(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log of the sum of exp(x), without overflow; of numbers that are all -∞ it is -∞, and ∞ where one is ∞."""
    greatest = np.max(value_of(x), axis=axis, keepdims=True)
    greatest = np.where(np.isfinite(greatest), greatest, greatest.dtype.type(0))  # as ∞ - ∞ is nothing
    with np.errstate(divide="ignore"):  # the log of 0 is -∞
        total = np.log(np.sum(np.exp(x - greatest), axis=axis, keepdims=True)) + greatest
    return total if keepdims else np.squeeze(total, tuple(range(x.ndim)) if axis is None else axis)


def _prod(x, axis=None, dtype=None, keepdims=False):
    """``np.prod``, whose gradient by a number is the product of the others, also where there are zeros."""
    if not isinstance(x, Recorded):
        return np.prod(x, axis=axis, dtype=dtype, keepdims=keepdims)
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
    axes = tuple(int(a) % x.ndim for a in axes)
    made = np.prod(x.value, axis=axes, dtype=dtype, keepdims=keepdims)

    def back(g):
        kept = [a for a in range(x.ndim) if a not in axes]
        rows = np.transpose(beside(g, x), (*kept, *axes))
        rows = np.reshape(rows, (*rows.shape[: len(kept)], -1))  # (…, count)
        count = rows.shape[-1]
        spread = np.where(np.eye(count, dtype=bool), x.dtype.type(1), np.expand_dims(rows, -2))  # (…, count, count)
        others = spread[..., 0]
        for i in range(1, count):
            others = others * spread[..., i]  # of each place, without itself
        sizes = [x.shape[a] for a in (*kept, *axes)]
        others = np.transpose(np.reshape(others, sizes), np.argsort((*kept, *axes)))
        return np.reshape(g, [1 if a in axes else n for a, n in enumerate(x.shape)]) * conjugated(others)

    return Recorded(made, [(x, back)])


def _from_the_end(x, axis):
    """The sums of each number and all behind it."""
    return np.flip(_cumsum(np.flip(x, axis), axis), axis)


def _cumsum(x, axis=None, dtype=None):
    x, axis = (np.ravel(x), 0) if axis is None else (x, axis)
    if not isinstance(x, Recorded):
        return np.cumsum(x, axis, dtype)
    return Recorded(np.cumsum(x.value, axis, dtype), [(x, lambda g: _from_the_end(g, axis))])


def _cumprod(x, axis=None):
    x, axis = (np.ravel(x), 0) if axis is None else (x, axis)
    if not isinstance(x, Recorded):
        return np.cumprod(x, axis)

    def back(g, x):
        zeros = np.cumsum(value_of(x) == 0, axis)  # up to each number: behind the first one, products do not change
        is_first = (zeros == 1) & (value_of(x) == 0)
        by_first = _from_the_end(g * _cumprod(np.where(is_first, 1, x), axis), axis)
        return np.where(is_first, by_first, _from_the_end(g * _cumprod(x, axis), axis) / np.where(zeros > 0, 1, x))

    return Recorded(np.cumprod(x.value, axis), [(x, lambda g: back(g, beside(g, x)))])


OF_RECORDED: dict[str, Callable[..., Any]] = {
    **ORDERS,
    **ARRANGEMENTS,
    **{name: by_slope(name) for name in FORMULAS if name != "erf"},
    "cumsum": _cumsum,
    "cumprod": _cumprod,
    "dot": _dot,
    "prod": _prod,
    "logsumexp": log_sum_of_powers,
    "relu": _relu,
    "leaky_relu": lambda x, negative_slope=0.2: _relu(x, negative_slope),
    "relu6": lambda x: _relu(x, max_value=6.0),
    "sigmoid": ending("sigmoid", _sigmoid),
    "softmax": ending("softmax", _softmax),
    "log_softmax": _log_softmax,
    "elu": lambda x, alpha=1.0: np.where(value_of(x) > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "celu": lambda x, alpha=1.0: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha),
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "exponential": np.exp,
    "mish": lambda x: x * np.tanh(by_slope("softplus")(x)),
    "gelu": _gelu,
    "glu": _glu,
    "hard_shrink": lambda x, threshold=0.5: np.where(np.abs(value_of(x)) > threshold, x, 0.0),
    "hard_swish": by_slope("hard_silu"),
    "soft_shrink": lambda x, threshold=0.5: x - np.clip(x, -threshold, threshold),
    "sparsemax": _sparsemax,
    "squareplus": lambda x, b=4: (x + np.sqrt(x * x + b)) / 2,
    "threshold": lambda x, threshold, default_value: np.where(value_of(x) > threshold, x, default_value),
    "sign": lambda x: flat(np.sign(x.value), x),
}
"""Name → function; of what has a derivative of 0, sign alone, as in TensorFlow."""
