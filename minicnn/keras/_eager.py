"""Results that have ``.numpy()``, as TensorFlow's have: ``model(x).numpy()``, ``metric.result().numpy()``."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.keras._translation import translated
from minicnn.losses import Loss
from minicnn.losses.functions import ArrayFunction
from minicnn.metrics import Metric
from minicnn.nested import mapped


class EagerNumber(float):
    """A number with ``.numpy()``."""

    def numpy(self) -> np.float32:
        """The number as NumPy has it."""
        return np.float32(self)


def eager(result: Any) -> Any:
    """Arrays and numbers with ``.numpy()``, in lists and dictionaries too; anything else as it is."""
    return mapped(_eager, result)


def _eager(leaf):
    if type(leaf) is np.ndarray:
        return leaf.view(EagerArray)
    return EagerNumber(leaf) if isinstance(leaf, float | np.floating) else leaf


def eagerly(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, with such results."""

    @wraps(method)
    def call(self, *args, **kwargs):
        return eager(method(self, *args, **kwargs))

    return call


class _EagerFunction(ArrayFunction):
    __call__ = eagerly(ArrayFunction.__call__)


def eager_names(find: Callable[[str], Any], module: str) -> Callable[[str], Any]:
    """A ``__getattr__`` that gives losses and metrics which are called on arrays such results.

    Parameters
    ----------
    find : callable
        The module's ``__getattr__``.
    module : str
        Its name.
    """
    made = {}

    def __getattr__(name):
        if name not in made:
            made[name] = eager_part(find(name), module)
        return made[name]

    return __getattr__


def eager_part(part: Any, module: str) -> Any:
    """A loss, a metric or a function of one with such results; anything else as it is."""
    if isinstance(part, ArrayFunction):
        part = copy(part)
        part.__class__ = _EagerFunction
        return part
    if not isinstance(part, type) or not issubclass(part, Loss | Metric):
        return part
    name = "__call__" if issubclass(part, Loss) else "result"
    return translated(part, lambda *arguments: arguments, module, **{name: eagerly(getattr(part, name))})
