"""Functions that go by the order of numbers, of recorded arrays: gradients go to the numbers that are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import Recorded, value_of


def as_places(indices: Any) -> np.ndarray:
    """Numbers of places, also those among a model's tensors, which are floats.

    Raises
    ------
    TypeError
        For numbers that are not whole.
    """
    found = np.asarray(value_of(indices))
    if found.dtype.kind != "f":
        return found
    with np.errstate(invalid="ignore"):
        places = found.astype(np.int64)
    if not np.array_equal(places, found):
        raise TypeError(f"places along an axis are whole numbers. Received: {found!r}")
    return places


def along(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The numbers in these places along an axis, or of all numbers in a row."""
    if axis is None:
        x, indices, axis = np.reshape(x, -1), np.reshape(indices, -1), 0
    if not isinstance(x, Recorded):
        return np.take_along_axis(x, indices, axis)
    axis = int(axis) % x.ndim
    places: list[Any] = list(np.ogrid[tuple(slice(0, n) for n in x.shape)])
    places[axis] = indices
    return x[tuple(places)]


def _argsort(x, axis=-1):
    return np.argsort(value_of(x), axis, kind="stable").astype("int32")


def _sort(x, axis=-1):
    return along(x, np.argsort(value_of(x), axis, kind="stable"), axis)


_METHODS = {  # which share of the way from the number below to the one above, of a rank between both
    "linear": lambda rank: rank - np.floor(rank),
    "lower": np.zeros_like,
    "higher": lambda rank: np.ceil(rank) - np.floor(rank),
    "midpoint": lambda rank: np.where(rank > np.floor(rank), 0.5, 0.0),
    "nearest": lambda rank: np.round(rank) - np.floor(rank),  # the even one of two
}


def _quantile(x, q, axis=None, method="linear", keepdims=False):
    check_choice("method", method, tuple(_METHODS))
    axes = range(x.ndim) if axis is None else [int(a) % x.ndim for a in np.atleast_1d(axis)]
    kept = [a for a in range(x.ndim) if a not in axes]
    rows = np.reshape(np.transpose(x, (*kept, *axes)), (*(x.shape[a] for a in kept), -1))  # (…, count)
    rows = _sort(rows)
    asked = np.asarray(value_of(q), np.float64)
    if not ((asked >= 0) & (asked <= 1)).all():
        raise ValueError(f"shares are from 0 to 1. Received: q={q!r}")
    rank = asked.ravel() * (rows.shape[-1] - 1)
    below = np.floor(rank).astype(int)
    share = _METHODS[method](rank).astype(x.dtype)
    above = np.minimum(below + 1, rows.shape[-1] - 1)
    made = np.where(share < 1, rows[..., below], 0) * (1 - share)  # (…, len(q))
    made = made + np.where(share > 0, rows[..., above], 0) * share
    made = np.where(np.isnan(value_of(rows)).any(-1, keepdims=True), made.dtype.type(np.nan), made)
    made = np.moveaxis(made, -1, 0)
    sizes = [1 if a in axes else n for a, n in enumerate(x.shape)] if keepdims else made.shape[1:]
    return np.reshape(made, (*asked.shape, *sizes))


def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """What a share q of the numbers along axes is not above.

    Parameters
    ----------
    x : array
    q : float or array of float
        From 0 to 1; several make a first axis of the result.
    axis : int or tuple of int, optional
        Default: all.
    method : str, default "linear"
        Between two numbers: "linear", "lower", "higher", "midpoint" or "nearest".
    keepdims : bool, default False
    """
    function = _quantile if isinstance(x, Recorded) else np.quantile
    return function(x, q, axis=axis, method=method, keepdims=keepdims)


def _median(x, axis=None, keepdims=False):
    return _quantile(x, 0.5, axis, keepdims=keepdims)


def extremes_of_segments(data: Recorded, ids: np.ndarray, made: np.ndarray) -> Recorded:
    """What segments have made of recorded numbers, (count, …); equal extremes share the gradient, as in TensorFlow.

    Parameters
    ----------
    data : Recorded (N, …)
    ids : array (N,) of int
        The segment of each part; below 0 none.
    made : array (count, …)
    """
    is_extreme = (data.value == made[ids]) & (ids >= 0).reshape(-1, *[1] * (data.ndim - 1))
    counts = np.zeros(made.shape, data.dtype)
    np.add.at(counts, ids[ids >= 0], is_extreme[ids >= 0])
    share = is_extreme / np.maximum(counts, 1)[ids]
    return Recorded(made, [(data, lambda g: g[ids] * share)])


def products_of_segments(data: Recorded, ids: np.ndarray, made: np.ndarray) -> Recorded:
    """As `extremes_of_segments`, of products: the gradient by a number is the product of the others."""
    known, values = ids >= 0, data.value
    products, zeros = np.ones_like(made), np.zeros(made.shape, int)  # of the numbers that are not 0; how many are
    np.multiply.at(products, ids[known], np.where(values == 0, 1, values)[known])
    np.add.at(zeros, ids[known], (values == 0)[known])
    others = np.where(values == 0, products[ids] * (zeros[ids] == 1), made[ids] / np.where(values == 0, 1, values))
    others = (others * known.reshape(-1, *[1] * (data.ndim - 1))).astype(data.dtype)

    def back(g):
        if isinstance(g, Recorded):
            raise TypeError("products of segments are differentiated once. Received: a gradient that is differentiated")
        return g[ids] * others

    return Recorded(made, [(data, back)])


ORDERS: dict[str, Callable[..., Any]] = {"argsort": _argsort, "median": _median, "sort": _sort}
"""Name of ``keras.ops`` → function of recorded arrays."""
