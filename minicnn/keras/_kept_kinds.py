"""Python's numbers in a dtype that has no place for them, which TensorFlow refuses where it would cast an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.nested import leaves

_NUMBERS = bool | int | float | complex | np.generic
_TAKEN = {"b": bool | np.bool_, "i": bool | int | np.integer | np.bool_, "u": bool | int | np.integer | np.bool_}


def keep_kind(value: Any, dtype: Any) -> None:
    """Refuse 2.5 for integers, and 1 and texts for bool; NumPy's arrays and numbers are cast, tensors and lists not.

    Raises
    ------
    TypeError
        Where the dtype would change a number.
    ValueError
        For None, and a float of Python that is too large for float32, without a dtype.
    """
    if value is None or (dtype is None and _is_too_large(value)):
        raise ValueError(f"a tensor is made of numbers in the range of float32, lists, arrays. Received: {value!r}")
    if isinstance(value, str) and dtype is not None and np.dtype(dtype).kind == "b":
        raise TypeError(f"a text is no bool. Received: {value!r}")
    if dtype is not None and isinstance(value, EagerArray):
        _keep_numbers(value, np.dtype(dtype))
    if dtype is None or isinstance(value, np.ndarray | np.generic) or not isinstance(value, _NUMBERS | list | tuple):
        return
    taken = _TAKEN.get(np.dtype(dtype).kind)
    for number in leaves(value) if taken else ():
        if isinstance(number, _NUMBERS) and not isinstance(number, taken):
            raise TypeError(
                f"Python's numbers keep their kind in {np.dtype(dtype)}; tf.cast(value, dtype) cuts them off. "
                f"Received: {number!r}"
            )


def _keep_numbers(array, dtype):
    """Refuse an array of TensorFlow's kind where another dtype would change its numbers, as fractions in integers."""
    if array.dtype.kind != "f" or dtype.kind not in "biu":
        return
    with np.errstate(invalid="ignore"):
        if not np.array_equal(array.astype(dtype), array):
            raise TypeError(f"a tensor keeps its dtype; tf.cast(x, {str(dtype)!r}) makes another. Received: {array!r}")


def _is_too_large(value):
    return isinstance(value, float) and not isinstance(value, np.generic) and np.finfo("f").max < abs(value) < np.inf
