"""Distances between predictions and targets, and how much of the targets' variance predictions explain."""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice
from minicnn.foreign import to_numpy
from minicnn.hints import Shape
from minicnn.losses.crossentropy import EPSILON
from minicnn.losses.reductions import spread
from minicnn.losses.targets import element_shapes
from minicnn.metrics.base import Metric, register

__all__ = [
    "ConcordanceCorrelation",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "PearsonCorrelation",
    "R2Score",
    "RootMeanSquaredError",
]


class _Distance(Metric):
    """Base of metrics that compare element by element; a subclass has `_of`, the distance of each difference."""

    direction: str | None = "min"

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return element_shapes(output_shape)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return self._of(prediction - target.reshape(prediction.shape))

    def of_arrays(self, y_true: ArrayLike, y_pred: ArrayLike) -> np.ndarray:
        """The mean of each row of the last axis: as a function it is the loss's, as in Keras."""
        return super().of_arrays(y_true, y_pred).mean(axis=-1)


@register("mse")
class MeanSquaredError(_Distance):
    """Mean of (prediction − target)²."""

    name: str = "mean_squared_error"
    _of = staticmethod(np.square)


@register("mae")
class MeanAbsoluteError(_Distance):
    """Mean of |prediction − target|."""

    name: str = "mean_absolute_error"
    _of = staticmethod(np.abs)


@register("rmse")
class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (prediction − target)² over all batches.

    Parameters
    ----------
    name, dtype : str, optional
    """

    name: str = "root_mean_squared_error"

    def result(self) -> float:
        return float(np.sqrt(super().result()))


class _Correlation(Metric):
    """Base of metrics of rows of numbers.

    Parameters
    ----------
    name, dtype : str, optional
    axis : int, default -1
        Along which the numbers of a row lie.
    """

    direction: str | None = "max"

    def __init__(self, name: str | None = None, dtype: str | None = None, axis: int = -1):
        super().__init__(name, dtype)
        self.axis: int = axis

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return element_shapes(output_shape)

    def _centred(self, x):
        """(x minus its mean, the mean, the variance), along the axis."""
        mean = x.mean(axis=self.axis, keepdims=True)
        return x - mean, mean, np.square(x - mean).mean(axis=self.axis, keepdims=True)


@register
class PearsonCorrelation(_Correlation):
    """The correlation coefficient of each sample's outputs with its targets (Pearson, 1895)."""

    name: str = "pearson_correlation"

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        t, _, t_variance = self._centred(target.reshape(prediction.shape))
        p, _, p_variance = self._centred(prediction)
        return (t * p / np.sqrt(t_variance * p_variance)).mean(axis=self.axis)


@register
class ConcordanceCorrelation(_Correlation):
    """2 · covariance / (both variances + squared difference of the means) (Lin, 1989)."""

    name: str = "concordance_correlation"

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        t, t_mean, t_variance = self._centred(target.reshape(prediction.shape))
        p, p_mean, p_variance = self._centred(prediction)
        below = t_variance + p_variance + np.square(t_mean - p_mean) + EPSILON
        return (2 * t * p / below).mean(axis=self.axis)


@register
class R2Score(Metric):
    """1 − Σ (t − p)² / Σ (t − mean t)²: the part of the targets' variance that predictions explain (Wright, 1921).

    Parameters
    ----------
    class_aggregation : {'uniform_average', 'variance_weighted_average', None}, default 'uniform_average'
        How the scores of several outputs become one; None: not at all, an array (D,).
    num_regressors : int, default 0
        If not 0, the score is adjusted for so many independent variables (Theil, 1961).
    name, dtype : str, optional
    """

    name: str = "r2_score"
    direction: str | None = "max"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name, dtype)
        ways = ("uniform_average", "variance_weighted_average", None)
        self.class_aggregation: str | None = check_choice("class_aggregation", class_aggregation, ways)
        if not isinstance(num_regressors, int) or num_regressors < 0:
            raise ValueError(f"`num_regressors` is a whole number from 0 on. Received: {num_regressors!r}")
        self.num_regressors: int = num_regressors

    _outputs: Shape = ()  # the number of outputs, once a batch has told; it is not forgotten

    def reset_state(self) -> None:
        self._samples = 0
        self._weight = self._sum = self._squares = self._residual = 0.0

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """As `Metric.update_state`; outputs are (N, outputs) or (N,)."""
        prediction = to_numpy(y_pred, "y_pred").astype(np.float64, copy=False)
        prediction = prediction[:, None] if prediction.ndim == 1 else prediction  # (N, D)
        target = to_numpy(y_true, "y_true").astype(np.float64, copy=False)
        if prediction.ndim != 2 or target.size != prediction.size:
            raise ValueError(
                "R2Score takes targets and outputs of one shape (N, outputs). "
                f"Received: {target.shape} and {prediction.shape}"
            )
        target = target.reshape(prediction.shape)
        weight = spread(1 if sample_weight is None else sample_weight, target.shape, len(target))
        weight = np.broadcast_to(weight, target.shape)
        self._samples += target.size
        self._outputs = target.shape[1:]
        self._weight = self._weight + weight.sum(axis=0)
        self._sum = self._sum + (weight * target).sum(axis=0)
        self._squares = self._squares + (weight * target**2).sum(axis=0)
        self._residual = self._residual + (weight * (target - prediction) ** 2).sum(axis=0)

    def result(self) -> float | np.ndarray:
        """The score so far; NaN before the first batch, as in Keras."""
        if not self._samples:
            return np.full(self._outputs, np.nan, np.float32) if self.class_aggregation is None else float("nan")
        total = self._squares - self._sum**2 / self._weight
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1 - self._residual / total
        scores = np.where(np.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation is not None:
            scores = (total * scores).sum() / total.sum()
        scores = self._adjusted(scores) if self.num_regressors else scores
        return scores.astype(np.float32) if np.ndim(scores) else float(scores)

    def _adjusted(self, score):
        """The score adjusted for the number of independent variables."""
        if self.num_regressors >= self._samples - 1:
            warnings.warn(
                f"R2Score is adjusted for fewer variables than samples - 1; with {self.num_regressors} for "
                f"{self._samples} samples it is not adjusted",
                stacklevel=3,
            )
            return score
        return 1 - (1 - score) * (self._samples - 1) / (self._samples - self.num_regressors - 1)
