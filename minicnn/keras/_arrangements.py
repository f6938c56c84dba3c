"""Functions of recorded arrays that arrange or pair numbers, and those that count, ask or find places."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import Recorded, value_of
from minicnn.keras._new_arrays import in_named_dtype
from minicnn.keras._recorded_pairs import PAIRS


def _below(x, k):
    """Which places of a matrix are in its lower triangle; a row stands for all of one, as in NumPy."""
    return np.tri(*x.shape[-2:] if x.ndim > 1 else 2 * x.shape, k, dtype=bool)


def _lower(x, k=0):
    return np.where(_below(x, k), x, x.dtype.type(0))


def _upper(x, k=0):
    return np.where(_below(x, k - 1), x.dtype.type(0), x)


def _trace(x, offset=0, axis1=0, axis2=1):
    return np.sum(np.diagonal(x, offset, axis1, axis2), axis=-1)


def _diag(x, k=0):
    if x.ndim == 2:
        return np.diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"diag takes a row or a matrix. Received: an array of shape {x.shape}")
    n = x.shape[0]
    wide = np.where(np.eye(n, n + abs(k), max(k, 0), dtype=bool), x[:, None], x.dtype.type(0))  # (n, n + |k|)
    rows = ((0, k), (0, 0)) if k > 0 else ((-k, 0), (0, 0))
    return np.pad(wide, rows)


def _diagflat(x, k=0):
    return _diag(np.reshape(x, -1), k)


def _outer(x1, x2):
    return np.reshape(x1, (-1, 1)) * np.reshape(x2, (1, -1))


def _inner(x1, x2):
    if not np.ndim(value_of(x1)) or not np.ndim(value_of(x2)):
        return x1 * x2
    made = np.reshape(x1, (-1, x1.shape[-1])) @ np.transpose(np.reshape(x2, (-1, x2.shape[-1])))  # (rows, rows)
    return np.reshape(made, (*x1.shape[:-1], *x2.shape[:-1]))


def _vdot(x1, x2):
    return np.sum(np.reshape(x1, -1) * np.reshape(x2, -1))


def _joined(axis, with_axes):
    """``np.hstack`` and its like, which give arrays of few axes further ones first."""

    def function(xs):
        parts = [np.reshape(x, with_axes.get(np.ndim(value_of(x)), np.array)(np.shape(value_of(x)))) for x in xs]
        return np.concatenate(parts, axis=axis if parts[0].ndim > axis else 0)

    return function


_IN_ROWS = {0: lambda shape: (1, 1), 1: lambda shape: (1, *shape)}
_IN_DEPTH = {0: lambda shape: (1, 1, 1), 1: lambda shape: (1, *shape, 1), 2: lambda shape: (*shape, 1)}


def _meshgrid(*xs, indexing="xy"):
    check_choice("indexing", indexing, ("xy", "ij"))
    rows = [np.reshape(x, -1) for x in xs]
    sizes = [len(row) for row in rows]
    spread = [
        np.broadcast_to(np.reshape(row, [-1 if i == at else 1 for i in range(len(rows))]), sizes)
        for at, row in enumerate(rows)
    ]
    return [np.swapaxes(each, 0, 1) for each in spread] if indexing == "xy" and len(rows) > 1 else spread


def _of_values(name):
    plain = getattr(np, name, None) or getattr(np.linalg, name)
    return wraps(plain)(lambda *args, **kwargs: plain(*map(value_of, args), **kwargs))


ARRANGEMENTS: dict[str, Callable[..., Any]] = {
    **PAIRS,
    "tril": _lower,
    "triu": _upper,
    "trace": _trace,
    "diag": _diag,
    "diagflat": _diagflat,
    "outer": _outer,
    "inner": _inner,
    "vdot": _vdot,
    "hstack": _joined(1, {0: lambda shape: (1,)}),
    "vstack": _joined(0, _IN_ROWS),
    "dstack": _joined(2, _IN_DEPTH),
    "meshgrid": _meshgrid,
    "copy": lambda x: x,
    "array": lambda x, dtype=None: x if dtype is None else in_named_dtype(x, dtype),
}
ARRANGEMENTS |= {
    name: _of_values(name)
    for name in (
        *("allclose", "argpartition", "bincount", "count_nonzero", "digitize", "histogram", "isclose", "isin"),
        *("isneginf", "isposinf", "isreal", "logical_xor", "matrix_rank", "nanargmax", "nanargmin", "nonzero"),
        *("signbit", "unique"),
    )
}
"""Name → function; of the latter no gradient comes, as in TensorFlow."""


def arranged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of this name, which gives recorded arrays, alone or in a list, to the one above."""
    if name not in ARRANGEMENTS:
        return function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        parts = [part for each in args for part in (each if isinstance(each, list | tuple) else [each])]
        is_recorded = any(isinstance(part, Recorded) for part in parts)
        return (ARRANGEMENTS[name] if is_recorded else function)(*args, **kwargs)

    return call
