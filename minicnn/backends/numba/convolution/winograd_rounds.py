"""The kernel's gradient by Winograd's algorithm, where its sums are large: round by round, number by number.

`winograd_gradient.py` explains the algorithm. There, every chunk of images has sums of its own, which stay in the
second cache. With many channels and filters they would not, and adding up the chunks' sums would cost more than the
products. So here a round transforms the tiles of some images, which the threads share; then they share the 36 numbers,
and whoever has a number adds this round's product to its sums. There is one sum of each, and the rounds depend on the
shapes alone: the same bits for any number of threads.
"""

from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.convolution.choice import MOST_ROUND_BYTES, tile_count
from minicnn.backends.numba.convolution.direct import product_time
from minicnn.backends.numba.convolution.gradients import Masked, masked_image
from minicnn.backends.numba.convolution.winograd_gradient import (
    Next,
    sum_tiles,
    sums_of,
    transform_back,
    transform_tiles,
)
from minicnn.backends.numba.convolution.winograd_transforms import TILE_NUMBERS
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.even import MULTIPLY_EVEN
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY
from minicnn.backends.numba.machine.memory import filled, scratch
from minicnn.backends.numba.machine.offsets import table_cache, whole_vectors, zero_row
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.geometry import Window

_TILES_TOGETHER = 64  # multiplied together: their numbers stay in the first cache while all sums of one number pass
_MOST_TASKS = 16  # of a round's images: each has scratch memory for frames


class Rounds(NamedTuple):
    """How a batch is cut: images of a round, and tasks that share them."""

    images: int
    together: int
    tasks: int


@table_cache
def rounds_of(images: int, tiles: int, channels: int, filters: int, itemsize: int) -> Rounds:
    """The `Rounds` for images of so many tiles."""
    slots = max(whole_vectors(channels, itemsize), whole_vectors(filters, itemsize))
    together = max(1, min(images, MOST_ROUND_BYTES // (TILE_NUMBERS * tiles * slots * itemsize)))
    return Rounds(images, together, min(together, _MOST_TASKS))


def kernel_gradient(x: np.ndarray, incoming: Masked, out: Gradients, kernel: np.ndarray, window: Window) -> None:
    """dkernel and dbias of `minicnn.backends.reference.convolution.conv2d_backward`; there are images."""
    sizes, count = (*kernel.shape[2:], x.itemsize), tile_count(window.out_height, window.out_width, window)
    rounds = rounds_of(len(x), count, *sizes)
    tables = sums_of(window, *sizes, rounds.together * count)
    arrays = x.reshape(-1), incoming, out, zero_row(tables[2].filter_slots, x.dtype)
    _kernel_gradient.launch(product_time(x, kernel, window) // 2, *arrays, rounds, *tables)


# ------------------------------------------------------------------------------------------------- the kernel


class _Round(NamedTuple):
    """The images of a round, and memory that its tasks fill."""

    first: int
    count: int
    numbers: np.ndarray
    gradients: np.ndarray
    bias_sums: np.ndarray  # of every image of the batch


@inline
def _transform(task, x, incoming, current, tasks, x_frame, dy_frame, t):
    """Transform a task's share of a round's images."""
    padded, framed = batch.frame_scratch(x_frame, 0, x), filled(dy_frame.size, 0, x)
    control, source, start = flush_denormals(), x, 0
    for i in range(task * current.count // tasks, (task + 1) * current.count // tasks):
        image = current.first + i
        source, start = batch.framed_image(x_frame, x, image, padded)
        own_bias = current.bias_sums[image * t.filters : (image + 1) * t.filters]
        masked_image(dy_frame, incoming, image * dy_frame.rows * dy_frame.row_size, framed, t.filters, own_bias)
        tiles, n, nothing = (0, t.tile_count), i * t.tile_count, Next(x, 0, x, 0)  # with so many channels
        transform_tiles(source, start, framed, nothing, tiles, n, t, current.numbers, current.gradients)
    restore_denormals(control)


@inline
def _sum_number(k, current, zeros, t, sums):
    """Add the product of number k over a round's tiles to its sums."""
    tiles = current.count * t.tile_count
    for begin in range(0, tiles, _TILES_TOGETHER):
        part, is_first = (begin, min(begin + _TILES_TOGETHER, tiles)), current.first == 0 and begin == 0
        sum_tiles(k, k + 1, current.numbers, current.gradients, zeros, part, t, is_first, sums)


@parallel_kernel(uses=[MULTIPLY, MULTIPLY_EVEN])
def _kernel_gradient(pool, x, incoming, out, zeros, rounds, x_frame, dy_frame, t):
    numbers, gradients = scratch(TILE_NUMBERS * t.number_stride, x), scratch(TILE_NUMBERS * t.gradient_stride, x)
    sums, bias_sums = scratch(TILE_NUMBERS * t.sum_stride, x), filled(rounds.images * t.filters, 0, x)
    for first in range(0, rounds.images, rounds.together):
        count = min(rounds.together, rounds.images - first)
        current = _Round(first, count, numbers, gradients, bias_sums)
        in_parallel(pool, rounds.tasks, _transform, (x, incoming, current, rounds.tasks, x_frame, dy_frame, t))
        in_parallel(pool, TILE_NUMBERS, _sum_number, (current, zeros, t, sums))
    batch.add_up(pool, bias_sums, rounds.images, out.dbias)
    in_parallel(pool, t.channels, transform_back, (sums, out.dkernel, t))
