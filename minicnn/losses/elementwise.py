"""Losses that compare prediction and target element by element: regression. And those of rows of elements."""

import numpy as np

from minicnn.losses.base import Loss, register
from minicnn.own_parts import unwritten

__all__ = ["ElementwiseLoss", "MeanAbsoluteError", "MeanSquaredError", "RowLoss"]


class RowLoss(Loss):
    """Base of losses of the last axis's rows; a subclass writes `of_rows`."""

    def _compute(self, prediction, target, weight, gradient, ops, from_logits):
        if prediction.ndim == 1:
            raise ValueError(
                f"{type(self).__name__} is of rows, along the last axis, and these outputs have none but that of the "
                "samples: keep it, x[:, :1] for x[:, 0]. Received: outputs of shape (N,)"
            )
        values = self.of_rows(prediction, self._cast(target, prediction), gradient, from_logits)  # (N, …)
        per_sample = values.reshape(len(prediction), -1).sum(axis=1, dtype=np.float64)  # (N,)
        return _weighted(per_sample, weight, gradient, values.size)

    def values(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return self.of_rows(prediction, self._cast(target, prediction), None, self.from_logits)

    def _cast(self, target, prediction):
        """`target` in the dtype of `prediction`."""
        return target.astype(prediction.dtype, copy=False)

    def of_rows(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        """The loss of each row, (N, …) without the last axis; assigns their derivatives to `gradient`, if given.

        Parameters
        ----------
        prediction, target : array (N, …, C)
            Of one dtype.
        gradient : array like `prediction`, or None
        from_logits : bool
        """
        raise NotImplementedError


class ElementwiseLoss(Loss):
    """Base of losses that compare prediction and target element by element; a subclass writes `elements`."""

    def _compute(self, prediction, target, weight, gradient, ops, from_logits):
        elements = self.elements(prediction, target, gradient, from_logits)  # shape of prediction
        weighted = prediction.shape[:1] if weight is None else weight.shape  # (N,), or (N, …) of places
        per_weight = elements.reshape(*weighted, -1).sum(axis=-1, dtype=np.float64)
        return _weighted(per_weight, weight, gradient, prediction.size)

    def values(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        elements = self.elements(prediction, target, None, self.from_logits)
        return elements.mean(axis=-1) if elements.ndim > 1 else elements

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        """The loss of each element, an array like `prediction`; assigns the derivatives to `gradient`, if given."""
        raise unwritten(self, "elements")


def _weighted(losses, weight, gradient, count):
    """Σ weight · losses / count; `gradient` is scaled in the same way."""
    if weight is not None:
        losses *= weight
    if gradient is not None:
        gradient *= 1 / count
        if weight is not None:
            gradient *= weight.reshape(*weight.shape, *[1] * (gradient.ndim - weight.ndim))
    return losses.sum() / count


def one_hot(numbers: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Rows of zeros with a one at each of the positions `numbers` (N, …), an array like `like` (N, …, C)."""
    hot, at = np.zeros_like(like), numbers[..., None]
    np.put_along_axis(hot, at, np.ones_like(np.take_along_axis(hot, at, axis=-1)), axis=-1)
    return hot


class DifferenceLoss(ElementwiseLoss):
    """Base of losses of prediction − target; a subclass writes `of_difference`."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        difference = np.subtract(prediction, target.astype(prediction.dtype, copy=False), out=gradient)
        return self.of_difference(difference, gradient)

    def of_difference(self, difference: np.ndarray, gradient: np.ndarray | None) -> np.ndarray:
        """The loss of each difference; `gradient`, if given, is the same array and becomes the derivative."""
        raise NotImplementedError


@register("mse")
class MeanSquaredError(DifferenceLoss):
    """(p − t)², derivative 2 · (p − t)."""

    def of_difference(self, difference: np.ndarray, gradient: np.ndarray | None) -> np.ndarray:
        squares = difference * difference
        if gradient is not None:
            gradient *= 2
        return squares


@register("mae")
class MeanAbsoluteError(DifferenceLoss):
    """|p − t|, derivative sign(p − t), 0 where they are equal."""

    def of_difference(self, difference: np.ndarray, gradient: np.ndarray | None) -> np.ndarray:
        distances = np.abs(difference)
        if gradient is not None:
            np.sign(difference, out=gradient)
        return distances
