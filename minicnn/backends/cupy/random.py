"""Dropout, and the random numbers of augmentation."""

import numpy as np

from minicnn.backends.cupy.launch import THREADS, Array, launch, launch_over
from minicnn.backends.reference.random import elements_before


def dropout(x: Array, y: Array, rate: float, seed: int, stream: int, iteration: int, first: int = 0) -> None:
    """See `minicnn.backends.reference.random.dropout`."""
    factor = x.dtype.type(1 / (1 - rate))
    position = _position(seed, stream, iteration, elements_before(first, x))
    aligned = x.data.ptr % 16 == 0 == y.data.ptr % 16
    if x.dtype == np.float32 and x.size and x.size % 4 == 0 and x.size < 1 << 32 and aligned:
        blocks = x.size // 4
        arguments = x, y, np.int32(blocks), np.float32(rate), factor, *position
        launch("random", "dropout_by_fours", x.dtype, (-(-blocks // (2 * THREADS)),), THREADS, *arguments)
        return
    arguments = x, y, np.int64(x.size), np.float32(rate), factor, *position
    launch_over(-(-x.size // 4), "random", "dropout", x.dtype, *arguments)


def uniform(numbers: Array, seed: int, stream: int, iteration: int, first: int = 0) -> None:
    """See `minicnn.backends.reference.random.uniform`."""
    position = _position(seed, stream, iteration, elements_before(first, numbers))
    launch_over(-(-numbers.size // 4), "random", "uniform", numbers.dtype, numbers, np.int64(numbers.size), *position)


def _position(seed, stream, iteration, first):
    """A kernel's last arguments; an iteration that changes from launch to launch is a `DeviceNumber` (graph.py)."""
    where = (np.uint64(0), iteration.at) if hasattr(iteration, "at") else (np.uint64(iteration), None)
    return np.uint64(seed), np.uint32(stream), *where, np.int64(first // 4)
