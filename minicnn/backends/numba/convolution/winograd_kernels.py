"""Kernels of convolutions, transformed for Winograd's algorithm; and kept where there are few tiles.

A kernel of 3 x 3 taps becomes four times as many numbers, which some threads write and others read: where there are
few tiles, that takes about as long as all the rest. So a call that is recorded
(`minicnn.backends.numba.machine.recording`) keeps them. The next time it compares the kernel with the one that they
belong to, byte by byte: weights may be changed by anybody.
"""

from typing import NamedTuple

import numpy as np

from minicnn.backends import memory
from minicnn.backends.numba.convolution import choice
from minicnn.backends.numba.convolution.winograd_transforms import TILE_NUMBERS, transform_kernel
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.memory import copy, scratch, transpose
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.vectors import lanes_of

_LEAST_PARALLEL = 1 << 11  # numbers of a tap: transforming fewer takes no longer than waking threads


class Weights(NamedTuple):
    """A bias, and what is kept of a kernel: as it was transformed, and what it became. Or nothing: no `factors`."""

    bias: np.ndarray
    kernel: np.ndarray  # bytes: the kernel as it is now
    kept: np.ndarray  # the one that `factors` belong to
    kept_bytes: np.ndarray  # the same memory
    is_there: np.ndarray  # (1,) of bytes: 1 if they are there
    factors: np.ndarray


def weights_of(kernel: np.ndarray, bias: np.ndarray, factor_stride: int, tiles: int, turned: bool) -> Weights:
    """The weights of a convolution of so many tiles, of the whole batch.

    Parameters
    ----------
    kernel : array (taps, taps, channels, filters)
    bias : array (filters,)
    factor_stride : int
        Elements from one of the 36 numbers to the next.
    tiles : int
    turned : bool
        Whether the convolution is that of an input's gradient.
    """
    if turned or not choice.keeps_winograd_kernel(tiles, *kernel.shape[2:], kernel.itemsize):
        none = np.empty(0, np.uint8)
        return Weights(bias, none, np.empty(0, kernel.dtype), none, none, np.empty(0, kernel.dtype))
    factors = memory.empty(TILE_NUMBERS * factor_stride, kernel.dtype)
    kept, is_there = memory.empty(kernel.size, kernel.dtype), np.zeros(1, np.uint8)
    return Weights(bias, kernel.reshape(-1).view(np.uint8), kept, kept.view(np.uint8), is_there, factors)


@inline
def transformed_kernel(pool, kernel, weights, tiles, sizes):
    """The factors of a kernel (taps, taps, channels, filters), flat; `tiles` and `sizes` as in `winograd`."""
    is_kept = len(weights.factors) > 0
    factors = weights.factors if is_kept else scratch(TILE_NUMBERS * sizes.factor_stride, kernel)
    if is_kept and weights.is_there[0] == 1 and _are_same(weights.kernel, weights.kept_bytes):
        return factors
    if is_kept:  # transformed is the copy: whatever another thread writes meanwhile, factors belong to what is kept
        weights.is_there[0] = 0
        copy(weights.kernel, 0, len(weights.kernel), weights.kept_bytes, 0)
        kernel = weights.kept
    if tiles.turned:
        kernel = _turned_around(kernel, tiles)
    size = tiles.channels * sizes.filter_slots
    own_pool = pool if size >= _LEAST_PARALLEL else 0
    in_parallel(own_pool, tiles.channels, _factors_of, (kernel, tiles, sizes, factors))
    if is_kept:
        weights.is_there[0] = 1
    return factors


@inline
def _are_same(first, second):
    """Whether all bytes are; in one pass without an early end, which is vector code."""
    differ = np.uint8(0)
    for i in range(len(first)):
        differ |= first[i] ^ second[i]
    return differ == 0


@inline
def _factors_of(channel, kernel, tiles, sizes, factors):
    tap = tiles.channels * tiles.filters
    for filter in range(0, tiles.filters, lanes_of(kernel)):
        start, at = channel * tiles.filters + filter, channel * sizes.filter_slots + filter
        row = len(tiles.taps) * tap
        transform_kernel(kernel, start, row, tap, factors, at, sizes.factor_stride, tiles.taps)


@inline
def _turned_around(kernel, tiles):
    """The kernel (taps, filters, channels) with its taps in reverse order, as (taps, channels, filters)."""
    size, channels, filters = tiles.channels * tiles.filters, tiles.channels, tiles.filters
    turned, last = scratch(len(kernel), kernel), len(tiles.taps) * len(tiles.taps) - 1
    for tap in range(last + 1):
        transpose(kernel, (last - tap) * size, channels, filters, channels, turned, tap * size, filters)
    return turned
