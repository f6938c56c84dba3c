"""Functions of ``keras.ops`` that scripts differentiate rarely, for recorded arrays: of pairs and rows of numbers.

Gradients are TensorFlow's, but that of `sinc` at 0, which is 0; there TensorFlow's is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import value_of


def _without_nan(of_two):
    """``np.fmin`` and ``np.fmax``: where one of two numbers is NaN, the other counts."""

    def function(x1: Any, x2: Any) -> Any:
        is_first, is_second = (np.isnan(value_of(other)) & ~np.isnan(value_of(x)) for x, other in ((x1, x2), (x2, x1)))
        return np.where(is_second, x2, np.where(is_first, x1, of_two(x1, x2)))

    return function


def _fmod(x1: Any, x2: Any) -> Any:
    """What remains of x1 / x2, with the sign of x1."""
    return np.sign(value_of(x1)) * np.remainder(np.abs(x1), np.abs(x2))


def _heaviside(x1: Any, x2: Any) -> Any:
    """0 below 0, 1 above, and x2 at 0; its gradient by x1 is none."""
    x1 = np.asarray(value_of(x1))
    return np.where(x1 == 0, x2, np.where(np.isnan(x1), x1, (x1 > 0).astype(x1.dtype)))


def _nextafter(x1: Any, x2: Any) -> Any:
    """The number after x1 towards x2, which grows as x1 does."""
    return x1 + 0 * x2 + (np.nextafter(value_of(x1), value_of(x2)) - value_of(x1))


def _kron(x1: Any, x2: Any) -> Any:
    """A block of x2 for each number of x1."""
    count = max(np.ndim(value_of(x1)), np.ndim(value_of(x2)))
    first, second = ((1,) * (count - np.ndim(value_of(x))) + np.shape(value_of(x)) for x in (x1, x2))
    blocks = np.reshape(x1, [n for size in first for n in (size, 1)])  # (n1, 1, n2, 1, …)
    inner = np.reshape(x2, [n for size in second for n in (1, size)])  # (1, m1, 1, m2, …)
    return np.reshape(blocks * inner, [a * b for a, b in zip(first, second, strict=True)])


def _sinc(x: Any) -> Any:
    """sin(π·x) / (π·x), and 1 at 0."""
    is_zero = value_of(x) == 0
    turns = np.where(is_zero, 1, x) * math.pi
    return np.where(is_zero, 1, np.sin(turns) / turns)


def _linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """`num` numbers from start to stop, along a new axis."""
    gaps = num - 1 if endpoint else num
    step = (stop - start) / max(gaps, 1)
    count = max(np.ndim(value_of(start)), np.ndim(value_of(stop)))
    places = np.arange(num, dtype=step.dtype).reshape(-1, *[1] * count)  # (num, 1, …)
    made = np.moveaxis(places * step + start, 0, axis)
    made = made if dtype is None else made.astype(dtype)
    return (made, step) if retstep else made


def _select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Where a condition is true, the choice beside it; of several the first counts, and of none the default."""
    pairs = zip(condlist, choicelist, strict=True)
    return reduce(lambda made, pair: np.where(value_of(pair[0]), pair[1], made), reversed(list(pairs)), default)


def _correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """Sums of products of a row (N,) with another (M,) that is moved along it."""
    check_choice("mode", mode, ("valid", "same", "full"))
    n, m = (x.shape[0] for x in (x1, x2))
    full = np.pad(x1, m - 1)[np.arange(n + m - 1)[:, None] + np.arange(m)] @ x2  # (N + M - 1,)
    return full[part_of_full(n, m, mode)]


def part_of_full(n: int, m: int, mode: str) -> slice:
    """Where a correlation's numbers are among all of them, (N + M - 1,).

    "same" is the middle of max(N, M), one place further left where two are; NumPy, which exchanges the rows where the
    first is the shorter one, has it further right there.

    Parameters
    ----------
    n, m : int
        How long the rows are.
    mode : {"valid", "same", "full"}
    """
    less, more = min(n, m), max(n, m)
    begin, count = {"valid": (less - 1, more - less + 1), "same": ((less - 1) // 2, more)}.get(mode, (0, n + m - 1))
    return slice(begin, begin + count)


def _corrcoef(x: Any) -> Any:
    """The correlations of rows (rows, numbers) with each other, from -1 to 1."""
    rows = np.reshape(x, (-1, x.shape[-1]))
    away = rows - np.mean(rows, axis=-1, keepdims=True)
    products = away @ np.transpose(away)  # (rows, rows)
    lengths = np.sqrt(np.diagonal(products))
    made = products / (lengths[:, None] * lengths)
    return made if x.ndim > 1 else made[0, 0]


PAIRS: dict[str, Callable[..., Any]] = {
    "fmin": _without_nan(np.minimum),
    "fmax": _without_nan(np.maximum),
    "fmod": _fmod,
    "heaviside": _heaviside,
    "nextafter": _nextafter,
    "kron": _kron,
    "sinc": _sinc,
    "linspace": _linspace,
    "select": _select,
    "correlate": _correlate,
    "corrcoef": _corrcoef,
}
"""Name → function."""
