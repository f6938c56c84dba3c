"""Iterations of the training as CUDA graphs: the numbers that change lie in buffers on the device."""

import contextlib
import weakref
from collections.abc import Callable
from typing import NamedTuple

import cupy
import numpy as np

from minicnn.backends.cupy.gather import Gather, gather_rows, gathers
from minicnn.backends.cupy.launch import THREADS, launch, launch_over
from minicnn.backends.cupy.prepared_weights import Preparation

FLOAT32 = np.dtype(np.float32)  # of kernels whose code does not depend on the model's dtype


class RowTotals(NamedTuple):
    """What the optimizer's kernel adds to the totals, and looks at: the last arguments of ``optimize_parts``.

    Attributes
    ----------
    loss : (N,)
        Each row's, weighted.
    hit : (N,) uint8
        Whether a row was right.
    rows, hits_at : int32
        Number of rows; where the hits are counted in the report, 0 for nowhere.
    iteration : device array of one int64
    """

    loss: cupy.ndarray
    hit: cupy.ndarray
    rows: np.int32
    hits_at: np.int32
    iteration: cupy.ndarray


class DeviceNumber:
    """A number that kernels read when they run.

    Attributes
    ----------
    at : device array of one element
    bad : device array or None
        For a rate: where the first iteration whose loss was not finite is noted; from then on nothing changes.
    """

    def __init__(self, at: cupy.ndarray, bad: cupy.ndarray | None = None, totals: RowTotals | None = None) -> None:
        self.at: cupy.ndarray = at
        self.bad: cupy.ndarray | None = bad
        self._totals = totals

    def take_totals(self) -> RowTotals | None:
        """For a rate: what is to be added to the totals, the first time that this is asked."""
        totals, self._totals = self._totals, None
        return totals

    def __int__(self) -> int:
        """Its value now, for which the device is waited for; while a graph is captured, an error."""
        return int(self.at.get()[0])


class IterationState:
    """The numbers of the current iteration.

    Attributes
    ----------
    iteration : DeviceNumber
        For random masks.
    start : device array of one int64
        Where the batch starts in the order of the samples.
    learning_rate : 0-d device array
    """

    def __init__(self) -> None:
        self._rates, self._counters = cupy.zeros(2, np.float64), cupy.zeros(2, np.int64)
        self.iteration: DeviceNumber = DeviceNumber(self._counters[:1].view(np.uint64))
        self.start: cupy.ndarray = self._counters[1:]
        self.learning_rate: cupy.ndarray = self._rates[1]
        self._waiting = None  # RowTotals that the optimizer's kernel will add

    def rate(self, report: cupy.ndarray) -> DeviceNumber:
        """What the optimizer's op multiplies with, until `report` names a bad loss."""
        totals, self._waiting = self._waiting, None
        return DeviceNumber(self._rates[:1], report, totals)

    def set(self, rate: float, learning_rate: float, iteration: int, start: int, preparation: Preparation) -> None:
        """Set the numbers for the kernels that are launched from now on, and prepare weights; nothing waits for that.

        Parameters
        ----------
        rate : float
            What the optimizer's op multiplies with, see `minicnn.optimizers.Optimizer.rate`.
        learning_rate : float
        iteration, start : int
        preparation : Preparation
            Of this kind of iteration.
        """
        numbers = np.float64(rate), np.float64(learning_rate), np.int64(iteration), np.int64(start)
        arguments = self._rates, self._counters, *numbers
        if not preparation.begin(*arguments):
            launch("graph", "set_iteration", FLOAT32, (1,), 1, *arguments)

    def load(self, source: cupy.ndarray, order: cupy.ndarray | None, out: cupy.ndarray, is_late: bool = False) -> None:
        """out = the samples ``order[start:]`` (None: ``start:``) of `source`, cast.

        With `is_late` it may happen when an op first reads what is loaded: a convolution, before anything else runs.
        """
        if is_late:
            gathers.put_off(Gather(source, order, self.start, out))
        else:
            gather_rows(source, order, self.start, out)

    def record_rows(
        self, loss: cupy.ndarray, hit: cupy.ndarray, hits_at: int, report: cupy.ndarray, is_late: bool
    ) -> None:
        """report[1] += the sum of `loss`, report[hits_at] += that of `hit`; report[0] as in `record_loss`.

        Parameters
        ----------
        loss : (N,)
        hit : (N,) uint8
        hits_at : int
            0: nowhere.
        report : device array
        is_late : bool
            Whether the optimizer's kernel may do it, which is told by `rate`: it looks at the losses too, before it
            changes anything.
        """
        self._waiting = RowTotals(loss, hit, np.int32(len(loss)), np.int32(hits_at), self._counters[:1])
        if not is_late:
            arguments = *self._waiting, self._rates, report
            launch("optimizers", "record_rows", loss.dtype, (1,), THREADS, *arguments)
            self._waiting = None

    def record_loss(self, loss: float | cupy.ndarray, report: cupy.ndarray, count: int) -> None:
        """report[1] += loss · count; report[0] becomes the iteration if it is the first with a bad loss."""
        is_on_device = isinstance(loss, cupy.ndarray)
        loss = loss.astype(np.float64, copy=False) if is_on_device else cupy.full((), loss, np.float64)
        arguments = loss, report, np.float64(count), self._rates, self._counters
        launch("graph", "record_loss", FLOAT32, (1,), 1, *arguments)

    def restore_if_bad(self, target: cupy.ndarray, source: cupy.ndarray, report: cupy.ndarray) -> None:
        """target = source if a loss was not finite."""
        arguments = target, source, np.int64(target.size), report
        launch_over(target.size, "graph", "restore_if_bad", target.dtype, *arguments)


class CapturedGraph:
    """A graph, and the memory of its temporary arrays, which nothing else may use."""

    def __init__(self, body: Callable[[], object]) -> None:
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

    def launch(self) -> None:
        """Launch it; nothing waits for that."""
        self._graph.launch()


_retired = []  # (device, memory pool) of graphs that are gone; arrays that an iteration returned may still lie there


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
