"""Methods by which Keras's layers compute, as `convolution_op`, that a subclass of the library's layer may write."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from minicnn.own_parts import is_of_package


def are_of(bases: tuple[type, ...], kinds: tuple[type, ...]) -> list[bool]:
    """Which of a class's bases are the library's layers of some kinds."""
    return [getattr(base, "core_class", None) in kinds for base in bases]


def give_call(
    bases: tuple[type, ...], names: Collection[str], namespace: dict[str, Any], call: Callable[..., Any]
) -> None:
    """Give a class that writes a hook the `call` that asks it, unless there is one of a user's.

    Parameters
    ----------
    bases : tuple of type
    names : collection of str
        What the class, and mixins before the library's layer, write.
    namespace : dict
        Of the class.
    call : function
        A new one for each class.
    """
    if "call" not in names and all(is_of_package(getattr(base, "call", give_call)) for base in bases):
        call.__module__ = namespace["__module__"]  # as if it had been written there
        namespace["call"] = call


def with_base(bases: tuple[type, ...], new: type, kinds: tuple[type, ...]) -> tuple[type, ...]:
    """The bases, with another one before the library's layer of one of these kinds, unless it is there."""
    if any(new in base.__mro__ for base in bases):
        return bases
    first = are_of(bases, kinds).index(True)
    return *bases[:first], new, *bases[first:]
