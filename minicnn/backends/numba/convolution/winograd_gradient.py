"""The kernel's gradient of a 3 x 3 convolution by Winograd's algorithm: a quarter of the multiplications.

For one tile, a convolution is y = Aᵀ [(G k Gᵀ) ∘ (Bᵀ x B)] A (`winograd_transforms.py`). It is linear in k, so its
gradient is the adjoint: Gᵀ [(A dy Aᵀ) ∘ (Bᵀ x B)] G. The bracket is summed up over all tiles, which for each of its 36
numbers is a matrix product (channels, tiles) x (tiles, filters); the transform back follows once, at the end.

Names in the kernels: `numbers` are transformed inputs (36, tiles, channels), `gradients` transformed dy (36, tiles,
filters), `sums` the bracket (36, channels, filters).
"""

from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from minicnn.backends import memory
from minicnn.backends.numba.convolution.direct import product_time
from minicnn.backends.numba.convolution.gradients import Masked, masked_image
from minicnn.backends.numba.convolution.winograd import MOST_TOGETHER, fetches_ahead, tiles_of, tiles_together
from minicnn.backends.numba.convolution.winograd_transforms import (
    _A,
    _AT_A,
    _AT_B,
    _AT_ZERO,
    _B,
    TILE_INPUTS,
    TILE_KERNEL,
    TILE_NUMBERS,
    TILE_OUTPUTS,
    _along_both,
    _number_loader,
    _offset,
    _plus_minus,
    _sum_of,
    _transform_type,
    _transforms,
    tiles_along,
    transform_inputs,
)
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.even import MULTIPLY_EVEN, Even, are_even, multiply_even
from minicnn.backends.numba.machine.fetching import fetch
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import filled, scratch
from minicnn.backends.numba.machine.offsets import (
    Frame,
    frame,
    outer_sum,
    strided_rows,
    strides,
    table_cache,
    whole_vectors,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import ROWS
from minicnn.backends.numba.machine.vectors import Emitter, lanes_of
from minicnn.geometry import Window

_LEAST_PARALLEL = 1 << 17  # numbers of sums; transforming fewer back takes no longer than starting threads


class Sums(NamedTuple):
    """How tiles and sums lie in memory. Strides that are powers of two would make all 36 fall into the same lines."""

    channels: int
    filters: int
    filter_slots: int  # in whole vectors
    tile_count: int  # of an image
    x_starts: np.ndarray  # of every tile, in the padded image
    dy_starts: np.ndarray
    x_steps: tuple[int, int]  # elements from a tile's row to the next, and from pixel to pixel
    dy_steps: tuple[int, int]
    together: int
    x_ahead: int  # elements of x, and of dy, that are fetched ahead for each tile
    dy_ahead: int
    channel_slots: int
    number_stride: int
    gradient_stride: int
    sum_stride: int
    channel_rows: np.ndarray  # row table
    number_rows: np.ndarray
    gradient_rows: np.ndarray
    sum_rows: np.ndarray  # row table


def kernel_gradient(x: np.ndarray, incoming: Masked, out: Gradients, kernel: np.ndarray, window: Window) -> None:
    """dkernel and dbias of `minicnn.backends.reference.convolution.conv2d_backward`."""
    together = tiles_together(sum(whole_vectors(n, x.itemsize) for n in kernel.shape[2:]), x.itemsize)
    x_frame, dy_frame, t = sums_of(window, *kernel.shape[2:], x.itemsize, together)
    chunks = batch.chunks_with_sums(len(x), TILE_NUMBERS * t.sum_stride * x.itemsize)
    most = max(2, len(x) * t.tile_count // MOST_TOGETHER)  # chunks that are large enough to fill the products
    chunks = chunks._replace(count=min(chunks.count, most))
    arrays = x.reshape(-1), incoming, out, zero_row(t.filter_slots, x.dtype)
    _kernel_gradient.launch(
        product_time(x, kernel, window) // 2, *arrays, chunks, x_frame, dy_frame, t, chunks=chunks.count
    )


@table_cache
def sums_of(window: Window, channels: int, filters: int, itemsize: int, together: int) -> tuple[Frame, Frame, Sums]:
    """The frames of x and dy, and `Sums`, for so many tiles transformed together."""
    x_frame, tiles = tiles_of(window, channels, filters)
    height, width, dilation = window.out_height, window.out_width, (window.dilation_y, window.dilation_x)
    rows, columns = (np.array(tiles_along(*axis))[:, 0] for axis in zip((height, width), dilation, strict=True))
    bottom, right = (
        max(0, int(starts.max()) + (TILE_OUTPUTS - 1) * d + 1 - size)
        for starts, d, size in zip((rows, columns), dilation, (height, width), strict=True)
    )
    dy_frame = frame(height, width, filters, 0, bottom, 0, right)
    channel_slots, filter_slots = whole_vectors(channels, itemsize), whole_vectors(filters, itemsize)
    line = memory.ALIGNMENT // itemsize
    fetches = fetches_ahead(channel_slots + filter_slots, itemsize)
    t = Sums(
        channels=channels,
        filters=filters,
        filter_slots=filter_slots,
        tile_count=tiles.count,
        x_starts=tiles.starts,
        dy_starts=outer_sum(rows * dy_frame.padded_row, columns * filters),
        x_steps=(tiles.x_row, tiles.x_pixel),
        dy_steps=(dilation[0] * dy_frame.padded_row, dilation[1] * filters),
        together=together,
        x_ahead=-(-window.in_height * window.in_width * channels // tiles.count) if fetches else 0,
        dy_ahead=-(-height * width * filters // tiles.count) if fetches else 0,
        channel_slots=channel_slots,
        number_stride=together * channel_slots + line,
        gradient_stride=together * filter_slots + line,
        sum_stride=channels * filter_slots + line,
        channel_rows=strided_rows(channels, 1),
        number_rows=strides(together, channel_slots),
        gradient_rows=strides(together, filter_slots),
        sum_rows=strided_rows(channels, filter_slots),
    )
    return x_frame, dy_frame, t


# ---------------------------------------------------------------------------------------------------- transforms


def _gradients(emit, d):
    """4 gradients of outputs to 6 numbers: the adjoint of 6 numbers to 4 outputs."""

    def at(point):
        return _plus_minus(
            emit, _sum_of(emit, (1, d[0]), (point**2, d[2])), _sum_of(emit, (point, d[1]), (point**3, d[3]))
        )

    return [d[0], *at(_A), *at(_B), d[3]]


def _taps(emit, m):
    """6 numbers to gradients of 3 taps: the adjoint of 3 taps to 6 numbers."""
    (even_a, odd_a), (even_b, odd_b) = _plus_minus(emit, m[1], m[2]), _plus_minus(emit, m[3], m[4])
    return [
        _sum_of(emit, (1 / _AT_ZERO, m[0]), (1 / _AT_A, even_a), (1 / _AT_B, even_b)),
        _sum_of(emit, (_A / _AT_A, odd_a), (_B / _AT_B, odd_b)),
        _sum_of(emit, (1, m[5]), (_A**2 / _AT_A, even_a), (_B**2 / _AT_B, even_b)),
    ]


@intrinsic
def _transform_gradients(typingctx, dy, start, row_stride, stride, numbers, at, number_stride):
    """numbers[at + number_stride · (6 i + j)] = the transform of 4 x 4 pixels of dy."""
    return _transform_type(dy, numbers), _transforms(_gradients, TILE_OUTPUTS)


@intrinsic
def _taps_of(typingctx, sums, start, stride, dkernel, at, tap_stride, count):
    """dkernel = 3 x 3 taps from one vector of filters of sums."""
    index = types.int64
    return types.void(sums, index, index, dkernel, index, index, index), _emit_taps


def _emit_taps(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    sums, start, stride, dkernel, at, tap_stride, count = emit.plain(signature.args, args)
    grid = _along_both(emit, _taps, TILE_INPUTS, _number_loader(emit, emit.moved(sums, start), stride))
    row_stride = builder.mul(tap_stride, emit.index(TILE_KERNEL))
    for i, row in enumerate(grid):
        for j, vector in enumerate(row):
            target = emit.moved(dkernel, at, _offset(emit, row_stride, tap_stride, i, j))
            emit.store_counted(vector, target, count)
    return context.get_dummy_value()


# ------------------------------------------------------------------------------------------------- the kernel


@inline
def sum_tiles(
    first: int,
    last: int,
    numbers: np.ndarray,
    gradients: np.ndarray,
    zeros: np.ndarray,
    tiles: tuple[int, int],
    t: Sums,
    is_first: bool,
    sums: np.ndarray,
) -> None:
    """sums += the matrix products of a range of the 36 over a range of tiles; if they are the first, = instead."""
    vectors = t.filter_slots // lanes_of(sums)
    for k in range(first, last):
        number, gradient = k * t.number_stride, k * t.gradient_stride
        if are_even(vectors) and t.channels % ROWS == 0:
            multiply_even(
                Even(numbers, number + tiles[0] * t.channel_slots, 1, t.channel_slots),
                Even(gradients, gradient + tiles[0] * t.filter_slots, t.filter_slots, 1),
                Even(sums, k * t.sum_stride, t.filter_slots, 1),
                t.channels,
                tiles[1] - tiles[0],
                vectors,
                accumulate=not is_first,
            )
        else:
            multiply(
                Left(numbers, number, t.channel_rows, t.number_rows),
                Right(gradients, gradient, t.gradient_rows),
                Out(sums, k * t.sum_stride, t.sum_rows),
                Span(tiles[0], tiles[1], 0, t.channels, t.filter_slots, tiles[1]),
                first=zeros,
                accumulate=not is_first,
                floor=floor_of(False, sums),
            )


class Next(NamedTuple):
    """The image after the one that is transformed."""

    x: np.ndarray
    x_start: int
    dy: np.ndarray
    dy_start: int


@inline
def transform_tiles(
    x: np.ndarray,
    start: int,
    dy: np.ndarray,
    following: Next,
    tiles: tuple[int, int],
    n: int,
    t: Sums,
    numbers: np.ndarray,
    gradients: np.ndarray,
) -> None:
    """Transform a range of tiles of the image of x that begins at `start`, and of the framed dy, as the n-th and next.

    Meanwhile, the following image is fetched. (One call for many tiles: a call counts references to its arrays.)
    """
    for tile in range(tiles[0], tiles[1]):
        for c in range(0, t.channels, lanes_of(x)):
            pixel, slot = start + t.x_starts[tile] + c, n * t.channel_slots + c
            transform_inputs(x, pixel, t.x_steps[0], t.x_steps[1], numbers, slot, t.number_stride)
        for f in range(0, t.filters, lanes_of(x)):
            pixel, slot = t.dy_starts[tile] + f, n * t.filter_slots + f
            _transform_gradients(dy, pixel, t.dy_steps[0], t.dy_steps[1], gradients, slot, t.gradient_stride)
        fetch(following.x, following.x_start + tile * t.x_ahead, t.x_ahead)
        fetch(following.dy, following.dy_start + tile * t.dy_ahead, t.dy_ahead)
        n += 1


@inline
def _chunk(x, incoming, zeros, sums, dbias, images, x_frame, dy_frame, t):
    padded = batch.frame_scratch(x_frame, 0, x)
    framed = filled(dy_frame.size, 0, x)
    numbers, gradients = scratch(TILE_NUMBERS * t.number_stride, x), scratch(TILE_NUMBERS * t.gradient_stride, x)
    control = flush_denormals()
    n, is_first, source, start = 0, True, x, 0
    for image in range(images[0], images[1]):
        source, start = batch.framed_image(x_frame, x, image, padded)
        dy_size = dy_frame.rows * dy_frame.row_size
        masked_image(dy_frame, incoming, image * dy_size, framed, t.filters, dbias)
        following = Next(x, (image + 1) * x_frame.rows * x_frame.row_size, incoming.dy, (image + 1) * dy_size)
        tile = 0
        while tile < t.tile_count:
            last = min(tile + t.together - n, t.tile_count)
            transform_tiles(source, start, framed, following, (tile, last), n, t, numbers, gradients)
            n, tile = n + last - tile, last
            if n == t.together or (image == images[1] - 1 and tile == t.tile_count):
                sum_tiles(0, TILE_NUMBERS, numbers, gradients, zeros, (0, n), t, is_first, sums)
                n, is_first = 0, False
    restore_denormals(control)


@inline
def _own(sums, size, chunk):
    return sums[chunk * size : (chunk + 1) * size]


@inline
def _take_chunk(chunk, x, incoming, zeros, sums, bias_sums, chunks, x_frame, dy_frame, t):
    own, own_bias = _own(sums, TILE_NUMBERS * t.sum_stride, chunk), _own(bias_sums, t.filters, chunk)
    _chunk(x, incoming, zeros, own, own_bias, batch.images_of(chunks, chunk), x_frame, dy_frame, t)


@inline
def transform_back(channel: int, total: np.ndarray, dkernel: np.ndarray, t: Sums) -> None:
    """dkernel of a channel from the sums."""
    for f in range(0, t.filters, lanes_of(total)):
        start, at = channel * t.filter_slots + f, channel * t.filters + f
        _taps_of(total, start, t.sum_stride, dkernel, at, t.channels * t.filters, t.filters - f)


@parallel_kernel(uses=[MULTIPLY, MULTIPLY_EVEN])
def _kernel_gradient(pool, x, incoming, out, zeros, chunks, x_frame, dy_frame, t):
    size = TILE_NUMBERS * t.sum_stride
    sums, bias_sums = scratch(chunks.count * size, x), filled(chunks.count * t.filters, 0, x)
    arguments = x, incoming, zeros, sums, bias_sums, chunks, x_frame, dy_frame, t
    in_parallel(pool, chunks.count, _take_chunk, arguments)
    total = scratch(size, x)
    batch.add_up(pool, bias_sums, chunks.count, out.dbias)
    batch.add_up(pool, sums, chunks.count, total)
    in_parallel(pool if size >= _LEAST_PARALLEL else 0, t.channels, transform_back, (total, out.dkernel, t))
