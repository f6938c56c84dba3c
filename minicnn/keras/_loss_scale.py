"""A loss that is multiplied before its gradients are computed, as scripts for float16 do, whose small numbers are zero.

minicnn keeps no float16: what is multiplied in its 11 bits has float32's range. A script's loop gets the gradients that
it would get there: `loss_scale_factor` multiplies and divides as in Keras 3, and what ``LossScaleOptimizer`` does is
there on every optimizer and leaves numbers as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.keras._warning import warn_once
from minicnn.optimizers import Optimizer


class LossScaleOptimizer:
    """The optimizer itself: a loss is scaled for float16's range alone, which minicnn does not compute in.

    So nothing is an instance of this class, and loops that ask scale nothing; those that do not ask find
    ``get_scaled_loss`` and ``get_unscaled_gradients`` at the optimizer.

    Parameters
    ----------
    inner_optimizer : Optimizer
    *args, **kwargs
        How the loss would be scaled.

    Raises
    ------
    TypeError
        If it is no optimizer.
    """

    def __new__(cls, inner_optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(inner_optimizer, Optimizer):
            raise TypeError(
                "LossScaleOptimizer stands around an optimizer, such as keras.optimizers.Adam(). Received: "
                f"{inner_optimizer!r}"
            )
        warn_once("LossScaleOptimizer: the loss is not scaled, as minicnn computes in float32's range; leave it out")
        return inner_optimizer


def scale_loss(optimizer: Optimizer, loss: Any) -> Any:
    """The loss times `loss_scale_factor`, by which `apply` divides; the loss itself where there is none."""
    scale = optimizer.loss_scale_factor
    return loss if scale is None else loss * scale


def get_scaled_loss(optimizer: Optimizer, loss: Any) -> Any:
    """The loss, or the function that computes it, as it is: of ``LossScaleOptimizer``."""
    return loss


def get_unscaled_gradients(optimizer: Optimizer, grads: Sequence[Any]) -> list[Any]:
    """The gradients of `get_scaled_loss`, as they are: of ``LossScaleOptimizer``."""
    return list(grads)


METHODS: dict[str, Any] = {
    "scale_loss": scale_loss,
    "get_scaled_loss": get_scaled_loss,
    "get_unscaled_gradients": get_unscaled_gradients,
}
