"""Discrete Fourier transforms of pairs (real part, imaginary part), as `keras.ops` has complex numbers.

A transform is linear: along an axis of n numbers it is a product with the n × n matrix of cos(2πjk/n) and sin(2πjk/n),
so that tensors of a model, tapes and files need nothing but products. Plain arrays are transformed by NumPy's FFT.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, met
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.keras._deferred import Deferred
from minicnn.keras._operations import either
from minicnn.settings import floatx

_matmul, _swapaxes = either("matmul"), either("swapaxes")


def fft(x: tuple[Any, Any]) -> tuple[Any, Any]:
    """The transform along the last axis: Σ x[j] · exp(-2πijk/n)."""
    return _transformed("fft", x, (-1,), np.fft.fft)


def fft2(x: tuple[Any, Any]) -> tuple[Any, Any]:
    """The transform along the last two axes."""
    return _transformed("fft2", x, (-1, -2), np.fft.fft2)


def ifft2(x: tuple[Any, Any]) -> tuple[Any, Any]:
    """The inverse of `fft2`."""
    real, imag = _transformed("ifft2", x, (-1, -2), lambda a: np.conj(np.fft.ifft2(a)), is_inverse=True)
    return real, -imag  # conj(fft2(conj(x))) / n is the inverse


def rfft(x: Any, fft_length: int | None = None) -> tuple[Any, Any]:
    """The first n // 2 + 1 numbers of the transform of real numbers along the last axis.

    Parameters
    ----------
    x : array or Tensor (…, m)
    fft_length : int, optional
        n: so many numbers count, with zeros behind the m that there are. Default: m.

    Returns
    -------
    tuple of two arrays or Tensors (…, n // 2 + 1)
        float64 of tensors and variables of such numbers, else ``floatx()``: also of arrays, as TensorFlow has it.

    Raises
    ------
    ShapeError
        If there is no axis, or one of no or an open length.
    ValueError
        If fft_length is no whole number of 1 or more.
    """
    given, x = x, _part(x)
    known, length = _length("rfft", x, -1), _whole("rfft", fft_length)
    length = known if length is None else length
    dtype = floatx() if type(given) is np.ndarray else _dtype(x)
    if not _is_computed(x):
        made = np.fft.rfft(x, length)
        return made.real.astype(dtype), made.imag.astype(dtype)
    angles = _angles(length)[: min(length, known), : length // 2 + 1]
    x = x[..., : len(angles)]
    return _matmul(x, np.cos(angles).astype(dtype)), _matmul(x, -np.sin(angles).astype(dtype))


def irfft(x: tuple[Any, Any], fft_length: int | None = None) -> Any:
    """The inverse of `rfft`: n real numbers along the last axis.

    Parameters
    ----------
    x : tuple of two arrays or Tensors (…, m)
    fft_length : int, optional
        n; default: 2 · (m - 1).

    Raises
    ------
    ShapeError
        If the parts' shapes differ, or m is 0 or open, or 1 without fft_length.
    ValueError
        If fft_length is no whole number of 1 or more.
    """
    real, imag = _pair("irfft", x)
    known, length = _length("irfft", real, -1), _whole("irfft", fft_length)
    if length is None and known < 2:
        raise ShapeError(
            f"irfft gives 2 · (m - 1) numbers of m, so that m is 2 or more: give it fft_length. Received: m={known}"
        )
    length = 2 * (known - 1) if length is None else length
    dtype = _dtype(real, imag)
    if not _is_computed(real, imag):
        return np.fft.irfft(real + 1j * imag, length).astype(dtype)
    count = min(known, length // 2 + 1)
    angles = _angles(length)[:count]
    weights = np.where((np.arange(count) == 0) | (2 * np.arange(count) == length), 1, 2)[:, None] / length
    real, imag = real[..., :count], imag[..., :count]
    cos, sin = ((weights * part).astype(dtype) for part in (np.cos(angles), np.sin(angles)))
    return _matmul(real, cos) - _matmul(imag, sin)


def _transformed(name, x, axes, of_arrays: Callable[[Any], Any], is_inverse=False):
    """Both parts of the transform along some axes; of the inverse, the conjugate."""
    real, imag = _pair(name, x)
    lengths, dtype = [_length(name, real, axis) for axis in axes], _dtype(real, imag)
    if not _is_computed(real, imag):
        made = of_arrays(real + 1j * imag)
        return made.real.astype(dtype), made.imag.astype(dtype)
    if is_inverse:
        scale = 1.0 / math.prod(lengths)
        real, imag = real * scale, imag * -scale
    for axis, length in zip(axes, lengths, strict=True):
        real, imag = _along(real, imag, axis, _turns(length, dtype))
    return real, imag


def _turns(length, dtype):
    """cos and sin of `_angles`, (n, n), symmetric."""
    return [function(_angles(length)).astype(dtype) for function in (np.cos, np.sin)]


def _along(real, imag, axis, turns):
    """Both parts of the transform along one of the last two axes."""
    cos, sin = turns

    def times(x, matrix):
        return _matmul(x, matrix) if axis == -1 else _swapaxes(_matmul(_swapaxes(x, -1, -2), matrix), -1, -2)

    return times(real, cos) + times(imag, sin), times(imag, cos) - times(real, sin)


def _angles(length):
    """2πjk/n, (n, n); exact for large j and k, as only the rest of jk by n counts."""
    places = np.arange(length)
    return 2 * np.pi / length * (np.outer(places, places) % length)


def _pair(name, x):
    """Both parts, of which one alone may be computed."""
    if not isinstance(x, tuple | list) or len(x) != 2 or any(not _rank(part) for part in x):
        raise ValueError(
            f"{name} takes complex numbers as a tuple (real part, imaginary part) of two arrays. Received: "
            f"{type(x).__name__}{f' of {len(x)}' if isinstance(x, tuple | list) else ''}"
        )
    real, imag = map(_part, x)
    if tuple(real.shape) != tuple(imag.shape):
        raise ShapeError(f"{name} takes two parts of one shape. Received: {tuple(real.shape)} and {tuple(imag.shape)}")
    return real, imag


def _rank(part):
    return np.ndim(part) if isinstance(part, list | tuple) else getattr(part, "ndim", 0)


def _part(x):
    """What there is to transform: what stands for a variable, an array for lists of numbers."""
    x = met(x)
    return x if _is_computed(x) else np.asarray(x, None if hasattr(x, "dtype") else floatx())


def _is_computed(*parts):
    return any(isinstance(part, Tensor | Recorded | Deferred) for part in parts)


def _dtype(*parts):
    """float64 of arrays and values on tapes if one has it, else that of models."""
    return "float64" if any(getattr(part, "dtype", None) == np.float64 for part in parts) else floatx()


def _whole(name, length):
    """fft_length, if there is one."""
    if length is None:
        return None
    whole = operator.index(length) if hasattr(length, "__index__") else 0
    if whole < 1:
        raise ValueError(f"{name} takes a whole number fft_length of 1 or more. Received: fft_length={length!r}")
    return whole


def _length(name, x, axis):
    """How many numbers there are along an axis."""
    shape = tuple(getattr(x, "shape", ()))
    if 0 in shape[axis:]:
        raise ShapeError(f"{name} transforms one number or more along an axis. Received: shape {shape}")
    if len(shape) < -axis or shape[axis] is None or (isinstance(x, Tensor) and len(shape) == -axis):
        raise ShapeError(
            f"{name} transforms an array along its last {-axis} axes, whose sizes are known, and which are none of a "
            f"model's samples: give Input its sizes. Received: shape {shape}"
        )
    return shape[axis]


FOURIER = {function.__name__: function for function in (fft, fft2, ifft2, irfft, rfft)}
"""Name of ``keras.ops`` → function."""
