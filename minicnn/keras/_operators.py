"""Operators of tensors as TensorFlow has them, where NumPy's are others."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.graph import Tensor
from minicnn.keras._taped import Taped

_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")


def _floor_divided(is_reflected):
    """``//`` of floats as TensorFlow has it, ⌊x / y⌋; NumPy's is NaN where that is ∞, and 9 for 1 // 0.1."""
    plain = np.ndarray.__rfloordiv__ if is_reflected else np.ndarray.__floordiv__
    quotient = np.ndarray.__rtruediv__ if is_reflected else np.ndarray.__truediv__

    def divided(array: EagerArray, other: Any) -> Any:
        if array.dtype.kind != "f":
            made = plain(array, other)
            if made is NotImplemented or made.dtype.kind != "f":
                return made
        if isinstance(other, Tensor):  # which knows better
            return NotImplemented
        with np.errstate(all="ignore"):
            made = quotient(array, other)
            return made if made is NotImplemented else np.floor(made)

    return divided


EagerArray.__floordiv__ = EagerArray.__ifloordiv__ = _floor_divided(False)  # type: ignore[method-assign, assignment]
EagerArray.__rfloordiv__ = _floor_divided(True)  # type: ignore[method-assign, assignment]
Taped.__floordiv__ = lambda x, other: np.floor(x / other)  # type: ignore[method-assign]
Taped.__rfloordiv__ = lambda x, other: np.floor(other / x)  # type: ignore[method-assign]


def _in_its_dtype(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The operator of a tensor of floats, beside which arrays, lists and NumPy's numbers get its dtype.

    NumPy's result is float64 beside int64 and lists. TensorFlow refuses a second tensor of another dtype: one of whole
    numbers counts as an array here, of two tensors of floats the wider one decides.
    """

    @wraps(operator)
    def computed(tensor: Any, other: Any) -> Any:
        if tensor.dtype.kind != "f" or type(other) in (int, float, Taped):
            return operator(tensor, other)
        array = np.asarray(other) if isinstance(other, list) else other
        if not isinstance(array, np.ndarray | np.generic) or array.dtype.kind not in "fiub":
            return operator(tensor, other)
        is_wider = isinstance(array, EagerArray) and array.dtype.kind == "f"
        return operator(tensor, array if is_wider else array.astype(tensor.dtype, copy=False))

    return computed


def _after_an_array(array_ufunc: Callable[..., Any]) -> Callable[..., Any]:
    """``array * tensor``, which NumPy computes, with the tensor's dtype, too."""

    @wraps(array_ufunc)
    def computed(tensor: Any, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        first = inputs[0]
        is_beside = len(inputs) == 2 and isinstance(first, np.ndarray | np.generic) and type(first) is not EagerArray
        if is_beside and tensor.dtype.kind == "f" and first.dtype.kind in "fiub":
            inputs = first.astype(tensor.dtype, copy=False), inputs[1]
        return array_ufunc(tensor, ufunc, method, *inputs, **options)

    return computed


Taped.__array_ufunc__ = _after_an_array(Taped.__array_ufunc__)  # type: ignore[method-assign]
for _name in _OPERATORS:
    for _of in (EagerArray, Taped):
        for _method in (f"__{_name}__", f"__r{_name}__"):
            setattr(_of, _method, _in_its_dtype(getattr(_of, _method)))
