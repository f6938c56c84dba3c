"""Batch normalization."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, launch, overlap
from minicnn.backends.cupy.left_moments import left_moments, new_moments
from minicnn.backends.cupy.left_sums import left_sums
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages

THREADS = 512  # as in normalization.cu
TURNS = 2  # parts that a line of threads adds up, at most, where no convolution has left them
ACCESS, LANES = 16, 32  # bytes; channels of a block, at most
LEAST_ROWS, MOST_BLOCKS = 32, 128  # of a part; of a launch, if there is no part with all rows: a wave of the large GPUs


class Grid(NamedTuple):
    """How the kernels share rows and channels."""

    file: str
    groups: int  # of channels
    parts: int  # stretches of rows
    rows: np.int64
    stretch: np.int64  # rows of a part; the last ones may have fewer, or none
    channels: np.int32

    def launch(self, name: str, x: Array, *arguments: Array | np.generic | None, parts: int | None = None) -> None:
        """Launch a kernel, in one block a group and part; the last arguments are the numbers of rows and channels."""
        grid = self.groups, parts or self.parts
        launch(self.file, name, x.dtype, grid, THREADS, x, *arguments, self.rows, self.stretch, self.channels)

    def new_parts(self, dtype: np.dtype) -> tuple[Array, Array]:
        """Two arrays (parts, channels)."""
        return tuple(cupy.empty((self.parts, int(self.channels)), dtype) for _ in range(2))


def choose_grid(x: Array, *arrays: Maybe) -> Grid:
    """The grid for x (N, …, C) and other arrays of its size: a function of their shape, if they lie as arrays do."""
    channels = x.shape[-1]
    rows, width = x.size // max(1, channels), ACCESS // x.dtype.itemsize
    if channels % width or any(a is not None and a.data.ptr % ACCESS for a in (x, *arrays)):
        width = 1
    packs = 1
    while packs * width < min(channels, LANES):
        packs *= 2
    groups = -(-channels // (packs * width))
    parts = max(1, min(rows // LEAST_ROWS, MOST_BLOCKS // max(1, groups), TURNS * THREADS // packs))
    numbers = np.int64(rows), np.int64(-(-rows // parts)), np.int32(channels)
    return Grid(f"normalization/{width}x{packs}", groups, parts, *numbers)


def batch_norm(
    x: Array,
    y: Array,
    affine: Affine,
    moments: Moments,
    moving: MovingAverages,
    epsilon: float,
    training: bool,
    added: Maybe = None,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm`."""
    if not x.size:
        return
    grid, real = choose_grid(x, y, added), x.dtype.type
    parts, count = (None,) * 3, 0
    if training:
        parts = left_moments(x)
        if parts is None:
            parts = new_moments(grid.parts, x)
            grid.launch("moments_of_parts", x, *parts)
        count = len(parts.counts)
    numbers = np.int32(count), real(1 - moving.momentum), real(epsilon)
    arrays = *moments, moving.mean, moving.variance, affine.gamma, affine.beta, added, y
    grid.launch("normalize", x, *parts, *numbers, *arrays, np.int32(affine.relu))


def batch_norm_backward(
    x: Array,
    y: Maybe,
    dy: Array,
    affine: Affine,
    moments: Moments,
    dx: Maybe,
    dadded: Maybe,
    dgamma: Maybe,
    dbeta: Maybe,
    training: bool,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm_backward`."""
    if not x.size:
        return
    more = _more.pop(dy.data.ptr, None)
    grid = choose_grid(x, y, dy, dx, dadded, more)
    weights = *moments, affine.gamma, affine.beta
    passed, relu, parts, count = (y, dy), np.int32(affine.relu), (None, None), 0
    left = left_sums(dy)
    if left is not None:
        masked, *parts = left
        passed, relu, count = (None, masked), np.int32(0), len(parts[0])
    elif dgamma is not None or dbeta is not None or (dx is not None and training):
        parts, count = grid.new_parts(x.dtype), grid.parts
        masked = dadded if more is None or dadded is not None else dy
        grid.launch("norm_gradient_sums", x, *weights, *passed, more, relu, masked, *parts)
        if masked is not None:
            passed, relu, dadded = (None, masked), np.int32(0), None
    elif more is not None:
        cupy.add(dy, more, out=dy)
    if count or dx is not None or dadded is not None:
        arguments = *parts, np.int32(count), np.int32(training), dgamma, dbeta, dx
        whole = None if dx is not None or dadded is not None else 1  # the sums alone
        grid.launch("normalize_gradient", x, *weights, *passed, relu, dadded, *arguments, parts=whole)


_more: dict[int, Array] = {}  # address of a gradient → what is to be added to it, inside `with_addition`


def left_addition(additions: Sequence[tuple[Array, Array]], dy: Array, written: Sequence[Maybe]) -> Maybe:
    """What the backward pass of a normalization can add to its dy on its way.

    Parameters
    ----------
    additions : sequence of (total, array)
        What is to be added, array to total, before that.
    dy : array
    written : sequence of array or None
        What the backward pass writes.

    Returns
    -------
    array or None
        One that dy is a total of, and that does not lie where something is written meanwhile.
    """
    written = [array for array in written if array is not None]
    for total, own in additions:
        is_dy = (total.data.ptr, total.shape, total.dtype) == (dy.data.ptr, dy.shape, dy.dtype)
        if is_dy and not any(overlap(own, array) for array in written):
            return own
    return None


def with_addition(dy: Array, more: Array, work: Callable[[], None]) -> None:
    """Do the backward pass of a normalization for `dy` + `more`, of which the first may be overwritten."""
    _more[dy.data.ptr] = more
    try:
        work()
    finally:
        _more.pop(dy.data.ptr, None)
