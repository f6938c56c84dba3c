"""Losses of segmentation: how much prediction and target overlap."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.checks import check_number
from minicnn.hints import Shape
from minicnn.losses.base import register
from minicnn.losses.crossentropy import EPSILON
from minicnn.losses.elementwise import RowLoss

__all__ = ["Dice", "Tversky"]


@register
class Tversky(RowLoss):
    """1 − I / (I + α · A + β · B + 1e-7), I = Σ t · p, A = Σ t · (1 − p), B = Σ (1 − t) · p (Salehi et al., 2017).

    Keras's α belongs to what the prediction misses, where the paper's belongs to what it has too much.

    Parameters
    ----------
    alpha, beta : float, default 0.5
    axis : tuple of int, optional
        Axes to sum over; default: all, so that a batch has one loss, which counts for each weight of samples.
    **options
        See `Loss`.
    """

    _least = EPSILON
    goes_by_rows = False

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, axis: Sequence[int] | int | None = None, **options: object
    ):
        super().__init__(**options)
        self.alpha: float = check_number("alpha", alpha)
        self.beta: float = check_number("beta", beta)
        self.axis: int | tuple[int, ...] | None = tuple(axis) if isinstance(axis, list | tuple) else axis

    def decisions(self, shape: Shape) -> int:
        return math.prod(self._kept(shape))

    def counted(self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> Any:
        """A whole batch's one loss counts for each weight."""
        is_whole = self._kept(prediction.shape)[:1] != prediction.shape[:1]
        return super().counted(prediction, target, weight) * (1 if weight is None or not is_whole else weight.size)

    def _kept(self, shape):
        """The shape of the losses."""
        axes = range(len(shape)) if self.axis is None else (self.axis,) if isinstance(self.axis, int) else self.axis
        summed = {axis % len(shape) for axis in axes}
        return tuple(n for i, n in enumerate(shape) if i not in summed)

    def _compute(self, prediction, target, weight, gradient, ops, from_logits):
        if weight is not None and weight.ndim > 1 and self.axis is not None:
            raise ValueError(
                f"{type(self).__name__} with an axis has losses of whole areas: sample_weight needs one number for "
                f"each sample. Received: shape {weight.shape}"
            )
        if self._kept(prediction.shape)[:1] == prediction.shape[:1]:  # each sample has losses of its own
            return super()._compute(prediction, target, weight, gradient, ops, from_logits)
        values = self.of_rows(prediction, self._cast(target, prediction), gradient, from_logits)
        factor = 1.0 if weight is None else weight.mean()
        if gradient is not None:
            gradient *= factor / max(values.size, 1)
        return values.mean(dtype=np.float64) * factor

    def of_rows(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        both = (target * prediction).sum(axis=self.axis, keepdims=True)
        missed = ((1 - prediction) * target).sum(axis=self.axis, keepdims=True)
        surplus = (prediction * (1 - target)).sum(axis=self.axis, keepdims=True)
        below = both + self.alpha * missed + self.beta * surplus + self._least
        if gradient is not None:
            slope = target * (1 - self.alpha) + self.beta * (1 - target)  # d below / dp
            np.divide(both * slope - target * below, below * below, out=gradient)
        return (1 - both / below).reshape(self._kept(prediction.shape))


@register
class Dice(Tversky):
    """1 − 2 · Σ t · p / (Σ t + Σ p + 1e-7) (Milletari et al.: "V-Net", 2016).

    Parameters
    ----------
    axis : tuple of int, optional
        Axes to sum over; default: all, so that a batch has one loss, which counts for each weight of samples.
    **options
        See `Loss`.
    """

    _least = EPSILON / 2

    def __init__(self, axis: Sequence[int] | int | None = None, **options: object):
        super().__init__(0.5, 0.5, axis, **options)
