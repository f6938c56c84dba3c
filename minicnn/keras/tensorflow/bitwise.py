"""``tf.bitwise``: whole numbers bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.differentiation import met, value_of
from minicnn.keras._names import Lookup, lookup
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift"]


def _whole(x: Any) -> np.ndarray:
    array = np.asarray(value_of(as_tensor(met(x))))
    if array.dtype.kind not in "iu":
        raise TypeError(f"tf.bitwise takes whole numbers: tf.cast(x, tf.int32). Received: numbers of {array.dtype}")
    return array


def _of_two(name: str, ufunc: np.ufunc, what: str) -> Callable[..., Any]:
    """A function of two arrays of one dtype; numbers and lists beside an array have its."""

    def function(x: Any, y: Any, name: str | None = None) -> Any:
        if not hasattr(x, "dtype") and hasattr(y, "dtype"):
            second = _whole(y)
            return of_tensorflow(ufunc(np.asarray(x, second.dtype), second))
        first = _whole(x)
        second = _whole(y) if hasattr(y, "dtype") else np.asarray(y, first.dtype)
        if second.dtype != first.dtype:
            raise TypeError(f"expected numbers of one dtype. Received: {first.dtype} and {second.dtype}")
        return of_tensorflow(ufunc(first, second))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = what
    return function


bitwise_and = _of_two("bitwise_and", np.bitwise_and, "The bits that are set in both.")
bitwise_or = _of_two("bitwise_or", np.bitwise_or, "The bits that are set in one of them, or both.")
bitwise_xor = _of_two("bitwise_xor", np.bitwise_xor, "The bits that are set in one of them alone.")
left_shift = _of_two("left_shift", np.left_shift, "x with its bits y places further up.")
right_shift = _of_two("right_shift", np.right_shift, "x with its bits y places further down.")


def invert(x: Any, name: str | None = None) -> Any:
    """The bits that are not set."""
    return of_tensorflow(np.invert(_whole(x)))


__getattr__: Lookup = lookup(__name__)
