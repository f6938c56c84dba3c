"""Losses that compare prediction and target element by element: regression."""

import numpy as np

from minicnn.losses.base import Loss, register
from minicnn.own_parts import unwritten

__all__ = ["ElementwiseLoss", "MeanAbsoluteError", "MeanSquaredError"]


class ElementwiseLoss(Loss):
    """Base of losses that compare prediction and target element by element; a subclass writes `elements`."""

    def _compute(self, prediction, target, weight, gradient, ops, from_logits):
        elements = self.elements(prediction, target, gradient, from_logits)  # shape of prediction
        per_sample = elements.reshape(len(prediction), -1).sum(axis=1, dtype=np.float64)  # (N,)
        if weight is not None:
            per_sample *= weight
        if gradient is not None:
            gradient *= 1 / prediction.size
            if weight is not None:
                gradient *= weight.reshape(-1, *[1] * (prediction.ndim - 1))
        return per_sample.sum() / prediction.size

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        """The loss of each element, an array like `prediction`; assigns the derivatives to `gradient`, if given."""
        raise unwritten(self, "elements")


class _Difference(ElementwiseLoss):
    """Base of losses of prediction − target; a subclass writes `_of`."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        difference = np.subtract(prediction, target.astype(prediction.dtype, copy=False), out=gradient)
        return self._of(difference, gradient)

    def _of(self, difference, gradient):
        """The loss of each difference; `gradient`, if given, is the same array and becomes the derivative."""
        raise NotImplementedError


@register("mse")
class MeanSquaredError(_Difference):
    """(p − t)², derivative 2 · (p − t)."""

    def _of(self, difference, gradient):
        squares = difference * difference
        if gradient is not None:
            gradient *= 2
        return squares


@register("mae")
class MeanAbsoluteError(_Difference):
    """|p − t|, derivative sign(p − t), 0 where they are equal."""

    def _of(self, difference, gradient):
        distances = np.abs(difference)
        if gradient is not None:
            np.sign(difference, out=gradient)
        return distances
