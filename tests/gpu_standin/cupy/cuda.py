"""Devices, streams and graphs of the stand-in."""

import contextlib
import time

import numpy as np

from cupy import _blas as cublas  # noqa: F401
from cupy import _core
from cupy import _nvrtc as nvrtc  # noqa: F401
from cupy._core import OutOfMemoryError
from cupy._core import device as _state


class runtime:
    """The calls of the CUDA runtime that minicnn uses."""

    class CUDARuntimeError(RuntimeError):
        """An error of the runtime."""

    devices = 1

    @classmethod
    def getDeviceCount(cls):
        if cls.devices == 0:
            raise cls.CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return cls.devices

    @staticmethod
    def getDeviceProperties(device):
        numbers = {"major": 8, "minor": 0, "multiProcessorCount": 1, "sharedMemPerBlockOptin": _state.shared_memory}
        return {"name": b"stand-in on the processor"} | numbers

    @staticmethod
    def runtimeGetVersion():
        return 13000

    @staticmethod
    def driverGetVersion():
        return 13000

    @staticmethod
    def deviceSynchronize():
        _core.forbid_while_capturing("synchronous API calls")


class memory:
    """`cupy.cuda.memory`."""

    OutOfMemoryError = OutOfMemoryError


class device_module:
    """`cupy.cuda.device`."""

    @staticmethod
    def get_cublas_handle():
        return 1


class Device:
    """The one device."""

    def __init__(self, device=0):
        self.id = 0 if device is None else int(device)

    compute_capability = "80"  # tensor cores, as in an A100

    @property
    def mem_info(self):
        return _state.limit - _state.used, _state.limit

    def use(self):
        if not 0 <= self.id < runtime.devices:
            raise runtime.CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def synchronize(self):
        runtime.deviceSynchronize()

    def __enter__(self):
        self.use()
        return self

    def __exit__(self, *exception):
        pass


class MemoryPool:
    """Memory is never kept here, so a pool only has to be there."""

    def malloc(self, size):
        raise NotImplementedError

    def free_all_blocks(self, stream=None):
        pass

    def free_bytes(self):
        return 0

    def total_bytes(self):
        return 0


default_pool = MemoryPool()


@contextlib.contextmanager
def using_allocator(allocator=None):
    yield


class Graph:
    """Recorded operations; made by `Stream.end_capture`."""

    def __init__(self, operations, memory):
        self._operations, self._memory = operations, memory

    def launch(self, stream=None):
        _core.forbid_while_capturing("graph launches")
        _state.graphs += 1
        _state.nodes += len(self._operations)
        with np.errstate(all="ignore"):
            for operation in self._operations:
                operation()

    def upload(self, stream=None):
        pass


class Stream:
    """Work happens at once, so streams only matter for capturing."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=0):
        self.ptr = 0 if null else id(self)

    def begin_capture(self, mode=None):
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if get_current_stream() is not self:
            raise RuntimeError("the stand-in captures the current stream only")
        _state.recording, _state.kept = [], []

    def end_capture(self):
        operations, _state.recording = _state.recording, None
        memory, _state.kept = _state.kept, []
        return Graph(operations, memory)

    def is_capturing(self):
        return _state.recording is not None and get_current_stream() is self

    def synchronize(self):
        runtime.deviceSynchronize()

    def wait_event(self, event):
        pass

    def record(self, event=None):
        return event or Event()

    def __enter__(self):
        _streams.append(self)
        return self

    def __exit__(self, *exception):
        _streams.pop()


class Event:
    """A point in a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.time = None

    def record(self, stream=None):
        self.time = time.perf_counter()

    def synchronize(self):
        runtime.deviceSynchronize()


Stream.null = Stream(null=True)
_streams = [Stream.null]


def get_current_stream(device_id=-1):
    return _streams[-1]


def get_elapsed_time(start_event, end_event):
    return 1000 * (end_event.time - start_event.time)


def alloc_pinned_memory(size):
    return memoryview(bytearray(size))


device = device_module
