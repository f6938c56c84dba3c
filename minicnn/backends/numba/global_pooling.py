"""The maximum over whole images, pixel by pixel for all channels."""

import numpy as np

from minicnn.backends.memory import Array
from minicnn.backends.numba.machine.batch import chunks_of, images_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import copy
from minicnn.backends.numba.machine.parallel import in_parallel

_NANOSECONDS = 0.2  # that one core needs for a number, about


def global_max(x: Array, y: Array) -> None:
    """See `minicnn.backends.reference.global_pooling.global_max`."""
    chunks = chunks_of(len(x))
    _global_max.launch(_NANOSECONDS * x.size, x.reshape(-1), y.reshape(-1), *x.shape[1:], chunks, chunks=chunks.count)


def global_max_backward(x: Array, y: Array, dy: Array, dx: Array) -> None:
    """See `minicnn.backends.reference.global_pooling.global_max_backward`."""
    chunks = chunks_of(len(x))
    arrays = x.reshape(-1), y.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    _global_max_backward.launch(_NANOSECONDS * x.size, *arrays, *x.shape[1:], chunks, chunks=chunks.count)


@inline
def _max_chunk(chunk, x, y, pixels, channels, chunks):
    first, last = images_of(chunks, chunk)
    for image in range(first, last):
        best = y[image * channels : (image + 1) * channels]
        copy(x, image * pixels * channels, channels, y, image * channels)
        for pixel in range(1, pixels):
            start = (image * pixels + pixel) * channels
            row = x[start : start + channels]
            for c in range(channels):
                best[c] = row[c] if row[c] > best[c] or row[c] != row[c] else best[c]  # NaN stays


@parallel_kernel
def _global_max(pool, x, y, pixels, channels, chunks):
    in_parallel(pool, chunks.count, _max_chunk, (x, y, pixels, channels, chunks))


@inline
def _gradient_chunk(chunk, x, y, dy, dx, pixels, channels, chunks):
    is_open = np.empty(channels, np.int32)
    first, last = images_of(chunks, chunk)
    for image in range(first, last):
        best, gradient = y[image * channels : (image + 1) * channels], dy[image * channels : (image + 1) * channels]
        for c in range(channels):
            is_open[c] = 1
        for pixel in range(pixels):
            start = (image * pixels + pixel) * channels
            row, target = x[start : start + channels], dx[start : start + channels]
            for c in range(channels):
                holds = is_open[c] if row[c] == best[c] or row[c] != row[c] else 0
                target[c] = gradient[c] if holds == 1 else 0
                is_open[c] -= holds


@parallel_kernel
def _global_max_backward(pool, x, y, dy, dx, pixels, channels, chunks):
    in_parallel(pool, chunks.count, _gradient_chunk, (x, y, dy, dx, pixels, channels, chunks))
