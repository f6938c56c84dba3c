"""Hinge losses: those of support vector machines."""

import numpy as np

from minicnn.losses.base import register
from minicnn.losses.elementwise import ElementwiseLoss, RowLoss

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


def signs(target: np.ndarray) -> np.ndarray:
    """Targets of 0 and 1 as −1 and 1; those of a batch with others stay as they are.

    For the loss alone: metrics measure the targets as they were given. There is no branch, for which a GPU had to wait.
    """
    return np.where(((target == 0) | (target == 1)).all(), 2 * target - 1, target)


@register
class Hinge(ElementwiseLoss):
    """max(1 − t · p, 0) with t from {−1, 1}; targets of 0 and 1 are taken for these (Cortes and Vapnik, 1995)."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        target = signs(target.astype(prediction.dtype, copy=False))
        room = 1 - target * prediction
        if gradient is not None:
            np.multiply(-target, room >= 0, out=gradient)  # at 0 too, as in TensorFlow
        return np.maximum(room, 0)


@register
class SquaredHinge(Hinge):
    """max(1 − t · p, 0)², targets as for `Hinge`."""

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        gap = super().elements(prediction, target, gradient, from_logits)
        if gradient is not None:
            gradient *= 2 * gap
        return gap * gap


@register
class CategoricalHinge(RowLoss):
    """max(1 + max((1 − t) · p) − Σ t · p, 0) over the classes (Crammer and Singer, 2001), targets one-hot."""

    def of_rows(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        others = (1 - target) * prediction
        room = others.max(axis=-1) - (target * prediction).sum(axis=-1) + 1  # (N, …)
        if gradient is not None:  # as in TensorFlow, the strongest share it, and at 0 there is one
            is_strongest = others == others.max(axis=-1, keepdims=True)  # (N, …, C)
            share = (1 - target) / is_strongest.sum(axis=-1, keepdims=True, dtype=target.dtype)
            np.subtract(is_strongest * share, target, out=gradient)
            gradient *= (room >= 0)[..., None]
        return np.maximum(room, 0)
