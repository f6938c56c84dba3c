"""``==`` and ``!=`` of what has no numbers yet, in a user's code: number by number, as of arrays.

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

_NUMBERS = (int, float, np.ndarray, np.generic)


def _of_tensors(name: str) -> Callable[[Any, Any], Any]:
    def compare(tensor: Tensor, other: Any) -> Any:
        is_meant = isinstance(other, _NUMBERS) or (isinstance(other, Tensor) and is_traced() and other is not tensor)
        if not is_meant or not is_asked(sys._getframe(1)):
            return NotImplemented
        return getattr(import_module("minicnn.keras.ops"), name)(tensor, other)

    return compare


def _of_deferred(name: str) -> Callable[[Any, Any], Any]:
    def compare(own: Deferred, other: Any) -> Any:
        if not isinstance(other, _NUMBERS) or not is_asked(sys._getframe(1)):
            return NotImplemented
        raise TypeError(
            f"what has no number yet is compared by keras.ops.{name}(a, b), and decides no if. "
            f"Received: {type(own).__name__} beside {other!r}"
        )

    return compare


for _class, _comparing in ((Tensor, _of_tensors), (Deferred, _of_deferred)):
    for _operator, _name in (("__eq__", "equal"), ("__ne__", "not_equal")):
        setattr(_class, _operator, _comparing(_name))
