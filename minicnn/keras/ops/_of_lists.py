"""What functions of ``keras.ops`` make of lists and numbers of Python's, and of arguments by their places."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.settings import floatx

_NO_ARRAY_FIRST = {"arange", "array", "bartlett", "blackman", "cast", "cond", "convert_to_tensor", "custom_gradient"}
_NO_ARRAY_FIRST |= {"einsum", "empty", "eye", "fori_loop", "full", "hamming", "hanning", "identity", "kaiser", "map"}
_NO_ARRAY_FIRST |= {"convert_to_numpy", "ndim", "ones", "scan", "select", "shape", "size", "switch", "tri"}
_NO_ARRAY_FIRST |= {
    "associative_scan",
    "vectorized_map",
    "vstack",
    "while_loop",
    "zeros",
    "concatenate",
    "stack",
    "hstack",
    "dstack",
}
"""Functions whose first argument is a shape, a number of places, a function, or a list of arrays."""
_NAN = ("argmax", "argmin", "max", "mean", "median", "min", "prod", "std", "sum", "var")
_PLACES: dict[str, tuple[str, ...]] = dict.fromkeys((f"nan{name}" for name in _NAN), ("axis", "keepdims"))
_PLACES["unique"] = ("sorted", "return_index", "return_inverse", "return_counts", "axis")
_PLACES |= dict.fromkeys(
    ("nanpercentile", "nanquantile", "percentile", "quantile"), ("q", "axis", "method", "keepdims")
)
"""Arguments behind the array, in Keras's order where NumPy has another one."""


def of_lists(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which takes Python's numbers as arrays of Keras's dtypes, float32 and int32.

    Parameters
    ----------
    name : str
        Of the function in ``keras.ops``.
    function : callable
    """
    places = _PLACES.get(name, ())

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if args and _is_plain(args[0]) and not any(map(_is_array, (*args[1:], *kwargs.values()))):
            args = (_as_array(args[0]), *(_as_array(x) if _holds_floats(x) else x for x in args[1:]))
        if places and len(args) > 1:
            kwargs = {**dict(zip(places, args[1:], strict=False)), **kwargs}
            kwargs.pop("sorted", None)  # which NumPy's are in any case
            kwargs["axis"] = tuple(kwargs["axis"]) if isinstance(kwargs.get("axis"), list) else kwargs.get("axis")
            args = args[:1]
        return function(*args, **kwargs)

    return function if name in _NO_ARRAY_FIRST else call


def _is_plain(value):
    """Whether it is a number of Python's, or lists of such alone."""
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(map(_is_plain, value))
    return type(value) in (bool, int, float)


def _holds_floats(value):
    """Whether it is a list of numbers that are no sizes, places or axes."""
    return isinstance(value, list | tuple) and _is_plain(value) and np.asarray(value).dtype.kind == "f"


def _is_array(value):
    return not (value is None or isinstance(value, str | type) or _is_plain(value))


def _as_array(value):
    array = np.asarray(value)
    dtype = {"float64": floatx(), "int64": "int32"}.get(array.dtype.name, array.dtype)
    made = array.astype(dtype)
    return made if array.dtype.kind != "i" or (made == array).all() else array
