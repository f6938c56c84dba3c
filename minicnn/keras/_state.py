"""Weights of a layer of one's own while its `call` runs: arrays; those without a gradient can be assigned to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met, value_of
from minicnn.keras._in_order import GrowingList
from minicnn.keras._own_weights import OfWeights, WholeNumbers
from minicnn.keras._phase import is_unsaid
from minicnn.keras._projections import hold_to, kept_to
from minicnn.keras._updates import Update, run, undo
from minicnn.layers import function_numbers
from minicnn.on_host import assign, on_host
from minicnn.parameters import Weight


def _in_place(operator: str) -> Callable[[Any, Any], Any]:
    """An operator in place, as long as the array keeps its shape; else another array takes its name, as in Keras."""

    def operate(self: Any, other: Any) -> Any:
        keeps = np.broadcast_shapes(self.shape, np.shape(value_of(other))) == self.shape
        return getattr(np.ndarray, f"__{'i' if keeps else ''}{operator}__")(self, other)

    return operate


class Held(EagerArray):
    """A weight's array, which `assign` changes, and operators in place do."""

    __iadd__, __isub__ = _in_place("add"), _in_place("sub")
    __imul__, __itruediv__ = _in_place("mul"), _in_place("truediv")

    def assign(self, value: Any) -> Held:
        """Copy a value, which is broadcast, into it."""
        self[...] = value_of(value)
        return self

    def assign_add(self, value: Any) -> Held:
        """Add to it."""
        return self.assign(np.asarray(self) + value_of(value))

    def assign_sub(self, value: Any) -> Held:
        """Subtract from it."""
        return self.assign(np.asarray(self) - value_of(value))

    @property
    def value(self) -> Held:
        """Itself."""
        return self


class _HeldWhole(Held):
    """A copy of a weight of whole numbers or bools, through which no gradient goes; what it is assigned is kept."""

    keep: Callable[[np.ndarray], None]

    @classmethod
    def of(cls, array: np.ndarray, keep: Callable[[np.ndarray], None]) -> _HeldWhole:
        made = np.array(array).view(cls)
        made.keep = keep  # type: ignore[method-assign]
        return made

    def assign(self, value: Any) -> Held:
        super().assign(value)
        self.keep(np.asarray(self))
        return self

    __iadd__, __isub__ = Held.assign_add, Held.assign_sub


class RecordedState(Recorded):
    """State of a layer in a `call` that is differentiated: what is assigned has no gradient, and is kept.

    Parameters
    ----------
    array : array
        Where it is kept, which may be on a device.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.kept = array
        self._take(on_host(array))

    def _take(self, array):
        """Have a copy of these numbers from now on; what was computed of those before goes back by these."""
        self._now = Recorded(np.array(array))
        super().__init__(self._now.value)

    def on_tape(self) -> Recorded:
        """What stands in a computation for the numbers that it has now."""
        return self._now

    def __getitem__(self, key: Any) -> Recorded:
        return self._now[key]

    def assign(self, value: Any) -> RecordedState:
        """Copy a value, which is broadcast, into it."""
        assign(self.kept, value_of(value))
        self._take(on_host(self.kept))
        return self

    def assign_add(self, value: Any) -> RecordedState:
        """Add to it."""
        return self.assign(self.value + value_of(value))

    def assign_sub(self, value: Any) -> RecordedState:
        """Subtract from it."""
        return self.assign(self.value - value_of(value))


class _RecordedWeight(Recorded):
    """A weight that an optimizer changes."""

    def assign(self, value: Any) -> NoReturn:
        """Refused."""
        raise TypeError(
            "a call assigns to weights without a gradient, add_weight(…, trainable=False); others are changed by the "
            f"optimizer. Received: a value of shape {np.shape(value_of(value))}"
        )

    assign_add = assign_sub = assign


def recorded(array: np.ndarray, weight: Weight) -> Recorded | Held:
    """What stands for a weight in a `call` that is differentiated; `array` has its numbers.

    Parameters
    ----------
    array : array
        Maybe on a device.
    weight : Weight
    """
    if isinstance(weight, WholeNumbers):
        return _HeldWhole.of(on_host(array).astype(weight.dtype), partial(assign, array))
    return _RecordedWeight(on_host(array)) if weight.has_gradient else RecordedState(array)


def held(value: Any) -> Any:
    """An attribute of a layer with arrays in place of weights, which share their memory.

    Parameters
    ----------
    value : object
        A weight, a list or dict of them, or anything else, which stays as it is.
    """
    if isinstance(value, WholeNumbers):
        return _HeldWhole.of(value.numpy(), value.assign)
    if isinstance(value, Weight):
        is_here = isinstance(value.value, np.ndarray)
        return (value.value if is_here else value.numpy()).view(Held)
    if type(value) in (list, tuple, GrowingList):
        return type(value)(map(held, value))
    return {key: held(part) for key, part in value.items()} if type(value) is dict else value


def add_update(layer: Any, updates: Any, inputs: Any = None) -> None:
    """In the `call` of a layer, in training: assign to variables, as Keras 1 and 2 had it.

    Parameters
    ----------
    layer : Layer
    updates : pair (variable, value), what ``K.update`` and its like have given, or list of them
    inputs : optional
        Not used.
    """
    is_pair = isinstance(updates, tuple) and len(updates) == 2 and not isinstance(updates[0], tuple | Update)
    listed = updates if isinstance(updates, list | tuple) and not is_pair else [updates]
    (run if function_numbers.training() and not is_unsaid() else undo)(listed)


_assign = Weight.assign


def _assigned(weight, value):
    """No gradient goes through what is assigned, so that it may come from a tape that records."""
    if isinstance(value, OfWeights):
        hold_to(weight, value, _assign)
    else:
        _assign(weight, kept_to(weight, value_of(met(value))))


def _added(weight, value):
    _assigned(weight, weight.numpy() + value_of(met(value)))


def _subtracted(weight, value):
    _assigned(weight, weight.numpy() - value_of(met(value)))


Weight.assign = _assigned  # type: ignore[method-assign]
Weight.assign_add, Weight.assign_sub = _added, _subtracted  # type: ignore[attr-defined]
