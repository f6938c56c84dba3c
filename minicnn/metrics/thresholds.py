"""True and false positives and negatives at thresholds, and what follows from them: precision, recall and their kin.

An output above a threshold counts as positive. Outputs and targets are counted element by element.
"""

from collections.abc import Sequence
from decimal import Decimal
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import plain
from minicnn.foreign import items_of, to_numpy
from minicnn.losses.reductions import spread
from minicnn.metrics.base import Metric, register

__all__ = [
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "Recall",
    "TrueNegatives",
    "TruePositives",
]


def quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def check_thresholds(thresholds: float | Sequence[float] | None, default: float) -> list[float]:
    """`thresholds` as a list of numbers from 0 to 1; None stands for `default`.

    Raises
    ------
    ValueError
        If one lies outside.
    """
    if thresholds is None:
        return [default]
    several = items_of(thresholds)
    found = [plain(t) for t in ([thresholds] if several is None else several)]
    wrong = [t for t in found if not isinstance(t, Real | Decimal) or not 0 <= t <= 1]
    if wrong or not found:
        raise ValueError(f"`thresholds` lie from 0 to 1. Received: {wrong or thresholds}")
    return [float(t) for t in found]


def even_thresholds(count: int) -> list[float]:
    """`count` thresholds from 0 to 1 at equal distances; a single one is 0.5."""
    return [0.5] if count == 1 else [i / (count - 1) for i in range(count)]


def matched(y_true: ArrayLike, y_pred: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(targets as booleans, outputs) of one shape.

    Raises
    ------
    ValueError
        If their shapes do not fit.
    """
    prediction, target = to_numpy(y_pred, "y_pred").astype(np.float64, copy=False), to_numpy(y_true, "y_true")
    ones = target.ndim == prediction.ndim + 1 and target.shape[-1] == 1
    if not ones and target.shape not in (prediction.shape, (*prediction.shape[:-1],) * (prediction.shape[-1:] == (1,))):
        hint = (
            f"; class numbers become columns by utils.to_categorical(y, {prediction.shape[-1]})"
            if target.ndim < prediction.ndim
            else ""
        )
        raise ValueError(
            f"metric '{name}' expected targets of the output's shape {prediction.shape}{hint}. Received: {target.shape}"
        )
    return target.reshape(prediction.shape).astype(bool), prediction


class Counts(Metric):
    """Base of what is computed from counts at thresholds; a subclass writes `of_counts`.

    Attributes
    ----------
    thresholds : list of float
    true_positives, false_positives, true_negatives, false_negatives : array (thresholds,) or (thresholds, labels)
        The (weighted) counts so far.
    """

    direction: str | None = "max"
    thresholds: list[float]
    top_k: int | None = None
    class_id: int | None = None
    needed: tuple[str, ...] = ("true_positives", "false_positives", "true_negatives", "false_negatives")

    @property
    def variables(self) -> list[np.ndarray]:
        """Copies of the counts that `result` is computed from."""
        return [np.array(getattr(self, name)) for name in self.needed]

    def reset_state(self) -> None:
        self._positives = self._negatives = self._all_positives = self._all_negatives = 0.0

    @property
    def true_positives(self) -> np.ndarray:
        """Outputs above the threshold whose target is 1."""
        return np.zeros(len(self.thresholds)) + self._positives

    @property
    def false_positives(self) -> np.ndarray:
        """Outputs above the threshold whose target is 0."""
        return np.zeros(len(self.thresholds)) + self._negatives

    @property
    def false_negatives(self) -> np.ndarray:
        """Other outputs whose target is 1."""
        return self._all_positives - self.true_positives

    @property
    def true_negatives(self) -> np.ndarray:
        """Other outputs whose target is 0."""
        return self._all_negatives - self.false_positives

    @property
    def has_several_results(self) -> bool:
        """Whether `result` is an array."""
        return len(self.thresholds) > 1

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Take a batch into account.

        Parameters
        ----------
        y_true : array-like (N, …)
            0 and 1.
        y_pred : array-like (N, …)
            Probabilities.
        sample_weight : array-like (N,), (N, 1), one for each output, or float, optional
        """
        target, prediction = matched(y_true, y_pred, self.name)
        weight = spread(1 if sample_weight is None else sample_weight, prediction.shape, len(prediction))
        weight = np.broadcast_to(weight, prediction.shape)
        if self.top_k is not None:
            prediction = strongest(prediction, self.top_k)
        if self.class_id is not None and prediction.ndim < 2:
            raise ValueError(f"`class_id` is for outputs (N, C). Received: outputs of shape {prediction.shape}")
        if self.class_id is not None:
            one = (..., slice(self.class_id, self.class_id + 1))
            target, prediction, weight = target[one], prediction[one], weight[one]
            if not target.size:
                raise ValueError(f"`class_id` is one of the output's columns. Received: class_id={self.class_id}")
        self._count(target, prediction, weight)

    def _count(self, target, prediction, weight):
        """Add the counts of a batch, all of one shape."""
        limits = np.asarray(self.thresholds)
        of_true, of_false = (np.where(mask, weight, 0.0).reshape(-1) for mask in (target, ~target))
        self._positives = self._positives + above(prediction.reshape(-1), of_true, limits)
        self._negatives = self._negatives + above(prediction.reshape(-1), of_false, limits)
        self._all_positives += of_true.sum()
        self._all_negatives += of_false.sum()

    def result(self) -> float | np.ndarray:
        """A number; with several thresholds an array."""
        values = self.of_counts()
        return values.astype(np.float32) if self.has_several_results else float(values[0])

    def of_counts(self) -> np.ndarray:
        """The value at each threshold."""
        raise NotImplementedError


def above(scores: np.ndarray, weight: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """For each limit, the weight of all scores above it, both in float32 as in Keras: 0.3 is not above a limit of 0.3.

    Parameters
    ----------
    scores, weight : array (n,)
    limits : array (thresholds,)
    """
    with np.errstate(over="ignore"):
        limits, scores = limits.astype(np.float32), scores.astype(np.float32)
    order = np.argsort(limits, kind="stable")
    scores = np.where(np.isnan(scores), -np.inf, scores)  # NaN is above nothing
    below = np.searchsorted(limits[order], scores, side="left")  # how many limits lie below a score
    sums = np.bincount(below, weight, minlength=len(limits) + 1)[::-1].cumsum()[::-1][1:]  # limit i: below > i
    found = np.empty(len(limits))
    found[order] = sums
    return found


def strongest(prediction: np.ndarray, k: int) -> np.ndarray:
    """Outputs (…, C) with all but the k largest of each row as −∞; of equal ones the first counts."""
    order = np.argsort(-prediction, axis=-1, kind="stable")[..., :k]
    kept = np.full_like(prediction, -np.inf)
    np.put_along_axis(kept, order, np.take_along_axis(prediction, order, axis=-1), axis=-1)
    return kept


class _OneCount(Counts):
    """Base of metrics that are one of the counts.

    Parameters
    ----------
    thresholds : float or list of float, default 0.5
    name, dtype : str, optional
    """

    _which: str

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None, dtype: str | None = None
    ):
        self.thresholds: list[float] = check_thresholds(thresholds, 0.5)
        super().__init__(name, dtype)

    @property
    def needed(self) -> tuple[str, ...]:
        """The one count."""
        return (self._which,)

    def of_counts(self) -> np.ndarray:
        return getattr(self, self._which)


@register
class TruePositives(_OneCount):
    """How many outputs above the threshold have the target 1."""

    _which = "true_positives"


@register
class FalsePositives(_OneCount):
    """How many outputs above the threshold have the target 0."""

    direction: str | None = "min"
    _which = "false_positives"


@register
class TrueNegatives(_OneCount):
    """How many outputs not above the threshold have the target 0."""

    _which = "true_negatives"


@register
class FalseNegatives(_OneCount):
    """How many outputs not above the threshold have the target 1."""

    direction: str | None = "min"
    _which = "false_negatives"


@register
class Precision(Counts):
    """True positives / (true and false positives); 0 without any.

    Parameters
    ----------
    thresholds : float or list of float, optional
        Default: 0.5, and with `top_k` none.
    top_k : int, optional
        Only a row's k largest outputs may be positive.
    class_id : int, optional
        Count this column only.
    name, dtype : str, optional
    """

    needed: tuple[str, ...] = ("true_positives", "false_positives")

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        self.thresholds: list[float] = check_thresholds(thresholds, 0.5 if top_k is None else -np.finfo(np.float64).max)
        self.top_k: int | None = top_k
        self.class_id: int | None = class_id
        super().__init__(name, dtype)

    def of_counts(self) -> np.ndarray:
        return quotient(self.true_positives, self.true_positives + self.false_positives)

    def get_config(self) -> dict[str, object]:
        """The constructor's arguments."""
        return super().get_config() | ({"thresholds": None} if self.thresholds[0] < 0 else {})


@register
class Recall(Precision):
    """True positives / (true positives and false negatives); 0 without any. Arguments as for `Precision`."""

    needed: tuple[str, ...] = ("true_positives", "false_negatives")

    def of_counts(self) -> np.ndarray:
        return quotient(self.true_positives, self.true_positives + self.false_negatives)
