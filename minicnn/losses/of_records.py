"""Losses of the library inside a function that is differentiated, as in ``mse(y_true, y_pred) + 0.1 * penalty``."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.backends.reference import ops as reference
from minicnn.differentiation import Recorded, value_of
from minicnn.last_function import behind
from minicnn.losses.of_calls import has_call, like, name_of
from minicnn.reverse_mode import pulled_back

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
        If such a loss, of several parts of the batch, is not to be reduced.
    """
    given = y_pred
    loss, y_pred = from_logits(loss, y_true, y_pred)
    prediction = np.ascontiguousarray(y_pred.value)
    target = loss.check_target(value_of(y_true), prediction.shape[1:])
    if has_call(loss):
        return loss.call(like(target, prediction), y_pred), target
    if y_pred is not given and hasattr(loss, "of_both"):
        return loss.of_both(target, given, y_pred), target
    values = loss.values(prediction, target)
    if np.shape(values) == (prediction.shape[:-1] or prediction.shape):
        return _of_rows(loss, target, y_pred, prediction, values), target
    if not is_reduced and np.ndim(values):
        raise TypeError(
            f"loss '{name_of(loss)}' is one number for a batch where it is differentiated: leave out sample_weight, "
            f"and reduction=None. Received: reduction={loss.reduction!r}"
        )
    return _of_batch(loss, target, y_pred, prediction), target


def from_logits(loss: Loss, y_true: Any, y_pred: Any) -> tuple[Loss, Any]:
    """The loss and the predictions; where these remember the softmax or sigmoid that gave them, of what is before it.

    As in Keras on TensorFlow, whose tensors remember it until anything is computed of them: where classes are ignored,
    or an axis of the predictions is taken away, too.
    """
    last, logits = behind(y_pred)
    if last is None or last.name not in loss.takes_logits_of or getattr(loss, "ignore_class", None) is not None:
        return loss, y_pred
    if has_call(loss):  # which is given both
        return loss, y_pred
    if 1 < np.ndim(value_of(y_true)) < y_pred.ndim and y_pred.shape[-1] == 1:
        return loss, y_pred
    made = copy(loss)
    vars(made)["from_logits"] = last  # a loss may ask which function it was
    return made, logits


def _of_rows(loss, target, y_pred, prediction, values):
    """The loss of each row, recorded: Σ g · loss is a batch of rows with the weights g."""
    count = np.size(values)
    rows = prediction.reshape(count, -1)
    targets = target.reshape(count, -1) if np.size(target) == prediction.size else target.reshape(count)

    summed = copy(loss)
    summed.reduction = "sum"

    def back(g):
        if isinstance(g, Recorded):
            formula = _formula(loss)
            return pulled_back(lambda p: np.reshape(formula(targets, np.reshape(p, rows.shape)), g.shape), y_pred, g)
        gradient = np.empty_like(rows)
        weight = np.broadcast_to(g, np.shape(values)).reshape(count).astype(rows.dtype)
        summed.compute(rows, targets, weight, gradient, reference)
        if (ignored := loss.ignored(targets)) is not None:
            gradient[ignored] = 0  # also where a row is NaN
        return gradient.reshape(prediction.shape)

    return Recorded(values, [(y_pred, back)])


def _of_batch(loss, target, y_pred, prediction):
    """The loss of all samples together, recorded."""
    gradient = np.empty_like(prediction)
    value = loss.compute(prediction, target, None, gradient, reference)

    def back(g):
        if isinstance(g, Recorded):
            raise refusal(loss)
        return g * gradient

    return Recorded(np.asarray(value, prediction.dtype), [(y_pred, back)])


FORMULAS: dict[type, Callable[[Any, np.ndarray, Recorded], Any]] = {}
"""Class → the loss of each row, of (loss, targets (rows, C) or (rows,), predictions (rows, C)), by recorded functions.

`minicnn.losses.recorded_formulas` fills it, which knows the classes.
"""


def refusal(loss: Loss) -> NotImplementedError:
    """The error for a loss whose gradient is not differentiated."""
    return NotImplementedError(
        f"loss '{name_of(loss)}' has no gradients of gradients (second order): write it with functions of tf or "
        f"keras.ops; those of {', '.join(cls.__name__ for cls in FORMULAS)}, without ignore_class, have them. "
        f"Received: a gradient of a gradient of {type(loss).__name__}"
    )


_WHAT_IS_COMPUTED = {"compute", "_compute", "elements", "of_rows", "rows", "_from_probabilities"}


def _formula(loss):
    """The loss of each row, a function of (targets, predictions)."""
    for cls in type(loss).__mro__:
        if cls in FORMULAS:
            return lambda target, p: FORMULAS[cls](loss, target, p)
        if vars(cls).keys() & _WHAT_IS_COMPUTED:  # of a class below one of these, as a focal loss
            break
    raise refusal(loss)
