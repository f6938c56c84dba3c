"""From the losses of single decisions to one number, and a loss of arrays outside a model: Keras's `reduction`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.backends.reference import ops as reference
from minicnn.checks import is_real
from minicnn.losses.targets import real_targets

if TYPE_CHECKING:
    from minicnn.losses.base import Loss

MEAN = "sum_over_batch_size"
# "mean" is Keras 3's other name for it, "auto" was Keras 2's default.
_MEANS = (MEAN, "mean", "auto")
_REDUCTIONS = (*_MEANS, "sum", "mean_with_sample_weight", "none", None)


def check_reduction(reduction: str | None) -> str | None:
    """`reduction` as one of 'sum_over_batch_size', 'sum', 'mean_with_sample_weight' and None.

    Raises
    ------
    ValueError
        If it is no reduction of Keras.
    """
    if not isinstance(reduction, str | None) or reduction not in _REDUCTIONS:
        raise ValueError(
            "`reduction` is one of 'sum_over_batch_size' (the mean), 'sum', 'mean_with_sample_weight' and None "
            f"(no reduction). Received: reduction={reduction!r}"
        )
    return MEAN if reduction in _MEANS else None if reduction == "none" else reduction


def factor(loss: Loss, prediction: np.ndarray, weight: np.ndarray | None) -> float | np.ndarray:
    """What a batch's mean over all decisions is multiplied with, so that it becomes what `loss.reduction` says.

    Parameters
    ----------
    loss : Loss
        Its `reduction` is neither the mean nor None.
    prediction : array (N, …)
    weight : vector (N,) or None
    """
    decisions = loss.decisions(prediction.shape)
    if loss.reduction == "sum":
        return decisions
    return 1.0 if weight is None else decisions / weight.sum()


def of_arrays(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> Any:
    """What `Loss.__call__` returns."""
    prediction = np.ascontiguousarray(real_targets(y_pred, "y_pred"), np.float64)
    target = loss.check_target(y_true, prediction.shape[1:])
    if len(target) != len(prediction) or not prediction.size:
        raise ValueError(
            "y_true and y_pred need the same number of samples, at least one. "
            f"Received: {len(target)} and {len(prediction)}"
        )
    values = np.asarray(loss.values(prediction, target))
    weight = None if sample_weight is None else spread(sample_weight, values.shape, len(prediction))
    weighted = values if weight is None else values * weight
    if loss.reduction is None:
        return weighted
    if loss.reduction == "sum":
        return float(weighted.sum())
    divisor = values.size if loss.reduction == MEAN or weight is None else weight.sum()
    ignored = loss.ignored(target)
    if ignored is not None and loss.reduction == MEAN:
        divisor = values.size - np.count_nonzero(ignored)
    return float(weighted.sum() / divisor) if divisor else 0.0


def spread(weight: ArrayLike, shape: tuple[int, ...], count: int) -> np.ndarray:
    """Weights as float64 that broadcast with values of a shape, as Keras does it: by axes of length 1 at the end.

    Parameters
    ----------
    weight : array-like
        A number, one for each sample, (N,) or (N, 1), or one for each value.
    shape : tuple of int
        Of the values.
    count : int
        The number of samples, for the message.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    array = np.asarray(weight)
    given = array
    while array.ndim > len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim:
        array = array.reshape(*array.shape, *[1] * (len(shape) - array.ndim))
    fits = array.ndim <= len(shape) and all(a in (1, b) for a, b in zip(array.shape, shape, strict=False))
    if not is_real(array) or not fits:
        raise ValueError(
            f"sample_weight is a number or has one for each of {count} samples, or for each value of shape {shape}. "
            f"Received: an array of shape {given.shape}, dtype {given.dtype}"
        )
    return array.astype(np.float64)


def weighted_sum(values: np.ndarray, weight: ArrayLike) -> tuple[float, float]:
    """(Σ weight · value, Σ weight), weights as `spread` takes them."""
    values = np.asarray(values)
    weights = np.broadcast_to(spread(weight, values.shape, len(values) if values.ndim else 1), values.shape)
    return float((values * weights).sum()), float(weights.sum())


def values_by_sample(loss: Loss, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The loss of each sample, (N,), for a class that says only how to compute that of a batch."""
    pairs = ((prediction[i : i + 1], target[i : i + 1]) for i in range(len(prediction)))
    return np.array([float(loss.compute(p, t, None, None, reference)) for p, t in pairs])
