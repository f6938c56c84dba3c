"""Numbers outside of the function of a `Lambda` that stands for layers, which keep those that it was made with.

Keras calls the function again in each call of the model, so that a number which has changed since is warned of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np

from minicnn.keras._outer_names import outer_values
from minicnn.keras._variables import Variable
from minicnn.step import Changes
from minicnn.user_warnings import brief, warn_user

_PLAIN = (bool, int, float, complex, str, np.generic)


class _Read:
    """What a function read when it was run; copies, and what is in files, know nothing of it."""

    def __init__(self, name: str = "", function: FunctionType | None = None) -> None:
        self.name, self.function = name, function
        self.values = {} if function is None else dict(_plain(function))

    def __reduce__(self) -> Any:
        return _Read, ()


class _Kept:
    """The `_Read` of a model's graph, until an attribute of a layer changes."""

    def __init__(self, graph: Any = None) -> None:
        self.count, self.graph = Changes.count, graph
        reads = [vars(layer).get("_read", _Read()) for layer in _within(graph)] if graph is not None else []
        self.found = [read for read in reads if read.values]

    def __reduce__(self) -> Any:
        return _Kept, ()


def keep_numbers(layer: Any, name: str, function: Callable[..., Any]) -> None:
    """Keep, at the last of the layers that a function has made, what it read outside of itself.

    Parameters
    ----------
    layer : Layer
    name : str
        The Lambda's.
    function : callable
    """
    if isinstance(function, FunctionType) and (read := _Read(name, function)).values:
        vars(layer)["_read"] = read


def warn_of_changed_numbers(model: Any) -> None:
    """Warn, once, of each number that the function of a Lambda in a model would read now, and does not."""
    known = vars(model).get("_kept_numbers")
    if known is None or known.graph is not model.graph or known.count != Changes.count:
        known = vars(model)["_kept_numbers"] = _Kept(model.graph)
    for read in known.found:
        now = dict(_plain(read.function))
        for name in [n for n in now if n in read.values and not _is_same(now[n], read.values[n])]:
            warn_user(
                f"{name} has changed since the function of the Lambda layer '{read.name}' was run, whose layers keep "
                "the number of then, where Keras calls the function again in each new call of the model: make the "
                f"model again, or use K.variable and K.set_value. Received: {name} = {brief(now[name])}"
            )
        read.values = now


def _plain(function) -> Iterator[tuple[str, Any]]:
    """Name and value of the numbers, texts and arrays of them, that a function reads outside of itself."""
    for name, value in outer_values([function]):
        if isinstance(value, np.ndarray):
            yield name, np.array(value)
        elif isinstance(value, list | tuple) and all(isinstance(part, _PLAIN) for part in value):
            yield name, list(value)
        elif isinstance(value, _PLAIN):
            yield name, value
        elif isinstance(value, Variable):
            yield name, value.numpy()


def _is_same(a, b):
    return type(a) is type(b) and np.array_equal(a, b)


def _within(graph) -> Iterator[Any]:
    """The layers of a graph, and of models and layers in it."""
    for layer in graph.layers:
        yield layer
        if getattr(layer, "graph", None) is not None:
            yield from _within(layer.graph)
