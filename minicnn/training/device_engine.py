"""The engine for a backend whose arrays live on a GPU: data goes there once, and an iteration is one graph launch.

The first iteration of a kind runs op by op, the second one is captured as a graph, and from then on the graph runs.
Results come back when they are read: loss and metrics add up on the device, and whether a loss was not finite is found
out there too, where it stops the optimizer.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.backends.base import Backend
from minicnn.errors import DeviceMemoryError, NonFiniteError
from minicnn.optimizers.optimizer import merge_segments
from minicnn.plan.non_finite import changed, explain_non_finite, put_back
from minicnn.plan.plan import BoundPlan
from minicnn.precision import get_float32_precision
from minicnn.training.batches import Batch
from minicnn.training.device_data import BatchForGraph, DeviceBatch, DeviceData, device_dtype, first_samples
from minicnn.training.device_shortcuts import (
    LEFT_TO_LAST_LAYER,
    last_layer,
    loads_late,
    only_the_rule_reads_gradients,
    steady_kernels,
)
from minicnn.training.device_totals import DeviceTotals
from minicnn.training.engine import Engine
from minicnn.training.sources import ArraySource, Source
from minicnn.training.totals import Losses

if TYPE_CHECKING:
    from minicnn.models.model import Model

MOST_OF_MEMORY = 0.5  # of what is free: data sets up to there lie on the device
BATCHES_A_CHUNK = 64  # of data that does not
MAX_GRAPHS = 8  # kinds of iterations that an engine keeps: data, batch size, frozen layers, …


class IterationGraph:
    """One kind of iteration: launched op by op at first, then as a graph.

    Parameters
    ----------
    body : callable
    keep : object
        What the graph's kernels read, and must not be freed.
    preparation : object
        What must be prepared before each launch; see `minicnn.backends.cupy.prepared_weights.Preparation`.

    Attributes
    ----------
    preparation : object
        The parameter.
    launches : int
        How many there were.
    reason : str or None
        Why there is no graph.
    """

    def __init__(self, body: Callable[[], object], keep: object, preparation: object) -> None:
        self._body, self._keep = body, keep
        self.preparation: object = preparation
        self._captured = self._result = None
        self.launches: int = 0
        self.reason: str | None = None

    def launch(self, capture: Callable[[Callable[[], object]], Any] | None) -> object:
        """Returns what the body returned when it last ran: it describes every launch."""
        self.launches += 1
        if self.launches == 2 and capture is not None:
            try:
                results = []
                self._captured = capture(lambda: results.append(self._body()))
                self._result = results[0]
            except Exception as error:  # what cannot be captured is found out by trying; a real error occurs again
                self._captured, self.reason = None, f"{type(error).__name__}: {error}"
        if self._captured is None:
            self._result = self._body()
        else:
            self._captured.launch()
        return self._result


class DeviceOutcome:
    """What has become of an iteration: it is not known before the totals are read.

    Attributes
    ----------
    batch : DeviceBatch
    demanded_at : (int, int) or None
        Epoch and batch where a finite loss was demanded.
    """

    def __init__(self, batch: DeviceBatch) -> None:
        self.batch = batch
        self.demanded_at: tuple[int, int] | None = None

    def demand_finite(self, epoch: int, batch: int) -> None:
        """As `minicnn.training.engine.Outcome.demand_finite`: the error is raised when the totals are next read."""
        self.demanded_at = epoch, batch


class DeviceEngine(Engine):
    """Runs one model on a GPU.

    Attributes
    ----------
    state : object
        The numbers of the current iteration, on the device; see `minicnn.backends.cupy.graph.IterationState`.
    graphs : dict
        Kind → `IterationGraph`.
    reports : list of device array
        Those of `DeviceTotals` that are gone.
    updates_at_once : bool
        Whether nothing looks at the totals between the losses of an iteration and the optimizer's only kernel.
    """

    def __init__(self, model: Model, backend: Backend) -> None:
        super().__init__(model, backend)
        self.state: Any = backend.iteration_state()
        self._data = weakref.WeakKeyDictionary()  # ArraySource → [DeviceData]
        self._staging = {}  # shapes → DeviceData for batches that come from the host
        self.graphs: dict[tuple[Any, ...], IterationGraph] = {}
        self._graphs_of = None  # the store whose arrays they read
        self.reports: list[np.ndarray] = []
        self._totals = None  # weak reference to those of the last iteration
        self._counts = None  # what `DeviceTotals.count` needs to know of the last batch that was recorded
        self._outcomes = {}  # iteration → DeviceOutcome
        self.updates_at_once: bool = False
        self._shortcut = None  # the plan of the iteration that is being recorded: the others go the general way

    # ------------------------------------------------------------------------------------------------------- reports

    def take_report(self, size: int) -> np.ndarray:
        """A buffer for `DeviceTotals`; one of `reports` is used again, and with it the graphs that write it."""
        for i, report in enumerate(self.reports):
            if report.size == size:
                return self.reports.pop(i)
        return self.backend.zeros((size,), np.float64)

    def totals(self, targets: Sequence[np.ndarray]) -> DeviceTotals:
        return DeviceTotals(self, targets)

    # ---------------------------------------------------------------------------------------------------------- data

    def batches(self, source: Source, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Batch]:
        if not isinstance(source, ArraySource) or source.is_lazy or not source.targets:
            yield from source.batches(generator, first)
        elif source not in self._data and self._is_too_large(source):
            yield from self._chunks(source, generator, first)
        else:
            if source not in self._data:
                self._keep(source, [DeviceData(self.backend, source.inputs, source.targets, source.weight)])
            (data,) = self._data[source]
            samples = len(source.inputs[0])
            order = None if generator is None else data.ordered(generator.permutation(samples))
            for number in source.epoch(first):
                source.taken, start = number + 1, number * source.batch_size
                yield data.batch(start, min(source.batch_size, samples - start), order)

    def _keep(self, source, data):
        """Keep device data as long as the source; the graphs that read it go with it."""
        self._data[source] = data
        weakref.finalize(source, _forget, weakref.ref(self), [id(d) for d in data])

    def _is_too_large(self, source) -> bool:
        """Whether a data set takes more of the device's memory than it may."""
        return sum(array.nbytes for array in source.arrays) > MOST_OF_MEMORY * self.backend.free_bytes()

    def _chunks(self, source, generator, first):
        """Batches from data that does not fit: while the device works on one chunk, the next is copied there."""
        samples = len(source.inputs[0])
        order = np.arange(samples) if generator is None else generator.permutation(samples)
        numbers = source.epoch(first)
        order = order[numbers.start * source.batch_size : numbers.stop * source.batch_size]
        if len(order) == 0:
            return
        size = min(BATCHES_A_CHUNK * source.batch_size, samples)
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        slots = [first_samples(self.backend, source, size) for _ in range(2)]
        uploads = self.backend.uploads()
        uploads.start(0, slots[0], source, chunks[0])
        try:
            for index, chunk in enumerate(chunks):
                turn, other = index % 2, (index + 1) % 2
                uploads.finish(turn)
                for start in range(0, len(chunk), source.batch_size):
                    source.taken = numbers.start + 1 + index * BATCHES_A_CHUNK + start // source.batch_size
                    yield slots[turn].batch(start, min(source.batch_size, len(chunk) - start))
                if index + 1 < len(chunks):
                    uploads.start(other, slots[other], source, chunks[index + 1])
        finally:
            uploads.wait()
            self._forget({id(slot) for slot in slots})

    def _forget(self, data_ids):
        """Drop the graphs that read this data."""
        self.graphs = {key: graph for key, graph in self.graphs.items() if key[0] not in data_ids}

    def _staged(self, batch) -> DeviceBatch:
        """A batch from the host, copied into arrays that stay where they are."""
        host = [batch.pick(a) for a in (*batch.inputs, *batch.targets, batch.weight)]
        key = tuple(None if a is None else (a.shape, device_dtype(a.dtype).char) for a in host)
        data = self._staging.get(key)
        if data is None:
            count = len(batch.inputs)
            data = DeviceData(self.backend, host[:count], host[count:-1], host[-1])
            while len(self._staging) >= MAX_GRAPHS:
                self._forget({id(self._staging.pop(next(iter(self._staging))))})
            self._staging[key] = data
        else:
            for array, a in zip(data.arrays, [a for a in host if a is not None], strict=True):
                self.backend.upload(a, array)
            data.version += 1
        return data.batch(0, batch.count)

    @contextmanager
    def at_hand(self, batch: Batch) -> Iterator[DeviceBatch]:
        """Inside, the batch is on the device, and running out of memory names a batch size that may fit."""
        try:
            yield batch if isinstance(batch, DeviceBatch) else self._staged(batch)
        except MemoryError as error:  # CuPy's, or already explained
            self._plans.clear()
            self._staging.clear()
            self.graphs.clear()
            self.backend.release_memory()
            if batch.count == 1:
                raise
            raise DeviceMemoryError(
                f"model '{self.model.name}' and {batch.count} samples do not fit into the GPU's memory: try "
                f"batch_size={max(batch.count // 4, 1)}, or free what other programs and arrays hold. {error}"
            ) from error

    # --------------------------------------------------------------------------------------------------- iterations

    def launch(self, batch: DeviceBatch, bound: BoundPlan, totals: DeviceTotals) -> DeviceOutcome:
        optimizer = self.optimizer
        self._start_optimizer()
        if self._totals is None or self._totals() is not totals:
            self._totals, self._outcomes = weakref.ref(totals), {}
        iteration, learning_rate = optimizer.iterations, optimizer.current_learning_rate
        rate = optimizer.rate(learning_rate, iteration) if optimizer.is_data else 0.0
        graph = self._graph(batch, bound, totals)
        self.state.set(rate, learning_rate, iteration, batch.start, graph.preparation)
        losses, counts = graph.launch(self.backend.capture)
        totals.count(batch.count, counts, losses, bound.outputs)
        if not optimizer.is_data and self.backend.to_host(totals.report)[0] < 0:  # a rule of the user's, outside graphs
            super().update()
        optimizer.iterations = iteration + 1
        self._outcomes[iteration] = DeviceOutcome(batch)
        return self._outcomes[iteration]

    def _graph(self, batch, bound, totals) -> IterationGraph:
        """The graph of such iterations, a new one if there was none."""
        optimizer = self.optimizer
        rule = (optimizer.kernel, optimizer.numbers()) if optimizer.is_data else None
        clips = optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm
        reads = batch.data, bound, totals.report, self.optimizer_state, self.segments, batch.order
        numbers = rule, optimizer.weight_decay, clips, totals.kinds, get_float32_precision()
        key = (*(id(entry) for entry in reads), *numbers)
        graph = self.graphs.pop(key, None)
        if graph is None:
            preparation = self.backend.preparation(steady_kernels(bound))
            graph = IterationGraph(lambda: self._iterate_anywhere(batch, bound, preparation), reads, preparation)
            while len(self.graphs) >= MAX_GRAPHS:
                self.graphs.pop(next(iter(self.graphs)))
        self.graphs[key] = graph  # the last in the dict is the last used
        return graph

    def _iterate_anywhere(self, batch, bound, preparation):
        """`iterate` for whichever batch and iteration `state` is set to. Nothing waits, so that it can be captured."""
        optimizer, is_penalized = self.optimizer, bool(self._regularized())
        only_rule = not is_penalized and only_the_rule_reads_gradients(optimizer, bound)
        is_one_stretch = len(merge_segments(self.segments)) == 1
        self.updates_at_once = only_rule and is_one_stretch and not optimizer.weight_decay and not self.store.sigma.size
        self._shortcut = None if is_penalized else last_layer(bound, self.model.compiled, self.backend)
        batch = BatchForGraph(batch, self.state, self.store.dtype, loads_late(bound))
        try:
            with preparation.at_once(), self.backend.left_in_parts() if only_rule else nullcontext():
                losses = self.iterate(batch, bound, self._totals(), self.state.iteration)
        finally:
            self._shortcut = None
        return losses, self._counts

    def compute(self, batch: Batch, bound: BoundPlan, iteration: int) -> Losses:
        last = self._shortcut
        if last is None or len(batch.targets) != 1:
            return super().compute(batch, bound, iteration)
        targets, weight = batch.load(self.backend, bound.inputs)
        bound.forward(iteration, batch.first, LEFT_TO_LAST_LAYER)
        return last.losses(targets, weight)

    def record(self, losses: Losses, bound: BoundPlan, totals: DeviceTotals, sigma: np.ndarray) -> bool:
        """As in `Engine`, but nobody waits for the loss: if it is not finite, the ops that follow change nothing."""
        self._counts = totals.record(bound.count, losses, bound.outputs)
        for array, before in changed(bound, sigma):
            self.state.restore_if_bad(array, before, totals.report)
        return True

    def update(self, learning_rate: object = None, rate: object = None) -> None:
        """As in `Engine`, with numbers that are read on the device; a rule that is no op cannot do that."""
        if self.optimizer.is_data:
            super().update(self.state.learning_rate, self.state.rate(self._totals().report))

    def prepare(self, trains: bool = False) -> None:
        super().prepare(trains)
        if self._graphs_of is not self.store:  # graphs of other weights
            self._graphs_of = self.store
            self.graphs.clear()

    # -------------------------------------------------------------------------------------------------------- errors

    def look_at(self, totals: DeviceTotals, bad: int | None) -> None:
        """Totals were read: if the loss of iteration `bad` was not finite, raise `NonFiniteError` where demanded."""
        if self._totals is None or totals is not self._totals():
            return
        outcome, self._outcomes = self._outcomes.get(bad), {}
        if outcome is None:
            return
        self.optimizer.iterations = bad  # what came after it has changed nothing
        if outcome.demanded_at is not None:
            raise NonFiniteError(self._explain(outcome.batch, bad, *outcome.demanded_at))

    def _explain(self, batch, iteration, epoch, index):
        if batch.version != batch.data.version:
            return (
                f"the loss became NaN or infinite in epoch {epoch + 1}, batch {index + 1}; the weights are those "
                "before it. Its data is no longer on the GPU: train_on_batch with it names the layer"
            )
        sigma, bound = self.store.sigma.copy(), self.bound(batch, training=True)
        losses = self.compute(batch, bound, iteration)
        arrays = changed(bound, sigma)  # by this pass: a message needs further ones
        message = explain_non_finite(float(losses.total), bound, epoch, index)
        put_back(arrays)
        return message


def _forget(engine, data_ids):
    """Let an engine, if there still is one, drop the graphs that read this data."""
    if engine() is not None:
        engine()._forget(set(data_ids))
