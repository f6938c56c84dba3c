"""Averages of an epoch: losses and metrics."""

import copy

from minicnn import metrics


class Totals:
    """Averages over an epoch: the losses, weighted by batch size, and the metrics.

    Parameters
    ----------
    model : Model
    targets : list of array
        Checked targets: their shapes decide what "accuracy" means.
    """

    def __init__(self, model, targets):
        self._several = len(model.outputs) > 1
        self._target_shapes = [list(target.shape) for target in targets]
        self._names = model.output_names
        self._metrics = []  # (name, output number, metric): copies, since a run may start inside another one
        for number, wanted in enumerate(model.compiled.metrics):
            loss, output = model.compiled.losses[number], model.outputs[number]
            for entry in wanted:
                metric = metrics.get(
                    entry, loss=loss, output_shape=output.shape[1:], target_shape=targets[number].shape
                )
                label = metric.name if not self._several else f"{self._names[number]}_{metric.name}"
                metric.check(output.shape[1:], targets[number].shape)
                if label == "loss" or any(label == other for other, _, _ in self._metrics):
                    raise ValueError(f"metrics need different names, and none may be 'loss'. Received: {label!r}")
                self._metrics.append((label, number, copy.deepcopy(metric)))
        self.reset()

    def reset(self) -> None:
        """Start an epoch."""
        self._samples, self._loss, self._parts = 0, 0.0, [0.0] * len(self._names)
        for _, _, metric in self._metrics:
            metric.reset_state()

    def add(self, count, loss, parts, targets, outputs) -> None:
        """Count a batch: its loss, each output's part of it, and the metrics."""
        self._samples += count
        self._loss += loss * count
        if self._several:
            self._parts = [total + part * count for total, part in zip(self._parts, parts, strict=True)]
        for _, number, metric in self._metrics:
            metric.update_state(targets[number], outputs[number])

    def logs_when_read(self):
        """`logs`, for callbacks after a batch; where reading them takes time, they are fetched when they are read."""
        return self.logs()

    def logs(self) -> dict:
        """Name → average so far."""
        logs = {"loss": float(self._loss / self._samples)}
        if self._several:
            logs |= {f"{n}_loss": float(p / self._samples) for n, p in zip(self._names, self._parts, strict=True)}
        return logs | {label: float(metric.result()) for label, _, metric in self._metrics}

    def get_state(self) -> dict:
        """What a checkpoint in the middle of an epoch keeps; `set_state` takes it."""
        return {
            "target_shapes": self._target_shapes,
            "samples": self._samples,
            "loss": self._loss,
            "parts": self._parts,
            "metrics": [metric.get_state() for _, _, metric in self._metrics],
        }

    def set_state(self, state) -> None:
        """Go on from what `get_state` returned."""
        self._samples, self._loss, self._parts = state["samples"], state["loss"], list(state["parts"])
        for (_, _, metric), saved in zip(self._metrics, state["metrics"], strict=True):
            metric.set_state(saved)
