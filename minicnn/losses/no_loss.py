"""No loss: for outputs that training takes no notice of."""

from types import SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike

from minicnn.hints import Shape
from minicnn.losses.base import Loss, register
from minicnn.losses.targets import real_targets


@register
class NoLoss(Loss):
    """What ``loss=None`` of an output stands for: nothing is computed, nothing is learnt, targets are for metrics."""

    takes_logits_of: tuple[str, ...] | None = None  # no gradient begins here

    goes_by_rows = False  # there may be no prediction

    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        return real_targets(target)

    def compute(
        self,
        prediction: np.ndarray | None,
        target: np.ndarray,
        weight: np.ndarray | None,
        gradient: np.ndarray | None,
        ops: SimpleNamespace,
        from_logits: bool | None = None,
    ) -> float:
        return 0.0
