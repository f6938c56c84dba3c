"""Convolution, ReLU and max pooling in one, band by band; and its kernel's gradient where channels are few.

Names in the kernels: `conv` and `bands` are named tuples of tables, `frame` is the input image's.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends import memory
from minicnn.backends.numba.convolution import choice
from minicnn.backends.numba.convolution.direct import bias_or_zeros, convolution, product_time
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.finite import all_finite, images_not_finite
from minicnn.backends.numba.machine.launch import parallel_kernel, serial_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import copy, fill, filled
from minicnn.backends.numba.machine.offsets import (
    input_frame,
    outer_sum,
    row_table,
    strides,
    table_cache,
    whole_vectors,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.vectors import I8, Emitter
from minicnn.backends.numba.pooling import Pooled, pool_cells
from minicnn.geometry import Window

_L1_BYTES = 40 << 10  # of the first-level cache, for one kernel's use
_ROW_SLACK = 16  # elements; the longest vector has as many


class Bands(NamedTuple):
    """How the kernels walk: band after band of convolution pixels, each pooled from scratch memory."""

    bands: int
    columns: int  # filters of a pixel, or of a group of pixels, in whole vectors
    filters: int
    x_stride: int  # elements of x from band to band
    x_rows: np.ndarray  # window of every convolution pixel of a band
    scratch_rows: np.ndarray  # where the pixel goes
    pixel_count: int  # or groups of pixels that are computed together
    run: int  # of them, see `run_of`
    scratch_size: int
    cells: np.ndarray  # first tap of every pooled cell of a band in scratch memory
    taps: np.ndarray  # every tap of a cell, from its first


@table_cache
def bands_of(window: Window, pool: Window, channels: int, filters: int, itemsize: int, abreast: int = 1) -> Bands:
    """A band is a few rows of pooled cells, or the whole image if pooling windows overlap or are padded.

    With `abreast` pixels computed together, the window is that of such a group (`paired_window`).
    """
    columns = whole_vectors(abreast * filters, itemsize)
    row_length = filters if abreast > 1 else columns  # of scratch memory, for a pixel
    width = min(pool.in_width, (pool.out_width - 1) * pool.stride_x + pool.kernel_width)
    slack = _ROW_SLACK if abreast > 1 else 0  # what is written in whole vectors stays in its row
    scratch_row = (pool.pad_left + width + pool.pad_right) * row_length + slack
    cells_high, height = _band_size(pool, scratch_row * itemsize)
    x_row = window.stride_y * input_frame(window, channels).padded_row
    first = pool.pad_top * scratch_row + pool.pad_left * row_length
    pixels = strides(width // abreast, window.stride_x * channels), strides(width // abreast, abreast * row_length)
    cell_rows, cell_columns = strides(cells_high, pool.stride_y * scratch_row), pool.stride_x * row_length
    return Bands(
        bands=pool.out_height // cells_high,
        columns=columns,
        filters=filters,
        x_stride=cells_high * pool.stride_y * x_row,
        x_rows=row_table(outer_sum(strides(height, x_row), pixels[0])),
        scratch_rows=row_table(first + outer_sum(strides(height, scratch_row), pixels[1])),
        pixel_count=height * width // abreast,
        run=width // abreast,
        scratch_size=(pool.pad_top + height + pool.pad_bottom) * scratch_row,
        cells=outer_sum(cell_rows, strides(pool.out_width, cell_columns)),
        taps=outer_sum(strides(pool.kernel_height, scratch_row), strides(pool.kernel_width, row_length)),
    )


def _band_size(pool, row_bytes):
    """Rows of cells in a band, and of pixels."""
    if not choice.can_pool_by_rows(pool):
        return pool.out_height, pool.in_height
    cells_high = _rows_in_band(pool.out_height, pool.stride_y * row_bytes)
    return cells_high, (cells_high - 1) * pool.stride_y + pool.kernel_height


def _rows_in_band(rows, row_bytes):
    """The most rows of cells that divide all of them and leave half of the first cache to others; at least one."""
    fitting = [count for count in range(1, rows + 1) if rows % count == 0 and count * row_bytes <= _L1_BYTES // 2]
    return max(fitting, default=1)


# ---------------------------------------------------------------------------------------------------- forward


def conv2d_pool(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, out: Pooled, window: Window, pool: Window, relu: bool
) -> Iterator[slice]:
    """`minicnn.backends.reference.convolution.conv2d_pool` for pooling without dilation and few taps.

    But for the images that are returned: where the zeros of `_paired` have met what is not finite.
    """
    channels, filters = kernel.shape[2:]
    frame, bias, abreast = input_frame(window, channels), bias_or_zeros(bias, kernel), 1
    if choice.pairs_are_best(window, pool, filters, x.itemsize):
        kernel, window, abreast = _paired(kernel), paired_window(window), 2
        bias = _twice(bias, whole_vectors(filters, x.itemsize))
    conv = convolution(window, channels, abreast * filters)
    bands = bands_of(window, pool, channels, filters, x.itemsize, abreast)
    arrays, chunks = (x.reshape(-1), kernel.reshape(-1), bias, out), batch.chunks_of(len(x))
    time = product_time(x, kernel, window)
    is_right = _conv2d_pool.launch(time, *arrays, relu, chunks, frame, conv, bands, chunks=chunks.count)
    return () if is_right else images_not_finite(out.y, len(x))


@lru_cache
def paired_window(window: Window) -> Window:
    """The window of two pixels side by side: one tap wider, with twice the stride."""
    return replace(window, kernel_width=window.kernel_width + 1, stride_x=2)


def _twice(bias, size):
    twice = memory.zeros(size, bias.dtype)
    _copy_to_halves(bias, twice, len(bias), 1, 0)
    return twice


def _paired(kernel):
    """The kernel of two pixels side by side: (KH, KW + 1, C, 2·F), the second half one column to the right."""
    height, width, channels, filters = kernel.shape
    paired = memory.zeros((height, width + 1, channels, 2 * filters), kernel.dtype)
    _copy_to_halves(kernel.reshape(-1), paired.reshape(-1), filters, width * channels, channels)
    return paired


@serial_kernel
def _copy_to_halves(array, both, filters, line, shift):
    """Rows of `filters` numbers into the first halves of rows twice as long, and `shift` rows further into the second.

    `line` rows of the array are followed by `shift` rows that are left out.
    """
    for i in range(len(array) // filters):
        at = i + i // line * shift
        copy(array, i * filters, filters, both, 2 * at * filters)
        copy(array, i * filters, filters, both, (2 * (at + shift) + 1) * filters)


@inline
def _chunk(chunk, x, kernel, bias, out, relu, chunks, frame, conv, bands):
    """Returns whether the outputs are right: 0 · ∞ is NaN, and NaN wins. Single pixels meet no zeros of ours."""
    images = batch.images_of(chunks, chunk)
    padded = batch.frame_scratch(frame, 0, x)
    band = filled(bands.scratch_size, -np.inf, x)  # what pooling finds in its padding
    for image in range(images[0], images[1]):
        source, start = batch.framed_image(frame, x, image, padded)
        for i in range(bands.bands):
            multiply(
                Left(source, start + i * bands.x_stride, bands.x_rows, conv.taps),
                Right(kernel, 0, conv.kernel_rows),
                Out(band, 0, bands.scratch_rows),
                Span(0, conv.kernel_height, 0, bands.pixel_count, bands.columns, conv.tap_run),
                first=bias,
                accumulate=False,
                floor=floor_of(False, x),
            )
            at = (image * bands.bands + i) * len(bands.cells) * bands.filters
            pool_cells(band, 0, bands.cells, bands.taps, bands.filters, out, at, relu)
    size, is_pair = bands.bands * len(bands.cells) * bands.filters, conv.filters > bands.filters
    return not is_pair or all_finite(out.y, images[0] * size, (images[1] - images[0]) * size)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_pool(pool, x, kernel, bias, out, relu, chunks, frame, conv, bands):
    """Returns whether the outputs are right."""
    return in_parallel(pool, chunks.count, _chunk, (x, kernel, bias, out, relu, chunks, frame, conv, bands))


# ------------------------------------------------------------------------------------------------- backward


class Winners(NamedTuple):
    """The gradient of pooled cells, and the pixels that it goes to."""

    dy: np.ndarray
    winner: np.ndarray


def winners(dy: np.ndarray, winner: np.ndarray) -> Winners:
    """The `Winners` for arrays of any shape."""
    return Winners(dy.reshape(-1), winner.reshape(-1))


def kernel_gradient(
    x: np.ndarray, kernel: np.ndarray, gradient: Winners, out: Gradients, window: Window, pool: Window
) -> bool:
    """The gradient of a few channels: spread dy over a band of pixels, zeros too, and multiply.

    Returns False if it is another: pixels that are not finite have not met the zeros between and behind the bands.
    """
    channels, filters = kernel.shape[2:]
    tables = input_frame(window, channels), convolution(window, channels, filters)
    bands, chunks = bands_of(window, pool, channels, filters, x.itemsize), batch.chunks_with_sums(len(x), kernel.nbytes)
    arrays, time = (x.reshape(-1), gradient, zero_row(filters, x.dtype), out), product_time(x, kernel, window)
    return _kernel_gradient.launch(time, *arrays, chunks, *tables, bands, chunks=chunks.count)


@intrinsic
def spread_cells(typingctx, gradient, at, cells, taps, filters, target, sums):
    """target[pixel] = dy where the pixel is its cell's winner, else 0, for all of an image's cells; sums += all dy.

    `gradient` is a `Winners`, read from element `at` on. Writes whole vectors of filters.
    """
    index = types.int64
    return types.void(gradient, index, cells, taps, index, target, sums), _emit_spread


def _emit_spread(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    sizes = [context.make_array(signature.args[i])(context, builder, args[i]).nitems for i in (2, 3)]
    gradient, at, cells, taps, filters, target, sums = emit.plain(signature.args, args)
    zero, count = emit.full(0.0), builder.trunc(sizes[1], I8)
    with cgutils.for_range(builder, sizes[0]) as cell, emit.each_vector(filters) as (column, _):
        place = builder.add(builder.add(at, builder.mul(cell.index, filters)), column)
        values = emit.load(emit.moved(gradient.dy, place))
        tap_of_winner = emit.load_bytes(emit.moved(gradient.winner, place))
        own = emit.moved(target, builder.load(emit.moved(cells, cell.index)), column)
        with cgutils.for_range(builder, sizes[1]) as tap:
            won = builder.icmp_unsigned("==", tap_of_winner, emit.splat(builder.trunc(tap.index, I8)))
            pixel = emit.moved(own, builder.load(emit.moved(taps, tap.index)))
            emit.store(builder.select(won, values, zero), pixel)
        live = builder.icmp_unsigned("<", tap_of_winner, emit.splat(count))
        own_sums = emit.moved(sums, column)
        total = builder.fadd(emit.load(own_sums), builder.select(live, values, zero))
        emit.store_counted(total, own_sums, builder.sub(filters, column))
    return context.get_dummy_value()


@inline
def _gradient_chunk(chunk, x, gradient, zeros, sums, chunks, frame, conv, bands):
    """Returns whether the gradient is right."""
    _, dkernel, dbias = batch.sums_of(sums, chunks, chunk)
    images = batch.images_of(chunks, chunk)
    is_right, size = True, frame.rows * frame.row_size
    skips = bands.bands * bands.pixel_count < conv.pixel_count and len(dkernel) > 0
    if images[0] == images[1]:
        fill(dkernel, 0, len(dkernel), 0)
    padded = batch.frame_scratch(frame, 0, x)
    band = filled(bands.scratch_size, 0, x)
    control = flush_denormals()
    for image in range(images[0], images[1]):
        if skips and not all_finite(x, image * size, size):
            is_right = False
        source, start = batch.framed_image(frame, x, image, padded)
        for i in range(bands.bands):
            at = (image * bands.bands + i) * len(bands.cells) * conv.filters
            spread_cells(gradient, at, bands.cells, bands.taps, conv.filters, band, dbias)
            if len(dkernel) > 0:
                multiply(
                    Left(source, start + i * bands.x_stride, conv.taps, bands.x_rows),
                    Right(band, 0, bands.scratch_rows),
                    Out(dkernel, 0, conv.kernel_rows),
                    Span(0, bands.pixel_count, 0, conv.kernel_height, conv.filters, bands.run),
                    first=zeros,
                    accumulate=image > images[0] or i > 0,
                    floor=floor_of(False, x),
                )
    restore_denormals(control)
    return is_right


@parallel_kernel(uses=[MULTIPLY])
def _kernel_gradient(pool, x, gradient, zeros, out, chunks, frame, conv, bands):
    _, dkernel, dbias = out
    sums = batch.sums_for(chunks, out.dx, len(dkernel), conv.filters, x)
    arguments = x, gradient, zeros, sums, chunks, frame, conv, bands
    is_right = in_parallel(pool, chunks.count, _gradient_chunk, arguments)
    batch.add_up(pool, sums.dbias, chunks.count, dbias)
    batch.add_up(pool, sums.dkernel, chunks.count, dkernel)
    return is_right
