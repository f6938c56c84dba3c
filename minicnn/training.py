"""The training loop: what `Model.compile` remembers, how a batch is trained, how epochs go."""

import copy
import itertools
import math
import signal
import threading
import warnings
import weakref
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from minicnn import losses, metrics, optimizers
from minicnn.callbacks import TerminateOnNaN
from minicnn.data import Batch, check_lengths, real_array
from minicnn.errors import DataError, NonFiniteError, check_number
from minicnn.lowering import lower
from minicnn.parameters import BorrowedWeights, ParameterStore, layout
from minicnn.passes import evaluate_source
from minicnn.plan import Plan
from minicnn.run import Run

FIRST_CALL = 2**40  # such calls count from here, away from the training steps
MAX_PLANS = 6  # a model keeps so many plans (training, evaluation and prediction at a few batch sizes)


# ------------------------------------------------------------------------------------------------------ compiled


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

    optimizer: object
    losses: list
    loss_weights: list
    metrics: list
    backend_name: str | None


def check_compile_arguments(model, optimizer, loss, metric_names, loss_weights, backend_name):
    """A `Compiled`, or the error that says which argument is wrong."""
    count, names = (len(model.outputs), model.output_names) if model.built else (None, None)
    if loss is None:
        raise ValueError("compile needs a loss, e.g. loss='sparse_categorical_crossentropy'. Received: loss=None")
    loss_list = [losses.get(entry) for entry in _for_outputs("loss", loss, count, names)]
    count = len(loss_list) if count is None else count
    weights = [1.0] * count if loss_weights is None else _for_outputs("loss_weights", loss_weights, count, names)
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


def _for_outputs(argument, value, count, names):
    """A list with one entry for each output from one value for all, a list, or a dict by output name."""
    if isinstance(value, dict) and "class_name" not in value:
        if names is None:
            raise ValueError(
                f"{argument} as a dict goes by the outputs' names, not known before the model is built; "
                f"start it with an Input. Received: {sorted(value)}"
            )
        if set(value) != set(names):
            raise ValueError(
                f"{argument} as a dict needs one entry for each output, {names}. Received: {sorted(value)}"
            )
        return [value[name] for name in names]
    if isinstance(value, list | tuple):
        if count is not None and len(value) != count:
            raise ValueError(f"{argument} needs one entry for each of {count} outputs. Received: {len(value)}")
        return list(value)
    return [value] * (count or 1)


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


# -------------------------------------------------------------------------------------------------------- totals


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


# -------------------------------------------------------------------------------------------------------- engine


class Engine:
    """Runs one model on one backend: keeps its plans and its optimizer's state.

    Parameters
    ----------
    model : Model
    backend : Backend
    """

    def __init__(self, model, backend):
        self.model, self.backend = model, backend
        self.store = None  # a ParameterStore for training, BorrowedWeights for using
        self.optimizer_state = None
        self._plans = {}
        self._segment_lists = {}  # which weights are trainable → their parts of theta; one list object for each
        self.calls = 0  # outside training, of plans that draw random numbers all the same
        self._layout = None  # shapes of the weights that `optimizer_state` belongs to

    def take_over(self, previous) -> None:
        """Continue with the optimizer state of an engine for another backend; `previous` may be None."""
        if previous is not None and previous.optimizer_state is not None:
            host = {name: previous.backend.to_host(v) for name, v in previous.optimizer_state.items()}
            self.optimizer_state = {name: self.backend.asarray(v) for name, v in host.items()}
            self._layout = previous._layout

    def renewed(self, keeps_state):
        """An engine for the same model after its graph, or what `compile` said, has changed."""
        engine = type(self)(self.model, self.backend)
        if keeps_state:
            engine.optimizer_state, engine._layout, engine.calls = self.optimizer_state, self._layout, self.calls
        return engine

    def state_by_weight(self):
        """Name of an optimizer's state vector → weight → its part, on the host; None if there is no state."""
        weights = [w for w in self.model.weights if w.has_gradient]
        if self.optimizer_state is None or [w.shape for w in weights] != self._layout:
            return None
        slices, _ = layout(weights)
        host = {name: self.backend.to_host(vector) for name, vector in self.optimizer_state.items()}
        return {name: {w: vector[s].reshape(w.shape) for w, s in slices.items()} for name, vector in host.items()}

    def set_state(self, state) -> None:
        """Take over what `state_by_weight` returned."""
        weights = [w for w in self.model.weights if w.has_gradient]
        slices, size = layout(weights)
        self._layout = [w.shape for w in weights]
        self.optimizer_state = {name: self.backend.zeros((size,), self.store.dtype) for name in state}
        for name, arrays in state.items():
            for w, array in arrays.items():
                self.optimizer_state[name][slices[w]] = self.backend.asarray(array, w.dtype).reshape(-1)

    def prepare(self, trains=False) -> None:
        """Find the model's weights, and see which ones are trainable.

        Called when a method of the model starts and at the start of an epoch, not for every batch.

        Parameters
        ----------
        trains : bool
            Whether the weights must lie in a store of this engine: then they are taken over. Otherwise they stay where
            they are, so that using a model does not disturb the training of another one that shares layers.
        """
        weights = self.model.weights
        needs_own = trains or not BorrowedWeights.can_borrow(weights, self.backend)
        usable = self.store is not None and self.store.holds(weights, self.backend)
        if not usable or (needs_own and not isinstance(self.store, ParameterStore)):
            self._plans.clear()
            self._segment_lists.clear()
            self.store = self._take_over_weights(weights) if needs_own else BorrowedWeights(weights, self.backend)
        self._trainable = tuple(w.trainable for w in weights)
        if isinstance(self.store, ParameterStore):
            self._segments = self._segment_lists.setdefault(self._trainable, self.store.trainable_segments())

    def _take_over_weights(self, weights):
        """A store of this engine; the optimizer's state stays valid while it has the same layout."""
        if [w.shape for w in weights if w.has_gradient] != self._layout:
            self.optimizer_state = None
            self._layout = [w.shape for w in weights if w.has_gradient]
        return ParameterStore(weights, self.backend, weights[0].dtype if weights else np.dtype("float32"))

    def bound(self, count, training, with_loss=True):
        """A plan's arrays for `count` samples; a plan that is large enough is used again."""
        key = (training, with_loss, self._trainable if training else ())
        fitting = [size for size, *rest in self._plans if size >= count and tuple(rest) == key]
        size = min(fitting, default=count)
        plan = self._plans.pop((size, *key), None) or self._make_plan(size, training, with_loss)
        while len(self._plans) >= MAX_PLANS:
            self._plans.pop(next(iter(self._plans)))
        self._plans[(size, *key)] = plan  # the last in the dict is the last used
        return plan.bind(count)

    def _make_plan(self, size, training, with_loss):
        model = self.model
        logits_of = [loss.takes_logits_of for loss in model.compiled.losses] if with_loss else None
        return Plan(model.graph, self.store, size, training, logits_of, model.seed, model.clock)

    # ------------------------------------------------------------------------------------------------------ batches

    def totals(self, targets) -> Totals:
        """Averages of loss and metrics, for data with these targets."""
        return Totals(self.model, targets)

    def batches(self, source, generator=None, first=0):
        """The batches of one pass over a source, from number `first` on."""
        return source.batches(generator, first)

    def check_finite(self, loss, bound, epoch, batch) -> None:
        """Raise `NonFiniteError` if the loss of the last step was not finite; epoch and batch count from 0."""
        if not math.isfinite(loss):
            raise NonFiniteError(explain_non_finite(loss, bound, epoch, batch))

    def losses(self, bound, batch, with_gradients):
        """Compute the loss of what `bound` holds, assigning its gradients.

        Returns
        -------
        loss : float
            With the regularizers' penalties.
        parts : list of float
            Each output's loss, before its weight.
        targets : list of array
            The batch's.
        """
        compiled = self.model.compiled
        targets, weight = [batch.pick(t) for t in batch.targets], batch.pick(batch.weight)
        total, parts = 0.0, []
        for number, loss in enumerate(compiled.losses):
            head, factor = bound.heads[number], compiled.loss_weights[number]
            gradient = bound.head_gradients[number] if with_gradients else None
            kind = bound.from_logits[number]
            value = loss.compute(head, targets[number], weight, gradient, self.backend.kernels, from_logits=kind)
            if gradient is not None and factor != 1:
                gradient *= factor
            parts.append(value)
            total = total + factor * value
        for w in self._regularized():
            total = total + w.regularizer.penalty(self.store.values[w])
        return total, parts, targets

    def _regularized(self):
        return [w for w in self.store.values if w.regularizer is not None and w.trainable]

    def gradients(self, bound) -> None:
        """Compute the gradients of all trainable weights, after `losses`."""
        bound.backward()
        for w in self._regularized():
            w.regularizer.add_gradient(self.store.values[w], self.store.gradients[w])

    def train_batch(self, batch, totals):
        """One step: returns the loss; a non-finite one leaves the weights as they were."""
        model = self.model
        optimizer = model.compiled.optimizer
        model.clock.step = optimizer.iterations
        if not self.store.is_current:  # a callback has trained another model that shares layers
            self.prepare(trains=True)
        state_before = self.store.sigma.copy()
        bound = self.bound(batch.count, training=True)
        batch.load_inputs(self.backend, bound.inputs)
        bound.forward()
        loss, parts, targets = self.losses(bound, batch, with_gradients=True)
        totals.add(batch.count, loss, parts, targets, bound.outputs)
        if not math.isfinite(loss):
            self.store.sigma[...] = state_before
            return loss, bound
        self.gradients(bound)
        if self.optimizer_state is None:
            self.optimizer_state = optimizer.create_state(self.store.theta.size, self.store.dtype, self.backend.zeros)
            optimizer.iterations, optimizer.owner = 0, weakref.ref(model)
        optimizer.update(self.store.theta, self.store.grad, self.optimizer_state, self._segments, self.backend.kernels)
        return loss, bound

    def evaluate_batch(self, batch, totals):
        """Add a batch to `totals`, changing nothing."""
        bound = self.bound(batch.count, training=False)
        self._use(bound, batch)
        loss, parts, targets = self.losses(bound, batch, with_gradients=False)
        totals.add(batch.count, loss, parts, targets, bound.outputs)

    def predict_batch(self, batch, training=False):
        """The outputs for a batch, as arrays that the next batch overwrites."""
        bound = self.bound(batch.count, training, with_loss=False)
        self._use(bound, batch)
        return bound.outputs

    def _use(self, bound, batch) -> None:
        """Run a batch outside training; where a layer acts as in training all the same, each call draws new masks."""
        if bound.plan.acts_as_in_training:
            self.calls += 1
            self.model.clock.step = FIRST_CALL + self.calls
        batch.load_inputs(self.backend, bound.inputs)
        bound.forward()

    def weight_gradients(self, batch):
        """Weight → its gradient for one batch; the model's state is as before afterwards."""
        state = self.store.sigma.copy()
        self.model.clock.step = self.model.compiled.optimizer.iterations
        bound = self.bound(batch.count, training=True)
        batch.load_inputs(self.backend, bound.inputs)
        bound.forward()
        self.losses(bound, batch, with_gradients=True)
        self.gradients(bound)
        self.store.sigma[...] = state
        return {w: self.backend.to_host(g) for w, g in self.store.gradients.items()}

    def rehearse(self, count) -> None:
        """Run a training step and an evaluation on zeros, and put everything back."""
        store, optimizer = self.store, self.model.compiled.optimizer
        before = store.theta.copy(), store.sigma.copy(), optimizer.iterations, self.optimizer_state
        self.optimizer_state = None
        inputs = [np.zeros((count, *t.shape[1:]), np.float32) for t in self.model.inputs]
        pairs = zip(self.model.compiled.losses, self.model.outputs, strict=True)
        targets = [loss.placeholder_target(count, output.shape[1:]) for loss, output in pairs]
        batch = Batch(inputs, targets, None, np.arange(count), count)
        totals = self.totals(targets)
        try:
            self.train_batch(batch, totals)
            self.evaluate_batch(batch, totals)
        finally:
            store.theta[...], store.sigma[...], optimizer.iterations, self.optimizer_state = before


# ---------------------------------------------------------------------------------------------------------- loop


def check_targets(model, y, samples, argument="y"):
    """The targets for each output, checked by its loss."""
    count = len(model.outputs)
    if y is None:
        raise ValueError(f"training and evaluation need targets: {argument} is missing. Received: {argument}=None")
    if count > 1 and not isinstance(y, list | tuple | dict):
        raise ValueError(f"{argument} needs one array for each of {count} outputs. Received: {type(y).__name__}")
    is_wrapped = count == 1 and isinstance(y, list | tuple) and len(y) == 1 and np.ndim(y[0]) > 0
    arrays = _for_outputs(argument, y, count, model.output_names) if count > 1 or isinstance(y, dict) else [y]
    arrays = [real_array(array, argument) for array in (y if is_wrapped and samples > 1 else arrays)]
    for array in arrays:
        if array.ndim == 0:
            raise ValueError(f"{argument} needs one entry for each sample. Received: a single number, {array}")
    check_lengths(samples, arrays, [argument] * count)
    checked = []
    for loss, array, output in zip(model.compiled.losses, arrays, model.outputs, strict=True):
        checked.append(loss.check_target(array, output.shape[1:]))
    return checked


def warn_about_logits(model):
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


def run_epochs(model, source, validation, callbacks, epochs, initial_epoch, shuffle, validation_freq):
    """The loop of `fit`.

    Parameters
    ----------
    source, validation : ArraySource or StreamSource
        `validation` may be None.
    callbacks : CallbackList
    """
    run = Run(model, source, validation, callbacks, initial_epoch)
    stops_on_nan = any(isinstance(c, TerminateOnNaN) and not c.raise_error for c in callbacks.callbacks)
    wants_batches = callbacks.wants("on_train_batch_end")
    model.stop_training = False
    logs = {}
    callbacks("on_train_begin")
    try:
        with deferred_interrupt() as check_interrupt:
            callbacks("on_run_begin", run)
            first = run.epoch
            while run.epoch < epochs and (run.batch > 0 or not model.stop_training):
                epoch = run.epoch
                callbacks("on_epoch_begin", epoch)
                engine = model.training_engine()  # a callback may have frozen layers
                run.epochs_trained = model.epochs_trained
                order = model.next_epoch_generator() if shuffle else None
                number = run.batch - 1
                batches = () if model.stop_training else engine.batches(source, order, run.batch)
                for number, batch in enumerate(batches, run.batch):
                    check_interrupt()
                    run.start_totals(batch.targets)
                    if number == 0:
                        run.totals.reset()
                    callbacks("on_train_batch_begin", number)
                    loss, bound = engine.train_batch(batch, run.totals)
                    if not stops_on_nan:
                        engine.check_finite(loss, bound, epoch, number)
                    run.batch = number + 1
                    if wants_batches:
                        callbacks("on_train_batch_end", number, run.totals.logs_when_read())
                    if model.stop_training:
                        break
                check_interrupt()
                if number < 0:
                    _explain_empty_source(epoch, first)
                    break
                logs = run.totals.logs()
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    values = evaluate_source(model, validation, callbacks)
                    logs |= {f"val_{name}": value for name, value in values.items()}
                run.epoch, run.batch = epoch + 1, 0
                callbacks("on_epoch_end", epoch, logs)
        run.completed = True  # not before Ctrl-C in the last epoch has been looked at
    finally:
        callbacks("on_train_end", logs)


def _explain_empty_source(epoch, initial_epoch) -> None:
    """Raise `DataError` if there was no data at all; warn if it has run out."""
    if epoch == initial_epoch:
        raise DataError("the generator gave no batch: expected at least one. Received: none")
    warnings.warn(
        f"the data ran out after {epoch - initial_epoch} epoch(s), training stops: give steps_per_epoch= and a "
        "generator that goes on, or a Sequence, which can be read again",
        stacklevel=4,
    )


def explain_non_finite(loss, bound, epoch, batch) -> str:
    """The message for a loss that is NaN or infinite: where it comes from."""
    xp = bound.plan.backend.xp
    if not all(xp.isfinite(x).all() for x in bound.inputs):
        cause = "the batch's input data holds NaN or infinite values; clean the data"
    else:
        state = bound.plan.store.sigma.copy()
        layer = bound.first_non_finite()
        bound.plan.store.sigma[...] = state
        where = (
            f"the first layer whose output is not finite is '{layer}'" if layer else "all layers' outputs are finite"
        )
        cause = f"{where}; try a smaller learning rate, scaled inputs, or clipnorm=1.0 in the optimizer"
    return f"the loss became {loss} in epoch {epoch + 1}, batch {batch + 1}: {cause}"


@contextmanager
def deferred_interrupt():
    """Inside, Ctrl-C waits for the end of the batch, so that no weight is half updated; a second one does not wait.

    Yields a function to be called between batches, which raises KeyboardInterrupt if Ctrl-C was pressed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    pressed = []
    previous = signal.getsignal(signal.SIGINT)

    def remember(signum, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(signum)

    def check():
        if pressed:
            raise KeyboardInterrupt

    if previous is not signal.default_int_handler:  # the program handles Ctrl-C in its own way
        yield lambda: None
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, previous)
    check()
