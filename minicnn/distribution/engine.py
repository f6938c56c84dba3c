"""The engine of a model that several workers train: every iteration is one of a whole batch, computed in shards."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np

from minicnn.distribution import handshake, overlap, sums
from minicnn.distribution.data import Cut, batches_of, uploaded, whole
from minicnn.distribution.lockstep import Lockstep, wants_sums
from minicnn.distribution.problems import by_all
from minicnn.distribution.shards import own_part
from minicnn.distribution.shares import share
from minicnn.distribution.wire import Wire
from minicnn.errors import NonFiniteError
from minicnn.plan.non_finite import explain_non_finite
from minicnn.plan.plan import BoundPlan
from minicnn.training.batches import Batch
from minicnn.training.engine import Engine, Outcome
from minicnn.training.sources import Source
from minicnn.training.totals import Losses, Totals
from minicnn.turns import weights_at_rest


class ShardedOutcome(Outcome):
    """What has become of an iteration; where its loss is not finite, the workers find out together why."""

    def demand_finite(self, epoch: int, batch: int) -> None:
        if not math.isfinite(self.loss):
            self.bound.explain(self.loss, epoch, batch)


class ShardedEngine(Engine):
    """Runs a model on all workers; see `of`.

    Attributes
    ----------
    wire : Wire
        The workers.
    shards : int
        In how many parts a batch is cut, at most.
    updates : int or None
        How many there were after the last one that all workers have made together; None where there was none, or where
        the optimizer's state has been replaced since.
    """

    wire: ClassVar[Wire]
    shards: ClassVar[int]
    updates: int | None = None

    @staticmethod
    @cache
    def of(wire: Wire, shards: int) -> type[ShardedEngine]:
        """The class of engines for these workers and this number of shards."""
        plans = {
            "max_plans": Engine.max_plans + 2 * shards
        }  # batches of two sizes have all shards in memory, see `lockstep`
        return type("ShardedEngine", (ShardedEngine,), {"wire": wire, "shards": shards} | plans)

    @property
    def last_call(self) -> None:
        """Never remembered: a worker that knows an answer would not come to where the others compute it together."""

    @last_call.setter
    def last_call(self, value: object) -> None:
        pass

    @property
    def optimizer_state(self) -> dict[str, np.ndarray] | None:
        """As in `Engine`. One that is given anew may be another one on each worker."""
        return self._state

    @optimizer_state.setter
    def optimizer_state(self, value: dict[str, np.ndarray] | None) -> None:
        self._state, self.updates = value, None

    def agreed(self, decision: int) -> int:
        return self.wire.agreed(decision)

    # ---------------------------------------------------------------------------------------------------------- data

    def batches(self, source: Source, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Cut]:
        handshake.compare(self.wire, handshake.of_pass(self, source, generator is not None, first))
        return batches_of(self, source, generator, first)

    @contextmanager
    def at_hand(self, batch: Batch) -> Iterator[Batch]:
        yield uploaded(batch, self.backend) if self.backend.on_device else batch

    # ---------------------------------------------------------------------------------------------------- iterations

    def train_batch(self, batch: Batch | Cut, totals: Totals) -> Outcome:
        with weights_at_rest:
            return self._train_together(batch, totals)

    def _train_together(self, batch, totals):
        if not self.store.is_current:
            self.prepare(trains=True)
        if isinstance(batch, Batch):  # of train_on_batch: nothing has been compared
            handshake.compare_batch(self, batch)
        cut = whole(batch, self.shards)
        step = ShardedStep(self, cut, training=True)
        step.run()
        losses, outputs = step.results()
        totals.add(cut.count, losses, outputs)
        if math.isfinite(losses.total):
            self._take_gradients(step)
            self.regularize()
            self.update()
            self.updates = int(self.optimizer.iterations)
        else:
            step.total()  # which nobody wants, but which is under way
            self.store.sigma[...] = step.sigma
        return ShardedOutcome(losses.total, step)

    def _take_gradients(self, step):
        """Put the sums over all shards where the optimizer reads them."""
        store, size = self.store, self.store.grad.size
        flat = self.backend.asarray(step.total())  # (P + S,)
        np.multiply(flat[:size], store.dtype.type(step.scale), out=store.grad)
        store.sigma[...] = flat[size:] * store.dtype.type(step.scale) + step.base

    def evaluate_batch(self, batch: Batch | Cut, totals: Totals) -> None:
        cut = whole(batch, self.shards)
        step = ShardedStep(self, cut, training=False)
        step.run()
        totals.add(cut.count, *step.results())

    def predict_batch(self, batch: Batch | Cut, training: bool = False) -> list[np.ndarray]:
        if isinstance(batch, Batch):  # a call of the model: each worker for itself
            return super().predict_batch(batch, training)
        own = own_part(len(batch.parts), self.wire.rank, self.wire.size)
        predict, calls, outputs = super().predict_batch, self.calls, []
        for part in map(batch.part, own):
            self.calls = calls  # all shards of a batch are one call
            outputs.append([self.backend.to_host(o) for o in predict(part)])
        gathered = self.wire.gather((self.calls, outputs), f"outputs of {batch.count}")
        self.calls = max(calls for calls, _ in gathered)
        shards = list(itertools.chain.from_iterable(found for _, found in gathered))
        return [self.backend.asarray(np.concatenate(parts)) for parts in zip(*shards, strict=True)]


class ShardedStep:
    """One batch, computed in shards: this worker's one after another, then what all have found.

    Parameters
    ----------
    engine : ShardedEngine
    cut : Cut
    training : bool
        Whether gradients are computed.

    Attributes
    ----------
    sigma : array
        The moving averages before.
    base : array or float
        What the shards' changes of the moving averages are counted from: a batch of one shard just replaces them.
    scale : float
        What sums of gradients, each counting as much as that of the first shard, are multiplied with.
    total : callable
        Waits for the sum over all workers of gradients, and of changes of the moving averages, and gives it.
    lockstep : Lockstep or None
        Runs the shards, where layers want sums over all of them.
    """

    def __init__(self, engine: ShardedEngine, cut: Cut, training: bool) -> None:
        self.engine, self._cut, self._training = engine, cut, training
        self._own = own_part(len(cut.parts), engine.wire.rank, engine.wire.size)
        self._counts = [part.stop - part.start for part in cut.parts]
        self.scale: float = self._counts[0] / cut.count
        self.total: Callable[[], np.ndarray]
        self.lockstep: Lockstep | None = None
        self._records: list[tuple[Any, ...]] = []
        self._is_finite = True
        self._call: int | None = None
        if training:
            self.sigma: np.ndarray = engine.store.sigma.copy()
            self.base: Any = self.sigma if len(cut.parts) > 1 else engine.store.dtype.type(0)

    def run(self) -> None:
        """Compute this worker's shards, and begin to send their gradients."""
        wire, store, count = self.engine.wire, self.engine.store, len(self._cut.parts)
        if not self._training:
            for shard in self._own:
                self._forward(shard)
            return
        node = None
        if count > 1 and wants_sums(self.engine.model):
            found = self._side_by_side()
        elif node := overlap.own_node(wire, count) if self._is_large() else None:
            self._last_gradients(*overlap.before_last(node, self._gradients))
        else:
            found = sums.over_shards(count, self._own, self._gradients)
        if node is None:
            self.total = sums.over_workers(wire, found, count, store.grad.size + store.sigma.size, store.dtype)

    def _side_by_side(self):
        """Compute all shards together, a layer that wants their sums at a time."""
        engine, parts = self.engine, {}
        for shard in self._own:
            with engine.at_hand(self._cut.part(shard)) as parts[shard]:
                pass
        self.lockstep = Lockstep(engine, parts, self._counts)
        self.lockstep.forward(engine.optimizer.iterations)
        for shard, lane in self.lockstep.lanes.items():
            with lane.at(engine.store):
                self._record(shard, lane.bound, engine.losses(lane.bound, lane.targets, lane.weight))
        if not engine.wire.agreed(any(not math.isfinite(loss) for loss, *_ in self._records)):
            self.lockstep.backward()
        return self.lockstep.sums([count / self._counts[0] for count in self._counts], self.base)

    def _is_large(self):
        """Whether gradients are worth to be sent in pieces."""
        store, engine = self.engine.store, self.engine
        size = (store.grad.size + store.sigma.size) * store.grad.itemsize
        return engine.wire.size > 1 and not engine.backend.on_device and size >= sums.LARGE

    def _last_gradients(self, above, shard):
        """Compute the last shard, and send its sum with those `above` it in the tree as soon as a part is done."""
        store, wire = self.engine.store, self.engine.wire
        store.sigma[...] = self.sigma
        bound, losses = self._forward(shard)
        own = np.empty(store.grad.size + store.sigma.size, store.dtype)
        own[store.grad.size :] = store.sigma - self.base
        travelling = overlap.Travelling(wire, len(self._cut.parts), np.empty_like(own))
        self.total = travelling.result
        waiting = overlap.pieces(bound, store, store.sigma.size)

        def after(number):
            travelling.push()
            while waiting and waiting[0][0] <= number:
                _, part = waiting.pop(0)
                gradients = slice(part.start, min(part.stop, store.grad.size))
                own[gradients] = store.grad[gradients]
                travelling.send(part, self._summed(own[part], part, above, shard))

        if math.isfinite(losses.total):
            bound.backward(after)
        after(len(bound.backward_steps))  # what is left, where nothing was computed

    def _summed(self, own, part, above, shard):
        """A part of the sum at this worker's node, in the order of the tree."""
        if self._counts[shard] != self._counts[0]:
            own *= own.dtype.type(self._counts[shard] / self._counts[0])
        for vector in reversed(above):
            own = sums.add(vector[part], own)
        return own

    def _gradients(self, shard, onto=None):
        """The gradients of a shard and its changes of the moving averages, in one vector (P + S,), on the host.

        If there is a vector `onto`, they are added to it.
        """
        engine = self.engine
        engine.store.sigma[...] = self.sigma
        bound, losses = self._forward(shard)
        if not math.isfinite(losses.total):
            self._is_finite = False
        if self._is_finite:
            bound.backward()
        parts = engine.store.grad, engine.store.sigma - self.base
        if self._counts[shard] != self._counts[0]:
            parts = [part * part.dtype.type(self._counts[shard] / self._counts[0]) for part in parts]
        if engine.backend.on_device:
            parts = [engine.backend.to_host(part) for part in parts]
        if onto is None:
            return np.concatenate(parts)
        sums.add(onto[: len(parts[0])], parts[0])  # where they lie: a vector less to be written and read
        sums.add(onto[len(parts[0]) :], parts[1])
        return onto

    def _forward(self, shard) -> tuple[BoundPlan, Losses]:
        """Compute a shard up to its losses."""
        engine = self.engine
        with engine.at_hand(self._cut.part(shard)) as part:
            bound = engine.bound(part, self._training)
            losses = engine.compute(part, bound, self._number(bound))
        return bound, self._record(shard, bound, losses)

    def _record(self, shard, bound, losses) -> Losses:
        """Keep of the losses of a shard what the whole batch's totals need; returns them as they count there."""
        engine = self.engine
        losses = share(engine.model.compiled, losses, bound, self._counts[shard] / self._cut.count)
        measured = None
        if self._has_metrics():
            seen = [None if pair is None else pair[1] for pair in losses.measured]
            arrays = bound.outputs, losses.targets, losses.weights, seen
            measured = [[None if a is None else engine.backend.to_host(a) for a in part] for part in arrays]
        ends = [None if end is None else replace(end, step=None) for end in bound.plan.measured_ends]
        self._records.append((float(losses.total), [float(p) for p in losses.parts], measured, ends))
        return losses

    def _number(self, bound):
        """What random numbers depend on."""
        if self._training:
            return self.engine.optimizer.iterations
        if self._call is None:
            self._call = self.engine._next_call(bound)
        return self._call

    def _has_metrics(self) -> bool:
        compiled = self.engine.model.compiled
        return any(itertools.chain(*compiled.metrics, *compiled.weighted_metrics))

    def results(self) -> tuple[Losses, Sequence[np.ndarray]]:
        """The losses of the whole batch, and its outputs where metrics need them."""
        kind = f"records of {self._cut.count}, {self._training}"
        gathered = self.engine.wire.gather((self.engine.calls, self._records), kind)
        self.engine.calls = max(calls for calls, _ in gathered)
        records = list(itertools.chain.from_iterable(found for _, found in gathered))
        values = [np.array([total, *parts]) for total, parts, *_ in records]  # shards × (1 + outputs,)
        weighted = [v * (c / self._cut.count) for v, c in zip(values, self._counts, strict=True)]
        total, *parts = sums.of_all(weighted)
        self._losses = [value[0] for value in values]
        if records[0][2] is None:
            return Losses(float(total), [float(p) for p in parts], [], [], []), []
        outputs, targets, weights, seen = (
            [_joined(arrays) for arrays in zip(*lists, strict=True)]
            for lists in zip(*(measured for _, _, measured, _ in records), strict=True)
        )
        pairs = zip(records[0][3], seen, strict=True)
        measured = [None if end is None else (end, z) for end, z in pairs]
        return Losses(float(total), [float(p) for p in parts], targets, weights, measured), outputs

    def explain(self, loss: float, epoch: int, batch: int) -> None:
        """Raise `NonFiniteError` on all workers, with what the one says that has the first shard to blame."""
        shard = self.lockstep.first_with_bad_input() if self.lockstep else None
        if shard is None:
            shard = next(i for i, value in enumerate(self._losses) if not math.isfinite(value))
        text = None
        if shard in self._own:
            bound = self.lockstep.lanes[shard].bound if self.lockstep else self._forward(shard)[0]
            text = explain_non_finite(loss, bound, epoch, batch)
            self.engine.store.sigma[...] = self.sigma
        found = self.engine.wire.gather(text)
        raise by_all(NonFiniteError(next(text for text in found if text is not None)))


def _joined(arrays):
    """The shards' arrays as one; None where there are none."""
    return None if arrays[0] is None else np.concatenate(arrays)
