"""Complex numbers, which `tf.signal` gives: their parts, for data on its way into a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, met, value_of
from minicnn.keras import ops
from minicnn.keras._as_tensor import as_tensor, of_tensorflow
from minicnn.keras._operations import is_symbolic
from minicnn.reverse_mode import product

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
    if _is_recorded(given) and not _is_real(given):
        return Recorded(np.conj(given.value), [(given, np.conj)])
    return ops.conj(x) if _is_real(given) else of_tensorflow(np.conj(np.asarray(value_of(as_tensor(given)))))


def conjugated(x: Any) -> Any:
    """The conjugate of complex arrays; all else as it is."""
    return conj(x) if _is_complex(x) else x


def squared(x: Any) -> Any:
    """x · x, of complex arrays x times its conjugate, which stays complex."""
    return x * conj(x) if _is_complex(x) else ops.square(x)


def _is_complex(x):
    return isinstance(x, np.ndarray | Recorded) and x.dtype.kind == "c"


def angle(input: Any, name: str | None = None) -> Any:
    """The angle of a complex number, from -π to π: 0 of positive numbers, π of negative ones."""
    given = met(input)
    if _is_recorded(given):
        z = given.value
        return Recorded(np.angle(z), [(given, lambda g: product(g, 1j / np.conj(z), given, np.absolute))])
    return of_tensorflow(np.angle(np.asarray(value_of(as_tensor(given)))))


def complex(real: Any, imag: Any, name: str | None = None) -> Any:
    """real + i · imag, of float32 complex64, of float64 complex128.

    Raises
    ------
    TypeError
        For parts of other dtypes, or of two.
    """
    parts = [as_tensor(met(part)) for part in (real, imag)]
    kinds = {value_of(part).dtype.name for part in parts}
    if len(kinds) > 1 or not kinds <= {"float32", "float64"}:
        raise TypeError(f"expected two parts of float32, or two of float64. Received: {sorted(kinds)}")
    kind = "complex64" if kinds == {"float32"} else "complex128"
    if any(map(_is_recorded, parts)):
        first, second = (part.astype(kind) for part in parts)
        return first + second * 1j
    made = np.empty(np.broadcast_shapes(*(part.shape for part in parts)), kind)
    made.real, made.imag = map(np.asarray, map(value_of, parts))  # not by 1j, times which infinity is no number
    return of_tensorflow(made)
