"""The area under a curve of counts at thresholds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice
from minicnn.foreign import to_numpy
from minicnn.losses.crossentropy import EPSILON
from minicnn.metrics.base import register
from minicnn.metrics.thresholds import Counts, above, check_thresholds, even_thresholds, quotient
from minicnn.user_warnings import warn_user

__all__ = ["AUC"]

_METHODS = ("interpolation", "minoring", "majoring")


@register
class AUC(Counts):
    """The area under the curve of recall over false-positive rate (ROC; Hanley and McNeil, 1982), or another one.

    A precision-recall curve is interpolated as Davis and Goadrich: "The relationship between precision-recall and ROC
    curves", 2006, do it; the gains are those of Flach and Kull: "Precision-recall-gain curves", 2015.

    Parameters
    ----------
    num_thresholds : int above 1, default 200
        At equal distances from 0 to 1.
    curve : {'ROC', 'PR', 'PRGAIN'}, default 'ROC'
    summation_method : {'interpolation', 'minoring', 'majoring'}, default 'interpolation'
        Trapezia, or the lower or higher side of each interval.
    name, dtype : str, optional
    thresholds : list of float, optional
        Instead of `num_thresholds`; 0 and 1 are added.
    multi_label : bool, default False
        Whether every column has a curve of its own, whose areas are averaged.
    num_labels : int, optional
        Not needed.
    label_weights : list of float, optional
        Of the columns.
    from_logits : bool, default False
        Take the sigmoid of outputs first.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ):
        if thresholds is None and (not isinstance(num_thresholds, int) or num_thresholds < 2):
            raise ValueError(f"`num_thresholds` is a whole number from 2 on. Received: {num_thresholds!r}")
        if num_labels is not None and not multi_label:
            raise ValueError(f"`num_labels` goes with multi_label=True. Received: num_labels={num_labels!r}")
        inner = even_thresholds(num_thresholds)[1:-1] if thresholds is None else sorted(check_thresholds(thresholds, 0))
        self.num_thresholds: int = len(inner) + 2
        self.thresholds: list[float] = [-EPSILON, *inner, 1 + EPSILON]
        self.is_given: bool = thresholds is not None
        self.curve: str = check_choice("curve", str(curve).upper(), ("ROC", "PR", "PRGAIN"))
        self.summation_method: str = check_choice("summation_method", str(summation_method).lower(), _METHODS)
        self.multi_label: bool = bool(multi_label)
        self.num_labels: int | None = num_labels
        self.label_weights: list[float] | None = None if label_weights is None else [float(w) for w in label_weights]
        self.from_logits: bool = bool(from_logits)
        super().__init__(name, dtype)

    @property
    def has_several_results(self) -> bool:
        """One number."""
        return False

    def get_config(self) -> dict[str, object]:
        """The constructor's arguments."""
        return super().get_config() | {"thresholds": self.thresholds[1:-1] if self.is_given else None}

    def reset_state(self) -> None:
        labels = np.shape(getattr(self, "_positives", 0.0))  # they stay known
        super().reset_state()
        self._positives, self._negatives = np.zeros(labels), np.zeros(labels)

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """As `Counts.update_state`; outputs below 0 or above 1 count as 0 or 1, with a warning."""
        if self.from_logits:
            y_pred = 0.5 * np.tanh(0.5 * to_numpy(y_pred, "y_pred").astype(np.float64, copy=False)) + 0.5
        elif (values := to_numpy(y_pred, "y_pred").astype(np.float64, copy=False)).size and (
            values.min() < -EPSILON or values.max() > 1 + EPSILON
        ):
            warn_user(
                f"metric '{self.name}' takes probabilities from 0 to 1, and counts others as 0 or 1, as Keras does: of "
                f"a model without a sigmoid at its end, {type(self).__name__}(from_logits=True)"
            )
            y_pred = np.clip(values, 0.0, 1.0)
        columns = self.multi_label or self.label_weights is not None
        if columns and np.ndim(y_pred) != 2:
            raise ValueError(
                f"metric '{self.name}' takes outputs (N, labels) for labels of their own. "
                f"Received: an array of shape {np.shape(y_pred)}"
            )
        super().update_state(y_true, y_pred, sample_weight)

    def _count(self, target, prediction, weight):
        if not self.multi_label:
            super()._count(target, prediction, weight if self.label_weights is None else weight * self.label_weights)
            return
        limits, labels = np.asarray(self.thresholds), range(prediction.shape[1])
        of_true, of_false = np.where(target, weight, 0.0), np.where(target, 0.0, weight)  # (N, labels)
        counted = [np.stack([above(prediction[:, i], w[:, i], limits) for i in labels], 1) for w in (of_true, of_false)]
        self._positives, self._negatives = self._positives + counted[0], self._negatives + counted[1]
        self._all_positives = self._all_positives + of_true.sum(axis=0)
        self._all_negatives = self._all_negatives + of_false.sum(axis=0)

    @property
    def true_positives(self) -> np.ndarray:
        """At each threshold; with several labels (thresholds, labels)."""
        return self._shaped(self._positives)

    @property
    def false_positives(self) -> np.ndarray:
        """At each threshold; with several labels (thresholds, labels)."""
        return self._shaped(self._negatives)

    def _shaped(self, counts):
        """Counts as an array, before the first batch too."""
        labels = (self.num_labels or 1,) if self.multi_label else ()
        return counts if np.ndim(counts) else np.full((self.num_thresholds, *labels), float(counts))

    def of_counts(self) -> np.ndarray:
        increments = self._interpolated() if self._is_interpolated else self._strips()
        areas = increments.sum(axis=0)
        if not self.multi_label:
            return np.array([areas])
        weights = np.ones(areas.shape) if self.label_weights is None else np.asarray(self.label_weights)
        return quotient(np.array([(areas * weights).sum()]), np.array([weights.sum()]))

    @property
    def _is_interpolated(self):
        return self.curve == "PR" and self.summation_method == "interpolation"

    def _strips(self):
        """The area between each threshold and the next."""
        x, y = self._curve()
        higher, lower = y[:-1], y[1:]
        heights = {
            "interpolation": (higher + lower) / 2,
            "minoring": np.minimum(higher, lower),
            "majoring": np.maximum(higher, lower),
        }[self.summation_method]
        return (x[:-1] - x[1:]) * heights

    def _curve(self):
        """(x, y) at each threshold."""
        tp, fp, tn, fn = self.true_positives, self.false_positives, self.true_negatives, self.false_negatives
        recall, precision = quotient(tp, tp + fn), quotient(tp, tp + fp)
        if self.curve == "ROC":
            return quotient(fp, fp + tn), recall
        if self.curve == "PR":
            return recall, precision
        ratio = quotient(tp + fn, tn + fp)
        recall_gain = np.where(tp == 0, 0.0, 1 - ratio * quotient(fn, tp))
        precision_gain = np.where(tp == 0, 1.0, 1 - ratio * quotient(fp, tp))
        return np.maximum(recall_gain, 0), precision_gain

    def _interpolated(self):
        """Between two thresholds, true positives are a straight line over all positives (Davis and Goadrich)."""
        tp, p = self.true_positives, self.true_positives + self.false_positives
        step = tp[:-1] - tp[1:]
        slope = quotient(step, np.maximum(p[:-1] - p[1:], 0))
        intercept = tp[1:] - slope * p[1:]
        both = (p[:-1] > 0) & (p[1:] > 0)
        ratio = np.where(both, quotient(p[:-1], np.maximum(p[1:], 0)), 1.0)
        return quotient(slope * (step + intercept * np.log(ratio)), np.maximum(tp[1:] + self.false_negatives[1:], 0))
