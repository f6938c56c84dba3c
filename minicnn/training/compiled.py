"""What `Model.compile` was told, one entry for each output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minicnn import losses, metrics, optimizers
from minicnn.checks import check_number
from minicnn.training import outputs

if TYPE_CHECKING:
    from minicnn.models.compilable import CompilableNetwork


@dataclass
class Compiled:
    """The arguments of `Model.compile`, checked as far as they can be before shapes are known.

    Attributes
    ----------
    optimizer : Optimizer
    losses : list of Loss
        One for each output; `NoLoss` where training takes no notice of it.
    loss_weights : list of float
    metrics, weighted_metrics : list of list
        For each output, what the user wrote: names or Metric objects.
    backend_name : str or None
    """

    optimizer: optimizers.Optimizer
    losses: list[losses.Loss]
    loss_weights: list[float]
    metrics: list[list[str | metrics.Metric | Mapping[str, object] | type]]
    weighted_metrics: list[list[str | metrics.Metric | Mapping[str, object] | type]]
    backend_name: str | None

    def check_owner(self, model: CompilableNetwork) -> None:
        """Raise `ValueError` if the optimizer holds the state of another model."""
        owner = None if self.optimizer.owner is None else self.optimizer.owner()
        if owner not in (None, model):
            name = type(self.optimizer).__name__
            raise ValueError(
                f"an optimizer holds the state of one model, and this one trains '{owner.name}'; '{model.name}' needs "
                f"another: compile(optimizer='{name.lower()}') makes a new one each time, and so does "
                f"optimizers.{name}.from_config(optimizer.get_config()), with the same arguments. "
                f"Received: {self.optimizer!r}"
            )


def check_compile_arguments(
    model: CompilableNetwork,
    optimizer: str | optimizers.Optimizer | type | Mapping[str, object],
    loss: object,
    metric_names: Sequence[object] | Mapping[str, object] | None,
    loss_weights: Sequence[float] | Mapping[str, float] | None,
    weighted_metrics: Sequence[object] | Mapping[str, object] | None,
    backend_name: str | None,
) -> Compiled:
    """A `Compiled`, or the error that says which argument is wrong."""
    loss_list = outputs.losses_of(model, loss)
    count = len(loss_list)
    weights = [1.0] * count if loss_weights is None else outputs.per_output("loss_weights", loss_weights, model, 1.0)
    weights = [check_number("loss_weights", 1.0 if w is None else w, minimum=-math.inf) for w in weights]
    lists = [
        outputs.metrics_of(model, argument, value, count)
        for argument, value in (("metrics", metric_names), ("weighted_metrics", weighted_metrics))
    ]
    for entry in itertools.chain.from_iterable(itertools.chain(*lists)):
        if not (isinstance(entry, str) and entry.lower() in ("accuracy", "acc")):
            metrics.get(entry)  # unknown names fail here, not after the data was loaded
    result = Compiled(optimizers.get(optimizer), loss_list, weights, *lists, backend_name)
    result.check_owner(model)
    return result
