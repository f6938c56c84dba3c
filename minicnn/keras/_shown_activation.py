"""``layer.activation`` as users see it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from minicnn.layers import InputLayer

# What looks for an attribute that nobody has once more, for its message.
_EXPLAINING = ("minicnn.mistaken_names", "minicnn.own_parts", "minicnn.keras._function_activations")


class Shown:
    """The attribute `activation` of a layer or model; a user's question has an answer where one was set, as in Keras.

    Parameters
    ----------
    none : str, optional
        Name of the function of `keras.activations` that None, no step of the library's, stands for.
    """

    def __init__(self, none: str | None = None) -> None:
        self._none = none

    def __get__(self, layer: Any, cls: type | None = None) -> Any:
        found = None if layer is None else vars(layer).get("activation", self)
        module = str(sys._getframe(1).f_globals.get("__name__"))
        if layer is None or (module.partition(".")[0] == "minicnn" and module not in _EXPLAINING):
            return None if found is self else found
        if found is self:
            raise AttributeError(
                f"'{cls.__name__}' object has no attribute 'activation': layers.Activation(…) stands behind it. "  # type: ignore[union-attr]
                f"Received: layer '{layer.name}'"
            )
        stands_for = found is None and self._none is not None
        return getattr(import_module("minicnn.keras.activations"), self._none) if stands_for else found

    def __set__(self, layer: Any, value: Any) -> None:
        vars(layer)["activation"] = value

    def __delete__(self, layer: Any) -> None:
        del vars(layer)["activation"]


InputLayer.activation = Shown()  # type: ignore[assignment]  # which the library's `Input` makes for Keras's, too
