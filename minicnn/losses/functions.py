"""Losses and metrics as Keras's functions of arrays: ``losses.mean_squared_error(y_true, y_pred)``."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.differentiation import Recorded
from minicnn.registry import Registry


class ArrayFunction:
    """What a class computes for each decision, as a function; wherever a name is taken, it stands for its class.

    Parameters
    ----------
    cls : type
        A class of losses or metrics.
    name : str
    compute : callable
        ``compute(instance, y_true, y_pred)`` returns an array (N, …).
    **defaults
        For the constructor.
    """

    def __init__(self, cls: type, name: str, compute: Callable[[Any, Any, Any], np.ndarray], **defaults: object):
        self.stands_for: type = cls
        self.__name__: str = name
        self.__doc__ = cls.__doc__
        self._compute, self._defaults = compute, defaults
        self.module: str = ""  # where it is found by its name

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are the function itself."""
        return _found, (self.module, self.__name__)

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, *arguments: object, **options: object) -> np.ndarray:
        """The value of each decision, (N, …); of single rows (C,), a number.

        Parameters
        ----------
        y_true, y_pred : array-like (N, …)
        *arguments, **options
            The class's, such as ``from_logits=True``.
        """
        instance = self.stands_for(*arguments, **self._defaults, **options)
        y_true, y_pred = (y.to_numpy() if hasattr(y, "to_numpy") else y for y in (y_true, y_pred))  # pandas
        if np.ndim(y_pred) == 1:
            return self._compute(instance, np.expand_dims(y_true, 0), np.expand_dims(y_pred, 0))[0]
        return self._compute(instance, y_true, y_pred)

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"


def _found(module, name):
    return getattr(import_module(module), name)


def of_losses(registry: Registry[Any], module: str) -> Callable[[str], ArrayFunction]:
    """A ``__getattr__`` for the module of losses: classes by their names, functions by those in lower case.

    Parameters
    ----------
    registry : Registry
    module : str
    """
    _losses.append(registry)
    return _module_getattr(registry, module, _values, reduction=None)


_losses: list[Registry[Any]] = []  # the registry of losses, once there is one


def _values(loss, y_true, y_pred):
    return loss(y_true, y_pred)


def of_metrics(registry: Registry[Any], module: str) -> Callable[[str], ArrayFunction]:
    """The same for the module of metrics."""
    return _module_getattr(registry, module, _values_of_metric)


def _values_of_metric(metric, y_true, y_pred):
    """The metric of each decision; of recorded predictions, what the loss of its name gives."""
    if not isinstance(y_pred, Recorded):
        return metric.of_arrays(y_true, y_pred)
    return _losses[0].lookup(type(metric).__name__)(reduction=None)(y_true, y_pred)


def _module_getattr(registry, module, compute, **defaults):
    classes, found = registry.module_getattr(module), {}

    def __getattr__(name):
        cls = classes(name)
        if name == cls.__name__:
            return cls
        if name not in found:
            found[name] = ArrayFunction(cls, name, compute, **defaults)
            found[name].module = module
        return found[name]

    return __getattr__
