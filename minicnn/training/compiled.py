"""What `Model.compile` was told, one entry for each output."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minicnn import losses, metrics, optimizers
from minicnn.checks import check_number, for_outputs
from minicnn.plan.program import lower

if TYPE_CHECKING:
    from minicnn.models.model import Model


@dataclass
class Compiled:
    """The arguments of `Model.compile`, checked as far as they can be before shapes are known.

    Attributes
    ----------
    optimizer : Optimizer
    losses : list of Loss
        One for each output.
    loss_weights : list of float
    metrics : list of list
        For each output, what the user wrote: names or Metric objects.
    backend_name : str or None
    """

    optimizer: optimizers.Optimizer
    losses: list[losses.Loss]
    loss_weights: list[float]
    metrics: list[list[str | metrics.Metric | Mapping[str, object] | type]]
    backend_name: str | None


def check_compile_arguments(
    model: Model,
    optimizer: str | optimizers.Optimizer | type | Mapping[str, object],
    loss: object,
    metric_names: Sequence[object] | Mapping[str, object] | None,
    loss_weights: Sequence[float] | Mapping[str, float] | None,
    backend_name: str | None,
) -> Compiled:
    """A `Compiled`, or the error that says which argument is wrong."""
    count, names = (len(model.outputs), model.output_names) if model.built else (None, None)
    if loss is None:
        raise ValueError("compile needs a loss, e.g. loss='sparse_categorical_crossentropy'. Received: loss=None")
    loss_list = [losses.get(entry) for entry in for_outputs("loss", loss, count, names)]
    count = len(loss_list) if count is None else count
    weights = [1.0] * count if loss_weights is None else for_outputs("loss_weights", loss_weights, count, names)
    weights = [check_number("loss_weights", w, minimum=-math.inf) for w in weights]
    metric_lists = _metrics_for_outputs(metric_names, count, names)
    for entry in itertools.chain.from_iterable(metric_lists):
        if not (isinstance(entry, str) and entry.lower() in ("accuracy", "acc")):
            metrics.get(entry)  # unknown names fail here, not after the data was loaded
    optimizer = optimizers.get(optimizer)
    if optimizer.owner is not None and optimizer.owner() not in (None, model):
        raise ValueError(
            f"an optimizer holds the state of one model, and this one trains '{optimizer.owner().name}': make "
            f"another for '{model.name}'. Received: {optimizer!r}"
        )
    return Compiled(optimizer, loss_list, weights, metric_lists, backend_name)


def _metrics_for_outputs(value, count, names):
    """A list of metrics for each output."""
    if not value:
        return [[] for _ in range(count)]
    if isinstance(value, dict):
        unknown = sorted(set(value) - set(names or ()))
        if unknown:
            raise ValueError(f"metrics as a dict goes by the names of the outputs, {names}. Received: {unknown}")
        return [list(_listed(value.get(name, []))) for name in names]
    if not isinstance(value, list | tuple):
        raise TypeError(f"metrics is a list such as ['accuracy']. Received: {value!r}")
    if count > 1 and any(isinstance(entry, list | tuple) for entry in value):
        if len(value) != count:
            raise ValueError(
                f"metrics as a list of lists needs one for each of {count} outputs. Received: {len(value)}"
            )
        return [list(_listed(entry)) for entry in value]
    return [list(value) for _ in range(count)]


def _listed(value):
    return value if isinstance(value, list | tuple) else [value]


def warn_about_logits(model: Model) -> None:
    """Say once per compile that a loss with ``from_logits=True`` sees the values before the final activation."""
    program = lower(model.graph)
    for loss, output, value in zip(model.compiled.losses, model.outputs, program.outputs, strict=True):
        activation = program.final_step(value)
        if getattr(loss, "from_logits", False) and activation in loss.takes_logits_of:
            warnings.warn(
                f"the loss has from_logits=True, but the output '{output.name}' ends in a {activation}. As in Keras, "
                f"the loss is computed from the values before it; predict and metrics see the values after it.",
                stacklevel=4,
            )
