"""The engine for a backend whose arrays live on a GPU: data goes there once, and a training step is one graph launch.

The first step of a kind runs kernel by kernel, the second one is captured as a graph, and from then on the graph runs.
Results come back when they are read: loss and metrics add up on the device, and whether a loss was not finite is found
out there too, where it stops the optimizer.
"""

import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from minicnn.backends.reference import ops as reference
from minicnn.errors import DeviceMemoryError, NonFiniteError
from minicnn.training.device_data import DeviceBatch, DeviceData, device_dtype, first_samples
from minicnn.training.device_totals import DeviceTotals
from minicnn.training.engine import Engine, explain_non_finite
from minicnn.training.sources import ArraySource, Batch

MOST_OF_MEMORY = 0.5  # of what is free: data sets up to there lie on the device


BATCHES_A_CHUNK = 64  # of data that does not


MAX_STEPS = 8  # kinds of steps that an engine keeps: data, batch size, frozen layers, …


class _Step:
    """One kind of training step: launched kernel by kernel at first, then as a graph.

    Attributes
    ----------
    reason : str or None
        Why there is no graph.
    """

    def __init__(self, body, keep):
        self._body, self._keep = body, keep  # what the graph's kernels read must not be freed
        self._captured, self._runs = None, 0
        self.reason = self.result = None

    def run(self, capture):
        """Returns what the body returned when it last ran: it describes every run."""
        self._runs += 1
        if self._runs == 2 and capture is not None:
            try:
                results = []
                self._captured = capture(lambda: results.append(self._body()))
                self.result = results[0]
            except Exception as error:  # what cannot be captured is found out by trying; a real error occurs again
                self._captured, self.reason = None, f"{type(error).__name__}: {error}"
        if self._captured is None:
            self.result = self._body()
        else:
            self._captured.run()
        return self.result


class DeviceEngine(Engine):
    """Runs one model on a GPU.

    Attributes
    ----------
    state : object
        The numbers of the current step, on the device; see `minicnn.backends.cupy.step.StepState`.
    """

    def __init__(self, model, backend):
        super().__init__(model, backend)
        self.state = backend.step_state()
        self._data = weakref.WeakKeyDictionary()  # ArraySource → [DeviceData]
        self._staging = {}  # shapes → DeviceData for batches that come from the host
        self._steps, self._steps_of = {}, None
        self._reports = []
        self._totals = None  # weak reference to those of the last step
        self._history = {}  # number of a step → [batch, place]; what is needed to explain a bad loss

    # ------------------------------------------------------------------------------------------------------- reports

    def take_report(self, size):
        """A buffer for `DeviceTotals`; one that was given back is used again, and with it the graphs that write it."""
        for i, report in enumerate(self._reports):
            if report.size == size:
                return self._reports.pop(i)
        return self.backend.zeros((size,), np.float64)

    def give_back_report(self, report) -> None:
        """Let others have it."""
        self._reports.append(report)

    def totals(self, targets):
        return DeviceTotals(self, targets)

    # ---------------------------------------------------------------------------------------------------------- data

    def batches(self, source, generator=None, first=0):
        if not isinstance(source, ArraySource):
            yield from source.batches(generator, first)
        elif source not in self._data and self._is_too_large(source):
            yield from self._chunks(source, generator, first)
        else:
            if source not in self._data:
                self._keep(source, [DeviceData(self.backend, source.inputs, source.targets, source.weight)])
            (data,) = self._data[source]
            order = None if generator is None else data.ordered(generator.permutation(len(source.inputs[0])))
            for start in range(first * source.batch_size, source.samples, source.batch_size):
                yield data.batch(start, min(source.batch_size, source.samples - start), order)

    def _keep(self, source, data):
        """Keep device data as long as the source; the graphs that read it go with it."""
        self._data[source] = data
        weakref.finalize(source, _forget, weakref.ref(self), [id(d) for d in data])

    def _is_too_large(self, source) -> bool:
        """Whether a data set takes more of the device's memory than it may."""
        arrays = [*source.inputs, *source.targets, *([] if source.weight is None else [source.weight])]
        return sum(a.nbytes for a in arrays) > MOST_OF_MEMORY * self.backend.free_bytes()

    def _chunks(self, source, generator, first):
        """Batches from data that does not fit: while the device works on one chunk, the next is copied there."""
        samples = len(source.inputs[0])
        order = (np.arange(samples) if generator is None else generator.permutation(samples))[: source.samples]
        order = order[first * source.batch_size :]
        if len(order) == 0:
            return
        size = min(BATCHES_A_CHUNK * source.batch_size, samples)
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        slots = [first_samples(self.backend, source, size) for _ in range(2)]
        uploads = self.backend.uploads()
        uploads.start(0, slots[0], source, parts[0])
        try:
            for number, part in enumerate(parts):
                slot = slots[number % 2]
                uploads.finish(number % 2)
                for start in range(0, len(part), source.batch_size):
                    yield slot.batch(start, min(source.batch_size, len(part) - start))
                if number + 1 < len(parts):
                    uploads.start((number + 1) % 2, slots[(number + 1) % 2], source, parts[number + 1])
        finally:
            uploads.wait()
            self._forget({id(slot) for slot in slots})

    def _forget(self, data_ids):
        """Drop the graphs that read this data."""
        self._steps = {key: step for key, step in self._steps.items() if key[0] not in data_ids}

    def _staged(self, batch) -> DeviceBatch:
        """A batch from the host, copied into arrays that stay where they are."""
        host = [batch.pick(a) for a in (*batch.inputs, *batch.targets, batch.weight)]
        host = [a if a is None else np.ascontiguousarray(a, device_dtype(a.dtype)) for a in host]
        key = tuple(None if a is None else (a.shape, a.dtype.char) for a in host)
        data = self._staging.get(key)
        if data is None:
            count = len(batch.inputs)
            data = DeviceData(self.backend, host[:count], host[count:-1], host[-1])
            while len(self._staging) >= MAX_STEPS:
                self._forget({id(self._staging.pop(next(iter(self._staging))))})
            self._staging[key] = data
        else:
            for array, a in zip(data.arrays, [a for a in host if a is not None], strict=True):
                array.set(a)
            data.version += 1
        return data.batch(0, batch.count)

    def _on_device(self, batch) -> DeviceBatch:
        return batch if isinstance(batch, DeviceBatch) else self._staged(batch)

    # --------------------------------------------------------------------------------------------------------- steps

    def train_batch(self, batch, totals):
        with self._explained_memory(batch.count):
            return self._train_batch(self._on_device(batch), totals)

    def _train_batch(self, batch, totals):
        model, optimizer = self.model, self.model.compiled.optimizer
        if not self.store.is_current:  # a callback has trained another model that shares layers
            self.prepare(trains=True)
        bound = self.bound(batch.count, training=True)
        if self.optimizer_state is None:
            self.optimizer_state = optimizer.create_state(self.store.theta.size, self.store.dtype, self.backend.zeros)
            optimizer.iterations, optimizer.owner = 0, weakref.ref(model)
        rule = _rule(optimizer)
        if self._totals is None or self._totals() is not totals:
            self._totals, self._history = weakref.ref(totals), {}
        step = self._step(batch, bound, totals, rule)
        number, learning_rate = optimizer.iterations, optimizer.current_learning_rate
        self.state.set(rule[1] if rule else 0.0, learning_rate, number, batch.start)
        loss, counts, targets = step.run(self.backend.capture)
        totals.count(batch.count, counts, targets, bound.outputs)
        if rule is None and self.backend.to_host(totals.report)[0] < 0:  # a rule of the user's, on host numbers
            optimizer.update(self.store.theta, self.store.grad, self.optimizer_state, self._segments, self.backend.ops)
        optimizer.iterations = number + 1
        self._history[number] = [batch, None]
        return loss, bound

    def _step(self, batch, bound, totals, rule) -> _Step:
        """The step of this kind, a new one if there was none."""
        optimizer = self.model.compiled.optimizer
        clips = optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm
        options = rule and (rule[0], rule[2]), optimizer.weight_decay, clips, totals.kinds
        parts = batch.data, bound, totals.report, self.optimizer_state, self._segments, batch.order
        key = (*(id(part) for part in parts), options)
        step = self._steps.pop(key, None)
        if step is None:
            step = _Step(lambda: self._body(batch, bound, rule), parts)
            while len(self._steps) >= MAX_STEPS:
                self._steps.pop(next(iter(self._steps)))
        self._steps[key] = step  # the last in the dict is the last used
        return step

    def _body(self, batch, bound, rule):
        """All that a step launches. Nothing here waits for the device, so that it can be captured."""
        state, store, optimizer = self.state, self.store, self.model.compiled.optimizer
        totals = self._totals()
        before, iterations = store.sigma.copy(), optimizer.iterations
        for source, array in zip(batch.inputs, bound.inputs, strict=True):
            state.load(source, batch.order, array)
        targets = [self._picked(target, batch, store.dtype) for target in batch.targets]
        weight = None if batch.weight is None else self._picked(batch.weight, batch, np.dtype(np.float64))
        bound.forward(state.step)
        loss, parts, targets = self.losses(bound, Batch([], targets, weight, None, batch.count), with_gradients=True)
        counts = totals.record(batch.count, loss, parts, targets, bound.outputs)
        self.gradients(bound)
        if rule is not None:
            kernels = state.kernels(self.backend.ops, totals.report)
            optimizer.update(
                store.theta, store.grad, self.optimizer_state, self._segments, kernels, state.learning_rate
            )
            optimizer.iterations = iterations
        state.restore_if_bad(store.sigma, before, totals.report)
        return loss, counts, targets

    def _picked(self, array, batch, dtype):
        """The batch's samples of targets or weights; class numbers stay what they are, the rest is cast."""
        dtype = array.dtype if array.dtype == np.int64 else dtype
        out = self.backend.empty((batch.count, *array.shape[1:]), dtype)
        self.state.load(array, batch.order, out)
        return out

    def evaluate_batch(self, batch, totals):
        with self._explained_memory(batch.count):
            super().evaluate_batch(self._on_device(batch), totals)

    def predict_batch(self, batch, training=False):
        with self._explained_memory(batch.count):
            return super().predict_batch(self._on_device(batch), training)

    def weight_gradients(self, batch):
        with self._explained_memory(batch.count):
            return super().weight_gradients(self._on_device(batch))

    def prepare(self, trains=False):
        super().prepare(trains)
        if self._steps_of is not self.store:  # graphs of other weights
            self._steps_of = self.store
            self._steps.clear()

    # -------------------------------------------------------------------------------------------------------- errors

    def check_finite(self, loss, bound, epoch, batch):
        """Ask for an error if the loss was not finite; it is raised when the totals are next read."""
        self._history[next(reversed(self._history))][1] = (epoch, batch)

    def look_at(self, totals, bad) -> None:
        """Totals were read: if the loss of step `bad` was not finite, raise `NonFiniteError` where it was asked for."""
        if self._totals is None or totals is not self._totals():
            return
        batch, place = self._history.get(bad, (None, None))
        self._history = {}
        if batch is not None:
            self.model.compiled.optimizer.iterations = bad  # what came after it has changed nothing
        if place is not None:
            raise NonFiniteError(self._explain(batch, bad, *place))

    def _explain(self, batch, number, epoch, place):
        if batch.version != batch.data.version:
            return (
                f"the loss became NaN or infinite in epoch {epoch + 1}, batch {place + 1}; the weights are those "
                "before it. Its data is no longer on the GPU: train_on_batch with it names the layer"
            )
        before, bound = self.store.sigma.copy(), self.bound(batch.count, training=True)
        self.state.set(0.0, 0.0, number, batch.start)
        for source, array in zip(batch.inputs, bound.inputs, strict=True):
            self.state.load(source, batch.order, array)
        bound.forward(self.state.step)
        loss, _, _ = self.losses(bound, batch, with_gradients=False)
        message = explain_non_finite(float(loss), bound, epoch, place)
        self.store.sigma[...] = before
        return message

    @contextmanager
    def _explained_memory(self, count):
        """Inside, running out of memory raises `DeviceMemoryError` with a batch size that may fit."""
        try:
            yield
        except MemoryError as error:  # CuPy's, or already explained
            self._plans.clear()
            self._staging.clear()
            self._steps.clear()
            self.backend.release_memory()
            if count == 1:
                raise
            raise DeviceMemoryError(
                f"model '{self.model.name}' and {count} samples do not fit into the GPU's memory: try "
                f"batch_size={max(count // 4, 1)}, or free what other programs and arrays hold. {error}"
            ) from error


def _rule(optimizer):
    """(name of the kernel, its rate now, its other numbers) of an optimizer; None if it computes by itself."""
    calls = []
    recorder = SimpleNamespace(
        **{name: lambda *a, name=name: calls.append((name, a)) for name in vars(reference) if name.endswith("_update")}
    )
    try:
        optimizer.apply(recorder, None, None, [None] * len(optimizer.slots), optimizer.current_learning_rate)
    except (TypeError, AttributeError):  # it works on the arrays, which are not there
        return None
    if len(calls) != 1:
        return None
    ((name, arguments),) = calls
    numbers = [a for a in arguments if a is not None]
    return name, numbers[0], tuple(numbers[1:])


def _forget(engine, data_ids):
    """Let an engine, if there still is one, drop the graphs that read this data."""
    if engine() is not None:
        engine()._forget(set(data_ids))
