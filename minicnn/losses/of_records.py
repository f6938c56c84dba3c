"""Losses of the library inside a function that is differentiated, as in ``mse(y_true, y_pred) + 0.1 * penalty``."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.backends.reference import ops as reference
from minicnn.differentiation import Recorded, value_of
from minicnn.losses.of_calls import like, name_of

if TYPE_CHECKING:
    from minicnn.losses.base import Loss


def recorded_values(loss: Loss, y_true: Any, y_pred: Recorded, is_reduced: bool) -> tuple[Recorded, np.ndarray]:
    """The losses of recorded predictions, whose gradient is the loss's own, and the checked targets.

    Parameters
    ----------
    loss : Loss
    y_true : array-like (N, …)
    y_pred : Recorded (N, …)
    is_reduced : bool
        Whether the loss of the whole batch will do.

    Returns
    -------
    Recorded
        The loss of each row of the last axis, (N, …); of a loss that is no mean over these, that of the batch, ().
    array

    Raises
    ------
    TypeError
        If such a loss is not to be reduced.
    """
    prediction = np.ascontiguousarray(y_pred.value)
    target = loss.check_target(value_of(y_true), prediction.shape[1:])
    if hasattr(loss, "call"):
        return loss.call(like(target, prediction), y_pred), target
    values = loss.values(prediction, target)
    if np.shape(values) == (prediction.shape[:-1] or prediction.shape):
        return _of_rows(loss, target, y_pred, prediction, values), target
    if not is_reduced:
        raise TypeError(
            f"loss '{name_of(loss)}' is one number for a batch where it is differentiated: leave out sample_weight, "
            f"and reduction=None. Received: reduction={loss.reduction!r}"
        )
    return _of_batch(loss, target, y_pred, prediction), target


def _of_rows(loss, target, y_pred, prediction, values):
    """The loss of each row, recorded: Σ g · loss is a batch of rows with the weights g."""
    count = np.size(values)
    rows = prediction.reshape(count, -1)
    targets = target.reshape(count, -1) if np.size(target) == prediction.size else target.reshape(count)

    summed = copy(loss)
    summed.reduction = "sum"
    ignored = loss.ignored(targets)
    scale = 1 if ignored is None else np.count_nonzero(~ignored) / count  # it is the others' mean that is summed

    def back(g):
        gradient = np.empty_like(rows)
        weight = np.broadcast_to(g, np.shape(values)).reshape(count).astype(rows.dtype)
        summed.compute(rows, targets, weight, gradient, reference)
        return scale * gradient.reshape(prediction.shape)

    return Recorded(values, [(y_pred, back)])


def _of_batch(loss, target, y_pred, prediction):
    """The loss of all samples together, recorded."""
    gradient = np.empty_like(prediction)
    value = loss.compute(prediction, target, None, gradient, reference)
    return Recorded(np.asarray(value, prediction.dtype), [(y_pred, lambda g: g * gradient)])
