"""Data that lies on a GPU, and the batches that are taken from it."""

from dataclasses import dataclass

import numpy as np

from minicnn.training.sources import Batch


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

    data: object = None
    order: object = None
    start: int = 0
    version: int = 0

    def load_inputs(self, backend, arrays):
        for source, array in zip(self.inputs, arrays, strict=True):
            backend.load(array, self.pick(source))

    def pick(self, array):
        part = slice(self.start, self.start + self.count)
        return array if array is None else array[part if self.order is None else self.order[part]]


class DeviceData:
    """Arrays on the device that batches are taken from.

    Attributes
    ----------
    inputs, targets : list of device array
    weight : device array or None
    version : int
        Counts how often the contents were replaced.
    """

    def __init__(self, backend, inputs, targets, weight):
        self._backend, self._order = backend, None
        self.inputs, self.targets = ([_upload(backend, a) for a in arrays] for arrays in (inputs, targets))
        self.weight = None if weight is None else _upload(backend, weight)
        self.version = 0

    @property
    def arrays(self):
        return [*self.inputs, *self.targets, *([] if self.weight is None else [self.weight])]

    def ordered(self, order):
        """The device array that holds `order`: always the same one, which graphs read."""
        if self._order is None:
            self._order = self._backend.empty(order.shape, np.int64)
        self._order.set(order)
        return self._order

    def batch(self, start, count, order=None) -> DeviceBatch:
        """`count` samples from `start` on."""
        return DeviceBatch(self.inputs, self.targets, self.weight, None, count, self, order, start, self.version)


def _upload(backend, array):
    return backend.asarray(array, device_dtype(array.dtype))


def device_dtype(dtype):
    """The dtype in which an array is kept on the device: its own, if kernels read it."""
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype.newbyteorder("=")


def first_samples(backend, source, size):
    """Device data for `size` samples of a source; contents are replaced later."""
    first = [[a[:size] for a in arrays] for arrays in (source.inputs, source.targets)]
    return DeviceData(backend, *first, None if source.weight is None else source.weight[:size])
