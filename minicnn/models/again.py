"""Calls of a model on arrays of the same kind as before: without the checks, which would say the same.

Beside the core: without it, models compute the same; a small network's answer to a single image takes longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.training import advice
from minicnn.training.sources import BATCH_SIZE, ArraySource

if TYPE_CHECKING:
    from minicnn.models.model import Model
    from minicnn.plan.plan import BoundPlan


def on_host(bound: BoundPlan) -> list[np.ndarray]:
    """Copies of a plan's outputs, on the host."""
    return [bound.plan.backend.to_host(output) for output in bound.outputs]


def called_again(
    model: Model, arrays: Sequence[Any], read: Callable[[BoundPlan], list[np.ndarray]] = on_host
) -> list[np.ndarray] | None:
    """The outputs for arrays; None if the last call was another one, or something has changed since.

    Parameters
    ----------
    model : Model
    arrays : sequence
        What the model was called on, as it was given.
    read : callable
        Takes the outputs from the plan.
    """
    if model._engine is None or model._engine.last_call is None:
        return None
    engine = model.engine  # of the backend that is current, with the weights where they are
    last = engine.last_call  # read once: another thread may forget it
    return last and last.outputs(arrays, engine.store, engine.backend, read)


def predicted_again(model: Model, x: Any, batch_size: int | None) -> list[np.ndarray] | None:
    """The same for what `predict` was given, if that is one batch."""
    size = BATCH_SIZE if batch_size is None else batch_size
    if type(x) is not np.ndarray or x.ndim == 0 or type(size) is not int or not 0 < len(x) <= size:
        return None
    outputs = called_again(model, [x])
    if outputs is not None:
        advice.before_use(model, ArraySource([x], [], None, size))
        model.stop_predicting = False
    return outputs
