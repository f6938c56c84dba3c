"""The ``updates=`` of ``K.function``: what each call of a function does to weights and variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras._deferred import Deferred
from minicnn.layers.added_loss import BatchScalar
from minicnn.optimizers import Optimizer
from minicnn.parameters import Weight


class Minimization:
    """One step of an optimizer down a loss: what its ``get_updates`` lists.

    Parameters
    ----------
    optimizer : Optimizer
    gradients : sequence of tensor
        Of ``keras.backend.gradients``, one for each weight.
    weights : sequence of Weight
    """

    def __init__(self, optimizer: Optimizer, gradients: Sequence[Any], weights: Sequence[Weight]) -> None:
        self.values: list[Any] = list(gradients)
        self._optimizer, self._weights = optimizer, list(weights)

    def run(self, values: Sequence[np.ndarray]) -> None:
        """Move the weights by these gradients."""
        self._optimizer.apply_gradients(zip(values, self._weights, strict=True))  # type: ignore[attr-defined]


class Assignment:
    """A variable that becomes something: a pair in ``updates=``.

    Parameters
    ----------
    variable : Variable or Weight
    value : tensor, or what is computed of gradients
    """

    def __init__(self, variable: Any, value: Any) -> None:
        self.values: list[Any] = [value]
        self._variable = variable

    def run(self, values: Sequence[np.ndarray]) -> None:
        """Assign."""
        self._variable.assign(np.reshape(values[0], self._variable.shape))


def as_updates(updates: Any) -> list[Minimization | Assignment]:
    """What ``updates=`` lists, ready to be done.

    Parameters
    ----------
    updates : list or None

    Raises
    ------
    TypeError
        For anything but what ``get_updates`` gives and pairs (variable, value); for values that are numbers already.
    """
    made: list[Minimization | Assignment] = []
    for update in updates or ():
        if isinstance(update, Minimization):
            made.append(update)
        elif isinstance(update, tuple) and len(update) == 2 and hasattr(update[0], "assign"):
            _check_value(*update)
            made.append(Assignment(*update))
        else:
            raise TypeError(
                "updates= of keras.backend.function takes what get_updates of an optimizer gives, and pairs "
                "(variable, value); keras.backend.update assigns at once, when it is called. "
                f"Received: {type(update).__name__}"
            )
    return made


def _check_value(variable, value):
    """Raise `TypeError` for a number: of ``(variable, variable + 1)`` it would be the same in all calls."""
    if not isinstance(value, Tensor | BatchScalar | Deferred):
        raise TypeError(
            "a pair in updates= is a variable and what is computed of a model's tensors; what is computed of variables "
            "alone is a number before the first call: variable.assign_add(1), keras.backend.update_add(variable, 1), "
            f"after each call of the function. Received: {value!r} for a variable of shape {tuple(variable.shape)}"
        )
