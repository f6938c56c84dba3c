"""Further losses for regression. In the formulas p is the prediction, t the target; see ``docs/formulas.md``."""

import math

import numpy as np

from minicnn.checks import check_number
from minicnn.losses.base import register
from minicnn.losses.crossentropy import EPSILON
from minicnn.losses.elementwise import DifferenceLoss, ElementwiseLoss, RowLoss
from minicnn.losses.other_axis import AlongAxis

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "Poisson",
]


@register("huber_loss")
class Huber(DifferenceLoss):
    """With d = p − t: d² / 2 where |d| ≤ δ, else δ · |d| − δ² / 2 (Huber: "Robust estimation …", 1964).

    Parameters
    ----------
    delta : float above 0, default 1
    **options
        See `Loss`.
    """

    def __init__(self, delta: float = 1.0, **options: object):
        super().__init__(**options)
        self.delta: float = check_number("delta", delta, above=0)

    def of_difference(self, difference: np.ndarray, gradient: np.ndarray | None) -> np.ndarray:
        distances = np.abs(difference)
        inner = np.minimum(distances, self.delta)
        if gradient is not None:
            np.clip(difference, -self.delta, self.delta, out=gradient)
        return inner * (distances - 0.5 * inner)


@register("logcosh")
class LogCosh(DifferenceLoss):
    """log cosh(p − t) = d + log(1 + exp(−2 · d)) − log 2, derivative tanh d."""

    def of_difference(self, difference: np.ndarray, gradient: np.ndarray | None) -> np.ndarray:
        distances = np.abs(difference)
        if gradient is not None:
            np.tanh(difference, out=gradient)
        return distances + np.log1p(np.exp(-2 * distances)) - math.log(2)


@register("mape")
class MeanAbsolutePercentageError(ElementwiseLoss):
    """100 · |(t − p) / max(|t|, 1e-7)|."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        target = target.astype(prediction.dtype, copy=False)
        scale = 100 / np.maximum(np.abs(target), EPSILON)
        difference = prediction - target
        if gradient is not None:
            np.multiply(np.sign(difference), scale, out=gradient)
        return np.abs(difference) * scale


@register("msle")
class MeanSquaredLogarithmicError(ElementwiseLoss):
    """(log(p + 1) − log(t + 1))², of numbers that are raised to 1e-7 first; no gradient where p is."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        raised = np.maximum(prediction, EPSILON)
        difference = np.log1p(raised) - np.log1p(np.maximum(target.astype(prediction.dtype, copy=False), EPSILON))
        if gradient is not None:
            np.divide(2 * difference, raised + 1, out=gradient)
            gradient *= prediction > EPSILON
        return difference * difference


@register
class Poisson(ElementwiseLoss):
    """p − t · log(p + 1e-7): a Poisson distribution's, of rate p."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        target = target.astype(prediction.dtype, copy=False)
        if gradient is not None:
            np.subtract(1, target / (prediction + EPSILON), out=gradient)
        return prediction - target * np.log(prediction + EPSILON)


def unit_rows(x: np.ndarray, axis: int | tuple[int, ...] = -1) -> tuple[np.ndarray, np.ndarray]:
    """(x / |x|, |x|) along an axis, |x| being 1e-7 at least; a row of zeros stays one."""
    norm = np.maximum(np.sqrt(np.square(x).sum(axis=axis, keepdims=True)), EPSILON)
    return x / norm, norm


@register
class CosineSimilarity(AlongAxis, RowLoss):
    """−Σ t · p / (|t| · |p|) over an axis: −1 for the same direction. A length counts as 1e-7 at least.

    A row of zeros has no direction: 0.

    Parameters
    ----------
    axis : int, default -1
    **options
        See `Loss`.
    """

    def __init__(self, axis: int = -1, **options: object):
        super().__init__(axis=axis, **options)

    def of_rows(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        p, length = unit_rows(prediction)
        t, _ = unit_rows(target)
        cosine = (p * t).sum(axis=-1, keepdims=True)
        if gradient is not None:  # a length that is raised does not change
            np.divide(p * cosine * (length > EPSILON) - t, length, out=gradient)
        return -(p * t).sum(axis=-1)
