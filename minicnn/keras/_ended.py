"""What a softmax or sigmoid at the end of a model gave on a tape: losses go on from what stands before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.keras._formulas import OF_RECORDED
from minicnn.keras._taped import Taped
from minicnn.last_function import Last, note, of_step
from minicnn.step import Step


def ended(y: np.ndarray, step: Step, logits: Taped) -> Taped:
    """The value, whose gradient goes back to the logits.

    Parameters
    ----------
    y : array (N, …)
        As the step gave it.
    step : Step
        A softmax or sigmoid.
    logits : Taped (N, …)
    """
    last = of_step(step)
    made = Taped(y, [(logits, _back(y, last))])
    made.again = lambda: _of(last, logits)
    return note(made, last, logits)


def _back(y, last):
    if last.name == "sigmoid":
        return lambda g: g * (y * (1 - y))
    return lambda g: y * (g - np.sum(g * y, axis=last.axis, keepdims=True))


def _of(last: Last, logits: Taped) -> Any:
    options = {} if last.name == "sigmoid" else {"axis": last.axis}
    return OF_RECORDED[last.name](logits, **options)
