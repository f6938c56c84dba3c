"""Subclasses of the library's losses that write Keras's `call` or `__call__`: these are differentiated as they run."""

from __future__ import annotations

from copy import copy
from functools import wraps
from typing import Any

from minicnn.keras._translation import Translated
from minicnn.losses import Loss
from minicnn.own_parts import is_of_package

_OF_LOSSES = ("check_target", "placeholder_target", "compute", "values", "goes_by_rows", "decisions", "ignored")
_OF_LOSSES += ("of_last_axis",)


def whole(self: Loss, y_true: Any, y_pred: Any) -> Any:
    """The `call` of a loss that writes `__call__` alone."""
    return self(y_true, y_pred)


class OnBuiltIn(Translated):
    """Metaclass of the library's losses: a subclass with Keras's methods inherits no gradient, as its own is another.

    What the methods compute is differentiated, `super().call` by the library's formulas.
    """

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        writes = namespace.keys() & {"call", "__call__", "compute", "_compute", "elements"}
        if isinstance(bases[0], OnBuiltIn) and writes and writes <= {"call", "__call__"}:
            own = {method: getattr(Loss, method) for method in _OF_LOSSES}
            namespace = {"call": whole, **own, **namespace}
        return super().__new__(mcs, name, bases, namespace, **options)


class PerSample:
    """``loss.call(y_true, y_pred)``: the losses of samples; ``super().call`` in a subclass that writes `call`.

    The class itself has no `call`: so `minicnn.losses` tells losses that users write.
    """

    def __get__(self, loss: Any, owner: type | None = None) -> Any:
        if loss is None:
            raise AttributeError("a loss of the library has no `call` but as an object")
        is_super = next(vars(c)["call"] for c in type(loss).__mro__ if "call" in vars(c)) is not self
        single = plain(loss) if is_super else copy(loss)
        single.reduction = None
        return single if is_super else single.__call__


def plain(loss: Any) -> Any:
    """The loss as an object of the library's class, with the same options."""
    made = copy(loss)
    made.__class__ = next(c for c in type(loss).__mro__ if is_of_package(c))
    return made


def called(method: Any) -> Any:
    """The call of the library's class, also as ``super().__call__`` in that of a subclass."""

    @wraps(method)
    def call(self, *args, **kwargs):
        is_super = type(self).__call__ is not call
        return method(plain(self) if is_super else self, *args, **kwargs)

    return call
