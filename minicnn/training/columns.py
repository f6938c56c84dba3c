"""Class numbers that were given in a column, (N, 1): users' metrics in Keras's models get them as that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.losses.no_loss import NoLoss

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from minicnn.hints import Shape
    from minicnn.losses import Loss
    from minicnn.training.non_finite import Tolerant


class Seeing:
    """Checks the targets of one source as a loss does, and says whether they had an axis more than the loss takes.

    Parameters
    ----------
    loss : Loss or Tolerant

    Attributes
    ----------
    had_column : bool
    """

    def __init__(self, loss: Loss | Tolerant) -> None:
        self._loss = loss
        self.had_column: bool = False

    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        """As `Loss.check_target`."""
        checked = self._loss.check_target(target, output_shape)
        self.had_column = np.ndim(target) > checked.ndim
        return checked

    def anew(self) -> Seeing:
        """The same for another source."""
        return Seeing(self._loss)


def seeing(checks: Sequence[Loss | Tolerant]) -> list[NoLoss | Seeing]:
    """What checks the targets of a model whose metrics get columns; outputs without a loss take anything."""
    return [check if isinstance(check, NoLoss) else Seeing(check) for check in checks]


def anew(checks: Sequence[object]) -> list[object]:
    """`checks` for another source, of which nothing is known yet."""
    return [check.anew() if isinstance(check, Seeing) else check for check in checks]


def had_columns(checks: Sequence[object]) -> dict[int, bool]:
    """Index of an output → whether its targets, as far as they have been checked, came in a column."""
    return {index: check.had_column for index, check in enumerate(checks) if isinstance(check, Seeing)}
