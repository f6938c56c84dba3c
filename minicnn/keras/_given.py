"""What a user's class was given when it was made: files and copies need it where the class does not say it itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any, Self

from minicnn.own_parts import is_of_package


@dataclass
class _Given:
    """Arguments; not as a dict, in which a model would find layers that are not in its attributes yet."""

    arguments: dict[str, Any] = field(default_factory=dict)


class Remembering:
    """Mixin: objects of users' classes know the arguments of their constructor, by name."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        if (args or kwargs) and not is_of_package(cls):
            with suppress(TypeError):  # the constructor says what is wrong with them
                vars(self)["_given"] = _Given(_by_name(cls.__init__, self, args, kwargs))
        return self


def _by_name(constructor, self, args, kwargs):
    """The arguments by name; none if the constructor collects positional ones."""
    bound = signature(constructor).bind(self, *args, **kwargs).arguments
    given = dict(list(bound.items())[1:])
    for parameter in signature(constructor).parameters.values():
        if parameter.kind is Parameter.VAR_KEYWORD:
            given |= given.pop(parameter.name, {})
        elif parameter.kind is Parameter.VAR_POSITIONAL and parameter.name in given:
            return {}
    return given


def given(thing: Any) -> dict[str, Any]:
    """The arguments of the constructor, by name; of a class of the package, none."""
    return vars(thing).get("_given", _Given()).arguments
