"""The harmonic mean of precision and recall."""

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice, check_number
from minicnn.foreign import to_numpy
from minicnn.hints import Shape
from minicnn.losses.crossentropy import EPSILON
from minicnn.losses.reductions import spread
from minicnn.metrics.base import Metric, register

__all__ = ["F1Score", "FBetaScore"]


@register
class FBetaScore(Metric):
    """(1 + β²) · precision · recall / (β² · precision + recall), van Rijsbergen: "Information retrieval", 1979.

    Parameters
    ----------
    average : {'micro', 'macro', 'weighted', None}
        Over all elements at once; the mean of the classes; their mean by how often they occur; not at all: an array
        (C,), also in the logs and the history of a model.
    beta : float above 0, default 1
        How many times recall counts.
    threshold : float, above 0 and up to 1, optional
        Outputs above it are positive; default: a row's largest one is.
    name, dtype : str, optional
    """

    name: str = "fbeta_score"
    direction: str | None = "max"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name, dtype)
        self.average: str | None = check_choice("average", average, ("micro", "macro", "weighted", None))
        self.beta: float = check_number("beta", beta, above=0)
        self.threshold: float | None = None if threshold is None else check_number("threshold", threshold, above=0)
        if threshold is not None and threshold > 1:
            raise ValueError(f"`threshold` lies above 0 and not above 1. Received: threshold={threshold!r}")

    _classes: Shape = ()  # the number of classes, once a batch has told; it is not forgotten

    def reset_state(self) -> None:
        self._hits = self._predicted = self._actual = 0.0

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """As `Metric.update_state`; targets and outputs are (N, C)."""
        target = to_numpy(y_true, "y_true").astype(np.float64, copy=False)
        prediction = to_numpy(y_pred, "y_pred").astype(np.float32, copy=False)  # as in Keras: 0.3 is not above 0.3
        if target.ndim != 2 or prediction.ndim != 2 or target.shape != prediction.shape:
            raise ValueError(
                f"metric '{self.name}' takes targets and outputs (N, C), one column for each class; class numbers "
                f"become columns by utils.to_categorical. Received: {target.shape} and {prediction.shape}"
            )
        if self.threshold is None:
            largest = prediction.max(axis=-1, keepdims=True)
            chosen = (prediction >= largest) & (np.abs(prediction) > 1e-9)
        else:
            chosen = prediction > np.float32(self.threshold)
        weight = spread(1 if sample_weight is None else sample_weight, target.shape, len(target))
        self._classes = target.shape[1:]
        self._hits = self._hits + (weight * chosen * target).sum(axis=0)
        self._predicted = self._predicted + (weight * chosen).sum(axis=0)
        self._actual = self._actual + (weight * target).sum(axis=0)

    def result(self) -> float | np.ndarray:
        """The score so far; without `average` an array (C,)."""
        hits, predicted, actual = self._hits, self._predicted, self._actual
        if self.average == "micro":
            hits, predicted, actual = np.sum(hits), np.sum(predicted), np.sum(actual)
        precision, recall = hits / (predicted + EPSILON), hits / (actual + EPSILON)
        squared = self.beta**2
        score = (1 + squared) * (precision * recall / (squared * precision + recall + EPSILON))
        if self.average is None:
            return np.full(self._classes, score, np.float32)
        if self.average == "weighted":
            return float(np.sum(score * actual) / (np.sum(actual) + EPSILON))
        return float(np.mean(score))


@register
class F1Score(FBetaScore):
    """`FBetaScore` with β = 1.

    Parameters
    ----------
    average, threshold, name, dtype :
        As for `FBetaScore`.
    """

    name: str = "f1_score"

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(average, 1.0, threshold, name, dtype)
