"""Functions of single numbers, of one or several arrays: a table; and their sums."""

from collections.abc import Callable
from functools import reduce

import numpy as np

from minicnn.backends.memory import Array
from minicnn.backends.reference.activation import FORMULAS, sigmoid

__all__ = ["pointwise", "pointwise_sum"]


def pointwise(y: Array, inputs: tuple[Array, ...], name: str, numbers: tuple[float, ...] = ()) -> None:
    """y = the function `name` of `FUNCTIONS` of the inputs and the numbers.

    Parameters
    ----------
    y : any shape, written
        May be one of the inputs.
    inputs : tuple of arrays
        Those of size 1 along an axis, or without one of the first axes, count for all of y.
    name : str
    numbers : tuple of float
    """
    y[...] = FUNCTIONS[name](*inputs, *numbers)


def pointwise_sum(
    y: Array, inputs: tuple[Array, ...], name: str, numbers: tuple[float, ...] = (), factor: float = 1.0
) -> None:
    """y = factor · Σ of the function `name` over the axes that y has not, or along which its size is 1.

    Parameters
    ----------
    y : written
        Its axes are the last ones of the inputs'.
    inputs, name, numbers :
        As for `pointwise`; the first input has all axes in full size.
    factor : float, default 1
    """
    values = FUNCTIONS[name](*inputs, *numbers)
    shape = (1,) * (values.ndim - y.ndim) + y.shape
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1)
    y[...] = values.sum(axis=axes, keepdims=True).reshape(y.shape)
    if factor != 1:
        y *= factor


# ------------------------------------------------------------------------------------------ activations with options


def _relu(x):
    return np.maximum(x, 0)


def _relu_gradient(x, dy):
    return np.where(x <= 0, 0, dy)  # not 0 · ∞; behind NaN, dy


def _capped_relu(x, highest):
    return np.where(x <= 0, 0, np.minimum(x, highest))


def _capped_relu_gradient(x, dy, highest):
    at_the_end = np.where(highest == 6, 0, dy)  # TensorFlow's relu6 is flat at 6; another limit is a clip, at no end
    return np.where(x <= 0, 0, np.where(x > highest, 0, np.where(x == highest, at_the_end, dy)))


def _leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x)


def _leaky_relu_gradient(x, dy, slope):
    return np.where(x > 0, dy, slope * dy)


def _elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_gradient_of_output(y, dy, alpha):
    return np.where(y > 0, dy, (y + alpha) * dy)


def _clip_gradient(x, dy, lowest, highest):
    return np.where(x < lowest, 0, np.where(x > highest, 0, dy))


# ------------------------------------------------------------------------------------------------- several arrays


def _sum(*xs):
    return reduce(np.add, xs)


def _first_holder(dy, y, *xs):
    """dy where the last x is y, and no other."""
    for x in xs[:-1]:
        dy = dy * (x != y)
    return dy * (xs[-1] == y)


Function = Callable[..., Array]
FUNCTIONS: dict[str, Function] = {
    "relu": _relu,
    "relu_gradient": _relu_gradient,
    "capped_relu": _capped_relu,
    "capped_relu_gradient": _capped_relu_gradient,
    "leaky_relu": _leaky_relu,
    "leaky_relu_gradient": _leaky_relu_gradient,
    "leaky_relu_slope_gradient": lambda x, dy: dy * np.minimum(x, 0),
    "elu_of_alpha": _elu,
    "elu_gradient_of_output": _elu_gradient_of_output,
    "sigmoid": sigmoid,
    "sigmoid_gradient_of_output": lambda y, dy: dy * (y * (1 - y)),
    "tanh": np.tanh,
    "tanh_gradient_of_output": lambda y, dy: dy * (1 - y * y),
    "add": _sum,
    "added_relu": lambda *xs: _relu(_sum(*xs)),
    "subtract": lambda a, b: a - b,
    "multiply": lambda *xs: reduce(np.multiply, xs),
    "divide": lambda a, b: a / b,
    "divisor_gradient": lambda dy, a, b: -dy * a / (b * b),
    "maximum": lambda *xs: reduce(np.maximum, xs),
    "minimum": lambda *xs: reduce(np.minimum, xs),
    "average": lambda *xs: _sum(*xs) / len(xs),
    "first_holder": _first_holder,
    "copy": lambda x: x,
    "clip": np.clip,
    "clip_gradient": _clip_gradient,
    "scale": lambda x, factor: x * factor,
    "scale_and_shift": lambda x, factor, shift: x * factor + shift,
    "standard_score": lambda x, mean, deviation: (x - mean) / deviation,
    "add_scaled": lambda x, other, factor: x + other * factor,
    "moved_to": lambda x, mask, rate, value, scale, shift: ((x - value) * (mask * (1 - rate)) + value) * scale + shift,
    "multiply_scaled": lambda x, other, factor: x * (other * factor),
}
"""Name → function of arrays, then numbers; "…_gradient": dx from (x, dy), "…_of_output" from (y, dy)."""

FUNCTIONS |= {name: formula.value for name, formula in FORMULAS.items()}
FUNCTIONS |= {
    f"{name}_gradient": lambda x, dy, slope=formula.slope: dy * slope(x) for name, formula in FORMULAS.items()
}
