"""The dtypes of results of ``keras.ops``: Keras's, where NumPy has wider ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.settings import floatx

_NARROW = {"int64": "int32", "uint64": "uint32"}
_PLACES = {"argmax", "argmin", "argpartition", "argsort", "bincount", "count_nonzero", "digitize"}
"""Functions whose results are numbers of places, int32 whatever they were given."""
_MEANS = {"average", "divide", "linspace", "mean", "median", "norm", "quantile", "std", "true_divide", "var"}
"""Functions whose results are floats, of `floatx` where nothing that they were given is float64."""
KEPT = {"array", "full", "full_like"}
"""Functions whose results have the dtype of the value that they are given."""


def in_kerass_dtype(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """The function, whose results in 64 bits have Keras's dtypes where nothing that it was given has 64 bits.

    Parameters
    ----------
    function : callable
        Of arrays; values on a tape and a model's tensors are returned as they are.
    name : str, optional
        Its name in ``keras.ops``.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        if kwargs.get("dtype") is not None:
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


def _narrow(part, given, name):
    dtype = str(part.dtype) if isinstance(part, np.ndarray | np.generic) else ""
    if dtype in _NARROW and (name in _PLACES or not given & {dtype, "int64", "uint64"}):
        return part.astype(_NARROW[dtype])
    if dtype == "float64" and "float64" not in given and (given or name in _MEANS | {"arange"}):
        return part.astype(floatx())
    return part
