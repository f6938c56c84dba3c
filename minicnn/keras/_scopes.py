"""Where a layer was first called: inside of which others, whose names stand before its own in ``weight.path``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from minicnn.held import holding
from minicnn.layers.composed import Composed

_scope: ContextVar[str] = ContextVar("scope", default="")


def note_scope(layer: Any) -> None:
    """Keep where a layer is called for the first time, as Keras does.

    Parameters
    ----------
    layer : Layer
    """
    if "_first_called_in" not in vars(layer):
        parts = layer.parts.values() if isinstance(layer, Composed) else ()  # where they are made already
        for one in (layer, *parts):
            vars(one)["_first_called_in"] = _scope.get()


def inside(layer: Any) -> AbstractContextManager[None]:
    """Inside, what is called for the first time is a part of this layer or model.

    Parameters
    ----------
    layer : Layer
    """
    note_scope(layer)
    return holding(_scope, f"{vars(layer)['_first_called_in']}{layer.name}/")


class Stacking:
    """A `Sequential` whose layers are called inside of it."""

    def _start(self, tensor: Any) -> None:
        with inside(self):
            super()._start(tensor)  # type: ignore[misc]

    def _put_on_top(self, layer: Any) -> None:
        with inside(self):
            super()._put_on_top(layer)  # type: ignore[misc]
