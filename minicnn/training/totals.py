"""Averages of an epoch: losses and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.training import weighting
from minicnn.training.kept_state import check_kept, fitting, states_of_metrics

if TYPE_CHECKING:
    from minicnn.last_function import Last
    from minicnn.models.model import Model


class Losses(NamedTuple):
    """The losses of a batch.

    Attributes
    ----------
    total : float
        With the outputs' factors and the regularizers' penalties; on a GPU it may still lie there.
    parts : list of float
        Each output's loss, before its factor.
    targets : list of array
        The batch's.
    weights : list of array or None
        For each output, those of the samples or of its rows.
    measured : sequence of (Last, array) or None
        As of `minicnn.plan.plan.BoundPlan`.
    """

    total: float
    parts: list[float]
    targets: list[np.ndarray]
    weights: list[np.ndarray | None]
    measured: Sequence[tuple[Last, np.ndarray] | None]


class Totals:
    """Averages over an epoch: the losses, weighted by batch size, and the metrics.

    Parameters
    ----------
    model : Model
    targets : list of array
        Checked targets: their shapes decide what "accuracy" means. Weights may follow them.

    Attributes
    ----------
    metrics : NamedMetrics
        (name, index of the output, metric).
    samples : int
        How many were counted.
    """

    def __init__(self, model: Model, targets: Sequence[np.ndarray]) -> None:
        self._target_shapes = [list(target.shape) for target in targets]
        self._names = weighting.names_of_losses(model)
        self.metrics: weighting.NamedMetrics = weighting.named_metrics(model, targets)
        self.reset()

    def of(self, data: Any) -> Totals:
        """The same totals, for a source or an intake: users' metrics get class numbers in the form that it had."""
        weighting.keep_columns(self.metrics, data.losses)
        return self

    def reset(self) -> None:
        """Start an epoch."""
        self.metrics.begin(self)
        self.samples: int = 0
        self._loss, self._parts = 0.0, [0.0] * len(self._names)

    def add(self, count: int, losses: Losses, outputs: Sequence[np.ndarray]) -> None:
        """Count a batch: its loss, each output's part of it, and the metrics."""
        self.samples += count
        self._loss += losses.total * count
        self._parts = [s + losses.parts[i] * count for s, (i, _) in zip(self._parts, self._names, strict=True)]
        for _, i, metric in self.metrics:
            weighting.update(metric, losses.targets[i], outputs[i], losses.weights[i], losses.measured[i])

    def logs_when_read(self) -> Mapping[str, float]:
        """`logs`, for callbacks after a batch; where reading them takes time, they are fetched when they are read."""
        return self.logs()

    def logs(self) -> dict[str, float]:
        """Name → average so far."""
        logs = {"loss": float(self._loss / max(self.samples, 1))}
        logs |= {n: float(p / max(self.samples, 1)) for (_, n), p in zip(self._names, self._parts, strict=True)}
        return logs | {label: weighting.value_in_logs(metric) for label, _, metric in self.metrics}

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint in the middle of an epoch keeps; `set_state` takes it."""
        return {
            "target_shapes": self._target_shapes,
            "samples": self.samples,
            "loss": self._loss,
            "parts": self._parts,
            "metrics": {"of_samples": [metric.get_state() for _, _, metric in self.metrics]},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        check_kept({"samples": 0, "loss": 0.0, "parts": (*self._parts,)}, state, "the sums of the epoch")
        self.samples, self._loss, self._parts = state["samples"], state["loss"], list(state["parts"])
        for (label, _, metric), saved in zip(self.metrics, states_of_metrics(state), strict=True):
            metric.set_state(fitting(metric, saved, f"metric '{label}'"))
