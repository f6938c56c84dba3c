"""Updates of variables as parts of a graph: what ``get_updates`` of an optimizer of Keras 1 and 2 lists.

In TensorFlow 1 it was called once: variables were made there, and what it returned was run in every iteration, after
all that it reads. Here it is called in every iteration. Inside of `gathering`, the n-th variable that is made is the
one that the first call made, and an assignment waits.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.keras._own_metrics import Variable
from minicnn.keras._phase import is_unsaid
from minicnn.layers import function_numbers


class Update:
    """What a variable is to become.

    Parameters
    ----------
    variable : Variable, Weight or another object with ``assign``
    value : array-like
        Its numbers afterwards.
    """

    def __init__(self, variable: Any, value: Any) -> None:
        self.variable, self.value = variable, np.asarray(value_of(value))
        self._is_done = False

    def run(self) -> None:
        """Assign, the first time."""
        if not self._is_done:
            self._is_done = True
            self.variable.assign(self.value)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """The numbers afterwards, as those of ``tf.assign(…)``."""
        return np.asarray(self.value, *args, **kwargs)


class _Gathering:
    """Where the call stands that is being gathered: its variables, and how many it has asked for."""

    def __init__(self, variables: list[Variable]) -> None:
        self.variables, self.count = variables, 0


class _Here(threading.local):
    """What is gathered in this thread: another one, which prepares data, may make variables meanwhile."""

    def __init__(self) -> None:
        self.open: list[_Gathering] = []


_HERE = _Here()


@contextmanager
def gathering(variables: list[Variable]) -> Iterator[None]:
    """Inside, assignments wait, and variables are those of the list, which the first time fills.

    Parameters
    ----------
    variables : list of Variable
        In the order in which they are made; the same list each time.
    """
    _HERE.open.append(_Gathering(variables))
    try:
        yield
    finally:
        _HERE.open.pop()


def made_once(value: Any) -> Any:
    """A variable that begins with `value`, the same one in each call that is gathered; else `value` as it is."""
    if not _HERE.open:
        return value
    here = _HERE.open[-1]
    if here.count == len(here.variables):
        here.variables.append(value if isinstance(value, Variable) else Variable(value))
    here.count += 1
    return here.variables[here.count - 1]


def updated(variable: Any, value: Any) -> Any:
    """The variable, after it was assigned to; inside of `gathering`, the `Update` that does it."""
    if _HERE.open:
        return Update(variable, value)
    is_weight = hasattr(variable, "layer")
    stays = is_weight or (function_numbers.training() and not is_unsaid())  # what `undo` will not take back
    before = None if stays else np.array(value_of(variable))
    variable.assign(value_of(value))
    if not is_weight:
        variable.before = before
    return variable


def undo(updates: Iterable[Any]) -> None:
    """Take back what `updated` has done: the layer adds the updates in training alone."""
    for variable in updates:
        if getattr(variable, "before", None) is not None:
            variable.assign(variable.before)
            variable.before = None  # which is as large as the variable


def run(updates: Iterable[Any]) -> None:
    """Do what a list of updates says: each an `Update`, a pair (variable, value), or nothing."""
    for update in list(updates):
        if isinstance(update, Update):
            update.run()
        elif isinstance(update, tuple) and len(update) == 2:
            update[0].assign(np.asarray(value_of(update[1])))


@contextmanager
def after(updates: Any) -> Iterator[None]:
    """``tf.control_dependencies``: what is inside comes after these updates."""
    run(updates or ())
    yield
