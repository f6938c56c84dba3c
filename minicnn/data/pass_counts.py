"""How many passes of each step have begun: what the order of a data set that shuffles anew in each pass depends on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from threading import Lock
from types import CellType, FunctionType, MethodType
from typing import Any

from minicnn.own_parts import is_of_package

_MOST = 1000  # entries of a list of data sets; one that is longer holds data


class PassCounter:
    """Counts the passes of a step whose passes differ: `next` gives the number of one that begins.

    Parameters
    ----------
    count : int, default 0

    Attributes
    ----------
    count : int
        How many have begun; may be set, so that a training that goes on has the orders that would have come.
    """

    def __init__(self, count: int = 0) -> None:
        self.count: int = count
        self._lock = Lock()  # a pass may begin in a thread that reads ahead

    def __next__(self) -> int:
        with self._lock:
            self.count += 1
            return self.count - 1

    def __reduce__(self) -> tuple[Any, ...]:
        return PassCounter, (self.count,)  # without the lock, which cannot be copied


def counters_of(data: object) -> list[PassCounter]:
    """The counters of all steps that a data set, or an object that reads some, is made of, in an order of its own.

    They are found where the steps keep their sources: in what a data set holds, and in what functions have around
    them. An equal data set of another process has them in the same order. Nothing is begun.

    Parameters
    ----------
    data : object
        An iterable whose attributes are looked at, too.
    """
    found, waiting, seen = [], [*_attributes(data), data], {}
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen[id(part)] = part  # which keeps it, so that the number stays its own
            found += [part] if isinstance(part, PassCounter) else []
            waiting.extend(_within(part))
    return found


def _within(part) -> Iterable[Any]:
    """What an object reads from, as far as that is seen."""
    if isinstance(part, FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or () if cell != CellType()]  # not empty ones
        return [*cells, *(part.__defaults__ or ()), *_named(part)]
    if isinstance(part, partial):
        return [part.func, *part.args, *part.keywords.values()]
    if isinstance(part, MethodType):
        return [part.__func__, *_attributes(part.__self__)]
    if isinstance(part, list | tuple | dict):
        return () if len(part) > _MOST else part.values() if isinstance(part, dict) else part
    kind = type(part)
    is_step = kind.__module__.startswith("minicnn.data.") or hasattr(kind, "as_numpy_iterator")
    return _attributes(part) if is_step or (callable(part) and not is_of_package(kind)) else ()


def _named(function) -> list[Any]:
    """The global objects that a user's function names; of functions, those beside it."""
    around = {} if is_of_package(function) else function.__globals__
    named = [around[name] for name in function.__code__.co_names if name in around]
    return [each for each in named if not isinstance(each, FunctionType) or each.__globals__ is around]


def _attributes(thing) -> list[Any]:
    """The values of an object's attributes, also of those for which its class has slots."""
    slots = [getattr(cls, "__slots__", ()) for cls in type(thing).__mro__]
    names = [name for each in slots for name in ([each] if isinstance(each, str) else each)]
    kept = getattr(thing, "__dict__", {})
    return [*(kept.values() if isinstance(kept, dict) else ()), *(getattr(thing, name, None) for name in names)]
