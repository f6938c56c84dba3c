"""Arrays that functions of ``keras.ops`` make of lists and of Python's numbers, in Keras's dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.bfloat16 import rounded
from minicnn.differentiation import Recorded, value_of
from minicnn.dtype_policies import of_python
from minicnn.nested import leaves
from minicnn.settings import floatx


def named_dtype(dtype: Any) -> Any:
    """A dtype as NumPy has it, float32 for bfloat16 and for Python's float."""
    return "float32" if isinstance(dtype, str) and dtype == "bfloat16" else of_python(dtype)


_OF_PYTHON = {float: "float32", int: "int64", str: "string", "string": "string"}


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype, that of models for None; of Python's types as Keras has them with TensorFlow."""
    if dtype is None:
        return floatx()
    if isinstance(dtype, str | type) and dtype in _OF_PYTHON:
        return _OF_PYTHON[dtype]
    return "bfloat16" if str(dtype) == "bfloat16" else np.dtype(dtype).name


def is_float_dtype(dtype: Any) -> bool:
    """Whether it is one of floats."""
    return "float" in standardize_dtype(dtype)


def is_int_dtype(dtype: Any) -> bool:
    """Whether it is one of whole numbers, with a sign or without."""
    return "int" in standardize_dtype(dtype)


def as_array(x: Any, dtype: Any = None) -> np.ndarray:
    """A new array; of lists and Python's numbers in Keras's dtypes, int32 and ``floatx()`` unless one holds float64."""
    made = np.array(x, None if dtype is None else named_dtype(dtype))
    if dtype is not None or isinstance(x, np.generic) or not isinstance(x, list | tuple | int | float):
        return made
    if made.dtype.kind in "iu":
        return made.astype("int32" if np.all(abs(made) < 2**31) else "int64")
    if made.dtype != np.float64 or any(getattr(leaf, "dtype", None) == np.float64 for leaf in leaves(x)):
        return made
    return made.astype(floatx())


def in_named_dtype(x: Any, dtype: Any) -> Any:
    """An array, which may be recorded, in a dtype, as TensorFlow casts; of "bfloat16" the rounded numbers, as float32.

    What an unsigned dtype has no number for, NumPy leaves to the processor: in 32 bits it is what 64 bits have there,
    in 64 bits 2⁶³.
    """
    if isinstance(dtype, str) and dtype == "bfloat16":
        made = rounded(np.ascontiguousarray(value_of(x), np.float32)).reshape(np.shape(x))
        return Recorded(made, [(x, lambda g: g)]) if isinstance(x, Recorded) else made
    name = named_dtype(dtype)
    if isinstance(x, Recorded) or x.dtype.kind != "f" or np.dtype(name) not in (np.uint32, np.uint64):
        return x.astype(name)
    with np.errstate(invalid="ignore"):
        if np.dtype(name) == np.uint32:
            return x.astype(np.int64).astype(name)
        return np.where((x >= -(2.0**63)) & (x < 2.0**64), x.astype(name), np.uint64(2**63))


def _full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of one value, in ``floatx()`` unless told, whatever the value is."""
    return np.full(shape, fill_value, named_dtype(floatx() if dtype is None else dtype))


def _place_of(function: Callable[..., Any], least: float) -> Callable[..., Any]:
    """``argmax`` or ``argmin``, for which NaN is beyond all numbers at the other end, as in TensorFlow."""

    def place(x: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" and (is_nan := np.isnan(x)).any():
            x = np.where(is_nan, x.dtype.type(least), x)
        return function(x, *args, **kwargs)

    return place


def _clip(x, least=None, most=None):
    """Within two numbers; where the second is less, the first, as in TensorFlow (NumPy has the second).

    Limits in arrays of floats, or NumPy's numbers, are cut off to whole ones for whole numbers, as there.
    """
    if getattr(x, "dtype", np.dtype(float)).kind in "iub":
        least, most = (_whole_limit(limit, x.dtype) for limit in (least, most))
    if least is not None and most is not None and np.any(value_of(least) > value_of(most)):
        is_plain = isinstance(least, int | float) and isinstance(most, int | float)
        most = least if is_plain else np.maximum(least, most)  # a plain number leaves x its dtype
    return np.clip(x, least, most)


def _whole_limit(limit, dtype):
    """A limit of whole numbers: NumPy's are cut off to one; Python's, which TensorFlow refuses, stay."""
    is_cut = isinstance(limit, np.ndarray | np.floating) and limit.dtype.kind == "f"
    return limit.astype("int32" if dtype.kind == "b" else dtype) if is_cut else limit


OF_LISTS = {"array": as_array, "clip": _clip, "full": _full}
OF_LISTS |= {"argmax": _place_of(np.argmax, -np.inf), "argmin": _place_of(np.argmin, np.inf)}
"""Name of ``keras.ops`` → function of arrays that takes the place of NumPy's."""
