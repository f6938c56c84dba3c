"""Complex numbers, which `tf.signal` gives: their parts, for data on its way into a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, met, value_of
from minicnn.keras import ops
from minicnn.keras._operations import is_symbolic
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["angle", "complex", "conj", "imag", "real"]


def _is_recorded(x):
    return isinstance(x, Recorded) and x.has_gradient


def _is_real(x):
    """Whether it is what a model or a tape computes, which keeps its gradient, of real numbers."""
    return is_symbolic(x) or (_is_recorded(x) and x.dtype.kind != "c")


def real(input: Any, name: str | None = None) -> Any:
    """The real part."""
    given = met(input)
    if _is_recorded(given) and not _is_real(given):
        return Recorded(given.value.real, [(given, lambda g: g + 0j)])
    return ops.real(input) if _is_real(given) else of_tensorflow(np.real(np.asarray(value_of(as_tensor(given)))))


def imag(input: Any, name: str | None = None) -> Any:
    """The imaginary part: zeros of real numbers."""
    given = met(input)
    if _is_recorded(given) and not _is_real(given):
        return Recorded(given.value.imag, [(given, lambda g: 1j * g)])
    return ops.zeros_like(input) if _is_real(given) else of_tensorflow(np.imag(np.asarray(value_of(as_tensor(given)))))


def conj(x: Any, name: str | None = None) -> Any:
    """The complex conjugate."""
    given = met(x)
    return ops.conj(x) if _is_real(given) else of_tensorflow(np.conj(np.asarray(value_of(as_tensor(given)))))


def angle(input: Any, name: str | None = None) -> Any:
    """The angle of a complex number, from -π to π: 0 of positive numbers, π of negative ones."""
    return of_tensorflow(np.angle(np.asarray(value_of(as_tensor(met(input))))))


def complex(real: Any, imag: Any, name: str | None = None) -> Any:
    """real + i · imag, of float32 complex64, of float64 complex128.

    Raises
    ------
    TypeError
        For parts of other dtypes, or of two.
    """
    parts = [np.asarray(value_of(as_tensor(met(part)))) for part in (real, imag)]
    kinds = {part.dtype.name for part in parts}
    if len(kinds) > 1 or not kinds <= {"float32", "float64"}:
        raise TypeError(f"expected two parts of float32, or two of float64. Received: {sorted(kinds)}")
    made = parts[0] + 1j * parts[1]
    return of_tensorflow(made.astype("complex64" if kinds == {"float32"} else "complex128"))
