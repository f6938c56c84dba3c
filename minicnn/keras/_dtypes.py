"""Dtypes of arrays in losses and layers, with what TensorFlow's have beside NumPy's: ``x.dtype.base_dtype``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray, EagerText
from minicnn.settings import floatx


class TensorDtype:
    """NumPy's dtype, for which NumPy takes it, with TensorFlow's attributes.

    Parameters
    ----------
    dtype : numpy.dtype

    Examples
    --------
    >>> import numpy as np
    >>> TensorDtype(np.dtype("float32")).base_dtype
    float32
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    base_dtype: property = property(lambda self: self)  # of a reference, in TensorFlow 1, the dtype of its value
    as_numpy_dtype: property = property(lambda self: self.dtype.type)
    size: property = property(lambda self: self.dtype.itemsize)
    max: property = property(lambda self: (np.finfo if self.is_floating else np.iinfo)(self.dtype).max)
    min: property = property(lambda self: (np.finfo if self.is_floating else np.iinfo)(self.dtype).min)
    is_floating: property = property(lambda self: self.dtype.kind == "f")
    is_integer: property = property(lambda self: self.dtype.kind in "iu")
    is_bool: property = property(lambda self: self.dtype.kind == "b")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dtype":  # copies ask for such before there is a dtype
            raise AttributeError(name)
        return getattr(self.dtype, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.dtype == (other.dtype if isinstance(other, TensorDtype) else other))

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return str(self.dtype)


class TextDtype(TensorDtype):
    """The dtype of texts, of which NumPy has one for each length: ``x.dtype == tf.string``.

    Parameters
    ----------
    dtype : numpy.dtype
        NumPy's.

    Examples
    --------
    >>> import numpy as np
    >>> TextDtype(np.dtype("<U3")) == TextDtype(np.dtype("<U5"))
    True
    """

    name: str = "string"

    def __eq__(self, other: object) -> bool:
        kind = getattr(other, "dtype", other)
        return other == "string" or (isinstance(kind, np.dtype) and kind.kind in "SUO")

    def __hash__(self) -> int:
        return hash("string")

    def __repr__(self) -> str:
        return "<dtype: 'string'>"


def narrowed(made: np.ndarray, kinds: Sequence[np.dtype] = ()) -> np.ndarray:
    """Numbers of Python's in float32 and int32; beside arrays, in the dtype of those.

    Parameters
    ----------
    made : array
    kinds : sequence of dtype
        Those of arrays in the list that `made` was made of.
    """
    if kinds:
        is_number = made.dtype.kind in "iuf" and all(kind.kind in "iufb" for kind in kinds)
        close = made.astype(np.result_type(made.dtype.type(0).item(), *kinds)) if is_number else made
        is_kept = any(k.kind == "f" for k in kinds) if made.dtype.kind == "f" else np.array_equal(close, made)
        return close if is_kept else narrowed(made)
    if made.dtype.name == "int64" and made.size and not (made.min() >= -(2**31) and made.max() < 2**31):
        return made  # which has no place in int32
    return made.astype({"float64": floatx(), "int64": "int32"}.get(made.dtype.name, made.dtype))


_NUMPYS = np.ndarray.dtype


def _dtype(array):
    kind = _NUMPYS.__get__(array)
    return kind if kind.kind in "fiubcV" else TextDtype(kind)


# Of arrays with ``.numpy()``; NumPy itself goes by its own one.
EagerArray.dtype = property(_dtype, lambda array, kind: _NUMPYS.__set__(array, kind))  # type: ignore[assignment]
EagerText.dtype = property(lambda text: TextDtype(np.dtype(str)))  # type: ignore[assignment]


def _quotient_of(array: EagerArray, other: Any) -> Any:
    """other / array, in float32 of numbers in 8 or 16 bits, as array / other is."""
    kinds = [np.dtype(getattr(each, "dtype", None) or "uint8") for each in (array, other)]
    made = np.ndarray.__rtruediv__(array, other)
    return made.astype(np.float32) if all(kind.kind in "iu" and kind.itemsize < 4 for kind in kinds) else made


EagerArray.__rtruediv__ = _quotient_of  # type: ignore[assignment, method-assign]
