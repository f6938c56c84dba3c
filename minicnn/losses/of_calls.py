"""Losses that are functions of (y_true, y_pred): a user's, or Keras's `call` in a class. They are differentiated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.data.elements import lent
from minicnn.differentiation import Recorded, gradients, value_of
from minicnn.last_function import Last, note
from minicnn.losses.targets import check_finite, real_targets
from minicnn.on_host import assign, on_host
from minicnn.step import Workspace

if TYPE_CHECKING:
    from minicnn.losses.base import Loss


def has_call(loss: object) -> bool:
    """Whether it is such a loss: by its class, or by a function that it holds as `call`."""
    return hasattr(type(loss), "call") or "call" in vars(loss)


def check_target(target: ArrayLike) -> np.ndarray:
    """Targets of any shape, finite: what they mean, the function knows."""
    checked = real_targets(target)
    check_finite(checked)
    return checked


def compute(
    loss: Loss,
    prediction: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    gradient: np.ndarray | None,
    ops: SimpleNamespace,
    last: object = None,
) -> float:
    """What `Loss.compute` returns and assigns, from the loss's `call(y_true, y_pred)`.

    Where `prediction` is what was given to a final activation, the function gets what that makes of it, which its
    cross-entropies look behind.

    Raises
    ------
    TypeError, ValueError
        If the function cannot be differentiated, or returns no losses of samples, which have weights.
    """
    given, (prediction, target, weight) = prediction, map(on_host, (prediction, target, weight))
    recorded = Recorded(prediction)
    is_before = isinstance(last, Last)  # and no mere flag, which such a loss has no use for
    result = loss.call(like(target, prediction), _through(last, recorded, given, ops) if is_before else recorded)
    if np.shape(value_of(result)) == (1,) != prediction.shape[:1]:  # a sum over axis 0 of one unit: a batch's number
        result = result[0]
    values = np.asarray(value_of(result), np.float64)
    if weight is not None and values.ndim and len(values) != len(prediction):  # without weights it is their mean
        raise ValueError(
            f"samples have weights where loss '{name_of(loss)}' returns the loss of each, ({len(prediction)}, …), or "
            f"one number for the batch. Received: sample_weight, and losses of shape {values.shape}"
        )
    factor = _factor(loss, values, weight)  # the loss is Σ factor · values
    if gradient is not None:
        if isinstance(result, Recorded):
            slope = np.broadcast_to(_slope(loss, values, weight, factor), values.shape)
            (part,) = gradients(result, slope.astype(prediction.dtype), [recorded])
            assign(gradient, part)
        elif not values.any():
            assign(gradient, 0.0)  # zeros, whatever the output: the model trains by losses of its own
        else:
            raise TypeError(
                f"loss '{name_of(loss)}' does not depend on y_pred in a way that can be differentiated: use operators "
                f"and NumPy's functions on it. Received: a result of type {type(result).__name__}"
            )
    return float((factor * values).sum())


def _slope(loss, values, weight, factor):
    """What the gradients of values are multiplied by; without a reduction Keras differentiates the sum."""
    return factor if loss.reduction is not None else factor * _decisions(values, weight)


def _through(last, recorded, z, ops):
    """What a final activation makes of logits, where the backend computes, as the plan has computed it."""
    ws = Workspace(ops, (z,), np.empty_like(z), training=True)
    last.step.bind(ws)
    last.step.forward(ws.xs, ws)

    def back(g):
        dy, ws.dxs = np.empty_like(z), (np.empty_like(z),)
        assign(dy, g)
        last.step.backward(dy, ws)
        return on_host(ws.dxs[0])

    return note(Recorded(on_host(ws.y), [(recorded, back)]), last, recorded)


def _factor(loss, values, weight):
    """What the losses are multiplied with and then added: weights, and what `reduction` divides by."""
    if values.ndim == 0:  # of the batch, which is multiplied with each weight
        return np.asarray(1.0 if weight is None else _of_one_number(loss.reduction, np.asarray(weight, np.float64)))
    spread = np.ones(values.shape[:1]) if weight is None else np.asarray(weight, np.float64)
    if spread.ndim > values.ndim or spread.shape != values.shape[: spread.ndim]:
        raise ValueError(
            f"sample_weight needs one number for each loss that '{name_of(loss)}' returns, of shape {values.shape}, or "
            f"each sample. Received: shape {spread.shape}"
        )
    spread = spread.reshape(*spread.shape, *[1] * (values.ndim - spread.ndim))
    if loss.reduction == "sum":
        return spread
    if loss.reduction == "mean_with_sample_weight" and weight is not None:
        return spread * one_over(spread.sum())
    return spread / values.size


def _of_one_number(reduction, weight):
    """What one number for the batch is multiplied with: its products with each weight, reduced."""
    if reduction == "mean_with_sample_weight":
        return weight.sum() * one_over(weight.sum())
    return weight.sum() if reduction == "sum" else weight.mean()


def _decisions(values, weight):
    """How many losses there are: one number for the batch is one for each weight."""
    return values.size if weight is None or values.ndim else weight.size


def one_over(total: Any) -> Any:
    """1 / total, and 0 for a total of 0, as Keras divides by the weights of a batch: without any, its loss is 0.

    Parameters
    ----------
    total : number or 0-d array
    """
    return (total != 0) / (total + (total == 0))


def like(target: np.ndarray, prediction: np.ndarray, dtype: Any = None) -> np.ndarray:
    """A copy of the targets in the predictions' dtype; a last axis of size 1 is added or taken away, as in Keras.

    Parameters
    ----------
    target, prediction : array
    dtype : dtype, optional
        Another one.
    """
    target = lent(target, dtype or prediction.dtype)
    if target.ndim == prediction.ndim - 1 and prediction.shape[-1] == 1:
        return target[..., None]
    if target.ndim == prediction.ndim + 1 and target.shape[-1] == 1:
        return target[..., 0]
    return target


def name_of(loss: Loss) -> str:
    """Of the function, or the class."""
    return loss.name or type(loss).__name__
