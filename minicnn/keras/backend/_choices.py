"""Functions of Keras's backend that choose one of two values."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.keras import ops
from minicnn.keras._deferred import Deferred
from minicnn.keras._operations import is_symbolic
from minicnn.layers import function_numbers

__all__ = ["in_test_phase", "in_train_phase", "switch"]


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """`then_expression` where the condition holds, else `else_expression`; both may be functions.

    Of a single condition, only the one that is chosen is called; one of matrices holds for all further axes.
    """
    is_array = not (is_symbolic(condition) or isinstance(condition, Deferred))
    if is_array and np.ndim(value_of(condition)) == 0:
        chosen = then_expression if bool(value_of(condition)) else else_expression
        return chosen() if callable(chosen) else chosen
    then, other = (e() if callable(e) else e for e in (then_expression, else_expression))
    if len(axes := getattr(condition, "shape", ())) > 1:  # where NumPy would go by the last axes
        for _ in range(len(getattr(then, "shape", ())) - len(axes)):
            condition = ops.expand_dims(condition, -1)
    return np.where(value_of(condition), then, other) if is_array else ops.where(condition, then, other)


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """x where ``training`` is true, else `alt`; both may be functions.

    Without ``training`` it is what the layer says that runs, so that a Lambda has x only in training.

    Raises
    ------
    TypeError
        For a model's tensors without ``training``: they stand for both phases.
    """
    chosen = x if (function_numbers.training() if training is None else training) else alt
    chosen = chosen() if callable(chosen) else chosen
    if training is None and is_symbolic(chosen):
        raise TypeError(
            "in_train_phase chooses between arrays while a layer runs: write it in a Lambda or a layer of your own. "
            f"Received: {chosen!r}"
        )
    return chosen


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """`alt` where ``training`` is true, else x; both may be functions."""
    return in_train_phase(alt, x, training)
