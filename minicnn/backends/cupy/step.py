"""Training steps as CUDA graphs: the numbers that change from step to step lie in buffers on the device."""

import contextlib
import weakref
from types import SimpleNamespace

import cupy
import numpy as np

from minicnn.backends.cupy.gather import gather_rows
from minicnn.backends.cupy.launch import launch, launch_over

FLOAT32 = np.dtype(np.float32)  # of kernels whose code does not depend on the model's dtype


class DeviceNumber:
    """A number that kernels read when they run.

    Attributes
    ----------
    at : device array of one element
    bad : device array or None
        For a rate: where the number of the first step whose loss was not finite lies; from then on nothing changes.
    """

    def __init__(self, at, bad=None):
        self.at, self.bad = at, bad


class StepState:
    """The numbers of the current step.

    Attributes
    ----------
    step : DeviceNumber
        For random masks.
    start : device array of one int64
        Where the batch starts in the order of the samples.
    learning_rate : 0-d device array
    """

    def __init__(self):
        self._rates, self._counters = cupy.zeros(2, np.float64), cupy.zeros(2, np.int64)
        self.step = DeviceNumber(self._counters[:1].view(np.uint64))
        self.start = self._counters[1:]
        self.learning_rate = self._rates[1]

    def set(self, rate, learning_rate, step, start) -> None:
        """Set the numbers for the kernels that are launched from now on; nothing waits for that.

        Parameters
        ----------
        rate : float
            What the optimizer's kernel multiplies with: the learning rate, for Adam with its corrections.
        learning_rate : float
        step, start : int
        """
        numbers = np.float64(rate), np.float64(learning_rate), np.int64(step), np.int64(start)
        launch("graph", "set_iteration", FLOAT32, (1,), 1, self._rates, self._counters, *numbers)

    def load(self, source, order, out) -> None:
        """out = the samples ``order[start:]`` (None: ``start:``) of `source`, cast."""
        gather_rows(source, order, self.start, out)

    def record_loss(self, loss, report, count) -> None:
        """report[1] += loss · count; report[0] becomes the step's number if it is the first with a bad loss."""
        is_on_device = isinstance(loss, cupy.ndarray)
        loss = loss.astype(np.float64, copy=False) if is_on_device else cupy.full((), loss, np.float64)
        arguments = loss, report, np.float64(count), self._rates, self._counters
        launch("graph", "record_loss", FLOAT32, (1,), 1, *arguments)

    def restore_if_bad(self, target, source, report) -> None:
        """target = source if a loss was not finite."""
        arguments = target, source, np.int64(target.size), report
        launch_over(target.size, "graph", "restore_if_bad", target.dtype, *arguments)

    def kernels(self, kernels, report):
        """`kernels`, with optimizer kernels that read the rate from the device and stop after a bad loss."""
        rate = DeviceNumber(self._rates[:1], report)

        def reading_rate(update):
            def call(*arguments):
                vectors = [a for a in arguments if a is None or (isinstance(a, cupy.ndarray) and a.ndim)]
                update(*vectors, rate, *arguments[len(vectors) + 1 :])

            return call

        mine = {name: reading_rate(call) for name, call in vars(kernels).items() if name.endswith("_update")}
        return SimpleNamespace(**(vars(kernels) | mine))


class CapturedStep:
    """A graph, and the memory of its temporary arrays, which nothing else may use."""

    def __init__(self, body):
        """Record what `body` launches; it does not run.

        Raises
        ------
        Exception
            Whatever `body` does that cannot be captured: waiting for a result, copying from the host, cuBLAS.
        """
        free_retired()
        cupy.get_default_memory_pool().free_all_blocks()  # what launching kernel by kernel has left behind
        self._pool = cupy.cuda.MemoryPool()
        weakref.finalize(self, _retired.append, (cupy.cuda.Device(), self._pool))
        stream = cupy.cuda.Stream(non_blocking=True)
        with cupy.cuda.using_allocator(self._pool.malloc), stream:
            stream.begin_capture()
            try:
                body()
            except BaseException:
                _abandon(stream)
                raise
            self._graph = stream.end_capture()

    def run(self) -> None:
        """Launch the graph; nothing waits for it."""
        self._graph.launch()


_retired = []  # (device, memory pool) of graphs that are gone; arrays that a step returned may still lie there


def free_retired() -> None:
    """Give the memory of graphs that are gone back: from CuPy 14.1 on, a pool that is dropped keeps its free blocks."""
    for entry in list(_retired):
        device, pool = entry
        with device:
            pool.free_all_blocks()
            if not pool.total_bytes():
                _retired.remove(entry)


def _abandon(stream):
    """End a capture that has failed; CUDA may report the failure once more."""
    with contextlib.suppress(Exception):
        stream.end_capture()


class Uploads:
    """Copies from the host that run beside the kernels: two sets of pinned buffers, one stream."""

    def __init__(self):
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._buffers, self._copied = {}, {}
        self._free = cupy.cuda.get_current_stream().record()  # when the device has done with the other set's arrays

    def start(self, number, data, source, indices) -> None:
        """Start copying the samples `indices` of a source into `data`.

        Parameters
        ----------
        number : {0, 1}
            Which set of buffers; the sets take turns.
        """
        if number in self._copied:
            self._copied[number].synchronize()  # the buffers may be filled again
        arrays = [*source.inputs, *source.targets, *([] if source.weight is None else [source.weight])]
        pairs = []
        for i, (host, array) in enumerate(zip(arrays, data.arrays, strict=True)):
            buffer = self._buffer((number, i), array)[: len(indices)]
            buffer[...] = host[indices]
            pairs.append((array[: len(indices)], buffer))
        self._stream.wait_event(self._free)
        for array, buffer in pairs:
            array.set(buffer, stream=self._stream)
        self._copied[number] = self._stream.record()
        data.version += 1

    def finish(self, number) -> None:
        """Kernels that are launched from now on read what was copied."""
        current = cupy.cuda.get_current_stream()
        self._free = current.record()  # all kernels that read the other set are launched
        current.wait_event(self._copied[number])

    def wait(self) -> None:
        """Wait for the copies that are on their way; what they write may be freed then."""
        self._stream.synchronize()

    def _buffer(self, key, like):
        """The host array for a key, in memory that the device reads by itself."""
        if key not in self._buffers:
            memory = cupy.cuda.alloc_pinned_memory(max(like.nbytes, 1))
            self._buffers[key] = np.frombuffer(memory, like.dtype, like.size).reshape(like.shape)
        return self._buffers[key]
