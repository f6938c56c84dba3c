"""The best precision, recall or specificity that some threshold reaches where another of them is large enough."""

import numpy as np

from minicnn.checks import check_number
from minicnn.metrics.base import Metric, register
from minicnn.metrics.thresholds import Counts, even_thresholds, quotient

__all__ = ["PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity"]


class _BestAt(Counts):
    """Base of: the best of one quantity at those thresholds where another is large enough.

    Parameters
    ----------
    least : float from 0 to 1
        How large.
    num_thresholds : int, default 200
    class_id : int, optional
        Count this column only.
    name, dtype : str, optional
    """

    def _set(self, argument, least, num_thresholds, class_id, name, dtype):
        self.least: float = check_number(argument, least)
        if least > 1:
            raise ValueError(f"`{argument}` lies from 0 to 1. Received: {argument}={least!r}")
        if not isinstance(num_thresholds, int) or num_thresholds < 1:
            raise ValueError(f"`num_thresholds` is a whole number from 1 on. Received: {num_thresholds!r}")
        self.num_thresholds: int = num_thresholds
        self.class_id: int | None = class_id
        self.thresholds: list[float] = even_thresholds(num_thresholds)
        Metric.__init__(self, name, dtype)

    @property
    def has_several_results(self) -> bool:
        """One number."""
        return False

    @property
    def recalls(self) -> np.ndarray:
        """At each threshold."""
        return quotient(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificities(self) -> np.ndarray:
        """At each threshold."""
        return quotient(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precisions(self) -> np.ndarray:
        """At each threshold."""
        return quotient(self.true_positives, self.true_positives + self.false_positives)

    def _best(self, of, where):
        return np.array([np.where(where >= self.least, of, 0).max(initial=0)])


@register
class SensitivityAtSpecificity(_BestAt):
    """The largest recall among thresholds whose specificity, TN / (TN + FP), is at least `specificity`.

    Parameters
    ----------
    specificity : float from 0 to 1
    num_thresholds : int, default 200
    class_id : int, optional
    name, dtype : str, optional
    """

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        self._set("specificity", specificity, num_thresholds, class_id, name, dtype)
        self.specificity: float = self.least

    def of_counts(self) -> np.ndarray:
        return self._best(self.recalls, self.specificities)


@register
class SpecificityAtSensitivity(_BestAt):
    """The largest specificity among thresholds whose recall is at least `sensitivity`.

    Parameters
    ----------
    sensitivity : float from 0 to 1
    num_thresholds : int, default 200
    class_id : int, optional
    name, dtype : str, optional
    """

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        self._set("sensitivity", sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity: float = self.least

    def of_counts(self) -> np.ndarray:
        return self._best(self.specificities, self.recalls)


@register
class PrecisionAtRecall(_BestAt):
    """The largest precision among thresholds whose recall is at least `recall`.

    Parameters
    ----------
    recall : float from 0 to 1
    num_thresholds : int, default 200
    class_id : int, optional
    name, dtype : str, optional
    """

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        self._set("recall", recall, num_thresholds, class_id, name, dtype)
        self.recall: float = self.least

    def of_counts(self) -> np.ndarray:
        return self._best(self.precisions, self.recalls)


@register
class RecallAtPrecision(_BestAt):
    """The largest recall among thresholds whose precision is at least `precision`.

    Parameters
    ----------
    precision : float from 0 to 1
    num_thresholds : int, default 200
    class_id : int, optional
    name, dtype : str, optional
    """

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        self._set("precision", precision, num_thresholds, class_id, name, dtype)
        self.precision: float = self.least

    def of_counts(self) -> np.ndarray:
        return self._best(self.recalls, self.precisions)
