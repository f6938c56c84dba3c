"""One model on one backend: its plans, its optimizer's state, and what an iteration of the training is."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from minicnn.backends.base import Backend
from minicnn.errors import NonFiniteError
from minicnn.layers.open_sizes import sized
from minicnn.optimizers import Optimizer
from minicnn.parameters import BorrowedWeights, ParameterStore, Segments, Weight, layout
from minicnn.plan.non_finite import changed, explain_non_finite, put_back, unchanged
from minicnn.plan.plan import BoundPlan, Plan
from minicnn.step import Changes
from minicnn.training.batches import Batch
from minicnn.training.last_call import LastCall
from minicnn.training.measured_ends import functions_measured
from minicnn.training.sources import Source
from minicnn.training.totals import Losses, Totals
from minicnn.training.weighting import by_row
from minicnn.turns import weights_at_rest

if TYPE_CHECKING:
    from minicnn.models.model import Model

FIRST_CALL = 2**40  # calls outside training count from here, away from the iterations


class Outcome(NamedTuple):
    """What has become of an iteration.

    Attributes
    ----------
    loss : float
    bound : BoundPlan
        Holds all values of the batch.
    """

    loss: float
    bound: BoundPlan

    def demand_finite(self, epoch: int, batch: int) -> None:
        """Have `NonFiniteError` raised if the loss is not finite: now, or where that is not known yet, with the totals.

        Parameters
        ----------
        epoch, batch : int
            For the message; both count from 0.
        """
        if not math.isfinite(self.loss):
            raise NonFiniteError(explain_non_finite(self.loss, self.bound, epoch, batch))


class Engine:
    """Runs one model on one backend: keeps its plans and its optimizer's state.

    Parameters
    ----------
    model : Model
    backend : Backend

    Attributes
    ----------
    store : ParameterStore, BorrowedWeights or None
        The weights: a store of the engine's own for training, borrowed ones for using the model.
    optimizer_state : dict or None
        What `Optimizer.create_state` returned.
    segments : Segments
        The parts of the store that are trainable; not before `prepare` for training.
    calls : int
        How often the model ran outside training with layers that draw random numbers all the same.
    last_call : LastCall or None
        What `predict_batch` was called with, if it can be called with the like again in less time.
    """

    max_plans: ClassVar[int] = 6  # that are kept: training, evaluation and prediction at a few batch sizes

    def __init__(self, model: Model, backend: Backend) -> None:
        self.model: Model = model
        self.backend: Backend = backend
        self.store: ParameterStore | BorrowedWeights | None = None
        self.optimizer_state: dict[str, np.ndarray] | None = None
        self._plans = {}
        self._replaced = 0  # of layers' attributes, see `Changes`, when there was no plan
        self._segment_lists = {}  # which weights are trainable → their parts of theta; one list object for each
        self.calls: int = 0
        self.last_call: LastCall | None = None
        self._changes = None  # of layers' attributes, when the weights were looked for
        self._layout = None  # shapes of the weights that `optimizer_state` belongs to

    def take_over(self, previous: Engine | None) -> None:
        """Continue with the optimizer state of an engine for another backend; `previous` may be None."""
        self.calls = 0 if previous is None else previous.calls
        if previous is not None and previous.optimizer_state is not None:
            host = {name: previous.backend.to_host(v) for name, v in previous.optimizer_state.items()}
            self.optimizer_state = {name: self.backend.asarray(v) for name, v in host.items()}
            self._layout = previous._layout

    def renewed(self, keeps_state: bool) -> Engine:
        """An engine for the same model after its graph, or what `compile` said, has changed."""
        engine = type(self)(self.model, self.backend)
        if keeps_state:
            engine.optimizer_state, engine._layout, engine.calls = self.optimizer_state, self._layout, self.calls
        return engine

    def state_by_weight(self) -> dict[str, dict[Weight, np.ndarray]] | None:
        """Name of an optimizer's state vector → weight → its part, on the host; None if there is no state."""
        weights = [w for w in self.model.weights if w.has_gradient]
        if self.optimizer_state is None or [w.shape for w in weights] != self._layout:
            return None
        slices, _ = layout(weights)
        host = {name: self.backend.to_host(vector) for name, vector in self.optimizer_state.items()}
        return {name: {w: vector[s].reshape(w.shape) for w, s in slices.items()} for name, vector in host.items()}

    def set_state(self, state: Mapping[str, Mapping[Weight, np.ndarray]]) -> None:
        """Take over what `state_by_weight` returned."""
        weights = [w for w in self.model.weights if w.has_gradient]
        slices, size = layout(weights)
        self._layout = [w.shape for w in weights]
        self.optimizer_state = {name: self.backend.zeros((size,), self.store.dtype) for name in state}
        for name, arrays in state.items():
            for w, array in arrays.items():
                self.optimizer_state[name][slices[w]] = self.backend.asarray(array, w.dtype).reshape(-1)

    def prepare(self, trains: bool = False) -> None:
        """Find the model's weights, and see which ones are trainable.

        Called when a method of the model starts and at the start of an epoch, not for every batch.

        Parameters
        ----------
        trains : bool
            Whether the weights must lie in a store of this engine: then they are taken over. Otherwise they stay where
            they are, so that using a model does not disturb the training of another one that shares layers.
        """
        if self._changes != Changes.count:  # else they are what they were
            self._changes, self._weights = Changes.count, self.model.weights
            self._trainable = tuple(w.layer.trainable for w in self._weights)
        weights, has_own = self._weights, isinstance(self.store, ParameterStore)
        if self.store is None or not self.store.holds(weights, self.backend) or (trains and not has_own):
            self._plans.clear()
            self._segment_lists.clear()
            borrows = not trains and BorrowedWeights.can_borrow(weights, self.backend)
            self.store = BorrowedWeights(weights, self.backend) if borrows else self._take_over_weights(weights)
        if isinstance(self.store, ParameterStore):
            if self._trainable not in self._segment_lists:
                self._segment_lists[self._trainable] = self.store.trainable_segments()
            self.segments: Segments = self._segment_lists[self._trainable]

    def _take_over_weights(self, weights):
        """A store of this engine; the optimizer's state stays valid while it has the same layout."""
        if [w.shape for w in weights if w.has_gradient] != self._layout:
            self.optimizer_state = None
            self._layout = [w.shape for w in weights if w.has_gradient]
        return ParameterStore(weights, self.backend, weights[0].value.dtype if weights else np.dtype("float32"))

    def bound(self, batch: Batch, training: bool, with_loss: bool = True, copy: int = 0) -> BoundPlan:
        """A plan's arrays for samples such as those of `batch`; a plan for more of these is used again.

        Where several are needed at once, `copy` counts them.
        """
        if self._replaced != Changes.replaced:
            self._replaced = Changes.replaced
            self._plans.clear()
        count, shapes = batch.count, tuple(x.shape[1:] for x in batch.inputs)
        key = (shapes, training, with_loss, self._trainable if training else (), copy)
        fitting = [size for size, *rest in self._plans if size >= count and tuple(rest) == key]
        size = min(fitting, default=count)
        plan = self._plans.pop((size, *key), None) or self._make_plan(size, *key[:3])
        while len(self._plans) >= self.max_plans:
            self._plans.pop(next(iter(self._plans)))
        self._plans[(size, *key)] = plan  # the last in the dict is the last used
        return plan.bind(count)

    def _make_plan(self, size, shapes, training, with_loss):
        graph = sized(self.model.graph, shapes)
        names, measured = self.model.logits_of(graph, with_loss), functions_measured(self.model) if with_loss else None
        return Plan(graph, self.store, size, training, names, self.model.seed, measured_behind=measured)

    # --------------------------------------------------------------------------------------------------- iterations

    @property
    def optimizer(self) -> Optimizer:
        """The model's."""
        return self.model.compiled.optimizer

    def totals(self, targets: Sequence[np.ndarray]) -> Totals:
        """Averages of loss and metrics, for data with these targets."""
        return Totals(self.model, targets)

    def batches(self, source: Source, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Batch]:
        """The batches of one pass over a source, from index `first` on."""
        return source.batches(generator, first)

    def agreed(self, decision: int) -> int:
        """What all who train the model decide, each bit if one of them does; here one is all."""
        return decision

    @contextmanager
    def at_hand(self, batch: Batch) -> Iterator[Batch]:
        """Inside, the batch is where the backend computes."""
        yield batch

    def train_batch(self, batch: Batch, totals: Totals) -> Outcome:
        """One iteration; a loss that is not finite leaves the weights as they were."""
        with weights_at_rest, self.at_hand(batch) as batch:
            if not self.store.is_current:  # a callback has trained another model that shares layers
                self.prepare(trains=True)
            return self.launch(batch, self.bound(batch, training=True), totals)

    def launch(self, batch: Batch, bound: BoundPlan, totals: Totals) -> Outcome:
        """Have `iterate` computed."""
        losses = self.iterate(batch, bound, totals, self.optimizer.iterations)
        return Outcome(losses.total, bound)

    def iterate(self, batch: Batch, bound: BoundPlan, totals: Totals, iteration: int) -> Losses:
        """What an iteration is: load, forward, losses, record, gradients, update."""
        sigma = self.store.sigma.copy()
        losses = self.compute(batch, bound, iteration)
        if self.record(losses, bound, totals, sigma):
            self.gradients(bound)
            self.update()
        return losses

    def compute(self, batch: Batch, bound: BoundPlan, iteration: int) -> Losses:
        """Load a batch, run the plan forward, and compute the losses, which assigns their gradients in training."""
        targets, weight = batch.load(self.backend, bound.inputs)
        bound.forward(iteration, batch.first)
        return self.losses(bound, targets, weight)

    def losses(self, bound: BoundPlan, targets: list[np.ndarray], weight: np.ndarray | None) -> Losses:
        """The losses of what `bound` holds; where it computes gradients, theirs are assigned."""
        compiled = self.model.compiled
        weights = targets[len(compiled.losses) :] or [weight] * len(compiled.losses)
        total, parts = bound.penalty(), []
        for index, loss in enumerate(compiled.losses):
            factor, gradient, kind = compiled.loss_weights[index], bound.head_gradients[index], bound.plan.ends[index]
            arrays = bound.heads[index], targets[index], weights[index], gradient
            if weights[index] is not None and weights[index].ndim > 1 and loss.goes_by_rows_behind(kind):
                arrays = by_row(*arrays)
            value = loss.compute(*arrays, self.backend.ops, from_logits=kind)
            if gradient is not None and factor != 1:
                gradient *= factor
            parts.append(value)
            total = total + factor * value
        for w in self._regularized():
            total = total + w.regularizer.penalty(self.store.values[w])
        return Losses(total, parts, targets, weights, bound.measured)

    def _regularized(self):
        return [w for w in self.store.values if w.regularizer is not None and w.trainable]

    def record(self, losses: Losses, bound: BoundPlan, totals: Totals, sigma: np.ndarray) -> bool:
        """Count a batch in `totals`; if its loss is not finite, put the state back to `sigma`, and divided kernels.

        Returns
        -------
        bool
            Whether the iteration goes on: not if the loss is known not to be finite.
        """
        totals.add(bound.count, losses, bound.outputs)
        if math.isfinite(losses.total):
            return True
        put_back(changed(bound, sigma))
        return False

    def gradients(self, bound: BoundPlan) -> None:
        """Compute the gradients of all trainable weights, after `losses`."""
        bound.backward()
        self.regularize()

    def regularize(self) -> None:
        """Add the gradients of the weights' penalties."""
        for w in self._regularized():
            w.regularizer.add_gradient(self.store.values[w], self.store.gradients[w])

    def update(self, learning_rate: object = None, rate: object = None) -> None:
        """Move the weights; the arguments are those of `Optimizer.update`."""
        self._start_optimizer()
        store, state = self.store, self.optimizer_state
        self.optimizer.update(
            store.theta, store.grad, state, self.segments, self.backend.ops, learning_rate=learning_rate, rate=rate
        )
        self.optimizer.constrain(store)

    def _start_optimizer(self):
        """Make the optimizer's state, if there is none yet."""
        if self.optimizer_state is None:
            self.optimizer_state = self.optimizer.create_state(
                self.store.theta.size, self.store.dtype, self.backend.zeros
            )
            self.optimizer.iterations, self.optimizer.owner = 0, weakref.ref(self.model)

    # ---------------------------------------------------------------------------------------------- without training

    def evaluate_batch(self, batch: Batch, totals: Totals) -> None:
        """Add a batch to `totals`, changing nothing."""
        with self.at_hand(batch) as batch:
            bound = self.bound(batch, training=False)
            totals.add(batch.count, self.compute(batch, bound, self._next_call(bound)), bound.outputs)

    def predict_batch(self, batch: Batch, training: bool = False) -> list[np.ndarray]:
        """The outputs for a batch, as arrays that the next batch overwrites."""
        return self.called(batch, training).outputs

    def called(self, batch: Batch, training: bool = False) -> BoundPlan:
        """A plan that has run forward on a batch."""
        with self.at_hand(batch) as batch:
            last = self.last_call if batch.indices is None and not training else None
            if last and (again := last.again(batch.inputs, self.store, self.backend)) is not None:
                return again
            bound = self.bound(batch, training, with_loss=False)
            batch.load(self.backend, bound.inputs)
            bound.forward(self._next_call(bound), batch.first)
            self.last_call = LastCall.of(self, batch, bound)
            return bound

    def _next_call(self, bound) -> int:
        """What random numbers depend on outside training: where a layer acts as in training, each call draws others."""
        if not bound.plan.acts_as_in_training:
            return 0
        self.calls += 1
        return FIRST_CALL + self.calls

    def weight_gradients(self, batch: Batch) -> dict[Weight, np.ndarray]:
        """Weight → its gradient for one batch; the model's state is as before afterwards."""
        with self.at_hand(batch) as batch:
            bound = self.bound(batch, training=True)
            with unchanged(bound):
                self.compute(batch, bound, self.optimizer.iterations)
                self.gradients(bound)
            return {w: self.backend.to_host(g) for w, g in self.store.gradients.items()}
