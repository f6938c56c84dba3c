"""Decompositions of matrices, and their exponential, with gradients for recorded arrays, which are those of TensorFlow.

The formulas are those of Giles, "An extended collection of matrix derivative results", 2008, and of Townsend,
"Differentiating the singular value decomposition", 2016. Where eigenvalues or singular values are equal, vectors have
no gradient, and their share is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, value_of
from minicnn.reverse_mode import turned


def eigh(x: Any) -> Any:
    """(eigenvalues, the smallest first, vectors in columns) of symmetric matrices (…, N, N): the lower half counts."""
    made = np.linalg.eigh(np.asarray(value_of(x)))
    if not isinstance(x, Recorded):
        return made
    values, vectors = made

    def of_half(full):
        lower = np.tril((full + turned(full)) / 2)
        return lower + np.tril(lower, -1)

    def by_values(g):
        return of_half(vectors * _once("eigh", g)[..., None, :] @ turned(vectors))

    def by_vectors(g):
        inner = _apart(values) * (turned(vectors) @ _once("eigh", g))
        return of_half(vectors @ inner @ turned(vectors))

    return Recorded(values, [(x, by_values)]), Recorded(vectors, [(x, by_vectors)])


def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition of matrices (…, M, N): (u, s, v), x = u · s · v, or s alone."""
    plain = np.asarray(value_of(x))
    if not isinstance(x, Recorded):
        return np.linalg.svd(plain, full_matrices, compute_uv)
    u, s, v = np.linalg.svd(plain, full_matrices=False)

    def by_values(g):
        return u * _once("svd", g)[..., None, :] @ v

    singular = Recorded(s, [(x, by_values)])
    if not compute_uv:
        return singular
    if full_matrices and plain.shape[-1] != plain.shape[-2]:
        raise TypeError(
            "svd of matrices that are not square has gradients with full_matrices=False. "
            f"Received: shape {plain.shape}, full_matrices=True"
        )
    left = Recorded(u, [(x, lambda g: _by_left(u, s, v, _once("svd", g)))])
    return left, singular, Recorded(v, [(x, lambda g: _by_right(u, s, v, _once("svd", g)))])


def qr(x: Any, mode: str = "reduced") -> Any:
    """(q, r) of matrices (…, M, N), x = q · r, whose columns are at right angles to each other, and a triangle."""
    plain = np.asarray(value_of(x))
    made = np.linalg.qr(plain, mode)
    if not isinstance(x, Recorded):
        return made
    rows, columns = plain.shape[-2:]
    if mode != "reduced" and rows > columns:
        raise TypeError(
            "qr of matrices with more rows than columns has gradients with mode='reduced'. "
            f"Received: shape {plain.shape}, mode={mode!r}"
        )
    if rows < columns:  # the first columns give q, and the others what they are in it
        q, r = qr(x[..., :rows])
        return q, np.concatenate([r, turned(q) @ x[..., rows:]], axis=-1)
    q, r = made

    def back(g, inner):
        half = np.tril(inner) + turned(np.tril(inner, -1))
        return turned(np.linalg.solve(r, turned(g + q @ half)))

    def by_q(g):
        return back(_once("qr", g), -turned(g) @ q)

    def by_r(g):
        return back(0, r @ turned(_once("qr", g)))

    return Recorded(q, [(x, by_q)]), Recorded(r, [(x, by_r)])


def expm(x: Any) -> Any:
    """The exponential of matrices (…, N, N), Σ xᵏ / k!, by squaring."""
    plain = np.asarray(value_of(x))
    if not isinstance(x, Recorded):
        return _exponential(plain)

    def back(g):
        size, across = plain.shape[-1], turned(plain)
        rows = np.concatenate([across, _once("expm", g)], -1), np.concatenate([np.zeros_like(across), across], -1)
        return _exponential(np.concatenate(rows, -2))[..., :size, size:]

    return Recorded(_exponential(plain), [(x, back)])


def _exponential(x):
    wide = x.astype("float64")
    halvings = max(0, int(np.ceil(np.log2(np.abs(wide).sum(-1).max(initial=1e-300)))) + 3)
    part = wide / 2.0**halvings
    term = made = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for k in range(1, 19):
        term = term @ part / k
        made = made + term
    for _ in range(halvings):
        made = made @ made
    return made.astype(x.dtype)


def _by_left(u, s, v, g):
    """The gradient by x of a gradient by u, (…, M, K)."""
    inner = turned(u) @ g
    within = u @ (_apart(s**2) * (inner - turned(inner)) * s[..., None, :])
    return (within + (g - u @ inner) * _inverse(s)[..., None, :]) @ v


def _by_right(u, s, v, g):
    """The gradient by x of a gradient by v, (…, K, N)."""
    return turned(_by_left(turned(v), s, turned(u), turned(g)))


def _apart(values):
    """1 / (values[j] - values[i]) in row i and column j, (…, N, N); 0 where they are equal."""
    apart = values[..., None, :] - values[..., None]
    return _inverse(apart)


def _inverse(numbers):
    """1 / numbers; 0 for 0."""
    return np.divide(1, numbers, out=np.zeros_like(numbers), where=numbers != 0)


def _once(name, g):
    """A gradient that is no value on a tape.

    Raises
    ------
    TypeError
        For one that is: these functions are not differentiated twice.
    """
    if isinstance(g, Recorded):
        raise TypeError(f"{name} is differentiated once. Received: a gradient that is differentiated itself")
    return g
