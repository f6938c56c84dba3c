"""Logs in which 'acc' finds 'accuracy', as the metric was called before Keras 2.3, and the reverse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from inspect import signature
from typing import Any

from minicnn.keras._warning import warn_once

_OLD_NAMES = {"acc": "accuracy", "val_acc": "val_accuracy", "lr": "learning_rate"}


class OldLogs(dict):
    """A dict, whose values are found under both names of a metric."""

    def __missing__(self, name: str) -> Any:
        for old, now in _OLD_NAMES.items():
            other = {old: now, now: old}.get(name)
            if other in self:
                warn_once(f"history[{name!r}]: it is called {other!r} there, as the metric was in compile()")
                return self[other]
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value; `default` where there is none under either name."""
        try:
            return self[name]
        except KeyError:
            return default


def with_old_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a callback, or a function that is one, whose logs know both names; what it writes there stays.

    Parameters
    ----------
    function : callable
        Its last argument, or that of the name "logs", is the logs.
    """

    @wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        logs = kwargs.get("logs", args[-1] if args else None)
        if type(logs) is not dict:  # of a GPU: they are fetched when they are read
            return function(*args, **kwargs)
        both = OldLogs(logs)
        try:
            if "logs" in kwargs:
                return function(*args, **kwargs | {"logs": both})
            return function(*args[:-1], both, **kwargs)
        finally:
            logs.clear()
            logs.update(both)

    with suppress(TypeError, ValueError):  # of some functions that are written in C nothing is known
        told.__signature__ = signature(function)  # type: ignore[attr-defined]  # what it is called with is checked
    return told
