"""``==`` and ``!=`` of what has no numbers yet, in a user's code: number by number, as of arrays; ``<``, … of moments.

The library itself, and what looks things up in lists, asks whether one is the other: that stays so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras._deferred import Deferred
from minicnn.keras._in_order import is_asked
from minicnn.keras._operation_marks import is_traced
from minicnn.keras._over_samples import OverSamples

_NUMBERS = (int, float, np.ndarray, np.generic)


def _of_tensors(name: str) -> Callable[[Any, Any], Any]:
    def compare(tensor: Tensor, other: Any) -> Any:
        is_meant = isinstance(other, (*_NUMBERS, OverSamples))
        is_meant = is_meant or (isinstance(other, Tensor) and is_traced() and other is not tensor)
        if not is_meant or not is_asked(sys._getframe(1)):
            return NotImplemented
        return _compared(name, tensor, other)

    return compare


def _of_deferred(name: str) -> Callable[[Any, Any], Any]:
    def compare(own: Deferred, other: Any) -> Any:
        is_of_samples = isinstance(own, OverSamples) and isinstance(other, Tensor | OverSamples) and own is not other
        if not (is_of_samples or isinstance(other, _NUMBERS)) or not is_asked(sys._getframe(1)):
            return NotImplemented
        if isinstance(own, OverSamples):
            return _compared(name, own, other)
        raise TypeError(
            f"what has no number yet is compared by keras.ops.{name}(a, b), and decides no if. "
            f"Received: {type(own).__name__} beside {other!r}"
        )

    return compare


def _compared(name, own, other):
    return getattr(import_module("minicnn.keras.ops"), name)(own, other)


def _ordered(name):
    return lambda own, other: _compared(name, own, other)


for _operator, _name in (("gt", "greater"), ("ge", "greater_equal"), ("lt", "less"), ("le", "less_equal")):
    setattr(OverSamples, f"__{_operator}__", _ordered(_name))
for _class, _comparing in ((Tensor, _of_tensors), (Deferred, _of_deferred)):
    for _operator, _name in (("__eq__", "equal"), ("__ne__", "not_equal")):
        setattr(_class, _operator, _comparing(_name))
