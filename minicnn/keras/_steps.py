"""Models that say themselves what an iteration is: `train_step`, `test_step`, `predict_step`, `compute_loss`.

`fit` is the loop of all models, with its callbacks, validation and checkpoints; its engine hands batches to the model's
steps, and averages are those that the model's metrics keep. A model without such methods has nothing of this.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from minicnn import optimizers
from minicnn.callbacks import CallbackList, in_line, listed
from minicnn.console import say
from minicnn.differentiation import met, value_of
from minicnn.keras._applied import hand_over
from minicnn.keras._called import metrics_of
from minicnn.keras._compiled_parts import CompiledLoss, CompiledMetrics, last_totals, loss_of, tracker
from minicnn.keras._composed import EndsRemembered
from minicnn.keras._eager import EagerNumber
from minicnn.keras._in_order import answering
from minicnn.keras._loss_scale import scale_loss
from minicnn.keras._of_keras_3 import metrics_within
from minicnn.keras._raw_data import RawIntake, as_data, packed_data, unpacked_data
from minicnn.keras._single_sample import repeating
from minicnn.keras._tape import GradientTape
from minicnn.keras._taped import is_recording, nothing_recorded
from minicnn.keras._taped_calls import (
    added_losses,
    adds_losses,
    belongs_to_a_function,
    losses_on_tapes,
    model_outputs,
    noted_losses,
    on_tapes,
    through_a_tape,
)
from minicnn.last_function import remembering
from minicnn.metrics import Metric
from minicnn.models.model import _params
from minicnn.models.network import one_or_list
from minicnn.models.subclassing import layers_in
from minicnn.nested import leaves, mapped, packed
from minicnn.parameters import Weight
from minicnn.threads import compute_threads
from minicnn.training import evaluation
from minicnn.training.engine import Engine
from minicnn.training.kept_state import fitting, states_of_metrics
from minicnn.training.passes import demand_batches

STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics")


class _Done:
    """What has become of an iteration: the model's own affair."""

    @staticmethod
    def demand_finite(epoch: int, batch: int) -> None:
        """Nothing: as in Keras, a loss may be any number."""


class _Totals:
    """What the steps of an epoch have returned."""

    def __init__(self, model):
        self._model, self.samples = model, 1 if vars(model).get("_last_totals") is None else 0
        self.reset()

    def reset(self) -> None:
        """Start an epoch; a second time before its first step, nothing is left to forget."""
        last = vars(self._model).get("_last_totals")  # maybe those of an `evaluate` in `on_epoch_begin`
        if self.samples or (last is not None and last.samples):
            self._model.reset_metrics()
        self._logs, self.samples = {}, 0
        vars(self._model)["_last_totals"] = self  # for what forgets them before the first epoch of another `fit`

    def of(self, data: Any) -> _Totals:
        """The same: steps get what was given."""
        return self

    def add(self, step: Any, data: Any) -> None:
        """Run a step, and take what it returns; one that fails may have told metrics something, too."""
        self.samples = 1
        self._logs = plain_logs(step(data))

    def logs(self) -> dict[str, Any]:
        """Those of the last step, whose metrics have seen the whole epoch."""
        return dict(self._logs)

    logs_when_read = logs

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint in the middle of an epoch."""
        kept = [metric.get_state() for metric in self._model.metrics if isinstance(metric, Metric)]
        return {"target_shapes": [], "logs": self._logs, "metrics": {"of_samples": kept}}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self._logs, self.samples = dict(state["logs"]), 1
        own = (metric for metric in self._model.metrics if isinstance(metric, Metric))
        for metric, saved in zip(own, states_of_metrics(state), strict=True):
            metric.set_state(fitting(metric, saved, f"metric '{metric.name}'"))


def plain_logs(logs: Any) -> dict[str, Any]:
    """Name → number, or array, of what a step returned; those of dicts within it have their own names."""
    if not isinstance(logs, Mapping):
        logs = {"loss": logs}
    found = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            found |= plain_logs(value)
        else:
            value = np.asarray(value_of(met(value)))
            found[name] = float(value) if value.ndim == 0 else value
    return found


class _Steps(Engine):
    """An engine that leaves iterations to its model."""

    def totals(self, targets: Any) -> Any:
        return _Totals(self.model)

    def batches(self, source: Any, generator: Any = None, first: int = 0) -> Any:
        return source.batches(generator, first)

    def train_batch(self, batch: Any, totals: Any) -> Any:
        totals.add(self.model.train_step, batch.data)
        return _Done

    def evaluate_batch(self, batch: Any, totals: Any) -> None:
        totals.add(self.model.test_step, batch.data)


@functools.cache
def _with_steps(engine_class):
    if engine_class.__module__.startswith("minicnn.distribution"):
        raise NotImplementedError(
            "a model with a train_step of its own is trained by one process: leave out the others, or give compile a "
            f"loss in place of the step. Received: {engine_class.__name__}"
        )
    return _Steps if engine_class is Engine else type("Steps", (_Steps, engine_class), {})


class Stepping(EndsRemembered):
    """Mixin of Keras's models."""

    runs_at_once: bool = False
    refused_steps: tuple[str, ...] = ("make_train_function", "make_test_function", "make_predict_function")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.has_own_steps = cls._writes(*STEPS)

    @classmethod
    def _writes(cls, *names):
        return any(getattr(cls, name) is not getattr(Stepping, name) for name in names)

    # ------------------------------------------------------------------------------------------------- on tapes

    @repeating
    def call_on_arrays(self, arrays: Any, training: bool = False) -> Any:
        """The outputs for arrays; see `Model.call_on_arrays`."""
        if belongs_to_a_function(self, arrays):
            return through_a_tape(self, arrays, training)
        values = [value_of(met(x)) for x in arrays]
        if on_tapes(self, arrays):
            with nothing_recorded():
                self._build_from_data(values if len(values) > 1 else values[0])
            if on_tapes(self, arrays):
                return self.outputs_in_form(model_outputs(self, arrays, training))
        with nothing_recorded():
            if not adds_losses(self):
                return super().call_on_arrays(values, training)
            self._build_from_data(values if len(values) > 1 else values[0])
            with GradientTape():
                found = model_outputs(self, values, training)
        return self.outputs_in_form([np.asanyarray(remembering(y)) for y in found])

    @property
    def losses(self) -> list[Any]:
        """The penalties of weights, and what layers added in the last call: on the tape, where one records."""
        if is_recording():
            return losses_on_tapes(self)
        noted = noted_losses(self) if self.is_graphless else []
        return [EagerNumber(value_of(loss)) for loss in (*super().losses, *added_losses(self), *noted)]

    # ---------------------------------------------------------------------------------------------------- the steps

    def train_step(self, data: Any) -> Any:
        """One iteration: the outputs, the loss, its gradients, an update; a subclass may write another one.

        Parameters
        ----------
        data : nested arrays
            A batch, as `fit` was given it: x, (x, y) or (x, y, sample_weight).

        Returns
        -------
        dict
            Name → number, for the logs.
        """
        x, y, sample_weight = unpacked_data(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._loss_of(x, y, y_pred, sample_weight, True)
            scaled = scale_loss(self.optimizer, loss)
        with answering(by_user=True):  # the optimizer's state has the order of its variables
            weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights, strict=True))
        return self._measured(x, y, y_pred, sample_weight, loss)

    def test_step(self, data: Any) -> Any:
        """Loss and metrics of a batch; arguments and result as of `train_step`."""
        x, y, sample_weight = unpacked_data(data)
        y_pred = self(x, training=False)
        return self._measured(x, y, y_pred, sample_weight, self._loss_of(x, y, y_pred, sample_weight, False))

    def predict_step(self, data: Any) -> Any:
        """The outputs for a batch."""
        return self(unpacked_data(data)[0], training=False)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of a batch: what `compile` was told, and `losses`."""
        return loss_of(self, y, y_pred, sample_weight, self.losses)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Count a batch in the metrics of `compile`; returns all results."""
        self.compiled_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _loss_of(self, x, y, y_pred, sample_weight, training):
        """What `compute_loss` says, which may take `training` or not."""
        options = {"training": training} if "training" in signature(self.compute_loss).parameters else {}
        return self.compute_loss(x, y, y_pred, sample_weight, **options)  # whatever a class calls them

    def _measured(self, x, y, y_pred, sample_weight, loss):
        count = len(leaves(x)[0])
        tracker(self).update_state(loss, sample_weight=count)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    # -------------------------------------------------------------------------------------------------- the metrics

    @property
    def metrics(self) -> list[Any]:
        """The loss's mean, those of `compile` together, those in attributes, and those of layers, in Keras's order."""
        own = [part for part in metrics_of(self) if part is not vars(self).get("_loss_tracker")]
        inside = [part for part in metrics_within(self) if part not in [*own, vars(self).get("_loss_tracker")]]
        if self.compiled is None:
            return [*own, *inside]
        wanted = any(self.compiled.metrics + self.compiled.weighted_metrics) or self.compiled_metrics.metrics
        return [tracker(self), *([self.compiled_metrics] if wanted else []), *own, *inside]

    @property
    def compiled_loss(self) -> CompiledLoss:
        """What `compile` was told of losses, as a function."""
        return CompiledLoss(self)

    @property
    def compiled_metrics(self) -> CompiledMetrics:
        """The metrics of `compile`."""
        kept = vars(self).get("_compiled_metrics")
        if kept is None or kept.compiled is not self._need_compiled():
            kept = vars(self)["_compiled_metrics"] = CompiledMetrics(self)
        return kept

    def reset_metrics(self) -> None:
        """Have all metrics forget what they saw."""
        totals, parts = last_totals(self), self.metrics
        if totals is not None:  # which a training may go on with, and which have what `compile` was given
            totals.reset()
            parts = [part for part in parts if part is not tracker(self) and part is not self.compiled_metrics]
        for metric in parts:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """Name → result of all metrics; behind `fit` and `evaluate` also the losses of several outputs."""
        totals = last_totals(self)
        found: dict[str, Any] = {} if totals is None else totals.logs()
        for metric in self.metrics:
            result = metric.result()
            found |= result if isinstance(result, Mapping) else {metric.name: result}
        return found

    # ------------------------------------------------------------------------------------------- what `fit` asks for

    @property
    def weights(self) -> list[Weight]:
        """All weights; with steps of its own, also of layers and models in attributes that no call has reached."""
        if not self.has_own_steps:
            return super().weights
        parts = list(vars(self).values())
        others = [w for layer in layers_in(parts) for w in layer.weights]
        own = [w for w in leaves(parts) if isinstance(w, Weight)]
        return list(dict.fromkeys([*super().weights, *others, *own]))

    @property
    def optimizer(self) -> optimizers.Optimizer:
        """The optimizer that `compile` was given, or that was assigned."""
        return self._need_compiled().optimizer

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        self._need_compiled().optimizer = optimizers.get(value)

    def _engine_for(self, backend):
        known = super()._engine_for(backend)
        return _with_steps(known) if self.has_own_steps else known

    def training_engine(self) -> Any:
        """See `minicnn.Model.training_engine`; it goes on where `apply_gradients` of the model's optimizer was."""
        engine = super().training_engine()
        if self.compiled is not None:
            hand_over(self.compiled.optimizer, engine)
        return engine

    def _before_training(self):
        if not self.has_own_steps:
            super()._before_training()
        elif vars(self).get("_last_totals") is None:  # before the first epoch metrics forget, too
            _Totals(self)

    def _build_from_data(self, x: Any) -> Any:
        is_for_steps = vars(self).pop("_feeds_steps", False)  # whose calls build what they use
        return x if is_for_steps else super()._build_from_data(x)

    def _intake(self, callbacks=()):
        return RawIntake(self) if self.has_own_steps else super()._intake(callbacks)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train; see `minicnn.Model.fit`."""
        vars(self).update({"_feeds_steps": True} if self.has_own_steps else {})
        try:
            return super().fit(*args, **kwargs)
        finally:
            vars(self).pop("_feeds_steps", None)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data, or what `test_step` gives; see `minicnn.Model.evaluate`."""
        if not self.has_own_steps:
            return super().evaluate(x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict)
        self._need_compiled()
        source = RawIntake(self).evaluation(x, y, sample_weight, batch_size, steps)
        callback_list = CallbackList(listed(callbacks), self, _params(source, verbose))
        with compute_threads(self.engine.backend):
            logs = evaluation.evaluate_source(self, source, callback_list)
        if verbose:
            say(in_line(logs))
        return logs if return_dict else self._in_kerass_order(logs)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: Any = None, callbacks: Any = None
    ) -> Any:
        """The outputs for data, or what `predict_step` gives; see `minicnn.Model.predict`."""
        if not self._writes("predict_step") and not self.runs_at_once:
            return super().predict(x, batch_size, verbose, steps, callbacks)
        source = RawIntake(self).evaluation(x, None, None, batch_size, steps)
        callback_list = CallbackList(listed(callbacks), self, _params(source, verbose))
        parts = []
        callback_list("on_predict_begin")
        for index, batch in enumerate(source.batches()):
            callback_list("on_predict_batch_begin", index)
            parts.append(mapped(lambda y: np.asarray(value_of(met(y))), self.predict_step(batch.data)))
            callback_list("on_predict_batch_end", index, {"outputs": parts[-1]})
        demand_batches(source, len(parts))
        callback_list("on_predict_end")
        return packed(parts[0], [np.concatenate(each) for each in zip(*map(leaves, parts), strict=True)])

    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One iteration; see `minicnn.Model.train_on_batch`."""
        if not self.has_own_steps:
            return super().train_on_batch(x, y, sample_weight, *args, **kwargs)
        return self._step_of(self.train_step, (x, y, sample_weight), **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics of one batch; see `minicnn.Model.test_on_batch`."""
        if not self.has_own_steps:
            return super().test_on_batch(x, y, sample_weight, *args, **kwargs)
        return self._step_of(self.test_step, (x, y, sample_weight), **kwargs)

    def _step_of(self, step, data, return_dict=False, **options):
        """What a step gives for one batch by itself."""
        self._need_compiled()
        self.reset_metrics()
        logs = plain_logs(step(as_data(packed_data(*data))))
        return logs if return_dict else self._in_kerass_order(logs)

    def _in_kerass_order(self, logs):
        """The numbers as a list: those of metrics in their order, and then the others in the order of their names."""
        parts = [getattr(metric, "metrics", [metric]) for metric in self.metrics]  # those of `compile` stand together
        names = [metric.name for several in parts for metric in several if metric.name in logs]
        return one_or_list([logs[name] for name in dict.fromkeys([*names, *sorted(logs)])])
