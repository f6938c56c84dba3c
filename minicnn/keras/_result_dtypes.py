"""The dtypes of results of ``keras.ops``: Keras's, where NumPy has wider ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded
from minicnn.dtype_policies import of_python
from minicnn.keras._dtypes import TextDtype
from minicnn.keras._new_arrays import as_array, in_named_dtype
from minicnn.settings import floatx

_NARROW = {"int64": "int32", "uint64": "uint32"}
_PLACES = {"argmax", "argmin", "argpartition", "argsort", "bincount", "count_nonzero", "digitize"}
_PLACES |= {"nanargmax", "nanargmin", "nonzero"}
"""Functions whose results are numbers of places, int32 whatever they were given."""
_FLOAT = {"nanquantile", "norm"}
"""Functions whose results are floats, also where NumPy's are whole numbers."""
_OF_INT64 = {"cbrt", "correlate", "corrcoef", "deg2rad", "heaviside", "hypot", "i0", "rad2deg"}
"""Functions of whole numbers, whose results have 64 bits where these are int64 together."""
_RUNNING = {"cumprod", "cumsum", "hard_shrink", "nancumprod", "nancumsum", "relu", "relu6"}
"""Functions whose results are as narrow as the numbers that they are given."""
_OF_BOOLS = {"floor_divide", "fmod", "mod", "square"}
"""Functions that compute with bools as int32."""
_BESIDE_NUMBERS = {"bitwise_and", "bitwise_or", "bitwise_xor", "fmod", "gcd", "lcm", "mod"}
_OF_FIRST_NUMBERS = {"bitwise_left_shift", "bitwise_right_shift", "left_shift", "right_shift"}
"""Functions in which Python's whole numbers, or such a first one, have a dtype, and not that of the array beside."""
_WITH_TEXT = {"correlate", "einsum", "norm"}
"""Functions that are given a text which is no dtype: "full", "ij,jk", "fro"."""
_OF_OPERATORS = {"add", "cross", "divide", "floor_divide", "inner", "maximum", "minimum", "mod", "multiply", "outer"}
_OF_OPERATORS |= {"dot", "matmul", "power", "subtract", "tensordot", "true_divide", "vdot", "arctan2"}
_OF_OPERATORS |= {"divide_no_nan", "hypot", "logaddexp", "logaddexp2"}
"""Functions of two arrays that are equals, while an operator of a tensor goes by the tensor's dtype."""
_SIGNED = {"int8", "int16", "int32"}
KEPT = {"array", "full", "full_like"}
"""Functions whose results have the dtype of the value that they are given."""


def in_kerass_dtype(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """The function, whose results in 64 bits have Keras's dtypes where nothing that it was given has 64 bits.

    Parameters
    ----------
    function : callable
        Of arrays, and of values on a tape; a model's tensors are returned as they are.
    name : str, optional
        Its name in ``keras.ops``.
    """

    name = name or getattr(function, "__name__", "")

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("axis"), list):  # which NumPy takes as a tuple
            kwargs["axis"] = tuple(kwargs["axis"])
        if "dtype" in kwargs:
            kwargs["dtype"] = of_python(kwargs["dtype"])
        args = _with_dtypes(tuple(of_python(each) if each is float else each for each in args), name)
        if _are_small(args, name):
            args = tuple(np.asarray(each).astype("int32") for each in args)
        if name in _OF_OPERATORS:
            equals = _as_equals((*args, *kwargs.values()))
            args, kwargs = equals[: len(args)], dict(zip(kwargs, equals[len(args) :], strict=True))
        made = function(*args, **kwargs)
        told = str | type | np.dtype | TextDtype
        is_told = name not in _WITH_TEXT and any(isinstance(each, told) for each in args)
        if kwargs.get("dtype") is not None or is_told:
            return made
        given = {str(getattr(each, "dtype", "")) for each in _parts([*args, *kwargs.values()])}
        if isinstance(made, list | tuple):
            parts = [_narrow(part, given, name) for part in made]
            return type(made)(parts) if type(made) in (list, tuple) else made
        return _narrow(made, given, name)

    return call


def _parts(values):
    for value in values:
        yield from value if isinstance(value, list | tuple) else (value,)


def _with_dtypes(args, name):
    """The arguments, of which Python's whole numbers beside arrays of such become arrays where that says the dtype."""
    counted = len(args) if name in _BESIDE_NUMBERS else int(name in _OF_FIRST_NUMBERS)
    if not counted or not all(type(each) is int or _is_of_whole_numbers(each) for each in args):
        return args
    return tuple(as_array(each) if type(each) is int and at < counted else each for at, each in enumerate(args))


def _is_of_whole_numbers(each):
    return isinstance(each, np.ndarray | np.generic) and each.dtype.kind in "iu"


def _are_small(args, name):
    """Whether arrays would be computed with in fewer bits than Keras takes."""
    dtypes = {str(each.dtype) if isinstance(each, np.ndarray) else type(each).__name__ for each in args}
    return (name == "matmul" and dtypes == {"int8"}) or (name in _OF_BOOLS and dtypes == {"bool"})


def _as_equals(args):
    """Tensors, on a tape or not, as wide as arrays of floats beside them."""
    floats = [each.dtype for each in args if getattr(getattr(each, "dtype", None), "kind", "") == "f"]
    if len(set(floats)) < 2:
        return args
    widest = np.result_type(*floats)
    return tuple(x.astype(widest) if isinstance(x, EagerArray | Recorded) and x.dtype.kind == "f" else x for x in args)


def _narrow(part, given, name):
    dtype = str(part.dtype) if isinstance(part, np.ndarray | np.generic | Recorded) else ""
    floats, others = {d for d in given if "float" in d}, {d for d in given if d and "float" not in d}
    if dtype == "float16" and others and not floats:  # which NumPy takes for numbers in 8 bits
        return part.astype(floatx())
    if dtype in ("float32", "float64") and floats == {"float16"}:
        return part.astype("float16")
    if dtype in ("float32", "float64") and floats == {"bfloat16"}:
        try:
            return part.astype("bfloat16")
        except TypeError:  # NumPy knows it of ml_dtypes alone: then rounded numbers, as a cast gives
            return in_named_dtype(part, "bfloat16")
    if dtype and name in _FLOAT and part.dtype.kind in "biu":
        return part.astype(floatx())
    if dtype and name in _RUNNING and len(others) == 1 and not floats and "bool" not in others:
        return part.astype(*others)
    if name in _OF_INT64 and others and not floats and np.result_type(*others) == np.int64:
        return part
    if dtype == "int64" and "uint32" in given and given & _SIGNED and name not in _PLACES:
        return part  # the only one that holds both
    if dtype in _NARROW and (name in _PLACES or not given & {dtype, "int64", "uint64"}):
        return part.astype(_NARROW[dtype])
    if dtype == "float64" and not given & {"float64", "complex128"}:
        return part.astype(floatx())
    return part
