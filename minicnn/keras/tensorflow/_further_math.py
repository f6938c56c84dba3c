"""Functions of numbers that scripts take from ``tf.math`` and ``tf`` rarely, and that NumPy has not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, beside, value_of
from minicnn.keras import ops
from minicnn.keras._operations import entering
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.keras.tensorflow._of_1_arguments import today

__all__ = ["digamma", "is_non_decreasing", "is_strictly_increasing", "lgamma", "reverse_sequence"]
__all__ += ["segment_max", "segment_min"]
_SERIES = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)  # of digamma, by 1 / x²


@entering
def lgamma(x: Any, name: str | None = None) -> Any:
    """The logarithm of |Γ(x)|, whose gradient is `digamma`."""
    x = as_tensor(x)
    numbers = np.asarray(value_of(x))
    _check_floats("lgamma", numbers)
    made = np.asarray(np.frompyfunc(_lgamma, 1, 1)(numbers.astype("float64")), "float64").astype(numbers.dtype)
    if isinstance(x, Recorded):
        return Recorded(made, [(x, lambda gradient: gradient * digamma(beside(gradient, x)))])
    return of_tensorflow(made)


def _lgamma(x):
    try:
        return math.lgamma(x)
    except ValueError:  # 0, -1, -2, …
        return math.inf


@entering
def digamma(x: Any, name: str | None = None) -> Any:
    """The derivative of `lgamma`, NaN at 0, -1, -2, …; its own derivative is not differentiated.

    Raises
    ------
    TypeError
        For numbers that are no floats.

    References
    ----------
    Abramowitz, Stegun, "Handbook of Mathematical Functions", 1964, 6.3.5, 6.3.7 and 6.3.18.
    """
    x = as_tensor(x)
    numbers = np.asarray(value_of(x))
    _check_floats("digamma", numbers)
    with np.errstate(all="ignore"):
        given = numbers.astype("float64")
        is_left = given <= 0
        y = np.where(is_left, 1 - given, given)  # reflected
        made = np.zeros_like(y)
        for _ in range(8):  # from where on the series is exact
            is_small = y < 8
            made, y = np.where(is_small, made - 1 / y, made), np.where(is_small, y + 1, y)
        series = sum(factor * y ** (-2.0 * (n + 1)) for n, factor in enumerate(_SERIES))
        made = made + np.log(y) - 0.5 / y + series
        turned = np.pi / np.tan(np.pi * np.remainder(given, 1))
        made = np.where(is_left, np.where(given % 1 == 0, np.nan, made - turned), made)
    made = made.astype(numbers.dtype)
    if isinstance(x, Recorded):
        return Recorded(made, [(x, lambda gradient: gradient * _trigamma(numbers))])
    return of_tensorflow(made)


def _trigamma(numbers):
    """The derivative of `digamma`: 6.4.6, 6.4.7 and 6.4.12 of the same."""
    with np.errstate(all="ignore"):
        given = numbers.astype("float64")
        is_left = given <= 0
        y = np.where(is_left, 1 - given, given)
        made = np.zeros_like(y)
        for _ in range(8):
            is_small = y < 8
            made, y = np.where(is_small, made + y**-2.0, made), np.where(is_small, y + 1, y)
        series = sum(-2 * (n + 1) * factor * y ** (-2.0 * n - 3) for n, factor in enumerate(_SERIES))
        made = made + 1 / y + 0.5 / y**2 + series
        turned = (np.pi / np.sin(np.pi * np.remainder(given, 1))) ** 2
        return np.where(is_left, np.where(given % 1 == 0, np.nan, turned - made), made).astype(numbers.dtype)


def _check_floats(name, numbers):
    if numbers.dtype.kind != "f":
        raise TypeError(f"tf.math.{name} takes floats: tf.cast(x, tf.float32). Received: {numbers.dtype}")


def _extreme(kind: str) -> Callable[..., Any]:
    """``tf.math.segment_max`` and its like, which give 0 for a segment that there is not."""

    @entering
    def call(data: Any, segment_ids: Any, name: str | None = None) -> Any:
        ids = np.asarray(value_of(segment_ids))
        made = getattr(ops, f"segment_{kind}")(as_tensor(data), ids)
        is_there = np.isin(np.arange(made.shape[0]), ids).reshape(-1, *[1] * (made.ndim - 1))
        return of_tensorflow(np.where(is_there, made, made.dtype.type(0)))

    call.__name__ = f"segment_{kind}"
    call.__doc__ = f"The {kind} of the parts along the first axis that have one number in `segment_ids`, or 0."
    return call


segment_max, segment_min = _extreme("max"), _extreme("min")


def is_non_decreasing(x: Any, name: str | None = None) -> Any:
    """Whether no number is less than the one before it."""
    numbers = np.ravel(value_of(x))
    return of_tensorflow(np.asarray((numbers[1:] >= numbers[:-1]).all()))


def is_strictly_increasing(x: Any, name: str | None = None) -> Any:
    """Whether every number is greater than the one before it."""
    numbers = np.ravel(value_of(x))
    return of_tensorflow(np.asarray((numbers[1:] > numbers[:-1]).all()))


@today(seq_dim="seq_axis", batch_dim="batch_axis")
@entering
def reverse_sequence(
    input: Any, seq_lengths: Any, seq_axis: int | None = None, batch_axis: int | None = None, name: str | None = None
) -> Any:
    """The first ``seq_lengths[i]`` numbers along an axis turned round, for each part i along another one.

    Parameters
    ----------
    input : array
    seq_lengths : array of int
        As many as `batch_axis` is long.
    seq_axis : int
    batch_axis : int, default 0
    name : str, optional
        Not used.

    Raises
    ------
    ValueError
        For lengths that do not fit.
    """
    x, lengths = as_tensor(input), np.asarray(value_of(seq_lengths))
    if seq_axis is None:
        raise ValueError("tf.reverse_sequence takes the axis that is turned round. Expected seq_axis=1. Received: None")
    along, over = (range(len(x.shape))[int(axis or 0)] for axis in (seq_axis, batch_axis))
    size = x.shape[along]
    if (
        along == over
        or lengths.shape != (x.shape[over],)
        or (lengths.size and not lengths.min() >= 0)
        or (lengths.size and lengths.max() > size)
    ):
        raise ValueError(
            f"seq_lengths has one number up to {size} for each of the {x.shape[over]} parts along batch_axis={over}, "
            f"which is another axis than seq_axis={along}. Received: {lengths.tolist()}"
        )
    at = np.arange(size)
    rows = np.where(at < lengths[:, None], lengths[:, None] - 1 - at, at)  # (parts, size)
    places = list(np.ogrid[tuple(slice(n) for n in x.shape)])
    rows = rows if over < along else rows.T
    places[along] = rows.reshape([n if axis in (along, over) else 1 for axis, n in enumerate(x.shape)])
    return of_tensorflow(x[tuple(places)])
