"""What `compile` was told, for a step that is written by a user: the loss as a function, the metrics as one metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from weakref import ref

import numpy as np

from minicnn import metrics
from minicnn.differentiation import met, value_of
from minicnn.keras._taped_calls import within
from minicnn.last_function import remembering
from minicnn.losses.no_loss import NoLoss
from minicnn.nested import leaves
from minicnn.training.added_metrics import Added, by_name, measured_in
from minicnn.training.compiled import Compiled
from minicnn.training.told_metrics import have_counted
from minicnn.training.totals import Totals
from minicnn.training.weighting import NamedMetrics, Weighted, label_of, naming


def tracker(model: Any) -> _Mean:
    """The mean of the model's losses since `reset_metrics`."""
    kept = vars(model).setdefault("_loss_tracker", _Mean("loss"))
    kept.model = ref(model)  # that a copy of a tracker has none of
    return kept


def last_totals(model: Any) -> Totals | None:
    """What `fit`, `evaluate` and their like last counted with, not a step of the model's own; None: by hand since."""
    return None if model.has_own_steps else vars(model).get("_last_totals")


def by_hand(model: Any) -> None:
    """Have the parts of `model.metrics` go on from what was counted last: now they are told something themselves."""
    if (totals := last_totals(model)) is None:
        return
    mean, loss = tracker(model), totals.logs()["loss"]
    have_counted(model)  # which the totals know until they are gone
    vars(model)["_last_totals"] = None
    mean._sum, mean._count = loss * totals.samples, totals.samples
    model.compiled_metrics.take(totals.metrics)


class _Mean(metrics.Mean):
    """A mean that takes what is on a tape; of a model without steps of its own the loss that is in the logs."""

    model: Callable[[], Any] = staticmethod(lambda: None)

    def __getstate__(self) -> dict[str, Any]:  # of a copy, which is no model's
        return {name: value for name, value in vars(self).items() if name != "model"}

    def result(self) -> float:
        totals = None if (model := self.model()) is None else last_totals(model)
        return super().result() if totals is None else totals.logs()["loss"]

    def reset_state(self) -> None:
        if (model := self.model()) is not None:
            by_hand(model)
        super().reset_state()

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        if (model := self.model()) is not None:
            by_hand(model)
        super().update_state(value_of(met(values)), sample_weight)


def _by_output(model, value, count) -> list[Any]:
    """One entry for each output: of a dict by its keys in order, or by the outputs' names."""
    if isinstance(value, Mapping) and model.built and set(value) <= set(model.output_names):
        return [value.get(name) for name in model.output_names]
    parts = leaves(value)
    return parts if len(parts) == count else [value] * count


def loss_of(model: Any, y: Any, y_pred: Any, sample_weight: Any, further: Sequence[Any]) -> Any:
    """The sum of the outputs' losses, with their factors, and of further ones.

    Parameters
    ----------
    model : Model
        Compiled.
    y, y_pred, sample_weight : nested arrays
        Weights may be None.
    further : sequence
        As of `Model.losses`.

    Raises
    ------
    ValueError
        If there is nothing to add.
    """
    parts = [*_losses(model, y, y_pred, sample_weight), *(np.sum(met(part)) for part in further)]
    if not parts:
        raise ValueError(
            "No loss to compute: give compile a loss, or write compute_loss in the model. "
            f"Received: model '{model.name}' compiled with loss=None"
        )
    return sum(parts[1:], start=parts[0])


def _losses(model, y, y_pred, sample_weight) -> Iterator[Any]:
    compiled, outputs = model._need_compiled(), leaves(y_pred)
    count = len(outputs)
    given = (_by_output(model, value, count) for value in (y, sample_weight))
    losses, factors = (
        every if len(every) == count else every[:1] * count for every in (compiled.losses, compiled.loss_weights)
    )
    for loss, factor, target, weight, output in zip(losses, factors, *given, outputs, strict=True):
        if not isinstance(loss, NoLoss) and target is not None:
            value = loss(value_of(met(target)), met(output), weight)
            yield value if factor == 1 else value * factor


class CompiledLoss:
    """The loss of `compile` as Keras 2 has it: ``self.compiled_loss(y, y_pred, regularization_losses=self.losses)``.

    Parameters
    ----------
    model : Model
        Compiled.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def metrics(self) -> list[metrics.Metric]:
        """The mean of the losses."""
        return [tracker(self._model)]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, regularization_losses: Any = None) -> Any:
        """The loss of a batch, which is counted in `metrics`.

        Parameters
        ----------
        y_true, y_pred : nested arrays
        sample_weight : optional
        regularization_losses : list, optional
            What is added to it.
        """
        loss = loss_of(self._model, y_true, y_pred, sample_weight, regularization_losses or ())
        tracker(self._model).update_state(loss, sample_weight=len(leaves(y_pred)[0]))
        return loss


class CompiledMetrics:
    """The metrics of `compile`, together; they are made when the first batch has shown what "accuracy" means.

    Parameters
    ----------
    model : Model
        Compiled.

    Attributes
    ----------
    name : str
    compiled : Compiled
        What they were made of.
    """

    name: str = "compile_metrics"

    def __init__(self, model: Any) -> None:
        self._model = model
        self.compiled: Compiled = model.compiled
        self._found = None  # name in the logs → (number of the output, whether weights count, the metric)

    @property
    def metrics(self) -> list[metrics.Metric]:
        """Those that were made."""
        return [metric for *_, metric in (self._found or {}).values()]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch.

        Parameters
        ----------
        y_true, y_pred : nested arrays
        sample_weight : optional
            Counts in `weighted_metrics` alone.
        """
        by_hand(self._model)
        outputs = [np.asanyarray(remembering(met(output))) for output in leaves(y_pred)]
        targets, weights = (_by_output(self._model, value, len(outputs)) for value in (y_true, sample_weight))
        targets = [None if target is None else np.asarray(value_of(met(target))) for target in targets]
        if self._found is None:
            self._found = self._made(targets, outputs)
        for number, is_weighted, metric in self._found.values():
            weight = weights[number] if is_weighted else None
            with naming(metric, f", of targets {np.shape(targets[number])} and outputs {outputs[number].shape}"):
                metric.update_state(targets[number], outputs[number], *([] if weight is None else [weight]))

    def _made(self, targets, outputs):
        """The metrics, by their names in the logs."""
        found, names = {}, self._model.output_names if self._model.built else [str(i) for i in range(len(outputs))]
        for wanted, is_weighted in ((self.compiled.metrics, False), (self.compiled.weighted_metrics, True)):
            for number, entries in enumerate(_of_outputs(wanted, len(outputs))):
                shapes = {"output_shape": outputs[number].shape[1:], "target_shape": np.shape(targets[number])}
                for entry in entries:
                    metric = metrics.get(entry, loss=self.compiled.losses[number], **shapes)
                    prefix = f"{names[number]}_" if len(outputs) > 1 else ""
                    label = label_of(prefix, metric.name, is_weighted, found)
                    found[label] = number, is_weighted, metric
        graph = self._model.graph
        measured = by_name([self._model, *within(self._model)]) if graph is None else measured_in(graph)
        return found | {name: (0, False, Added(name, places)) for name, places in measured.items()}

    def take(self, counted: NamedMetrics) -> None:
        """Go on with these, which have counted."""
        self._found = {}
        for label, number, metric in counted:
            is_weighted = isinstance(metric, Weighted)
            self._found[label] = number, is_weighted, metric._metric if is_weighted else metric

    def reset_state(self) -> None:
        """Forget all batches."""
        by_hand(self._model)
        for metric in self.metrics:
            metric.reset_state()

    def result(self) -> dict[str, Any]:
        """Name → result."""
        if (totals := last_totals(self._model)) is not None:
            logs = totals.logs()
            return {label: logs[label] for label, *_ in totals.metrics}
        return {label: metric.result() for label, (*_, metric) in (self._found or {}).items()}


def _of_outputs(wanted, count):
    """The metrics of each output that a step has; of one where the model gives several, all that were asked for."""
    if count == 1:
        return [list(dict.fromkeys(entry for entries in wanted for entry in entries))]
    return wanted[:count]
