"""Functions of users as initializers, regularizers and constraints: configs and files hold their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minicnn.library_names import is_taken
from minicnn.own_parts import REGISTERED, own_name
from minicnn.registry import custom_object


class FunctionName(str):
    """A function's name, which knows the function until it is written: so layers made of a config have it, too.

    Parameters
    ----------
    function : callable
    """

    function: Callable[..., Any]

    def __new__(cls, function: Callable[..., Any]) -> FunctionName:
        name = super().__new__(cls, getattr(function, "__name__", repr(function)))
        name.function = function
        return name

    def __deepcopy__(self, memo: dict[int, Any]) -> FunctionName:
        return self

    def __reduce__(self) -> Any:  # a lambda cannot be pickled, and its name can
        return str, (str(self),)


def function_named(name: str) -> Callable[..., Any] | None:
    """The function that a config means by a name: its own, one of ``custom_objects``, or a registered one; else None.

    Parameters
    ----------
    name : str
    """
    if isinstance(name, FunctionName):
        return name.function
    registered = [each for key, each in REGISTERED.items() if name in (key, own_name(each))]
    given, bare = custom_object(name), custom_object(name.rpartition(">")[2])  # of "package>name", as in a Lambda
    known = [each for each in (given, *reversed(registered), bare) if callable(each)]
    return next((each for each in known if not isinstance(each, type)), None)


def function_beside(name: str) -> Callable[..., Any] | None:
    """`function_named`; of a name that is the library's only what ``custom_objects`` has, whatever is registered.

    Parameters
    ----------
    name : str
    """
    return None if is_taken(name) and custom_object(name) is None else function_named(name)


def entry_of(identifier: Any, class_name: str) -> Any:
    """The entry of a class for what Keras writes of a function, ``{"class_name": "function", "config": name}``.

    Parameters
    ----------
    identifier : object
        Anything else is returned as it is.
    class_name : str
        "FunctionInitializer", …
    """
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "function":
        return {"class_name": class_name, "config": {"function": identifier["config"]}}
    return identifier
