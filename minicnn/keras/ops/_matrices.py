"""Functions of matrices, and of numbers with NaN among them, which NumPy computes: gradients for recorded arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, beside, value_of
from minicnn.keras._formulas import OF_RECORDED
from minicnn.keras.ops._decompositions import eigh, qr
from minicnn.reverse_mode import turned


def inv(x: Any) -> Any:
    """The inverses of matrices (…, N, N)."""
    made = np.linalg.inv(np.asarray(value_of(x)))
    if not isinstance(x, Recorded):
        return made

    def back(g):
        across = turned(inv(x) if isinstance(g, Recorded) else made)
        return -across @ g @ across

    return Recorded(made, [(x, back)])


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """The x of a @ x = b, for matrices a (…, N, N) of which one half counts, and b (…, N, K) or (…, N)."""
    name = "tril" if lower else "triu"
    half = OF_RECORDED[name](a) if isinstance(a, Recorded) else getattr(np, name)(a)
    is_row = np.ndim(value_of(b)) < np.ndim(value_of(a))
    if isinstance(a, Recorded) or isinstance(b, Recorded):
        return (inv(half) @ b[..., None])[..., 0] if is_row else inv(half) @ b
    made = np.linalg.solve(half, np.asarray(b)[..., None] if is_row else b)
    return made[..., 0] if is_row else made


def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """The inverses of A = L Lᵀ (or Uᵀ U), from triangles L or U (…, N, N), of which the other half does not count."""
    outer = solve_triangular(x, np.eye(x.shape[-1], dtype=x.dtype) + np.zeros(x.shape, x.dtype), lower=not upper)
    return outer @ turned(outer) if upper else turned(outer) @ outer


def pinv(x: Any, rcond: Any = None) -> Any:
    """The pseudo-inverses (…, N, M) of matrices (…, M, N); singular values up to `rcond` of the largest count as 0.

    Golub, Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems", 1973.
    """
    made = np.linalg.pinv(np.asarray(value_of(x)), rcond)
    if not isinstance(x, Recorded):
        return made

    def back(g):
        again, inverse = beside(g, x), pinv(x, rcond) if isinstance(g, Recorded) else made
        rows, columns = (np.eye(n, dtype=x.dtype) for n in x.shape[-2:])
        across, g = turned(inverse), turned(g)  # (…, M, N)
        outside = (rows - again @ inverse) @ g @ inverse @ across + across @ inverse @ g @ (columns - inverse @ again)
        return outside - across @ turned(g) @ across

    return Recorded(made, [(x, back)])


def det(x: Any) -> Any:
    """The determinants of matrices (…, N, N)."""
    made = np.linalg.det(np.asarray(value_of(x)))
    if not isinstance(x, Recorded):
        return made

    def back(g):
        again = beside(g, x)
        return _of_each(g * det(again)) * turned(inv(again))

    return Recorded(made, [(x, back)])


def slogdet(x: Any) -> Any:
    """(the sign, the logarithm of the size) of the determinants of matrices (…, N, N)."""
    sign, size = np.linalg.slogdet(np.asarray(value_of(x)))
    if not isinstance(x, Recorded):
        return np.linalg.slogdet(np.asarray(x))
    return sign, Recorded(size, [(x, lambda g: _of_each(g) * turned(inv(beside(g, x))))])


def logdet(x: Any) -> Any:
    """The logarithm of the determinant of matrices (…, N, N); NaN where that is negative."""
    sign, size = slogdet(x)
    return size * np.where(sign < 0, np.nan, 1).astype(size.dtype)  # so that its gradient is NaN, too


def cholesky(x: Any, upper: bool = False) -> Any:
    """The triangular L of L Lᵀ = x, for symmetric matrices (…, N, N), or its transpose; not differentiated twice."""
    made = np.linalg.cholesky(np.asarray(value_of(x)))
    if isinstance(x, Recorded):
        made = Recorded(made, [(x, lambda g: _by_cholesky(made.value, _once(g)))])
    return turned(made) if upper else made


def _by_cholesky(lower, g):
    """Murray, "Differentiation of the Cholesky decomposition", 2016."""
    inner = np.tril(turned(lower) @ g)
    inner = inner - np.eye(lower.shape[-1], dtype=lower.dtype) * inner / 2
    outer = np.linalg.inv(lower)
    made = turned(outer) @ inner @ outer
    return (made + turned(made)) / 2


def _once(g):
    """A gradient that is no value on a tape.

    Raises
    ------
    TypeError
        For one that is: the function is not differentiated twice.
    """
    if isinstance(g, Recorded):
        raise TypeError("keras.ops.cholesky is differentiated once. Received: a gradient that is differentiated itself")
    return g


def _of_each(numbers):
    """Numbers (…) as (…, 1, 1)."""
    return np.expand_dims(np.expand_dims(numbers, -1), -1)


def cross(x1: Any, x2: Any, *axes: Any, **named: Any) -> Any:
    """The products of vectors at right angles to both, as `numpy.cross` has them; recorded ones are (…, 3)."""
    is_plain = not isinstance(x1, Recorded) and not isinstance(x2, Recorded)
    if is_plain or axes or named or x1.shape[-1] != 3 or x2.shape[-1] != 3:
        return np.cross(x1, x2, *axes, **named)
    after, before = [1, 2, 0], [2, 0, 1]
    return x1[..., after] * x2[..., before] - x1[..., before] * x2[..., after]


def _without_nan(name: str, filled: float) -> Callable[..., Any]:
    """``nansum`` and its like: of recorded arrays the function without nan, of numbers that change nothing for NaN."""
    of_numpy = getattr(np, f"nan{name}")
    plain = OF_RECORDED.get(name, getattr(np, name))

    @wraps(of_numpy)
    def function(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        if not isinstance(x, Recorded):
            return of_numpy(x, axis=axis, keepdims=keepdims)
        is_nan = np.isnan(x.value)
        made = plain(np.where(is_nan, x.dtype.type(filled), x), axis=axis, keepdims=keepdims)
        if name not in ("max", "min"):
            return made
        return np.where(is_nan.all(axis=axis, keepdims=keepdims), made.dtype.type(np.nan), made)

    return function


def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean of the numbers that are not NaN."""
    if not isinstance(x, Recorded):
        return np.nanmean(x, axis=axis, keepdims=keepdims)
    count = np.sum(~np.isnan(x.value), axis=axis, keepdims=keepdims).astype(x.dtype)
    return OF_NUMPY["nansum"](x, axis, keepdims) / count


OF_NUMPY: dict[str, Callable[..., Any]] = {
    f"nan{name}": _without_nan(name, filled)
    for name, filled in (("sum", 0.0), ("prod", 1.0), ("max", -np.inf), ("min", np.inf))
}
OF_NUMPY |= {each.__name__: each for each in (cholesky, det, eigh, nanmean, pinv, qr, slogdet)}
"""Name of ``keras.ops`` → function that takes the place of NumPy's."""
