"""``tf.signal.dct`` and ``idct``: products with a matrix of cosines, of arrays, on tapes, and of a model's tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.checks import check_choice, check_positive_int
from minicnn.differentiation import Recorded, value_of
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["dct", "idct"]

_INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}


def _table(kind: int, n: int, is_ortho: bool) -> np.ndarray:
    """What numbers are multiplied with, (n, frequencies)."""
    k = np.arange(n)
    if kind == 1:
        return np.where((k == 0) | (k == n - 1), 1, 2)[:, None] * np.cos(np.pi * k * k[:, None] / (n - 1))
    if kind == 4:
        return 2 * np.cos(np.pi * (2 * k + 1) * (2 * k[:, None] + 1) / (4 * n)) * (np.sqrt(0.5 / n) if is_ortho else 1)
    table = 2 * np.cos(np.pi * k * (2 * k[:, None] + 1) / (2 * n))  # of type 2
    if is_ortho:
        table *= np.sqrt(np.where(k == 0, 0.25, 0.5) / n)
    if kind == 2:
        return table
    return table.T if is_ortho else table.T * np.where(k == 0, 0.5, 1)[:, None]


@of_tensors_too
def _product(x: Any, table: np.ndarray) -> Any:
    """x @ table, computed in float64: (…, n) and (n, frequencies)."""
    values = np.asarray(value_of(x))
    made = (values.astype("float64") @ table).astype(values.dtype)
    return Recorded(made, [(x, lambda g: _product(g, table.T))]) if isinstance(x, Recorded) else made


@entering
def dct(
    input: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, name: str | None = None
) -> Any:
    """The cosine transform of the last axis; of type 2, 2 Σ xₖ cos(πj(2k + 1) / 2n).

    Parameters
    ----------
    input : array or tensor (…, n)
    type : {1, 2, 3, 4}
    n : int, optional
        The axis is cut, or filled with zeros, to this length.
    axis : {-1}
    norm : {None, "ortho"}
        "ortho" is the orthogonal transform, which type 1 has not.

    Raises
    ------
    NotImplementedError
        For another axis.
    ValueError, TypeError
        For another type, or numbers that are no floats.
    """
    if axis != -1:
        raise NotImplementedError(f"tf.signal.dct is there as axis=-1. Received: axis={axis}")
    check_choice("type", type, (1, 2, 3, 4))
    check_choice("norm", norm, (None,) if type == 1 else (None, "ortho"))
    x = as_tensor(input)
    if not is_symbolic(x) and x.dtype not in ("float32", "float64"):
        raise TypeError(
            f"tf.signal.dct takes float32 or float64: tf.cast(x, tf.float32). Received: numbers of {x.dtype}"
        )
    length = x.shape[-1] if n is None else check_positive_int("n", int(n))
    if type == 1 and length < 2:
        raise ValueError(f"the transform of type 1 is of at least two numbers. Received: n={length}")
    table = np.zeros((x.shape[-1], length))  # where numbers are cut off, or filled up with zeros
    kept = min(table.shape)
    table[:kept] = _table(type, length, norm == "ortho")[:kept]
    return of_tensorflow(_product(x, table))


def idct(
    input: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, name: str | None = None
) -> Any:
    """The inverse of `dct`, but for a factor, as TensorFlow's: 2n, of type 1 2(n - 1), and with "ortho" 1."""
    return dct(input, _INVERSE.get(type, type), n, axis, norm)
