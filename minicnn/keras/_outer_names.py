"""Names outside of a class, globals and those of functions around it, that its `call` reads: ``x * ALPHA``."""

from __future__ import annotations

import dis
from collections.abc import Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from minicnn.own_parts import is_of_package

_NUMBERS = (bool, int, float, complex, str)


def outer_values(functions: Iterable[FunctionType]) -> Iterator[tuple[str, Any]]:
    """What the names outside of functions mean now that these read, and that functions read which they name.

    Parameters
    ----------
    functions : iterable of function
        A user's.

    Yields
    ------
    (str, object)
        Of a module its numbers and texts that are read, ``settings.ALPHA``; of anything else itself.
    """
    pending = list(functions)
    found = set(map(id, pending))
    while pending:
        function = pending.pop()
        for name, value in _named_in(function):
            if isinstance(value, ModuleType):
                for attribute in _attributes_read(function.__code__) & vars(value).keys():
                    if isinstance(vars(value)[attribute], _NUMBERS):
                        yield f"{name}.{attribute}", vars(value)[attribute]
            elif not (isinstance(value, type | FunctionType) and is_of_package(value)):
                yield name, value
                if isinstance(value, FunctionType) and id(value) not in found:
                    found.add(id(value))
                    pending.append(value)


def _named_in(function):
    """Name and value of what a function reads from outside of itself."""
    for name in _globals_read(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if cell != _EMPTY:
            yield name, cell.cell_contents


_EMPTY = type((lambda x: lambda: x)(0).__closure__[0])()  # a cell whose name has no value yet


@cache
def _globals_read(code: CodeType) -> frozenset[str]:
    return frozenset(i.argval for part in _parts(code) for i in dis.get_instructions(part) if i.opname == "LOAD_GLOBAL")


@cache
def _attributes_read(code: CodeType) -> frozenset[str]:
    return frozenset(name for part in _parts(code) for name in part.co_names)


def _parts(code) -> Iterator[CodeType]:
    """The code, and that of functions and comprehensions in it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _parts(part)
