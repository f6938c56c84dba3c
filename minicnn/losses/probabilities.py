"""Further losses of probabilities: divergence, focal losses, and one that trusts labels less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.checks import check_number
from minicnn.losses.base import register
from minicnn.losses.binary import BinaryCrossentropy
from minicnn.losses.crossentropy import (
    ALMOST_ONE,
    EPSILON,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from minicnn.losses.elementwise import RowLoss, one_hot

__all__ = [
    "BinaryFocalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "KLDivergence",
]


@register("kld")
class KLDivergence(RowLoss):
    """Σ t · log(t / p) over the last axis, of numbers brought to 1e-7 … 1 first (Kullback and Leibler, 1951)."""

    def of_rows(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        p, t = prediction.clip(EPSILON, 1), target.clip(EPSILON, 1)
        if gradient is not None:
            np.divide(-t, p, out=gradient)
            gradient *= p == prediction
        return (t * np.log(t / p)).sum(axis=-1)


@register
class BinaryFocalCrossentropy(BinaryCrossentropy):
    """(1 − q)^γ · binary cross-entropy, q the probability that the target gets (Lin et al.: "Focal loss …", 2017).

    Parameters
    ----------
    apply_class_balancing : bool, default False
        Multiply with α where the target is 1, with 1 − α where it is 0.
    alpha : float in [0, 1], default 0.25
    gamma : float, default 2
        How little the outputs count that are right already.
    from_logits, label_smoothing, **options
        See `BinaryCrossentropy`.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        **options: object,
    ):
        super().__init__(from_logits, label_smoothing, **options)
        self.apply_class_balancing: bool = bool(apply_class_balancing)
        self.alpha: float = check_number("alpha", alpha)
        self.gamma: float = check_number("gamma", gamma)

    @property
    def takes_logits_of(self) -> tuple[str, ...]:  # type: ignore[override]
        """Behind these Keras, on TensorFlow, has the cross-entropy of their inputs and q of their outputs."""
        return () if self.from_logits else super().takes_logits_of

    def goes_by_rows_behind(self, last: object) -> bool:
        """Not behind a softmax along another axis than the last: rows need each other."""
        return self.goes_by_rows and getattr(last, "axis", -1) == -1

    def elements(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        t = self.smoothed(target, prediction, 2)
        slope = None if gradient is None else np.empty_like(gradient)
        is_softmax = getattr(from_logits, "name", "") == "softmax"
        p = _probabilities(prediction, is_softmax, getattr(from_logits, "axis", -1)) if from_logits else prediction
        loss = (self._from_logits if from_logits else self._from_probabilities)(prediction, t, slope)
        focus, bend = self._focus(p, t)
        if gradient is not None:
            bend *= loss
            if is_softmax:
                bend = p * (bend - (bend * p).sum(axis=from_logits.axis, keepdims=True))
            elif from_logits:
                bend *= p * (1 - p)
            np.add(slope * focus, bend, out=gradient)
        return loss * focus

    def of_both(self, target: np.ndarray, p: Any, z: Any) -> Any:
        """The loss of each row of recorded probabilities, whose softmax or sigmoid may go across rows, and logits."""
        t = self.smoothed(target, z.value, 2)
        focus = np.maximum(1 - (t * p + (1 - t) * (1 - p)), 0) ** self.gamma
        if self.apply_class_balancing:
            focus = focus * (t * self.alpha + (1 - t) * (1 - self.alpha))
        return np.mean(focus * (np.logaddexp(z, z.dtype.type(0)) - z * t), axis=-1)

    def _focus(self, p, t):
        """The factor of each loss, and its derivative by p."""
        missing = np.maximum(1 - (t * p + (1 - t) * (1 - p)), 0)  # 1 − q
        focus = missing**self.gamma
        if self.apply_class_balancing:
            focus *= t * self.alpha + (1 - t) * (1 - self.alpha)
        return focus, self.gamma * np.where(missing > 0, focus / np.where(missing > 0, missing, 1), 0) * (1 - 2 * t)


def _probabilities(z, is_softmax, axis):
    """The softmax or sigmoid of logits."""
    if not is_softmax:
        return 0.5 * np.tanh(0.5 * z) + 0.5
    p = np.exp(z - z.max(axis=axis, keepdims=True))
    return p / p.sum(axis=axis, keepdims=True)


@register
class CategoricalFocalCrossentropy(RowLoss, CategoricalCrossentropy):
    """−Σ α · (1 − p)^γ · t · log p over the classes (Lin et al.: "Focal loss for dense object detection", 2017).

    Parameters
    ----------
    alpha : float or one for each class, default 0.25
    gamma : float, default 2
        How little the classes count that are right already.
    from_logits, label_smoothing, **options
        See `CategoricalCrossentropy`.
    """

    takes_logits_of: tuple[str, ...] = ()  # as in Keras

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        **options: object,
    ):
        super().__init__(from_logits, label_smoothing, **options)
        several = isinstance(alpha, list | tuple | np.ndarray)
        self.alpha: float | list[float] = (
            [check_number("alpha", a) for a in alpha] if several else check_number("alpha", alpha)
        )
        self.gamma: float = check_number("gamma", gamma)

    def of_rows(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        if from_logits:
            prediction = np.exp(prediction - prediction.max(axis=-1, keepdims=True))
        total = prediction.sum(axis=-1, keepdims=True)  # (N, …, 1)
        p = prediction / total
        clipped, t = p.clip(EPSILON, ALMOST_ONE), self.smoothed(target, prediction, p.shape[-1])
        factor, missing, logarithm = t * self._alphas(p), 1 - clipped, np.log(clipped)
        if gradient is not None:
            slope = self.gamma * missing ** (self.gamma - 1) * logarithm - missing**self.gamma / clipped
            slope *= factor * (clipped == p)  # d loss / dp
            np.subtract(slope, (slope * p).sum(axis=-1, keepdims=True), out=gradient)
            gradient *= p if from_logits else 1 / total
        return -(factor * missing**self.gamma * logarithm).sum(axis=-1)

    def _alphas(self, p):
        """α of each class, (C,), or the number."""
        if isinstance(self.alpha, float):
            return self.alpha
        if len(self.alpha) != p.shape[-1]:
            raise ValueError(
                f"`alpha` is a number or has one for each of {p.shape[-1]} classes. Received: {self.alpha}"
            )
        alphas = np.empty_like(p, shape=p.shape[-1:])
        for i, alpha in enumerate(self.alpha):
            alphas[i : i + 1] = alpha
        return alphas


@register
class CategoricalGeneralizedCrossEntropy(RowLoss, SparseCategoricalCrossentropy):
    """(1 − p[t]^q) / q for a class number t: cross-entropy for q → 0, the absolute error for q = 1, which bears wrong
    labels better (Zhang and Sabuncu: "Generalized cross entropy loss …", 2018).

    Parameters
    ----------
    q : float above 0 and below 1, default 0.5
    **options
        See `Loss`.
    """

    takes_logits_of: tuple[str, ...] = ()  # it is one of probabilities

    def __init__(self, q: float = 0.5, **options: object):
        super().__init__(**options)
        self.q: float = check_number("q", q, above=0, below=1)

    def _cast(self, target, prediction):
        return target

    def of_rows(
        self, prediction: np.ndarray, target: np.ndarray, gradient: np.ndarray | None, from_logits: bool
    ) -> np.ndarray:
        p = np.take_along_axis(prediction, target[..., None], axis=-1)  # (N, …, 1)
        if gradient is not None:
            np.multiply(one_hot(target, prediction), -(p ** (self.q - 1)), out=gradient)
        return (1 - p[..., 0] ** self.q) / self.q
