"""The cupy backend: CuPy arrays on one device, and the kernels of this package."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import cupy
import numpy as np
from numpy.typing import DTypeLike

from minicnn.backends import cupy as package
from minicnn.backends.base import Backend, Shape
from minicnn.backends.cupy import devices
from minicnn.backends.cupy.dense import dense_classes, serves_classes
from minicnn.backends.cupy.gradient_parts import added_at_once, left_in_parts
from minicnn.backends.cupy.graph import CapturedGraph, IterationState, free_retired
from minicnn.backends.cupy.left_moments import with_moments
from minicnn.backends.cupy.left_sums import with_gradient_sums
from minicnn.backends.cupy.normalization import left_addition, with_addition
from minicnn.backends.cupy.prepared_weights import Preparation
from minicnn.backends.cupy.tensor_cores import OF_FACTORS, in_products
from minicnn.backends.cupy.tensor_gradient import kernel_gradients_wait, together
from minicnn.backends.cupy.uploads import PinnedCopies, Uploads

ON_TENSOR_CORES = "conv2d", "conv2d_backward", "conv2d_pool", "conv2d_pool_backward", "dense", "dense_backward"


class CupyBackend(Backend):
    """Kernels for one CUDA device; plans fuse steps for it.

    Parameters
    ----------
    index : int
        Number of the device.

    Attributes
    ----------
    rounding_ops : dict
        "bfloat16" or "float16" → `ops`, for layers whose factors are rounded to that.

    Raises
    ------
    BackendError
        If it cannot be used; says why.
    """

    xp: ModuleType = cupy
    on_device: bool = True

    def __init__(self, index: int = 0) -> None:
        super().__init__("cupy" if index == 0 else f"cupy:{index}", package, fuses=True)
        devices.check(index)
        self.rounding_ops: dict[str, SimpleNamespace] = {}
        for dtype, count in OF_FACTORS.items():
            own = {name: in_products(op, count) for name, op in vars(self.ops).items() if name in ON_TENSOR_CORES}
            self.rounding_ops[dtype] = SimpleNamespace(**vars(self.ops) | own)
        self.device: cupy.cuda.Device = cupy.cuda.Device(index)
        self._pinned = PinnedCopies()

    def empty(self, shape: Shape, dtype: DTypeLike) -> cupy.ndarray:
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        with self.device, devices.explained_memory(math.prod(shape) * np.dtype(dtype).itemsize):
            return cupy.empty(shape, dtype)

    def zeros(self, shape: Shape, dtype: DTypeLike) -> cupy.ndarray:
        array = self.empty(shape, dtype)
        with self.device:
            array.fill(0)
        return array

    def asarray(self, array: np.ndarray | cupy.ndarray, dtype: DTypeLike | None = None) -> cupy.ndarray:
        dtype = np.dtype(dtype or array.dtype)
        if isinstance(array, cupy.ndarray):
            with self.device:
                return array.astype(dtype)
        host = np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(np.shape(array))
        copy = self.empty(host.shape, host.dtype)
        with self.device:
            copy.set(host)
        return copy

    def to_host(self, array: cupy.ndarray) -> np.ndarray:
        with self.device:
            return array.get()

    def load(self, array: cupy.ndarray, source: np.ndarray | cupy.ndarray) -> None:
        with self.device:
            array[...] = source if isinstance(source, cupy.ndarray) else self.asarray(source, array.dtype)

    def release_memory(self) -> None:
        """Give back what graphs held that are gone."""
        free_retired()

    def free_bytes(self) -> int:
        """Memory that new arrays can have."""
        with self.device:
            self.release_memory()
            return devices.free_bytes()

    def iteration_state(self) -> IterationState:
        """New buffers for the numbers of an iteration."""
        with self.device:
            return IterationState()

    capture, preparation = CapturedGraph, Preparation
    left_in_parts, added_at_once = staticmethod(left_in_parts), staticmethod(added_at_once)
    serves_classes, dense_classes = staticmethod(serves_classes), staticmethod(dense_classes)
    left_addition, with_addition = staticmethod(left_addition), staticmethod(with_addition)
    kernel_gradients_wait, together = staticmethod(kernel_gradients_wait), staticmethod(together)
    with_moments, with_gradient_sums = staticmethod(with_moments), staticmethod(with_gradient_sums)

    def upload(self, array: np.ndarray, out: cupy.ndarray) -> None:
        """out = array, of the host, for what is launched from now on; nothing waits for that."""
        with self.device:
            self._pinned.copy(array, out)

    def uploads(self) -> Uploads:
        """What copies data to the device while it computes."""
        return Uploads()

    @contextmanager
    def use_threads(self, count: int) -> Iterator[None]:
        """Inside, the device is the current one. Threads of the processor have nothing to do with it."""
        with self.device:
            yield

    def describe(self) -> str:
        with self.device:
            return devices.describe()
