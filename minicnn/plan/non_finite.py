"""Where a number that is not finite comes from, for messages. Beside the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicnn.bfloat16 import numbers
from minicnn.plan.casting import casts_of
from minicnn.plan.works import forward_work

if TYPE_CHECKING:
    from minicnn.plan.plan import BoundPlan


def explain_non_finite(loss: float, bound: BoundPlan, epoch: int, batch: int) -> str:
    """The message for a loss that is NaN or infinite: where it comes from."""
    xp = bound.plan.backend.xp
    if not all(xp.isfinite(x).all() for x in bound.inputs):
        cause = "the batch's input data holds NaN or infinite values; clean the data"
    else:
        state = bound.plan.store.sigma.copy()
        layer = first_non_finite(bound)
        bound.plan.store.sigma[...] = state
        where = (
            f"the first layer whose output is not finite is '{layer}'" if layer else "all layers' outputs are finite"
        )
        cause = f"{where}; try a smaller learning rate, scaled inputs, or clipnorm=1.0 in the optimizer"
    return f"the loss became {loss} in epoch {epoch + 1}, batch {batch + 1}: {cause}"


def first_non_finite(bound: BoundPlan) -> str | None:
    """Name of the first layer whose output is not finite; None if all are. Runs all steps again."""
    isfinite = bound.plan.backend.xp.isfinite
    for step in bound.forward_steps:
        forward_work(step)()
        if not isfinite(numbers(casts_of(step.ws).kept.y)).all():
            return step.place.layer_name
    return None
