"""Launching the kernels of the ``.cu`` files, which are compiled when they are first used.

CuPy compiles with NVRTC and keeps the machine code on disk, in ``~/.cupy/kernel_cache`` (``CUPY_CACHE_DIR``); but for
Hopper alone `minicnn.backends.cupy.cubins` does so.
"""

import re
from functools import cache
from typing import Any

import cupy
import numpy as np

from minicnn.backends.cupy import cubins, structures
from minicnn.backends.cupy.sources import ARCHITECTURES, options, source
from minicnn.compile_time import waiting_for_kernels

Array = cupy.ndarray
Maybe = cupy.ndarray | None  # there is none, or nobody wants to have it computed

THREADS = 256  # of a block of an elementwise kernel
ALWAYS_SHARED = 49152  # bytes of shared memory that a kernel need not ask for
MOST_STATIC = 64  # bytes of it that the text of a kernel with dynamic shared memory declares, at most; they count, too
MOST_BLOCKS = 1 << 16  # each thread then takes several elements


@cache
def _module(file, dtype, block):
    if file in ARCHITECTURES:
        return cupy.RawModule(path=str(cubins.cubin(source(file), options(dtype, block), ARCHITECTURES[file])))
    return cupy.RawModule(code=source(file), options=options(dtype, block), backend="nvrtc")


@cache
def kernel(file: str, name: str, dtype: np.dtype) -> cupy.RawKernel:
    """The kernel of that name in ``file.cu``, for float32 or float64; `file` may name a size: ``file/5x5x2``."""
    file, _, size = file.partition("/")
    block = re.search(r"_(\d+x\d+)_", name)
    with waiting_for_kernels():
        return _module(file, dtype, size or (block and block[1])).get_function(name)


def launch(
    file: str,
    name: str,
    dtype: np.dtype,
    grid: tuple[int, ...],
    threads: int,
    *arguments: Array | np.generic | np.ndarray | tuple[Any, ...] | None,
    shared: int = 0,
) -> None:
    """Launch a kernel.

    Parameters
    ----------
    file, name : str
        Where it is written, without ``.cu`` and maybe with the size that it is compiled for, and its name there.
    dtype : dtype
        ``REAL`` in the file: float32 or float64.
    grid : tuple of int
        Blocks of threads.
    threads : int
        Of a block.
    *arguments
        Arrays (None: a null pointer), NumPy scalars of the parameters' types, `minicnn.backends.cupy.structures`, or
        what their `by_value` makes of one, for who launches it often.
    shared : int, default 0
        Bytes of dynamic shared memory, no more than `most_shared_memory`.

    Raises
    ------
    ValueError
        If an array is not C-contiguous.
    """
    for argument in arguments:
        if isinstance(argument, cupy.ndarray) and not argument.flags.c_contiguous:
            raise ValueError(f"kernel {name} needs C-contiguous arrays. Received: strides {argument.strides}")
    values = tuple(structures.by_value(a) if isinstance(a, tuple) else a for a in arguments)
    function = kernel(file, name, dtype)
    if shared > ALWAYS_SHARED - MOST_STATIC and function.max_dynamic_shared_size_bytes < shared:
        function.max_dynamic_shared_size_bytes = shared
        function.preferred_shared_memory_carveout = 100  # per cent: as many blocks side by side as there is room for
    function(grid, (threads,), values, shared_mem=shared)


@cache
def _most_shared_memory(device):
    return int(cupy.cuda.runtime.getDeviceProperties(device)["sharedMemPerBlockOptin"]) - MOST_STATIC


def most_shared_memory() -> int:
    """Bytes of dynamic shared memory that a block can have on the current device."""
    return _most_shared_memory(cupy.cuda.Device().id)


def launch_over(
    size: int, file: str, name: str, dtype: np.dtype, *arguments: Array | np.generic | tuple[Any, ...] | None
) -> None:
    """Launch an elementwise kernel on so many elements."""
    if size:
        launch(file, name, dtype, (blocks_for(size),), THREADS, *arguments)


def blocks_for(size: int) -> int:
    """Number of blocks of `THREADS` threads for so many elements."""
    return min(-(-int(size) // THREADS), MOST_BLOCKS)


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays without gaps share memory."""
    return a.data.ptr < b.data.ptr + b.nbytes and b.data.ptr < a.data.ptr + a.nbytes
