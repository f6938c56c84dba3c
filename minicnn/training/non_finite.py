"""Targets that are not finite, for a training that is to stop at them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.callbacks import Callback, TerminateOnNaN
from minicnn.checks import real_array
from minicnn.losses.no_loss import NoLoss

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from minicnn.hints import Shape
    from minicnn.losses import Loss


def checkers(losses: Sequence[Loss], callbacks: Iterable[Callback]) -> Sequence[Loss | Tolerant]:
    """What checks the targets in a training with these callbacks: the losses themselves, usually."""
    stops = any(isinstance(callback, TerminateOnNaN) for callback in callbacks)
    return [loss if isinstance(loss, NoLoss) else Tolerant(loss) for loss in losses] if stops else losses


class Tolerant:
    """Checks targets as a loss does, but takes those that are infinite or NaN: `TerminateOnNaN` waits for them.

    Parameters
    ----------
    loss : Loss
    """

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        """As `Loss.check_target`; class numbers have to be finite all the same."""
        target = real_array(target, "targets")
        if target.dtype.kind != "f" or np.isfinite(target).all():
            return self._loss.check_target(target, output_shape)
        checked = self._loss.check_target(np.where(np.isfinite(target), target, 0), output_shape)
        if checked.dtype.kind != "f":
            return self._loss.check_target(target, output_shape)
        return target.reshape(checked.shape)
