"""Binary cross-entropy: outputs that are each a decision of their own."""

import numpy as np
from numpy.typing import ArrayLike

from minicnn.hints import Shape
from minicnn.losses.base import register
from minicnn.losses.crossentropy import ALMOST_ONE, EPSILON, Smoothed
from minicnn.losses.elementwise import ElementwiseLoss
from minicnn.losses.label_advice import binary_advice
from minicnn.losses.targets import received
from minicnn.user_warnings import warn_user

__all__ = ["BinaryCrossentropy"]


@register("bce")
class BinaryCrossentropy(Smoothed, ElementwiseLoss):
    """−t · log p − (1 − t) · log(1 − p) for each output on its own; see `minicnn.losses.crossentropy.Smoothed`.

    Parameters
    ----------
    from_logits : bool, default False
    label_smoothing : float in [0, 1), default 0
        Move the targets by this part of the way to 1/2.
    **options
        See `Loss`.
    """

    takes_logits_of: tuple[str, ...] = ("softmax", "sigmoid", "sigmoidoperation")
    accuracy: str | None = "categorical_accuracy"

    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        target = super().check_target(target, output_shape)
        outside = (target < 0) | (target > 1)
        labels = outside & (target == np.round(target))  # numbers between are noise on them, as GANs are trained with
        if labels.any():
            raise ValueError(
                f"binary_crossentropy needs targets from 0 to 1; {binary_advice(target)}. {received(target, labels)}"
            )
        if outside.any():
            warn_user(  # the same words for every batch, so that they are said once
                "binary_crossentropy is meant for targets from 0 to 1. Received: some outside, as with noise on labels"
            )
        return target

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        target = self.smoothed(target, prediction, 2)
        formula = self._from_logits if from_logits else self._from_probabilities
        return formula(prediction, target, gradient)

    @staticmethod
    def _from_logits(z, t, gradient):
        """max(z, 0) − z · t + log(1 + exp(−|z|)), which cannot overflow; derivative sigmoid(z) − t."""
        e = np.exp(-np.abs(z))
        if gradient is not None:
            np.divide(np.where(z >= 0, np.ones_like(e), e), 1 + e, out=gradient)  # sigmoid(z)
            gradient -= t
        return np.maximum(z, 0) - z * t + np.log1p(e)

    @staticmethod
    def _from_probabilities(p, t, gradient):
        """The formula itself on clipped probabilities; no gradient where clipping changed something."""
        clipped = p.clip(EPSILON, ALMOST_ONE)
        if gradient is not None:
            np.divide(clipped - t, clipped * (1 - clipped), out=gradient)
            gradient *= clipped == p
        return -(t * np.log(clipped) + (1 - t) * np.log1p(-clipped))
