"""Data that lies on a GPU, and the batches that are taken from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.backends.base import Backend
from minicnn.training.batches import Batch
from minicnn.training.sources import ArraySource


@dataclass
class DeviceBatch(Batch):
    """Samples of arrays on the device: those numbered ``order[start : start + count]``; without an order, ``start``, …

    Attributes
    ----------
    data : DeviceData
    order : device array of int64, or None
    start, version : int
        `version` is that of `data` when the batch was made: later, other samples may lie there.
    """

    data: DeviceData = None
    order: np.ndarray | None = None
    start: int = 0
    version: int = 0

    def load(self, backend: Backend, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray | None]:
        for source, array in zip(self.inputs, arrays, strict=True):
            backend.load(array, self.pick(source))
        return [self.pick(target) for target in self.targets], self.pick(self.weight)

    def pick(self, array: np.ndarray | None) -> np.ndarray | None:
        samples = slice(self.start, self.start + self.count)
        return array if array is None else array[samples if self.order is None else self.order[samples]]


class BatchForGraph(Batch):
    """A `DeviceBatch` for a graph that is launched for others too: kernels read on the device where the batch starts.

    Parameters
    ----------
    batch : DeviceBatch
    state : object
        The numbers of the current iteration, see `minicnn.backends.cupy.graph.IterationState`.
    dtype : numpy dtype
        What targets are cast to; class numbers stay what they are.
    is_late : bool
        Whether the op that reads the input first may load the samples, see `IterationState.load`.
    """

    def __init__(self, batch: DeviceBatch, state: Any, dtype: np.dtype, is_late: bool = False) -> None:
        super().__init__(batch.inputs, batch.targets, batch.weight, None, batch.count)
        self._order, self._state, self._dtype, self._is_late = batch.order, state, dtype, is_late

    def load(self, backend: Backend, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray | None]:
        for source, array in zip(self.inputs, arrays, strict=True):
            self._state.load(source, self._order, array, self._is_late)
        dtypes = [target.dtype if target.dtype == np.int64 else self._dtype for target in self.targets]
        targets = [self._picked(backend, *pair) for pair in zip(self.targets, dtypes, strict=True)]
        return targets, None if self.weight is None else self._picked(backend, self.weight, np.float64)

    def _picked(self, backend, array, dtype):
        out = backend.empty((self.count, *array.shape[1:]), dtype)
        self._state.load(array, self._order, out, self._is_late)
        return out


class DeviceData:
    """Arrays on the device that batches are taken from.

    Attributes
    ----------
    inputs, targets : list of device array
    weight : device array or None
    version : int
        Counts how often the contents were replaced.
    """

    def __init__(
        self,
        backend: Backend,
        inputs: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        weight: np.ndarray | None,
    ) -> None:
        self._backend, self._order = backend, None
        self.inputs: list[np.ndarray] = [_upload(backend, array) for array in inputs]
        self.targets: list[np.ndarray] = [_upload(backend, array) for array in targets]
        self.weight: np.ndarray | None = None if weight is None else _upload(backend, weight)
        self.version: int = 0

    @property
    def arrays(self) -> list[np.ndarray]:
        """All there are: inputs, targets, and weights if there are any."""
        return [*self.inputs, *self.targets, *([] if self.weight is None else [self.weight])]

    def ordered(self, order: np.ndarray) -> np.ndarray:
        """The device array that holds `order`: always the same one, which graphs read."""
        if self._order is None:
            self._order = self._backend.empty(order.shape, np.int64)
        self._backend.upload(order, self._order)
        return self._order

    def batch(self, start: int, count: int, order: np.ndarray | None = None) -> DeviceBatch:
        """`count` samples from `start` on."""
        shared = self.inputs, self.targets, self.weight, None
        return DeviceBatch(*shared, count, data=self, order=order, start=start, version=self.version)


def _upload(backend, array):
    copy = backend.empty(array.shape, device_dtype(array.dtype))
    backend.upload(array, copy)
    return copy


def device_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype in which an array is kept on the device: its own, if kernels read it."""
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype.newbyteorder("=")


def first_samples(backend: Backend, source: ArraySource, size: int) -> DeviceData:
    """Device data for `size` samples of a source; contents are replaced later."""
    first = [[a[:size] for a in arrays] for arrays in (source.inputs, source.targets)]
    return DeviceData(backend, *first, None if source.weight is None else source.weight[:size])
