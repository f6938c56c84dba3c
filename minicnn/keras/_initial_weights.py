"""``weights=[…]`` of a layer's constructor, as Keras 1 and 2 took it: what the weights are once they are there."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from minicnn.keras._translation import Translated
from minicnn.keras._warning import warn_once
from minicnn.own_parts import is_of_package

calling: ContextVar[str] = ContextVar("calling", default="")
"""The name of the layer whose `call` runs on arrays now; "": none does."""


class WithInitialWeights(Translated):
    """Metaclass of layers whose constructors are given arrays for the weights."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        is_own = "weights" in signature(cls.__init__).parameters  # of a user's class, which means what it wants
        arrays = None if is_own else kwargs.pop("weights", None)
        layer = super().__call__(*args, **kwargs)
        vars(layer).pop("_names_in_build", None)
        if outer := calling.get():
            vars(layer)["_made_in_call_of"] = outer
        if kwargs and not is_of_package(cls):
            vars(layer)["_handed_on"] = tuple(kwargs)  # to the library's constructor, maybe: for the config
        if arrays is not None:
            vars(layer)["_initial_weights"] = _listed(cls.__name__, arrays)
            if layer.shape_for_any is not None:  # as today's Keras: the weights are there at once
                layer.build()
        return layer


def _listed(name, arrays):
    if name == "Embedding" and isinstance(arrays, np.ndarray):  # which today's Keras takes, too
        arrays = [arrays] if arrays.ndim == 2 else list(arrays)
    if not isinstance(arrays, list | tuple):
        raise TypeError(
            f"{name}(weights=[…]) takes a list of arrays, as get_weights gives it: weights=[matrix]. "
            f"Received: {type(arrays).__name__}"
        )
    if name != "Embedding":  # which has it in today's Keras
        warn_once(f"{name}(weights=[…]) is an argument of Keras 2: today it is layer.set_weights, once it is built")
    return [np.array(array) for array in arrays]


def taking_initial_weights(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build_for` of a layer, or what makes its weights, behind which they are those that the constructor was given."""

    @wraps(build)
    def wrapped(self: Any, input_shapes: Any) -> Any:
        arrays = vars(self).get("_initial_weights")
        if arrays is None:
            return build(self, input_shapes)
        vars(self)["_initial_weights"] = None  # there may be another one inside
        try:
            shapes = build(self, input_shapes)
            self._built = True
            self.set_weights(arrays)
        except BaseException:
            vars(self)["_initial_weights"] = arrays
            raise
        del vars(self)["_initial_weights"]
        return shapes

    return wrapped
