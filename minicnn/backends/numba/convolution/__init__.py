"""Convolution, alone and fused with ReLU and max pooling, and its gradients.

Work is cut into parts of the batch whose number depends on the shapes alone, and what the parts sum up is added in
their order: results are the same bits for any number of threads.

Names in the kernels: `conv`, `bands`, `runs` and `gradient` are the named tuples of `tables.py`, `frame` is the input
image's and `dy_frame` the gradient's.
"""

import numpy as np
from numba import prange

from minicnn.backends import memory
from minicnn.backends.numba.convolution import choice, columns, winograd
from minicnn.backends.numba.machine import offsets as tables
from minicnn.backends.numba.machine.batch import (
    add_block,
    add_parts,
    copy_out,
    frame_scratch,
    framed_image,
    masked_image,
    parts_with_sums,
    range_of,
    row_of,
    spread_cells,
    sum_blocks,
    wants_threads,
)
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.launch import MOST_PARTS, parallel_kernel, part
from minicnn.backends.numba.machine.matrix import (
    MULTIPLY,
    fill,
    floor_of,
    multiply,
    product_nanoseconds,
    scratch,
    transpose,
)
from minicnn.backends.numba.machine.offsets import flat_or_absent as _flat
from minicnn.backends.numba.machine.offsets import whole_vectors, zero_row
from minicnn.backends.numba.machine.vectors import spread_runs, sum_runs
from minicnn.backends.numba.pooling import pool_cells
from minicnn.backends.reference import ops as reference
from minicnn.geometry import Window

_PIXEL_BLOCK = 128  # pixels whose dy stays in the L1 cache while all rows of dkernel pass


def conv2d(x, kernel, bias, y, window: Window, groups=1, relu=False):
    """See `minicnn.backends.reference.conv2d`."""
    if groups > 1:
        return reference.conv2d(x, kernel, bias, y, window, groups, relu)
    channels, filters = kernel.shape[2:]
    if choice.winograd_is_best(window, channels, filters, x.itemsize):
        return winograd.conv2d(x, kernel, bias, y, window, relu)
    parts = min(len(x), MOST_PARTS)
    _conv2d.run(
        _product_time(x, kernel, window),
        x.reshape(-1), kernel.reshape(-1), _bias_or_zeros(bias, kernel), y.reshape(-1), relu, len(x), parts,
        tables.input_frame(window, channels), tables.convolution(window, channels, filters),
        parts=parts,
    )  # fmt: skip


def conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window: Window, groups=1, relu=False):
    """See `minicnn.backends.reference.conv2d_backward`."""
    if groups > 1:
        return reference.conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window, groups, relu)
    channels, filters = kernel.shape[2:]
    if choice.columns_are_best(window):
        return columns.conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window, relu)
    if dx is not None and choice.winograd_is_best(window.turned_around, filters, channels, x.itemsize):
        winograd.input_gradient(kernel, y if relu else None, dy, dx, window)
        dx = None
    if dx is dkernel is dbias is None:
        return
    parts = parts_with_sums(len(x), kernel.nbytes)
    _conv2d_backward.run(
        _product_time(x, kernel, window),
        x.reshape(-1), kernel.reshape(-1), _flat(y if relu else None, x.dtype), dy.reshape(-1),
        _flat(dx, x.dtype), _flat(dkernel, x.dtype), _flat(dbias, x.dtype), zero_row(max(channels, filters), x.dtype),
        len(x), parts, tables.input_frame(window, channels), tables.convolution(window, channels, filters),
        *tables.input_gradient(window, channels, filters),
        parts=parts,
    )  # fmt: skip


def conv2d_pool(x, kernel, bias, y, winner, window: Window, pool: Window, relu=False):
    """See `minicnn.backends.reference.conv2d_pool`."""
    if choice.is_left_to_reference(pool):
        return reference.conv2d_pool(x, kernel, bias, y, winner, window, pool, relu)
    channels, filters = kernel.shape[2:]
    if choice.pooled_winograd_is_best(window, pool, channels, filters, x.itemsize):
        return winograd.conv2d_pool(x, kernel, bias, y, winner, window, relu)
    bias, slots = _bias_or_zeros(bias, kernel), whole_vectors(filters, x.itemsize)
    if choice.pairs_are_best(window, pool, filters, x.itemsize):
        kernel, bias, row_length, abreast = _paired(kernel), _twice(bias, slots), filters, 2
        wide_window = tables.paired_window(window)
    else:
        row_length, abreast, wide_window = slots, 1, window
    parts = min(len(x), MOST_PARTS)
    _conv2d_pool.run(
        _product_time(x, kernel, wide_window),
        x.reshape(-1), kernel.reshape(-1), bias, y.reshape(-1), _flat(winner, np.uint8), relu,
        len(x), parts, slots, filters, tables.input_frame(window, channels),
        tables.convolution(wide_window, channels, abreast * filters),
        tables.bands(wide_window, pool, channels, row_length, x.itemsize, abreast),
        parts=parts,
    )  # fmt: skip


def conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window: Window, pool: Window):
    """See `minicnn.backends.reference.conv2d_pool_backward`."""
    if choice.is_left_to_reference(pool):
        return reference.conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window, pool)
    channels, filters = kernel.shape[2:]
    if dx is not None and choice.winograd_gradient_is_best(window, pool, channels, filters, x.itemsize):
        winograd.pool_input_gradient(kernel, winner, dy, dx, window)
        dx = None
    if dx is dkernel is dbias is None:
        return
    if dx is None and choice.spread_is_best(window, pool, channels, filters, x.itemsize):
        _pool_backward_dense(x, kernel, winner, dy, dkernel, dbias, window, pool)
    else:
        _pool_backward_sparse(x, kernel, winner, dy, dx, dkernel, dbias, window, pool)


def _pool_backward_dense(x, kernel, winner, dy, dkernel, dbias, window, pool):
    """The gradient of a few channels: spread dy over a band of pixels, zeros too, and multiply."""
    channels, filters = kernel.shape[2:]
    parts = parts_with_sums(len(x), kernel.nbytes)
    _conv2d_pool_backward_dense.run(
        _product_time(x, kernel, window),
        x.reshape(-1), winner.reshape(-1), dy.reshape(-1), _flat(dkernel, x.dtype), _flat(dbias, x.dtype),
        zero_row(filters, x.dtype), len(x), parts, tables.input_frame(window, channels),
        tables.convolution(window, channels, filters),
        tables.bands(window, pool, channels, whole_vectors(filters, x.itemsize), x.itemsize),
        parts=parts,
    )  # fmt: skip


def _twice(bias, slots):
    twice = memory.zeros(slots, bias.dtype)
    twice[: 2 * len(bias)] = np.concatenate((bias, bias))
    return twice


def _paired(kernel):
    """The kernel of two pixels side by side: (KH, KW + 1, C, 2·F), the second half one column to the right."""
    height, width, channels, filters = kernel.shape
    paired = memory.zeros((height, width + 1, channels, 2 * filters), kernel.dtype)
    paired[:, :-1, :, :filters] = kernel
    paired[:, 1:, :, filters:] = kernel
    return paired


def _pool_backward_sparse(x, kernel, winner, dy, dx, dkernel, dbias, window, pool):
    """The gradient of many channels: sums over live winners alone."""
    channels, filters = kernel.shape[2:]
    parts = parts_with_sums(len(x), kernel.nbytes)
    _conv2d_pool_backward_sparse.run(
        _product_time(x, kernel, pool),
        x.reshape(-1), kernel.reshape(-1), winner.reshape(-1), dy.reshape(-1),
        _flat(dx, x.dtype), _flat(dkernel, x.dtype), _flat(dbias, x.dtype), len(x), parts, filters,
        tables.input_frame(window, channels), tables.runs(window, pool, channels, x.itemsize),
        parts=parts,
    )  # fmt: skip


def _product_time(x, kernel, window):
    """Nanoseconds that one core needs to apply the kernel at every place of the window, for all images."""
    return product_nanoseconds(len(x) * window.out_height * window.out_width * kernel.size, x.itemsize)


def _bias_or_zeros(bias, kernel):
    return zero_row(kernel.shape[-1], kernel.dtype) if bias is None else bias


# ---------------------------------------------------------------------------------------------------- forward


@part
def _conv2d_part(x, kernel, bias, y, relu, first, last, frame, conv):
    padded = frame_scratch(frame, 0, x)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        multiply(
            source, start, conv.pixels, conv.taps, kernel, 0, conv.kernel_rows, 0, conv.kernel_height, bias, False,
            y, image * conv.pixel_count * conv.filters, conv.y_rows, 0, conv.pixel_count, conv.filters,
            floor_of(relu, x),
        )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _conv2d(x, kernel, bias, y, relu, images, parts, frame, conv):
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        _conv2d_part(x, kernel, bias, y, relu, first, last, frame, conv)


@part
def _conv2d_pool_part(x, kernel, bias, y, winner, relu, first, last, slots, filters, frame, conv, bands):
    padded = frame_scratch(frame, 0, x)
    band = scratch(bands.scratch_size, x)
    fill(band, 0, len(band), -np.inf)  # what pooling finds in its padding
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        for number in range(bands.bands):
            multiply(
                source, start + number * bands.x_step, bands.x_rows, conv.taps, kernel, 0, conv.kernel_rows,
                0, conv.kernel_height, bias, False, band, 0, bands.scratch_rows, 0, bands.pixel_count, slots,
                floor_of(False, x),
            )  # fmt: skip
            place = (image * bands.bands + number) * len(bands.cells) * filters
            pool_cells(band, 0, bands.cells, bands.taps, filters, y, winner, place, relu)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_pool(x, kernel, bias, y, winner, relu, images, parts, slots, filters, frame, conv, bands):
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        _conv2d_pool_part(x, kernel, bias, y, winner, relu, first, last, slots, filters, frame, conv, bands)


# --------------------------------------------------------------------------------- gradients without pooling


@part
def _turned_kernel(kernel, tap_order, channels, filters):
    """The kernel as (tap, filter, channel), taps in the given order."""
    turned = scratch(len(tap_order) * filters * channels, kernel)
    for number in range(len(tap_order)):
        source, place = tap_order[number] * channels * filters, number * channels * filters
        transpose(kernel, source, filters, channels, filters, turned, place, channels)
    return turned


@part
def _conv2d_backward_part(
    x, turned, y, dy, dx, zeros, kernel_sum, bias_sum, first, last, frame, conv, dy_frame, gradient
):
    if first == last:
        fill(kernel_sum, 0, len(kernel_sum), 0)
    padded = frame_scratch(frame, 0, x)
    framed = scratch(dy_frame.size, x)
    fill(framed, 0, len(framed), 0)
    no_floor = floor_of(False, x)
    for image in range(first, last):
        masked_image(dy_frame, y, dy, image * conv.pixel_count * conv.filters, framed, conv.filters, bias_sum)
        if len(kernel_sum) > 0:
            source, start = framed_image(frame, x, image, padded)
            for block in range(0, conv.pixel_count, _PIXEL_BLOCK):
                multiply(
                    source, start, conv.taps, conv.pixels, framed, 0, gradient.dy_inside,
                    block, min(block + _PIXEL_BLOCK, conv.pixel_count), zeros, image > first or block > 0,
                    kernel_sum, 0, conv.kernel_rows, 0, conv.kernel_height, conv.filters, no_floor,
                )  # fmt: skip
        if len(dx) > 0:
            for phase in gradient.phases:
                multiply(
                    framed, 0, gradient.dy_rows, gradient.dy_inner, turned, 0, gradient.kernel_rows,
                    phase[2], phase[3], zeros, False,
                    dx, image * frame.rows * frame.row_size, gradient.dx_rows, phase[0], phase[1], conv.channels,
                    no_floor,
                )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, zeros, images, parts, frame, conv, dy_frame, gradient):
    tap_order = gradient.tap_order if len(dx) > 0 else gradient.tap_order[:0]
    turned = _turned_kernel(kernel, tap_order, conv.channels, conv.filters)
    sums = scratch(parts * len(dkernel), x)  # (parts, T·C, F)
    bias_sums = scratch(parts * conv.filters, x)
    fill(bias_sums, 0, len(bias_sums), 0)
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        kernel_sum, bias_sum = row_of(sums, number, len(dkernel)), row_of(bias_sums, number, conv.filters)
        _conv2d_backward_part(
            x, turned, y, dy, dx, zeros, kernel_sum, bias_sum, first, last, frame, conv, dy_frame, gradient
        )
    add_parts(bias_sums, parts, dbias)
    if wants_threads(sums):
        for block in prange(sum_blocks(len(dkernel))):
            add_block(sums, parts, dkernel, block)
    else:
        add_parts(sums, parts, dkernel)


# ------------------------------------------------------------------------------------ gradients with pooling


@part
def _pool_backward_dense_part(x, winner, dy, zeros, kernel_sum, bias_sum, first, last, frame, conv, bands):
    if first == last:
        fill(kernel_sum, 0, len(kernel_sum), 0)
    padded = frame_scratch(frame, 0, x)
    band = scratch(bands.scratch_size, x)
    fill(band, 0, len(band), 0)
    control = flush_denormals()
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        for number in range(bands.bands):
            place = (image * bands.bands + number) * len(bands.cells) * conv.filters
            spread_cells(dy, winner, place, bands.cells, bands.taps, conv.filters, band, bias_sum)
            if len(kernel_sum) > 0:
                multiply(
                    source, start + number * bands.x_step, conv.taps, bands.x_rows, band, 0, bands.scratch_rows,
                    0, bands.pixel_count, zeros, image > first or number > 0,
                    kernel_sum, 0, conv.kernel_rows, 0, conv.kernel_height, conv.filters, floor_of(False, x),
                )  # fmt: skip
    restore_denormals(control)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_pool_backward_dense(x, winner, dy, dkernel, dbias, zeros, images, parts, frame, conv, bands):
    sums = scratch(parts * len(dkernel), x)  # (parts, T·C, F)
    bias_sums = scratch(parts * conv.filters, x)
    fill(bias_sums, 0, len(bias_sums), 0)
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        kernel_sum, bias_sum = row_of(sums, number, len(dkernel)), row_of(bias_sums, number, conv.filters)
        _pool_backward_dense_part(x, winner, dy, zeros, kernel_sum, bias_sum, first, last, frame, conv, bands)
    add_parts(bias_sums, parts, dbias)
    add_parts(sums, parts, dkernel)


@part
def _collect_live(dy, winner, start, first, last, filters, runs, places, gradients):
    """List one filter's live winners among some cells: their windows in x and their gradients; returns how many."""
    # Unsigned, so that Numba need not ask of every index whether it counts from the end.
    live, at, step = np.uint64(0), np.uint64(start + first * filters), np.uint64(filters)
    for cell in range(np.uint64(first), np.uint64(last)):
        tap = winner[at]
        place = runs.cells[cell] + runs.winners[tap]
        places[live] = place
        gradients[live] = dy[at]
        # A window of nothing but -inf has the padding's first tap as its winner: no place of the image.
        live += np.uint64(tap < runs.tap_count and 0 <= place <= runs.last_place)
        at += step
    return np.int64(live)


@part
def _sum_of(numbers, count):
    total = numbers.dtype.type(0)
    for i in range(count):
        total += numbers[i]
    return total


@part
def _filter_vectors(kernel, filters, runs):
    """The kernel as (filter, slot): every filter's weights in the vectors of a window, zero where there are none."""
    packed = scratch(filters * runs.slot_count if len(kernel) > 0 else 0, kernel)
    fill(packed, 0, len(packed), 0)
    for number in range(len(kernel) // (runs.run * filters)):
        source, place = number * runs.run * filters, number * runs.run_slots
        transpose(kernel, source, filters, runs.run, filters, packed, place, runs.slot_count)
    return packed


@part
def _pool_backward_sparse_part(x, packed, winner, dy, dx, kernel_sum, bias_sum, first, last, filters, frame, runs):
    padded = frame_scratch(frame, 0, x)
    dx_padded = scratch(frame.size if len(dx) > 0 else 0, x)
    cell_count, run_slots = len(runs.cells), runs.run_slots
    places, gradients = np.empty(cell_count, np.int64), np.empty(cell_count, x.dtype)
    fill(kernel_sum, 0, len(kernel_sum), 0)
    control = flush_denormals()
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        fill(dx_padded, 0, len(dx_padded), 0)
        for cell in range(0, cell_count, runs.block_cells):
            last_cell = min(cell + runs.block_cells, cell_count)
            for f in range(filters):
                place, slot = image * cell_count * filters + f, f * runs.slot_count
                live = _collect_live(dy, winner, place, cell, last_cell, filters, runs, places, gradients)
                bias_sum[f] += _sum_of(gradients, live)
                for offset, first_slot, run_count, vectors in runs.blocks if len(kernel_sum) > 0 else runs.blocks[:0]:
                    sum_runs(
                        source, start + offset, places, gradients, live, runs.run_step, run_count, vectors,
                        kernel_sum, slot + first_slot, run_slots,
                    )  # fmt: skip
                for offset, first_slot, run_count, vectors in runs.blocks if len(dx) > 0 else runs.blocks[:0]:
                    spread_runs(
                        dx_padded, offset, places, gradients, live, runs.run_step, run_count, vectors,
                        packed, slot + first_slot, run_slots,
                    )  # fmt: skip
        if len(dx) > 0:
            copy_out(frame, dx_padded, dx, image * frame.rows * frame.row_size)
    restore_denormals(control)


@parallel_kernel
def _conv2d_pool_backward_sparse(x, kernel, winner, dy, dx, dkernel, dbias, images, parts, filters, frame, runs):
    packed = _filter_vectors(kernel if len(dx) > 0 else kernel[:0], filters, runs)
    part_size = filters * runs.slot_count if len(dkernel) > 0 else 0
    sums = scratch(parts * part_size, x)  # (parts, F, slots)
    bias_sums = scratch(parts * filters, x)
    fill(bias_sums, 0, len(bias_sums), 0)
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        kernel_sum, bias_sum = row_of(sums, number, part_size), row_of(bias_sums, number, filters)
        _pool_backward_sparse_part(x, packed, winner, dy, dx, kernel_sum, bias_sum, first, last, filters, frame, runs)
    add_parts(bias_sums, parts, dbias)
    if part_size > 0:
        total = scratch(part_size, x)  # (F, slots)
        if wants_threads(sums):
            for block in prange(sum_blocks(part_size)):
                add_block(sums, parts, total, block)
        else:
            add_parts(sums, parts, total)
        for number in range(runs.slot_count // runs.run_slots):
            source, place = number * runs.run_slots, number * runs.run * filters
            transpose(total, source, runs.slot_count, filters, runs.run, dkernel, place, filters)
