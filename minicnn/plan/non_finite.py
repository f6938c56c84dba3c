"""Where a number that is not finite comes from, for messages. Beside the core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from minicnn.bfloat16 import numbers
from minicnn.layers.spectral_normalization import Normalizing
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
        with unchanged(bound):
            layer = first_non_finite(bound)
        where = (
            f"the first layer whose output is not finite is '{layer}'"
            if layer
            else "all layers' outputs are finite, and the loss of them is not (in a loss of your own, look for "
            "logarithms, roots and quotients, and at the order (y_true, y_pred))"
        )
        cause = f"{where}; try a smaller learning rate, scaled inputs, or clipnorm=1.0 in the optimizer"
    return f"the loss became {loss} in epoch {epoch + 1}, batch {batch + 1}: {cause}"


Changed = list[tuple[np.ndarray, np.ndarray]]


def changed(bound: BoundPlan, sigma: np.ndarray) -> Changed:
    """(array, what it was) of all that the last pass in training has changed.

    The state, which was `sigma`; and kernels that steps have divided, the last one first: a layer may have more places.
    """
    store = bound.plan.store
    steps = [place.step for place in reversed(bound.plan.places) if isinstance(place.step, Normalizing)]
    kernels = [(store.values[step.layer.kernel], step.before) for step in steps if step.before is not None]
    return [(store.sigma, sigma), *kernels]


def put_back(arrays: Changed) -> None:
    """Undo what has `changed`."""
    for array, before in arrays:
        array[...] = before


@contextmanager
def unchanged(bound: BoundPlan) -> Iterator[None]:
    """Inside, a pass in training is run; afterwards the model is as before."""
    sigma = bound.plan.store.sigma.copy()
    try:
        yield
    finally:
        put_back(changed(bound, sigma))


def first_non_finite(bound: BoundPlan) -> str | None:
    """Name of the first layer whose output is not finite; None if all are. Runs all steps again."""
    isfinite = bound.plan.backend.xp.isfinite
    for step in bound.forward_steps:
        forward_work(step)()
        if not isfinite(numbers(casts_of(step.ws).kept.y)).all():
            norm = getattr(step.place.step, "norm", None)  # that a frozen convolution has taken in
            return step.place.layer_name if norm is None else f"{step.place.layer_name}' or '{norm.name}"
    return None
