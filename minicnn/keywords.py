"""Misspelt names of arguments: the error names the nearest one, as newer versions of Python do by themselves."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


_OF_THE_OPTIMIZER = "the rate is the optimizer's, optimizer=optimizers.Adam(learning_rate=0.001)."


def suggests_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: arguments that the function does not take raise `TypeError` with what it takes, and the nearest name.

    So do arguments that are missing, and a tensor in the constructor of a layer, ``Flatten(x)``; text for what is True
    or False there is a `ValueError`. Where the function takes ``**kwargs``, a name that it does not have is looked at
    only where an argument is missing.
    """
    known = _Parameters(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        missing = [name for name in known.required[len(args) :] if name not in kwargs]
        if kwargs and not kwargs.keys() <= known.names:
            names = missing if known.takes_any else known.names
            _explain(_called(function, args), [n for n in kwargs if n not in known.names], names, known.takes_any)
        if missing or (known.limit is not None and len(args) > known.limit):
            _explain_count(_called(function, args), known, args, kwargs, missing)
        if known.flags and any(isinstance(value, str) for value in (*args, *kwargs.values())):
            _check_flags(_called(function, args), known, args, kwargs)
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError):
            is_layer = known.is_of_package and _is_layer(args[0]) and not hasattr(args[0], "compile")
            if is_layer and any(map(_is_symbolic, args[1:])):
                raise _uncalled(_called(function, args)) from None
            raise

    return wrapper


class _Parameters:
    """What a function takes.

    Attributes
    ----------
    names : set of str
    required : list of str
        Those without a default, in order.
    positional : list of str
    limit : int or None
        How many arguments it takes by position; None: any number.
    takes_any : bool
        Whether there is a ``**kwargs``.
    is_of_package : bool
        Whether it is a constructor of the package. Users' own may take what they like.
    flags : set of str
        Of such a constructor: those that are True or False.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        found = inspect.signature(function, follow_wrapped=False).parameters.values()
        named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        self.names = {p.name for p in named}
        self.required = [p.name for p in named if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        self.positional = [p.name for p in named if p.kind is not p.KEYWORD_ONLY]
        self.limit = None if any(p.kind is p.VAR_POSITIONAL for p in found) else len(self.positional)
        self.takes_any = any(p.kind is p.VAR_KEYWORD for p in found)
        package = (function.__module__ or "").partition(".")[0]
        self.is_of_package = function.__name__ == "__init__" and package == "minicnn"
        self.flags = {p.name for p in named if self.is_of_package and p.annotation in (bool, "bool")}


def _is_symbolic(value):
    return hasattr(value, "node") and hasattr(value, "shape")


def _is_layer(made):
    return hasattr(type(made), "call_symbolically")


def _uncalled(called):
    """The error for ``Flatten(x)``, of a symbolic tensor."""
    return TypeError(
        f"{called}(…) makes a layer, and what it is applied to stands in a second call: {called}(…)(x). "
        "Received: a tensor among the arguments of the first"
    )


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
        hint = _OF_THE_OPTIMIZER if name in ("lr", "learning_rate") and "optimizer" in known else hint
        raise TypeError(f"{called}() got an unexpected keyword argument '{name}': {hint}")


def _explain_count(called, known, args, kwargs, missing) -> NoReturn:
    """Raise `TypeError` for arguments that are missing, or for more than the function takes by position."""
    own = [name for name in known.positional if name != "self"]
    if missing:
        given, needed = [*known.positional[: len(args)], *kwargs], [name for name in known.required if name != "self"]
        raise TypeError(
            f"{called}() needs {', '.join(missing)}: write {called}({', '.join(needed)}). "
            f"Received: {', '.join(name for name in given if name != 'self') or 'no arguments'}"
        )
    is_layer = _is_layer(args[0]) and called == type(args[0]).__name__
    advice = f"; what a layer is applied to stands in a second call: {called}(…)(x)" if is_layer else ""
    raise TypeError(
        f"{called}() takes {', '.join(own) or 'nothing'} by position, and others by name{advice}. "
        f"Received: {len(args) - len(known.positional) + len(own)} arguments"
    )


def _check_flags(called, known, args, kwargs) -> None:
    """Raise `ValueError` for text in the place of True or False, of which every text but "" would count as True."""
    given = dict(zip(known.positional, args, strict=False)) | kwargs
    for name in known.flags & given.keys():
        if isinstance(given[name], str):
            raise ValueError(f"`{name}` is True or False. Received: {name}={given[name]!r}, for {called}")


def suggests_in_constructor(cls: type[T]) -> type[T]:
    """Class decorator: `suggests_keywords` for the constructor that a dataclass has written."""
    name = "__init__"  # type checkers would take `cls.__init__ = …` for a constructor of the base class
    setattr(cls, name, suggests_keywords(vars(cls)[name]))
    return cls


class SuggestsKeywords:
    """Base of classes whose constructors are decorated with `suggests_keywords`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.isfunction(vars(cls).get("__init__")):
            suggests_in_constructor(cls)
