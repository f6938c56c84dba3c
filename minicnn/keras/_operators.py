"""Operators of tensors as TensorFlow has them, where NumPy's are others."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.graph import Tensor
from minicnn.keras import _dtypes as _dtypes  # which gives arrays the division that is wrapped here
from minicnn.keras._taped import Taped

_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
_UFUNCS = {np.add: "add", np.subtract: "sub", np.multiply: "mul", np.true_divide: "truediv", np.matmul: "matmul"}
_UFUNCS |= {np.floor_divide: "floordiv", np.remainder: "mod", np.power: "pow"}
"""NumPy's functions that Python's operators of its arrays call, and the operators."""


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


EagerArray.__floordiv__ = _floor_divided(False)  # type: ignore[method-assign, assignment]
EagerArray.__rfloordiv__ = _floor_divided(True)  # type: ignore[method-assign, assignment]
Taped.__floordiv__ = lambda x, other: np.floor(x / other)  # type: ignore[method-assign]
Taped.__rfloordiv__ = lambda x, other: np.floor(other / x)  # type: ignore[method-assign]


def _in_its_dtype(compute: Callable[..., Any]) -> Callable[..., Any]:
    """The operator of a tensor of floats, beside which arrays, lists and NumPy's numbers get its dtype.

    NumPy's result is float64 beside int64 and lists. TensorFlow refuses a second tensor of another dtype: one of whole
    numbers counts as an array here, of two tensors of floats the wider one decides.
    """

    @wraps(compute)
    def computed(tensor: Any, other: Any) -> Any:
        if _is_of_floats(other) and tensor.dtype.kind in "iub":
            return compute(tensor.astype(other.dtype), other)
        if tensor.dtype.kind != "f" or type(other) in (int, float, Taped):
            return compute(tensor, other)
        array = np.asarray(other) if isinstance(other, list | tuple | range) else other
        if not isinstance(array, np.ndarray | np.generic) or array.dtype.kind not in "fiub":
            return compute(tensor, other)
        return compute(tensor, array if _is_of_floats(array) else array.astype(tensor.dtype, copy=False))

    return computed


def _is_of_floats(x):
    """Whether it is a tensor of floats, which an operator's other side follows."""
    return isinstance(x, EagerArray | Taped) and x.dtype.kind == "f"


def is_after_an_array(ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether NumPy was asked for ``array * tensor``, or what looks like that, with an array or number that follows.

    Parameters
    ----------
    ufunc, method, inputs, options
        As ``__array_ufunc__`` gets them.
    """
    if ufunc not in _UFUNCS or method != "__call__" or options or len(inputs) != 2:
        return False
    first = inputs[0]
    return isinstance(first, np.ndarray | np.generic) and first.dtype.kind in "fiub" and not _is_of_floats(first)


def after_an_array(ufunc: np.ufunc, first: Any, tensor: Any) -> Any:
    """``first * tensor``, with the operator that NumPy's function stands for, by the tensor's rules."""
    return getattr(tensor, f"__r{_UFUNCS[ufunc]}__")(first)


def _on_a_tape(array_ufunc: Callable[..., Any]) -> Callable[..., Any]:
    """``array * tensor``, which NumPy computes, with the tensor's dtype, too."""

    @wraps(array_ufunc)
    def computed(tensor: Any, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if is_after_an_array(ufunc, method, inputs, options) and tensor.dtype.kind == "f":
            inputs = inputs[0].astype(tensor.dtype, copy=False), inputs[1]
        return array_ufunc(tensor, ufunc, method, *inputs, **options)

    return computed


def _after_a_number(array: EagerArray, made: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
    """What NumPy computed; ``np.float64(2) * tensor``, which asks no tensor before, in the tensor's dtype instead."""
    ufunc, inputs, _ = context or (None, (), 0)
    if is_after_an_array(ufunc, "__call__", inputs, {}) and isinstance(inputs[0], np.generic):
        tensor = inputs[1]
        if _is_of_floats(tensor) and inputs[0].dtype != tensor.dtype:
            return after_an_array(ufunc, inputs[0], tensor)
    return np.ndarray.__array_wrap__(array, made, context, return_scalar)


def _as_new(name):
    """An operator that assigns, as of a tensor: whatever else has this array keeps it."""
    compute = getattr(operator, name)

    def assigning(x: Any, other: Any) -> Any:
        return compute(x, other)

    return assigning


EagerArray.__array_wrap__ = _after_a_number  # type: ignore[method-assign, assignment]
Taped.__array_ufunc__ = _on_a_tape(Taped.__array_ufunc__)  # type: ignore[method-assign]
for _name in _OPERATORS:
    for _of in (EagerArray, Taped):
        for _method in (f"__{_name}__", f"__r{_name}__"):
            setattr(_of, _method, _in_its_dtype(getattr(_of, _method)))
        setattr(_of, f"__i{_name}__", _as_new(_name))
