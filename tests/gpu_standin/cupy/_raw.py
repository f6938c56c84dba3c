"""Kernels from source, with the checks of a launch."""

import ctypes
import json
from pathlib import Path

import numpy as np

from cupy import _core
from cupy._compile import TYPES, compile_source


class RawModule:
    """The kernels of a source, or of a file that `cupy.cuda.nvrtc` of the stand-in made."""

    def __init__(self, *, code=None, path=None, options=(), backend="nvrtc", name_expressions=None):
        if path is not None and code is None and options == ():
            code, options = json.loads(Path(path).read_bytes())
            options = tuple(options)
        if not isinstance(code, str) or not isinstance(options, tuple) or backend != "nvrtc":
            raise TypeError("the stand-in takes path=str, or code=str, options=tuple, backend='nvrtc'")
        self.code, self.options = code, options

    def get_function(self, name):
        kernels = compile_source(self.code, self.options)
        if name not in kernels:
            raise _core.StandInError(f"cudaErrorSymbolNotFound: no kernel {name}")
        return RawKernel(kernels[name])


class RawKernel:
    """One kernel; real CuPy checks no types, here a wrong one is an error."""

    def __init__(self, kernel):
        self._kernel = kernel
        self.name = kernel.name
        self.max_dynamic_shared_size_bytes = 49152  # as on a device, until it is set
        self.preferred_shared_memory_carveout = -1

    def __call__(self, grid, block, args, *, shared_mem=0):
        kernel = self._kernel
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block are tuples")
        dims = [int(n) for n in (*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3])]
        threads = dims[3] * dims[4] * dims[5]
        if not 0 < threads <= kernel.max_threads or dims[5] > 64:
            raise _core.StandInError(
                f"CUDA_ERROR_INVALID_VALUE: {kernel.name} takes up to {kernel.max_threads} threads a block, got {block}"
            )
        if not (0 < dims[0] < 2**31 and 0 < dims[1] < 65536 and 0 < dims[2] < 65536):
            raise _core.StandInError(f"CUDA_ERROR_INVALID_VALUE: {kernel.name} on a grid of {grid}")
        if not 0 <= shared_mem <= self.max_dynamic_shared_size_bytes <= _core.device.shared_memory:
            raise _core.StandInError(
                f"CUDA_ERROR_INVALID_VALUE: {kernel.name} with {shared_mem} bytes of shared memory"
            )
        if len(args) != len(kernel.parameters):
            raise TypeError(f"{kernel.name} has {len(kernel.parameters)} parameters, got {len(args)}")
        values = [_value(kernel.name, a, *p) for a, p in zip(args, kernel.parameters, strict=True)]
        pointers = (ctypes.c_void_p * len(values))(*[v.ctypes.data for v in values])
        dims = (ctypes.c_uint * 7)(*dims, shared_mem)
        _core.device.launches += 1
        # The arrays' memory stays alive as long as the operation: a graph of the device would not do that.
        _core.execute(lambda entry=kernel.entry, keep=(values, args): entry(dims, pointers))


def _value(kernel, argument, kind, is_pointer):
    """The bytes of an argument, as an array of one element."""
    if is_pointer:
        if argument is None:
            return np.zeros(1, np.uint64)
        if not isinstance(argument, _core.ndarray):
            raise TypeError(f"{kernel}: a pointer takes a device array, got {type(argument)}")
        if argument.dtype != TYPES[kind] and not (kind == "unsigned char" and argument.dtype == bool):
            raise TypeError(f"{kernel}: expected an array of {kind}, got {argument.dtype}")
        if not argument.flags.c_contiguous:
            raise TypeError(f"{kernel}: the array is not contiguous")
        return np.array([argument.data.ptr], np.uint64)
    if isinstance(argument, np.ndarray):
        if argument.size != 1:
            raise TypeError(f"{kernel}: an array of {argument.size} host elements cannot be passed by value")
        if kind in TYPES:
            raise TypeError(f"{kernel}: expected {kind}, got a host array")
        return argument
    if not isinstance(argument, np.generic) or kind not in TYPES or argument.dtype != TYPES[kind]:
        raise TypeError(f"{kernel}: expected {kind}, got {type(argument)}")
    return np.array([argument])
