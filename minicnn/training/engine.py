"""One model on one backend: its plans, its optimizer, and the training step."""

import math
import weakref

import numpy as np

from minicnn.errors import NonFiniteError
from minicnn.parameters import BorrowedWeights, ParameterStore, layout
from minicnn.plan.plan import Plan
from minicnn.training.sources import Batch
from minicnn.training.totals import Totals

FIRST_CALL = 2**40  # such calls count from here, away from the training steps


MAX_PLANS = 6  # a model keeps so many plans (training, evaluation and prediction at a few batch sizes)


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
        return Plan(model.graph, self.store, size, training, logits_of, model.seed)

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
            value = loss.compute(head, targets[number], weight, gradient, self.backend.ops, from_logits=kind)
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
        if not self.store.is_current:  # a callback has trained another model that shares layers
            self.prepare(trains=True)
        state_before = self.store.sigma.copy()
        bound = self.bound(batch.count, training=True)
        batch.load_inputs(self.backend, bound.inputs)
        bound.forward(optimizer.iterations)
        loss, parts, targets = self.losses(bound, batch, with_gradients=True)
        totals.add(batch.count, loss, parts, targets, bound.outputs)
        if not math.isfinite(loss):
            self.store.sigma[...] = state_before
            return loss, bound
        self.gradients(bound)
        if self.optimizer_state is None:
            self.optimizer_state = optimizer.create_state(self.store.theta.size, self.store.dtype, self.backend.zeros)
            optimizer.iterations, optimizer.owner = 0, weakref.ref(model)
        optimizer.update(self.store.theta, self.store.grad, self.optimizer_state, self._segments, self.backend.ops)
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
        batch.load_inputs(self.backend, bound.inputs)
        bound.forward(FIRST_CALL + self.calls)

    def weight_gradients(self, batch):
        """Weight → its gradient for one batch; the model's state is as before afterwards."""
        state = self.store.sigma.copy()
        bound = self.bound(batch.count, training=True)
        batch.load_inputs(self.backend, bound.inputs)
        bound.forward(self.model.compiled.optimizer.iterations)
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
