"""Compiling the ``.cu`` files and launching their kernels.

CuPy compiles with NVRTC and keeps the machine code on disk, in ``~/.cupy/kernel_cache`` (``CUPY_CACHE_DIR``).
"""

import re
from functools import cache, lru_cache
from importlib import resources

import cupy
import numpy as np

THREADS = 256  # of a block of an elementwise kernel
MOST_BLOCKS = 1 << 16  # each thread then takes several elements


def integers(names: str):
    """The dtype of a structure of ints, whose names are separated by spaces."""
    return np.dtype([(name, np.int32) for name in names.split()])


WINDOW = integers(
    "in_height in_width out_height out_width kernel_height kernel_width stride_y stride_x dilation_y dilation_x "
    "pad_top pad_left"
)


def source(file: str) -> str:
    """The text of a kernel file, with what all files start with."""
    folder = resources.files("minicnn.backends.cupy")
    return "\n".join((folder / f"{name}.cu").read_text(encoding="utf-8") for name in ("common", file))


def options(dtype, tile=None) -> tuple:
    """How a kernel file is compiled for an element type; `tile`: only the kernels of this tile, such as "64x32"."""
    types = {"float32": "float", "float64": "double"}
    if np.dtype(dtype).name not in types:
        raise TypeError(f"the kernels compute in float32 or float64. Received: {dtype}")
    return ("-std=c++17", f"-DREAL={types[np.dtype(dtype).name]}", *([f"-DTILE_{tile}"] if tile else []))


@cache
def _module(file, dtype, tile):
    return cupy.RawModule(code=source(file), options=options(dtype, tile), backend="nvrtc")


@cache
def kernel(file: str, name: str, dtype):
    """The kernel of that name in ``file.cu``, for float32 or float64."""
    tile = re.search(r"_(\d+x\d+)_", name)
    return _module(file, dtype, tile and tile[1]).get_function(name)


def launch(file, name, dtype, grid, threads, *arguments) -> None:
    """Launch a kernel: arrays (None: a null pointer), NumPy scalars of the parameters' types, structures."""
    for argument in arguments:
        if isinstance(argument, cupy.ndarray) and not argument.flags.c_contiguous:
            raise ValueError(f"kernel {name} needs C-contiguous arrays. Received: strides {argument.strides}")
    kernel(file, name, dtype)(grid, (threads,), arguments)


def launch_over(size, file, name, dtype, *arguments) -> None:
    """Launch an elementwise kernel on so many elements."""
    if size:
        launch(file, name, dtype, (blocks_for(size),), THREADS, *arguments)


def blocks_for(size) -> int:
    """Number of blocks of `THREADS` threads for so many elements."""
    return min(-(-int(size) // THREADS), MOST_BLOCKS)


def grid_for_parts(count, size):
    """(grid, threads) of a kernel that calls ``sum_of_parts`` of common.cu for `count` parts of `size` elements."""
    lines = 4
    while lines < 32 and lines * 4 <= count:
        lines *= 2
    return (min(-(-int(size) // 32), MOST_BLOCKS),), 32 * lines


@cache
def window_structure(window):
    """A `Window` as the kernels take it: a structure, passed by value."""
    return structure(WINDOW, {name: getattr(window, name) for name in WINDOW.names})


def structure(dtype, fields):
    """An array of one element of a structured dtype, which nobody may change; fields that are not given are 0."""
    return _structure(dtype, tuple(fields.items()))


@lru_cache(4096)
def _structure(dtype, items):
    array = np.zeros(1, dtype)
    for name, value in items:
        array[name] = value
    return array
