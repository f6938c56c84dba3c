"""`dtype=` of losses: float64 is what they are computed in; of 16 bits, it is what their results are rounded to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn import losses
from minicnn.bfloat16 import rounded
from minicnn.differentiation import Recorded
from minicnn.keras._new_arrays import standardize_dtype
from minicnn.layers.names import snake_case
from minicnn.nested import mapped
from minicnn.own_parts import is_of_package
from minicnn.settings import floatx

_OTHERS = ("float16", "bfloat16", "float64")  # than float32, which a model may have


def with_dtype(constructor: Callable[..., None]) -> Callable[..., None]:
    """The constructor of a loss, which takes ``dtype="float16"``, ``"bfloat16"`` and ``"float64"``, too.

    Parameters
    ----------
    constructor : callable
        That of `minicnn.losses`, which takes what a model may have.
    """

    @wraps(constructor)
    def __init__(self: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> None:
        dtype = standardize_dtype(dtype) if isinstance(dtype, type) else dtype  # Python's float, np.float32
        other = _other(dtype)
        constructor(self, *args, **kwargs if dtype is None or other is not None else {**kwargs, "dtype": dtype})
        vars(self)["_other_dtype"] = other
        vars(self)["_told"] = other or dtype

    return __init__


def _other(dtype):
    """ "float16", "bfloat16" or "float64", if it is one of them, or a policy that computes in it; None otherwise."""
    dtype = getattr(dtype, "compute_dtype", dtype)
    if isinstance(dtype, str):
        name = dtype.removeprefix("mixed_")
    else:
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    return name if name in _OTHERS else None


def dtype_of(loss: Any) -> str:
    """The dtype of the results of a loss."""
    return vars(loss).get("_other_dtype") or floatx()


def hides(loss: Any, outputs: Any) -> bool:
    """Whether a cast to the loss's dtype hides the function that gave the outputs, as in Keras: it is another one."""
    return str(getattr(outputs, "dtype", "")) != (vars(loss).get("_told") or floatx())


def as_computed(loss: Any, recorded: Any) -> Any:
    """Recorded outputs, targets or weights in what a loss computes in, as Keras casts them; of 16 bits it is float32.

    Parameters
    ----------
    loss : Loss
    recorded : Recorded
        Floats; anything else is returned as it is, also in lists and dicts.
    """
    dtype = np.dtype("float64" if dtype_of(loss) == "float64" else "float32")

    def cast(x):
        is_other = isinstance(x, Recorded) and x.dtype.kind == "f" and x.dtype != dtype
        return x.astype(dtype) if is_other else x

    return mapped(cast, recorded)


def in_its_dtype(loss: Any, result: Any) -> Any:
    """Losses of samples, or a number, in the loss's dtype; bfloat16 as float32 of such numbers.

    Parameters
    ----------
    loss : Loss
    result : array, Recorded or float
        Anything else is returned as it is.
    """
    dtype = dtype_of(loss)
    if isinstance(result, Recorded):
        return _in_bfloat16(result.astype("float32")) if dtype == "bfloat16" else result.astype(dtype)
    if isinstance(result, np.ndarray):
        return _rounded(result, dtype)
    if dtype in ("float16", "bfloat16") and isinstance(result, float | np.floating):
        return type(result)(_rounded(np.array([result]), dtype)[0])
    return result


def in_dtype_of(result: Any, outputs: Any) -> Any:
    """What a function of a loss or a metric gave, in Keras's dtype: never NumPy's bools, whose sum is another one.

    Parameters
    ----------
    result : array or number
        Anything else is returned as it is.
    outputs : array-like
        What it was given: losses have its dtype, if that is one of floats; decisions of metrics have that of models.
    """
    if not isinstance(result, np.ndarray | np.generic):
        return result
    given = getattr(outputs, "dtype", None)
    is_kept = isinstance(given, np.dtype) and given.kind == "f" and result.dtype.kind == "f"
    with np.errstate(over="ignore", under="ignore"):
        return result.astype(given if is_kept else floatx())


def _in_bfloat16(recorded):
    """The nearest such number of each float32, as float32; its gradient is that of a cast."""
    return Recorded(rounded(recorded.value), [(recorded, lambda g: g)])


def _rounded(array, dtype):
    with np.errstate(over="ignore", under="ignore"):
        return rounded(array.astype(np.float32)) if dtype == "bfloat16" else array.astype(dtype)


class LossName:
    """``loss.name``: what the constructor was given, else that of the library's class in snake case, as in Keras."""

    def __get__(self, loss: Any, owner: Any = None) -> str:
        known = (cls.__name__ for cls in owner.__mro__ if is_of_package(cls) and cls.__name__ in losses.__all__)
        name = next((name for name in known if name != "Loss"), owner.__name__)
        default = "huber_loss" if name == "Huber" else snake_case(name)
        return (None if loss is None else vars(loss).get("name")) or default

    def __set__(self, loss: Any, value: str | None) -> None:
        vars(loss)["name"] = value
