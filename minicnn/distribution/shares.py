"""What a shard's loss counts in that of its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.layers.added_loss import AddLoss
from minicnn.losses.overlap import Tversky

if TYPE_CHECKING:
    from collections.abc import Iterable

    from minicnn.layers.base import Layer
    from minicnn.plan.plan import BoundPlan
    from minicnn.training.compiled import Compiled
    from minicnn.training.totals import Losses


def check_losses(compiled: Compiled, layers: Iterable[Layer]) -> None:
    """Raise `ValueError` for a loss that is no mean over samples: a shard does not know what it counts in the batch."""
    for layer in layers:
        if getattr(layer, "measured", None):
            raise ValueError(
                "DataParallel shows metrics of compile alone, as a worker sees no more than its shards: leave out "
                f"add_metric. Received: layer '{layer.name}' measures {sorted(layer.measured)}"
            )
        if isinstance(layer, AddLoss) and layer.reduction == "sum":
            raise ValueError(
                "DataParallel adds the means of shards, so what add_loss adds must be a mean over samples. Received: "
                f"layer '{layer.name}' adds a sum"
            )
    for loss in compiled.losses:
        if isinstance(loss, Tversky) and (loss.axis is None or 0 in np.atleast_1d(loss.axis)):
            raise ValueError(
                "DataParallel adds the means of shards, so each sample must have a loss of its own; "
                f"{type(loss).__name__} needs an axis=, without 0, over which each sample is summed. Received: {loss!r}"
            )
        if loss.reduction in (None, "mean_with_sample_weight") or getattr(loss, "ignore_class", None) is not None:
            raise ValueError(
                "DataParallel adds the means of shards, so a loss must be a mean over samples or their sum: without "
                f"ignore_class and with reduction='sum_over_batch_size' or 'sum'. Received: {loss!r}"
            )


def share(compiled: Compiled, losses: Losses, bound: BoundPlan, part: float) -> Losses:
    """A shard's losses, and in place their gradients, such that they count with `part`, as means do, in the batch's.

    Parameters
    ----------
    compiled : Compiled
    losses : Losses
        Of the shard.
    bound : BoundPlan
        Holds the gradients, if any.
    part : float
        The shard's part of the batch's samples.
    """
    total, parts = losses.total, list(losses.parts)
    for index, (loss, factor) in enumerate(zip(compiled.losses, compiled.loss_weights, strict=True)):
        if loss.reduction == "sum":
            total = total + factor * (parts[index] / part - parts[index])
            parts[index] = parts[index] / part
            if bound.head_gradients[index] is not None:
                bound.head_gradients[index] *= 1 / part
    return losses._replace(total=total, parts=parts)
