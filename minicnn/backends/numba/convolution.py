"""Convolution, alone and fused with ReLU and max pooling, and its gradients.

Work is cut into parts of the batch whose number depends on the shapes alone, and what the parts sum up is added in
their order: results are the same bits for any number of threads.
"""

import numpy as np
from numba import prange

from minicnn.backends import reference
from minicnn.backends.numba import tables
from minicnn.backends.numba.frames import add_parts, copy_out, frame_scratch, framed_image, sum_block_count
from minicnn.backends.numba.launch import parallel_kernel, part
from minicnn.backends.numba.matrix import MULTIPLY, fill, floor_of, multiply, scratch, transpose
from minicnn.backends.numba.pooling import pool_cells
from minicnn.backends.numba.simd import lanes_of, mask_pixels, spread_runs, spread_winners, sum_runs
from minicnn.backends.numba.tables import flat_or_absent as _flat
from minicnn.backends.numba.tables import zero_row
from minicnn.backends.numba.tiles import lanes
from minicnn.geometry import Window

_MOST_PARTS = 8  # of a batch, where every part keeps a sum of its own
_MOST_PARTIAL_BYTES = 16 << 20  # of all the parts' sums together
_PIXEL_BLOCK = 128  # pixels whose dy stays in the L1 cache while all rows of dkernel pass
_SHORT_RUN = 16  # a window's runs that are shorter than this are better served by the dense product


def conv2d(x, kernel, bias, y, window: Window, groups=1, relu=False):
    """See `minicnn.backends.reference.conv2d`."""
    if groups > 1:
        return reference.conv2d(x, kernel, bias, y, window, groups, relu)
    channels, filters = kernel.shape[2:]
    _conv2d(
        x.reshape(-1), kernel.reshape(-1), zero_row(filters, x.dtype) if bias is None else bias, y.reshape(-1),
        len(x), relu, tables.input_frame(window, channels), tables.pixels(window, channels), tables.taps(window,
        channels),
        tables.steps(window.taps * channels, filters), tables.step_rows(window.out_height * window.out_width, filters),
        window.out_height * window.out_width, filters,
    )  # fmt: skip


def conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window: Window, groups=1, relu=False):
    """See `minicnn.backends.reference.conv2d_backward`."""
    if groups > 1:
        return reference.conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window, groups, relu)
    channels, filters = kernel.shape[2:]
    gradient = tables.input_gradient(window, channels, filters)
    parts = _parts_with_sums(len(x), kernel)
    _conv2d_backward(
        x.reshape(-1), kernel.reshape(-1), y.reshape(-1) if relu else _flat(None, x.dtype), dy.reshape(-1),
        _flat(dx, x.dtype), _flat(dkernel, x.dtype), _flat(dbias, x.dtype), zero_row(max(channels, filters), x.dtype),
        len(x), parts, channels, filters, window.out_height * window.out_width,
        tables.input_frame(window, channels), tables.pixels(window, channels), tables.taps(window, channels),
        tables.step_rows(window.taps * channels, filters), gradient.frame, gradient.dy_inside, gradient.tap_order,
        gradient.dy_rows, gradient.dx_rows, gradient.dy_inner,
        tables.steps(len(gradient.dy_inner), channels), gradient.phases,
    )  # fmt: skip


def conv2d_pool(x, kernel, bias, y, winner, window: Window, pool: Window, relu=False):
    """See `minicnn.backends.reference.conv2d_pool`."""
    if _is_unusual(pool):
        return reference.conv2d_pool(x, kernel, bias, y, winner, window, pool, relu)
    channels, filters = kernel.shape[2:]
    row_length = _whole_vectors(filters, x)
    bands = tables.bands(window, pool, channels, row_length)
    _conv2d_pool(
        x.reshape(-1), kernel.reshape(-1), zero_row(filters, x.dtype) if bias is None else bias, y.reshape(-1),
        _flat(winner, np.uint8), len(x), relu, tables.input_frame(window, channels), tables.taps(window, channels),
        tables.steps(window.taps * channels, filters), filters, row_length, bands.count, bands.x_step, bands.x_rows,
        bands.scratch_rows, bands.pixel_count, bands.scratch_size, bands.cells, bands.taps,
    )  # fmt: skip


def conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window: Window, pool: Window):
    """See `minicnn.backends.reference.conv2d_pool_backward`."""
    if _is_unusual(pool):
        return reference.conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window, pool)
    channels = kernel.shape[2]
    if dx is None and window.kernel_width * channels < _SHORT_RUN and tables.can_pool_by_rows(pool):
        _pool_backward_dense(x, kernel, winner, dy, dkernel, dbias, window, pool)
    else:
        _pool_backward_sparse(x, kernel, winner, dy, dx, dkernel, dbias, window, pool)


def _pool_backward_dense(x, kernel, winner, dy, dkernel, dbias, window, pool):
    """The gradient of a few channels: spread dy over a band of pixels, zeros too, and multiply."""
    channels, filters = kernel.shape[2:]
    bands = tables.bands(window, pool, channels, _whole_vectors(filters, x))
    _conv2d_pool_backward_dense(
        x.reshape(-1), winner.reshape(-1), dy.reshape(-1), _flat(dkernel, x.dtype), _flat(dbias, x.dtype),
        zero_row(filters, x.dtype), len(x), _parts_with_sums(len(x), kernel), filters, window.taps * channels,
        tables.input_frame(window, channels), tables.taps(window, channels),
        tables.step_rows(window.taps * channels, filters), bands.count, bands.x_step, bands.x_rows, bands.scratch_rows,
        bands.pixel_count, bands.scratch_size, bands.cells, bands.taps,
    )  # fmt: skip


def _pool_backward_sparse(x, kernel, winner, dy, dx, dkernel, dbias, window, pool):
    """The gradient of many channels: sums over live winners alone."""
    channels, filters = kernel.shape[2:]
    runs = tables.runs(window, pool, channels, x.itemsize)
    _conv2d_pool_backward_sparse(
        x.reshape(-1), kernel.reshape(-1), winner.reshape(-1), dy.reshape(-1),
        _flat(dx, x.dtype), _flat(dkernel, x.dtype), _flat(dbias, x.dtype),
        len(x), _parts_with_sums(len(x), kernel), filters, pool.taps, tables.input_frame(window, channels),
        runs.cells, runs.winners, runs.vectors, runs.run, runs.run_slots, runs.slot_count, runs.block,
    )  # fmt: skip


def _whole_vectors(count, x):
    """`count` rounded up to whole vectors."""
    lane_count = lanes(x.itemsize)
    return -(-count // lane_count) * lane_count


def _is_unusual(pool):
    return pool.taps > 254 or pool.dilation_y > 1 or pool.dilation_x > 1


def _parts_with_sums(images, kernel):
    """Parts of the batch that each keep a sum as large as the kernel."""
    return max(1, min(_MOST_PARTS, images, _MOST_PARTIAL_BYTES // kernel.nbytes))


# ---------------------------------------------------------------------------------------------------- forward


@part
def _conv2d_part(x, kernel, bias, y, first, last, relu, frame, pixels, taps, kernel_rows, y_rows, pixel_count, filters):
    padded = frame_scratch(frame, 0, x)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        multiply(
            source, start, pixels, taps, kernel, 0, kernel_rows, 0, len(kernel_rows), bias, False,
            y, image * pixel_count * filters, y_rows, 0, pixel_count, filters, floor_of(relu, x),
        )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _conv2d(x, kernel, bias, y, images, relu, frame, pixels, taps, kernel_rows, y_rows, pixel_count, filters):
    parts = min(images, 32)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _conv2d_part(
            x, kernel, bias, y, first, last, relu, frame, pixels, taps, kernel_rows, y_rows, pixel_count, filters
        )


@part
def _conv2d_pool_part(
    x, kernel, bias, y, winner, first, last, relu, frame, conv_taps, kernel_rows, filters, row_length, bands, x_step,
    x_rows, scratch_rows, pixel_count, scratch_size, cells, taps,
):  # fmt: skip
    padded = frame_scratch(frame, 0, x)
    band = scratch(scratch_size, x)
    fill(band, 0, len(band), -np.inf)  # what pooling finds in its padding
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        for number in range(bands):
            multiply(
                source, start + number * x_step, x_rows, conv_taps, kernel, 0, kernel_rows, 0, len(kernel_rows),
                bias, False, band, 0, scratch_rows, 0, pixel_count, row_length, floor_of(False, x),
            )  # fmt: skip
            place = (image * bands + number) * len(cells) * filters
            pool_cells(band, 0, cells, taps, filters, y, winner, place, relu)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_pool(
    x, kernel, bias, y, winner, images, relu, frame, conv_taps, kernel_rows, filters, row_length, bands, x_step,
    x_rows, scratch_rows, pixel_count, scratch_size, cells, taps,
):  # fmt: skip
    parts = min(images, 32)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _conv2d_pool_part(
            x, kernel, bias, y, winner, first, last, relu, frame, conv_taps, kernel_rows, filters, row_length, bands,
            x_step, x_rows, scratch_rows, pixel_count, scratch_size, cells, taps,
        )  # fmt: skip


# --------------------------------------------------------------------------------- gradients without pooling


@part
def _masked_image(frame, y, dy, start, framed, filters, bias_sums, bias_start):
    """Copy dy, where y is positive if there is a y, into its frame, and add it up over the pixels."""
    rows, row_size, padded_row, first, _ = frame
    for row in range(rows):
        for column in range(0, filters, lanes_of(dy)):
            mask_pixels(
                y, len(y) > 0, dy, start + row * row_size + column, framed, first + row * padded_row + column,
                row_size // filters, filters, bias_sums, bias_start + column, filters - column,
            )  # fmt: skip


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
    x, turned, y, dy, dx, zeros, sums, sums_start, bias_sums, bias_start, wants_kernel, first, last,
    channels, filters, pixel_count, frame, pixels, taps, kernel_rows, dy_frame, dy_inside, dy_rows, dx_rows,
    dy_inner, turned_rows, phases,
):  # fmt: skip
    padded = frame_scratch(frame, 0, x)
    framed = scratch(dy_frame[4], x)
    fill(framed, 0, len(framed), 0)
    no_floor = floor_of(False, x)
    for image in range(first, last):
        _masked_image(dy_frame, y, dy, image * pixel_count * filters, framed, filters, bias_sums, bias_start)
        if wants_kernel:
            source, start = framed_image(frame, x, image, padded)
            for block in range(0, pixel_count, _PIXEL_BLOCK):
                multiply(
                    source, start, taps, pixels, framed, 0, dy_inside, block, min(block + _PIXEL_BLOCK, pixel_count),
                    zeros, image > first or block > 0, sums, sums_start, kernel_rows, 0, len(kernel_rows), filters,
                    no_floor,
                )  # fmt: skip
        if len(dx) > 0:
            for phase in phases:
                multiply(
                    framed, 0, dy_rows, dy_inner, turned, 0, turned_rows, phase[2], phase[3], zeros, False,
                    dx, image * frame[0] * frame[1], dx_rows, phase[0], phase[1], channels, no_floor,
                )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_backward(
    x, kernel, y, dy, dx, dkernel, dbias, zeros, images, parts, channels, filters, pixel_count, frame, pixels, taps,
    kernel_rows, dy_frame, dy_inside, tap_order, dy_rows, dx_rows, dy_inner, turned_rows, phases,
):  # fmt: skip
    turned = _turned_kernel(kernel, tap_order if len(dx) > 0 else tap_order[:0], channels, filters)
    sums = scratch(parts * len(dkernel), x)  # (parts, T·C, F)
    bias_sums = scratch(parts * filters, x)
    fill(bias_sums, 0, len(bias_sums), 0)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _conv2d_backward_part(
            x, turned, y, dy, dx, zeros, sums, number * len(dkernel), bias_sums, number * filters, len(dkernel) > 0,
            first, last, channels, filters, pixel_count, frame, pixels, taps, kernel_rows,
            dy_frame, dy_inside, dy_rows, dx_rows, dy_inner, turned_rows, phases,
        )  # fmt: skip
    for block in range(sum_block_count(len(dbias))):
        add_parts(bias_sums, parts, dbias, block)
    for block in prange(sum_block_count(len(dkernel))):
        add_parts(sums, parts, dkernel, block)


# ------------------------------------------------------------------------------------ gradients with pooling


@part
def _spread_band(dy, winner, place, cells, taps, filters, band, bias_sums, bias_start):
    """band[pixel] = dy where the pixel is its cell's winner, else 0, for all of the band's cells; and their sum."""
    for cell in cells:
        for column in range(0, filters, lanes_of(dy)):
            spread_winners(
                dy, winner, place + column, band, cell + column, taps, len(taps),
                bias_sums, bias_start + column, filters - column,
            )  # fmt: skip
        place += filters


@part
def _pool_backward_dense_part(
    x, winner, dy, zeros, sums, sums_start, bias_sums, bias_start, wants_kernel, first, last, filters, frame,
    conv_taps, kernel_rows, bands, x_step, x_rows, scratch_rows, pixel_count, scratch_size, cells, taps,
):  # fmt: skip
    padded = frame_scratch(frame, 0, x)
    band = scratch(scratch_size, x)
    fill(band, 0, len(band), 0)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        for number in range(bands):
            place = (image * bands + number) * len(cells) * filters
            _spread_band(dy, winner, place, cells, taps, filters, band, bias_sums, bias_start)
            if wants_kernel:
                multiply(
                    source, start + number * x_step, conv_taps, x_rows, band, 0, scratch_rows, 0, pixel_count,
                    zeros, image > first or number > 0, sums, sums_start, kernel_rows, 0, len(kernel_rows), filters,
                    floor_of(False, x),
                )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_pool_backward_dense(
    x, winner, dy, dkernel, dbias, zeros, images, parts, filters, kernel_height, frame, conv_taps, kernel_rows, bands,
    x_step, x_rows, scratch_rows, pixel_count, scratch_size, cells, taps,
):  # fmt: skip
    sums = scratch(parts * len(dkernel), x)  # (parts, T·C, F)
    bias_sums = scratch(parts * filters, x)
    fill(bias_sums, 0, len(bias_sums), 0)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _pool_backward_dense_part(
            x, winner, dy, zeros, sums, number * len(dkernel), bias_sums, number * filters, len(dkernel) > 0, first,
            last, filters, frame, conv_taps, kernel_rows, bands, x_step, x_rows, scratch_rows, pixel_count,
            scratch_size, cells, taps,
        )  # fmt: skip
    for block in range(sum_block_count(len(dbias))):
        add_parts(bias_sums, parts, dbias, block)
    for block in range(sum_block_count(len(dkernel))):
        add_parts(sums, parts, dkernel, block)


@part
def _collect_live(dy, winner, place, first, last, filters, tap_count, cells, winners, places, gradients):
    """List one filter's live winners among some cells: their windows in x and their gradients; returns how many."""
    live = 0
    for cell in range(first, last):
        at = place + cell * filters
        tap = winner[at]
        places[live] = cells[cell] + winners[tap]
        gradients[live] = dy[at]
        live += tap < tap_count
    return live


@part
def _filter_vectors(kernel, filters, run, run_slots, slot_count):
    """The kernel as (filter, slot): every filter's weights in the vectors of a window, zero where there are none."""
    packed = scratch(filters * slot_count if len(kernel) > 0 else 0, kernel)
    fill(packed, 0, len(packed), 0)
    for number in range(len(kernel) // (run * filters)):
        transpose(kernel, number * run * filters, filters, run, filters, packed, number * run_slots, slot_count)
    return packed


@part
def _pool_backward_sparse_part(
    x, packed, winner, dy, dx, sums, sums_start, bias_sums, bias_start, wants_kernel, first, last, filters, tap_count,
    frame, cells, winners, vectors, slot_count, block_cells,
):  # fmt: skip
    padded = frame_scratch(frame, 0, x)
    dx_padded = scratch(frame[4] if len(dx) > 0 else 0, x)
    places, gradients = np.empty(len(cells), np.int64), np.empty(len(cells), x.dtype)
    lane_count = lanes_of(x)
    fill(sums, sums_start, filters * slot_count if wants_kernel else 0, 0)
    for image in range(first, last):
        source, start = framed_image(frame, x, image, padded)
        fill(dx_padded, 0, len(dx_padded), 0)
        for cell in range(0, len(cells), block_cells):
            for f in range(filters):
                live = _collect_live(
                    dy, winner, image * len(cells) * filters + f, cell, min(cell + block_cells, len(cells)), filters,
                    tap_count, cells, winners, places, gradients,
                )  # fmt: skip
                for item in range(live):
                    bias_sums[bias_start + f] += gradients[item]
                v = 0
                while wants_kernel and v < len(vectors):
                    v += sum_runs(
                        source, start, places, gradients, live, vectors, v,
                        sums, sums_start + f * slot_count + v * lane_count,
                    )  # fmt: skip
                v = 0
                while len(dx) > 0 and v < len(vectors):
                    v += spread_runs(
                        dx_padded, 0, places, gradients, live, vectors, v,
                        packed, f * slot_count + v * lane_count,
                    )  # fmt: skip
        if len(dx) > 0:
            copy_out(frame, dx_padded, dx, image * frame[0] * frame[1])


@parallel_kernel
def _conv2d_pool_backward_sparse(
    x, kernel, winner, dy, dx, dkernel, dbias, images, parts, filters, tap_count, frame, cells, winners, vectors,
    run, run_slots, slot_count, block_cells,
):  # fmt: skip
    packed = _filter_vectors(kernel if len(dx) > 0 else kernel[:0], filters, run, run_slots, slot_count)
    part_size = filters * slot_count if len(dkernel) > 0 else 0
    sums = scratch(parts * part_size, x)  # (parts, F, slots)
    bias_sums = scratch(parts * filters, x)
    fill(bias_sums, 0, len(bias_sums), 0)
    for number in prange(parts):
        first, last = number * images // parts, (number + 1) * images // parts
        _pool_backward_sparse_part(
            x, packed, winner, dy, dx, sums, number * part_size, bias_sums, number * filters, part_size > 0,
            first, last, filters, tap_count, frame, cells, winners, vectors, slot_count, block_cells,
        )  # fmt: skip
    for block in range(sum_block_count(len(dbias))):
        add_parts(bias_sums, parts, dbias, block)
    if part_size > 0:
        total = scratch(part_size, x)  # (F, slots)
        for block in prange(sum_block_count(part_size)):
            add_parts(sums, parts, total, block)
        for number in range(slot_count // run_slots):
            row = number * run
            transpose(total, number * run_slots, slot_count, filters, run, dkernel, row * filters, filters)
