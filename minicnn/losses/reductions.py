"""From the losses of single decisions to one number, and a loss of arrays outside a model: Keras's `reduction`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.backends.reference import ops as reference
from minicnn.checks import is_real
from minicnn.data.elements import EagerArray, lent
from minicnn.differentiation import Recorded
from minicnn.hints import Config, Shape
from minicnn.last_function import carried
from minicnn.losses.of_calls import has_call, like, one_over
from minicnn.losses.of_records import from_logits, recorded_values
from minicnn.losses.targets import real_targets
from minicnn.own_parts import unwritten

if TYPE_CHECKING:
    from minicnn.losses.base import Loss
    from minicnn.losses.crossentropy import ClassLoss

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


class Reduced:
    """Base of `minicnn.losses.Loss`: how losses of decisions become one number, and losses of arrays.

    Attributes
    ----------
    reduction : str or None
    name : str or None
    """

    reduction: str | None = MEAN
    name: str | None = None

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        """The loss of arrays, computed in float64.

        Parameters
        ----------
        y_true : array-like (N, …)
            As `check_target` accepts it.
        y_pred : array-like (N, …)
            What a model would predict: logits only with ``from_logits=True``.
        sample_weight : array-like (N,), (N, 1), one for each decision, or float, optional

        Returns
        -------
        float, or an array (N, …) of each decision's loss without `reduction`; inside a function that is differentiated,
        a recorded one

        Raises
        ------
        ValueError, TypeError
            If shapes or values do not fit.
        """
        return of_arrays(self, y_true, y_pred, sample_weight)

    def values(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The loss of each decision, (N, …), of an array that `check_target` returned.

        Here: of each sample, for a class that says only how to compute that of a batch.
        """
        if has_call(self):  # as Keras's subclasses write it
            return np.asarray(self.call(like(target, prediction), carried(lent(prediction), prediction)))
        pairs = ((prediction[i : i + 1], target[i : i + 1]) for i in range(len(prediction)))
        return np.array([float(self.compute(p, t, None, None, reference)) for p, t in pairs])

    def of_last_axis(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, Any]:
        """(the loss that computes along the last axis, the arrays turned accordingly)."""
        return self, y_true, y_pred

    def _compute(self, prediction, target, weight, gradient, ops, from_logits):
        """Hook: the mean that `compute` reduces, and its gradient."""
        raise unwritten(self, "compute")

    @property
    def goes_by_rows(self) -> bool:
        """Whether each row of the last axis has a loss of its own: then weights of pixels are those of such samples."""
        return not has_call(self)

    def goes_by_rows_behind(self, last: object) -> bool:
        """Whether that is so where a final activation, a `Last`, has given the outputs; None for others."""
        return self.goes_by_rows

    def places(self, output_shape: Shape) -> Shape:
        """The sizes of a sample's weights, one for each place that has a loss of its own; output_shape: of a sample."""
        return output_shape[:-1]

    def decisions(self, shape: Shape) -> int:
        """How many decisions, each with a loss of its own, an output (N, …) is."""
        return math.prod(shape[:-1]) if len(shape) > 1 else shape[0]

    def ignored(self, target: np.ndarray) -> np.ndarray | None:
        """Which decisions count for nothing, a mask; None: all count."""
        return None

    def counted(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> Any:
        """How many losses `_compute` takes the mean of; arguments as of `compute`."""
        ignored = self.ignored(target)
        return self.decisions(prediction.shape) if ignored is None else ignored.size - ignored.sum()

    def reduced(
        self,
        mean: float,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None,
        gradient: np.ndarray | None,
    ) -> float:
        """What `reduction` makes of a batch's mean; `gradient`, that of the mean, is scaled alike.

        Without a reduction the gradient is the sum's, which is what Keras differentiates, and the loss all decisions'
        mean, which is what it shows.

        Parameters
        ----------
        prediction : array (N, …)
        target : array
        weight : vector (N,) or None
        gradient : array like `prediction`, or None
        """
        if self.reduction == MEAN or (self.reduction == "mean_with_sample_weight" and weight is None):
            return mean
        factor, ignored = self.counted(prediction, target, weight), self.ignored(target)
        if self.reduction == "mean_with_sample_weight":
            factor = factor * one_over(_sum(weight, ignored))
        if gradient is not None:
            gradient *= factor
        if self.reduction is None:
            factor = 1.0 if ignored is None else factor / ignored.size
        return mean * factor

    def get_config(self) -> Config:
        """The constructor's arguments; `reduction` and `name` where they are not the defaults."""
        common = {"reduction": self.reduction, "name": self.name}
        changed = {name: value for name, value in common.items() if value != getattr(type(self), name)}
        own = {name: value for name, value in super().get_config().items() if name not in common}
        return own | changed


def _sum(weight, ignored):
    """Σ weight, of those that count."""
    if ignored is None:
        return weight.sum()
    return (weight.reshape(*weight.shape, *[1] * (ignored.ndim - weight.ndim)) * ~ignored).sum()


def of_rows(loss: ClassLoss, rows: Callable[..., np.ndarray], prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The loss of each row of classes, (N, …) for (N, …, C); 0 for those that do not count.

    Parameters
    ----------
    loss : ClassLoss
    rows : callable
        Its own: (prediction, target, weight, gradient, ops, from_logits) → (rows,).
    prediction, target : array
    """
    weight = np.ones_like(prediction, shape=loss.decisions(prediction.shape))
    values = rows(prediction, target, weight, None, reference, loss.from_logits)
    values, ignored = values.reshape(prediction.shape[:-1]), loss.ignored(target)
    return of_the_others(values, ignored)


def of_the_others(values: np.ndarray, ignored: np.ndarray | None, gradient: np.ndarray | None = None) -> np.ndarray:
    """The losses of rows, with 0 for those that do not count, in place: what was NaN in these counts for nothing.

    Parameters
    ----------
    values : array (rows,) or of the shape of `ignored`
    ignored : mask, or None
    gradient : array or None
        Where it is wanted, the losses stay: a training on NaN would have weights that are, and is stopped by its loss.
    """
    if ignored is not None and gradient is None:
        np.copyto(values, 0, where=ignored.reshape(values.shape))
    return values


def without_ignored(weight: np.ndarray, ignored: np.ndarray | None) -> None:
    """Let rows count for nothing, in place, so that the mean is that of the others.

    Parameters
    ----------
    weight : (rows,)
    ignored : mask of as many elements, or None
    """
    if ignored is not None:
        weight *= ~ignored.reshape(-1)
        weight *= ignored.size / np.maximum((~ignored).sum(), 1)


@np.errstate(under="ignore")
def of_arrays(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> Any:
    """What `Loss.__call__` returns."""
    loss, y_true, y_pred = loss.of_last_axis(y_true, y_pred)
    values, target = _values(loss, y_true, y_pred, sample_weight is None and loss.reduction is not None)
    values = for_each_weight(values, sample_weight)
    count = len(values) if values.ndim else 1
    weight = None if sample_weight is None else spread(sample_weight, values.shape, count)
    weighted = values if weight is None else values * weight
    if loss.reduction is None:  # weights (N, 1) give losses (N, 1), as in Keras
        return weighted[:, None] if values.ndim == 1 and np.ndim(sample_weight) == 2 else weighted
    if loss.reduction == "sum" or not values.ndim:  # one number for the batch is no mean
        return _number(np.sum(weighted))
    ignored = loss.ignored(target)
    if loss.reduction == MEAN or weight is None:
        divisor = values.size - (0 if ignored is None else np.count_nonzero(ignored))
    else:
        divisor = _sum(weight, ignored)
    if not divisor:  # as in Keras, and not NaN; what is recorded stays so
        return np.sum(weighted) * 0 if isinstance(weighted, Recorded) else 0.0
    return _number(np.sum(weighted) / divisor)


def _values(loss, y_true, y_pred, is_reduced):
    """The loss of each decision, (N, …), and the checked targets."""
    if isinstance(y_pred, Recorded):
        return recorded_values(loss, y_true, y_pred, is_reduced)
    loss, y_pred = from_logits(loss, y_true, y_pred)
    prediction = np.ascontiguousarray(real_targets(y_pred, "y_pred"), np.float64)
    if has_call(loss):
        prediction = carried(prediction.view(EagerArray), y_pred)
    target = loss.check_target(y_true, prediction.shape[1:])
    if len(target) != len(prediction) or not prediction.size:
        raise ValueError(
            "y_true and y_pred need the same number of samples, at least one. "
            f"Received: {len(target)} and {len(prediction)}"
        )
    return np.asarray(loss.values(prediction, target)), target


def _number(value):
    """A float; what is recorded stays so."""
    return value if isinstance(value, Recorded) else float(value)


def for_each_weight(values: Any, weight: ArrayLike | None) -> Any:
    """Losses, which may be recorded; a whole batch's one counts for each weight, as in Keras.

    Parameters
    ----------
    values : array (N, …) or ()
    weight : array-like or None
    """
    return values if values.ndim or weight is None else values * np.ones(np.shape(weight))


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


def mean_of_samples(total: Any, count: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """(Σ weight · value, Σ weight) of values of a shape, so that each sample counts once, with its mean, as in Keras.

    So a large image counts as much as a small one.
    """
    size = math.prod(shape[1:])
    if size in (0, 1):
        return total, count
    return total / size, count // size if isinstance(count, int) else count / size


def weighted_sum(values: np.ndarray, weight: ArrayLike) -> tuple[float, float]:
    """(Σ weight · value, Σ weight) of samples; weights are as for `spread`, a single one is of the values' mean."""
    values = np.asarray(values)
    if np.ndim(weight) == 0 and values.size:
        return float(values.mean(dtype=np.float64) * weight), float(weight)
    weights = np.broadcast_to(spread(weight, values.shape, len(values) if values.ndim else 1), values.shape)
    return mean_of_samples(float((values * weights).sum()), float(weights.sum()), values.shape)
