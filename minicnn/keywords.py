"""Misspelt names of arguments: the error names the nearest one, as newer versions of Python do by themselves."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def suggests_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a keyword argument that the function does not have raises `TypeError` with the nearest name.

    Where the function takes ``**kwargs``, that is done for an argument that is missing only.
    """
    names, required, takes_any = _parameters(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs and not kwargs.keys() <= names:
            missing = required[len(args) :]
            known = [name for name in missing if name not in kwargs] if takes_any else names
            _explain(_called(function, args), [name for name in kwargs if name not in names], known, takes_any)
        return function(*args, **kwargs)

    return wrapper


def _parameters(function) -> tuple[set[str], list[str], bool]:
    """(names of parameters, those without a default, whether there is a ``**kwargs``)."""
    found = inspect.signature(function).parameters.values()
    named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in named if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return {p.name for p in named}, required, any(p.kind is p.VAR_KEYWORD for p in found)


def _called(function, args) -> str:
    """The function, or the class of an object that is made, as the user knows it."""
    owner, _, name = function.__qualname__.rpartition(".")
    if not owner or not args:
        return name
    return type(args[0]).__name__ + ("" if name == "__init__" else f".{name}")


def _explain(called, unknown: list[str], known: Collection[str], only_if_close: bool) -> None:
    """Raise `TypeError` for the first unknown argument."""
    for name in unknown:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        if not close and only_if_close:
            continue
        others = ", ".join(sorted(set(known) - {"self"}))
        hint = f"did you mean '{close[0]}'?" if close else f"it has {others or 'none'}."
        raise TypeError(f"{called}() got an unexpected keyword argument '{name}': {hint}")


class SuggestsKeywords:
    """Base of classes whose constructors are decorated with `suggests_keywords`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.isfunction(vars(cls).get("__init__")):
            name = "__init__"  # type checkers would take `cls.__init__ = …` for a constructor of the base class
            setattr(cls, name, suggests_keywords(vars(cls)[name]))
