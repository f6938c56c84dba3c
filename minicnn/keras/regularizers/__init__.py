"""``keras.regularizers``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from minicnn import regularizers as _core
from minicnn.differentiation import Recorded, gradients, value_of
from minicnn.hints import Config
from minicnn.keras._eager import eager
from minicnn.keras._names import lookup, public_names
from minicnn.keras._starred import starred
from minicnn.keras._translation import Translated, translated
from minicnn.keras._warning import warn_once
from minicnn.keras.saving._objects import reading, registered
from minicnn.keras.utils._helpers import function_called, named_by_user
from minicnn.named_functions import FunctionName, function_named
from minicnn.on_host import assign, on_host
from minicnn.registry import custom_object


class Regularizer(_core.Regularizer, metaclass=Translated):
    """Base of penalties of one's own: Keras's, which have ``__call__(self, w)``, or minicnn's.

    ``__call__`` returns one number, and is differentiated; it runs on the processor.
    """

    core_class = _core.Regularizer

    def penalty(self, w: np.ndarray) -> float | np.ndarray:
        """R(w)."""
        return super().penalty(w) if type(self).__call__ is Regularizer.__call__ else _penalty(self, w)

    def add_gradient(self, w: np.ndarray, grad: np.ndarray) -> None:
        """Add dR/dw to `grad`, in place."""
        if type(self).__call__ is Regularizer.__call__:
            super().add_gradient(w, grad)
        else:
            _add_gradient(self, w, grad)


def _penalty(regularizer, w):
    """R(w), of a ``__call__`` of one's own."""
    return float(np.asarray(value_of(regularizer(on_host(w)))).item())


def _add_gradient(regularizer, w, grad):
    """Add dR/dw of a ``__call__`` of one's own to `grad`, in place."""
    source = Recorded(on_host(w), [])
    result = regularizer(source)
    if isinstance(result, Recorded):
        (slope,) = gradients(result, np.ones_like(result.value), [source])
        assign(grad, on_host(grad) + slope)


@_core.register
class FunctionRegularizer(Regularizer):
    """A function of the weight as a penalty, differentiated as it runs; files hold its name alone.

    Parameters
    ----------
    function : callable
        Of an array, the weight; returns a number.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function: Callable[[Any], Any] = function

    def __call__(self, w: Any) -> Any:
        """R(w); several numbers are added up, as Keras adds up all losses."""
        return np.sum(self.function(w))

    def get_config(self) -> Config:
        """The function by its name."""
        return {"function": FunctionName(self.function)}

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """A penalty from what `get_config` returned; the function comes from ``custom_objects=``.

        Raises
        ------
        ValueError
            If it is not there.
        """
        name = config["function"]
        return cls(function_named(name) or function_called(name, "a regularizer"))


def get(identifier: Any) -> Any:
    """A regularizer from a name, a class, an instance, a config or a function of the weight; None for None."""
    if isinstance(identifier, str):
        identifier = custom_object(identifier) or named_by_user(identifier, identifier)
    is_function = callable(identifier) and not isinstance(identifier, type | _core.Regularizer)
    if is_function and not hasattr(identifier, "stands_for"):
        return FunctionRegularizer(identifier)
    return _core.get(registered(identifier))


def _open_to_calls(part):
    """A class of the library, whose subclasses may have a ``__call__`` of their own, too, which may call this one's."""

    def __call__(self, w):
        if type(self).__call__ is not __call__:  # it was called by another one, which `penalty` would ask again
            self, given = object.__new__(part), self
            vars(self).update(vars(given))
        return eager(part.__call__(self, w))

    def penalty(self, w):
        return (part.penalty if type(self).__call__ is __call__ else _penalty)(self, w)

    def add_gradient(self, w, grad):
        (part.add_gradient if type(self).__call__ is __call__ else _add_gradient)(self, w, grad)

    own = {"__call__": __call__, "penalty": penalty, "add_gradient": add_gradient}
    return translated(part, lambda args, kwargs: (args, _factor_of_today(part, kwargs)), __name__, **own)


def _factor_of_today(part, kwargs):
    """What Keras 1 and 2 called `l`, of L1 and of L2, by the name of today."""
    name = {_core.L1: "l1", _core.L2: "l2"}.get(part)
    if name is None or "l" not in kwargs or name in kwargs:
        return kwargs
    warn_once(f"regularizers.{name}(l=…) is called {name}({name}=…) today")
    return {name if given == "l" else given: value for given, value in kwargs.items()}


def l1l2(l1: float = 0.01, l2: float = 0.01) -> Any:
    """Keras 1's `l1_l2`, whose factors are 0.01 where they are not given (today they are 0)."""
    warn_once("regularizers.l1l2(l1, l2) is called l1_l2(l1=…, l2=…) today")
    return __getattr__("l1_l2")(l1=l1, l2=l2)


activity_l1l2 = l1l2


_NAMES = {
    "serialize": "minicnn.keras.saving._objects.serialized",
}
deserialize = reading(get)
_found = lookup(__name__, ["minicnn.regularizers"], names=_NAMES, old={"activity_l1": "l1", "activity_l2": "l2"})
_open: dict[type, Any] = {}


def __getattr__(name: str) -> Any:
    part = _found(name)
    if not isinstance(part, type) or part in _open.values() or not issubclass(part, _core.Regularizer):
        return part
    return _open[part] if part in _open else _open.setdefault(part, _open_to_calls(part))


__all__ = sorted({*public_names(_core), "get", "l1", "l2", "l1_l2"})
__all__ += starred(__name__)
