"""Which softmax or sigmoid gave an array, and of what: cross-entropies go on from there, as in Keras on TensorFlow.

An array remembers it as an attribute, as Keras's tensors do (`_keras_logits`): what is computed of it, a part, a copy
or a view is another object, and knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, value_of
from minicnn.step import Step

OF_OPERATIONS = ("softmaxoperation", "sigmoidoperation")
FUNCTIONS = ("softmax", "sigmoid", *OF_OPERATIONS)
"""Their names: the last two are TensorFlow's own in layers of one's own, which each cross-entropy knows its own of."""


@dataclass(frozen=True)
class Last:
    """Which function it is.

    Attributes
    ----------
    name : str
        As losses know it, see `minicnn.losses.base.Loss`.
    axis : int or None
        Of a softmax, as it was given.
    step : Step, optional
        What computes it.
    """

    name: str
    axis: int | None = -1
    step: Step | None = None


def of_step(step: Step) -> Last:
    """The function that a step computes."""
    return Last(type(step).__name__.lower(), getattr(getattr(step, "last", step), "axis", -1), step)


def note(y: Any, last: Last | None, x: Any) -> Any:
    """A recorded or an eager array, which remembers the function that gave it of `x`; None: it forgets."""
    kept = np.array(y) if isinstance(y, EagerArray) and last is not None else None  # as it may be written to
    vars(y)["before"] = last, x, kept
    return y


def behind(y: Any) -> tuple[Last | None, Any]:
    """The function that gave an array, and what it was given; (None, None) if it was another one."""
    last, x, kept = getattr(y, "__dict__", {}).get("before", (None, None, None))
    is_changed = kept is not None and not np.array_equal(kept, y.view(np.ndarray), equal_nan=True)
    return (None, None) if last is None or is_changed else (last, x)


def remembering(y: Any) -> Any:
    """The numbers of what may be recorded, as an array that remembers what that does."""
    if not isinstance(y, Recorded):
        return y
    last, x = behind(y)
    return y.value if last is None else note(y.value.view(EagerArray), last, value_of(x))


def carried(y: Any, given: Any) -> Any:
    """An array with the numbers of another one, which remembers what that does."""
    last, x = behind(given)
    is_kind = isinstance(y, Recorded | EagerArray)
    return y if last is None or not is_kind else note(y, last, x)
