"""Losses that compare prediction and target element by element: regression."""

from types import SimpleNamespace

import numpy as np

from minicnn.losses.base import Loss, register

__all__ = ["ElementwiseLoss", "MeanAbsoluteError", "MeanSquaredError"]


class ElementwiseLoss(Loss):
    """Base of losses that compare prediction and target element by element; a subclass writes `elements`."""

    def compute(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None,
        gradient: np.ndarray | None,
        ops: SimpleNamespace,
        from_logits: bool | None = None,
    ) -> float:
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
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool | None
    ) -> np.ndarray:
        """The loss of each element, an array like `prediction`; assigns the derivatives to `gradient`, if given."""
        raise NotImplementedError


@register("mse")
class MeanSquaredError(ElementwiseLoss):
    """(p − t)², derivative 2 · (p − t)."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool | None
    ) -> np.ndarray:
        difference = np.subtract(prediction, target.astype(prediction.dtype, copy=False), out=gradient)
        squares = difference * difference
        if gradient is not None:
            gradient *= 2
        return squares


@register("mae")
class MeanAbsoluteError(ElementwiseLoss):
    """|p − t|, derivative sign(p − t), 0 where they are equal."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool | None
    ) -> np.ndarray:
        difference = np.subtract(prediction, target.astype(prediction.dtype, copy=False), out=gradient)
        distances = np.abs(difference)
        if gradient is not None:
            np.sign(difference, out=gradient)
        return distances
