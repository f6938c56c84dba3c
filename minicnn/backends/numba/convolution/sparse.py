"""Gradients of a convolution behind max pooling, as sums over live winners: at most one pixel of a cell has a gradient.

For one filter, list the live winners: their windows in x, and their gradients. The filter's kernel gradient is the sum
of gradient · window over that list, and the input gradient adds gradient · kernel to those windows. The rows of a
window are strips of contiguous numbers, and a few strips stay in registers while the whole list passes.

That is the formula while pixels, weights and gradients are finite: 0 · ∞ is not 0.
"""

from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.convolution.direct import product_time
from minicnn.backends.numba.convolution.pooled import Winners
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.finite import all_finite
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import fill, filled, scratch, transpose
from minicnn.backends.numba.machine.offsets import input_frame, outer_sum, strides, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import TARGET, lanes, vectors
from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.geometry import RELU_OFF, Window

_L1_BYTES = 40 << 10  # of the first-level cache, for one kernel's use

# So many strips by so many vectors of each are summed in registers: shapes for 5, 3 and single strips.
_ALL_SHAPES = ((5, 2), (5, 1), (3, 6), (3, 4), (3, 2), (3, 1), (1, 6), (1, 4), (1, 2), (1, 1))
_SHAPES = tuple(s for s in _ALL_SHAPES if s[0] * s[1] <= (18 if TARGET.registers == 32 else 12))


def conv2d_pool_backward(
    x: np.ndarray, kernel: np.ndarray, gradient: Winners, out: Gradients, window: Window, pool: Window
) -> bool:
    """`minicnn.backends.reference.convolution.conv2d_pool_backward` for pooling without dilation and few taps.

    Returns False if what it has met is not all finite: then the gradients are others.
    """
    channels, filters = kernel.shape[2:]
    arrays, chunks = (x.reshape(-1), kernel.reshape(-1), gradient, out), batch.chunks_with_sums(len(x), kernel.nbytes)
    tables = input_frame(window, channels), strips_of(window, pool, channels, x.itemsize)
    time = product_time(x, kernel, pool)
    return _conv2d_pool_backward.launch(time, *arrays, chunks, filters, *tables, chunks=chunks.count)


# ------------------------------------------------------------------------------------------------------ tables


class Strips(NamedTuple):
    """The strips of x that one convolution pixel reads, cut into vectors.

    A filter's weights are stored in the same vectors; lanes behind the end of a strip hold no weight.
    """

    cells: np.ndarray  # window of the pooled cell's first convolution pixel, in the padded input
    winners: np.ndarray  # further offset for every winner
    tap_count: int  # winners below it are live
    last_window: int
    groups: np.ndarray  # (groups, 4): how a window is cut into `_SHAPES`: offset, first slot, strips, vectors
    stride: int  # from strip to strip of a group
    length: int  # rows of the kernel matrix in one strip
    strip_slots: int  # lanes of one strip's vectors
    slot_count: int
    cells_together: int  # whose part of x and of dx stays in the L1 cache while all filters pass


@table_cache
def strips_of(window: Window, pool: Window, channels: int, itemsize: int) -> Strips:
    """The tables of `Strips` for one geometry."""
    row = input_frame(window, channels).padded_row
    step_y, step_x = window.stride_y * row, window.stride_x * channels  # from pixel to pixel of the convolution
    cells = outer_sum(strides(pool.out_height, pool.stride_y * step_y), strides(pool.out_width, pool.stride_x * step_x))
    offsets = np.zeros(RELU_OFF + 1, np.int64)
    offsets[: pool.taps] = outer_sum(strides(pool.kernel_height, step_y), strides(pool.kernel_width, step_x))
    starts, length, most = _strips_of_a_window(window, channels, row)
    strip_vectors = vectors(length, itemsize)
    rounds = -(-pool.out_height * 2 * itemsize * pool.stride_y * step_y // _L1_BYTES)
    return Strips(
        cells=cells - pool.pad_top * step_y - pool.pad_left * step_x,
        winners=offsets,
        tap_count=pool.taps,
        last_window=(window.out_height - 1) * step_y + (window.out_width - 1) * step_x,
        groups=_groups(starts, strip_vectors, lanes(itemsize), most),
        stride=window.dilation_y * row,
        length=length,
        strip_slots=strip_vectors * lanes(itemsize),
        slot_count=len(starts) * strip_vectors * lanes(itemsize),
        cells_together=-(-pool.out_height // rounds) * pool.out_width,
    )


def _strips_of_a_window(window, channels, row):
    """Where its strips start, how long they are, and how many may be in one group: those that are evenly spaced."""
    rows = strides(window.kernel_height, window.dilation_y * row)
    if window.dilation_x == 1:
        return rows, window.kernel_width * channels, window.kernel_height
    return outer_sum(rows, strides(window.kernel_width, window.dilation_x * channels)), channels, 1


def _groups(starts, strip_vectors, lane_count, most):
    """Cut strips of vectors into `_SHAPES`, the largest first."""
    groups, first = [], 0
    while first < len(starts):
        left, vector = min(len(starts) - first, most), 0
        strips = max(s for s, v in _SHAPES if s <= left and (v >= strip_vectors or s <= 3))
        while vector < strip_vectors:
            width = max(v for s, v in _SHAPES if s == strips and v <= strip_vectors - vector)
            slot = (first * strip_vectors + vector) * lane_count
            groups.append((starts[first] + vector * lane_count, slot, strips, width))
            vector += width
        first += strips
    return np.array(groups, np.int64)


# ------------------------------------------------------------------------------------------------- vector code


class _Live(NamedTuple):
    """Live winners of one filter: memory for their windows' first elements and their gradients."""

    windows: np.ndarray
    gradients: np.ndarray


class _Group(NamedTuple):
    """A few strips side by side: how many, of how many vectors, and their distance in x and in the weights."""

    strips: int
    vectors: int
    stride: int
    slots: int


@intrinsic
def _sum_strips(typingctx, x, start, live, count, group, out, at):
    """out[s, v, :] += gradients[i] · x[start + windows[i] + s · stride + v · lanes, :] over i < count.

    The group is one of `_SHAPES`; a strip's vectors follow each other, in `out` strips are `slots` apart.
    """
    index = types.int64
    signature = types.void(x, index, live, index, group, out, index)
    return signature, lambda *arguments: _emit_strips(*arguments, is_sum=True)


@intrinsic
def _spread_strips(typingctx, x, start, live, count, group, out, at):
    """x[start + windows[i] + s · stride + v · lanes, :] += gradients[i] · out[s, v, :]: the adjoint of `_sum_strips`.

    Writes whole vectors: behind the end of a strip, where `out` is 0, x keeps its value.
    """
    index = types.int64
    signature = types.void(x, index, live, index, group, out, index)
    return signature, lambda *arguments: _emit_strips(*arguments, is_sum=False)


def _emit_strips(context, builder, signature, args, is_sum):
    """A loop over the live winners for each of `_SHAPES`, and the choice between them."""
    emit = Emitter(context, builder, signature.args[0])
    x, start, live, count, group, out, at = emit.plain(signature.args, args)
    x, out = emit.moved(x, start), emit.moved(out, at)
    for shape in _SHAPES:
        is_it = builder.and_(
            builder.icmp_signed("==", group.strips, emit.index(shape[0])),
            builder.icmp_signed("==", group.vectors, emit.index(shape[1])),
        )
        with builder.if_then(is_it):
            _emit_shape(emit, shape, x, live, count, group, out, is_sum)
    return context.get_dummy_value()


def _emit_shape(emit, shape, x, live, count, group, out, is_sum):
    builder, strips, width = emit.builder, range(shape[0]), range(shape[1])
    offsets = [builder.mul(group.stride, emit.index(s)) for s in strips]
    rows = [emit.moved(out, builder.mul(group.slots, emit.index(s))) for s in strips]
    registers = emit.registers([emit.load(row, v) for row in rows for v in width])
    with cgutils.for_range(builder, count) as loop:
        window = emit.moved(x, builder.load(emit.moved(live.windows, loop.index)))
        gradient = emit.splat(builder.load(emit.moved(live.gradients, loop.index)))
        pointers = [emit.moved(window, offset, emit.index(v * emit.lanes)) for offset in offsets for v in width]
        for pointer, register in zip(pointers, registers, strict=True):
            numbers, sums = emit.load(pointer), builder.load(register)
            if is_sum:
                builder.store(emit.multiply_add(gradient, numbers, sums), register)
            else:
                emit.store(emit.multiply_add(gradient, sums, numbers), pointer)
    if is_sum:
        for i, register in enumerate(registers):
            emit.store(builder.load(register), rows[i // shape[1]], i % shape[1])


# ------------------------------------------------------------------------------------------------- the kernel


@inline
def _collect_live(gradient, start, cells, filters, strips, live):
    """List one filter's live winners among the cells from cells[0] to cells[1]; returns how many."""
    # Unsigned, so that Numba need not ask of every index whether it counts from the end.
    dy, winner = gradient.dy, gradient.winner
    windows, gradients = live.windows, live.gradients
    count, at, stride = np.uint64(0), np.uint64(start + cells[0] * filters), np.uint64(filters)
    for cell in range(np.uint64(cells[0]), np.uint64(cells[1])):
        tap = winner[at]
        window = strips.cells[cell] + strips.winners[tap]
        windows[count] = window
        gradients[count] = dy[at]
        # A window of nothing but -inf has the padding's first tap as its winner: no pixel of the image.
        count += np.uint64(tap < strips.tap_count and 0 <= window <= strips.last_window)
        at += stride
    return np.int64(count)


@inline
def _sum_of(numbers, count):
    total = numbers.dtype.type(0)
    for i in range(count):
        total += numbers[i]
    return total


@inline
def _filter_vectors(kernel, filters, strips):
    """The kernel as (filter, slot): every filter's weights in the vectors of a window, zero where there are none."""
    packed = filled(filters * strips.slot_count if len(kernel) > 0 else 0, 0, kernel)
    for i in range(len(kernel) // (strips.length * filters)):
        start, at = i * strips.length * filters, i * strips.strip_slots
        transpose(kernel, start, filters, strips.length, filters, packed, at, strips.slot_count)
    return packed


@inline
def _chunk(chunk, x, packed, gradient, sums, chunks, frame, strips):
    """Returns whether the gradients and, for dkernel, the pixels are finite."""
    dx, dkernel, dbias = batch.sums_of(sums, chunks, chunk)
    images = batch.images_of(chunks, chunk)
    is_finite, size = True, frame.rows * frame.row_size
    padded = batch.frame_scratch(frame, 0, x)
    dx_padded = scratch(frame.size if len(dx) > 0 else 0, x)
    filters, cell_count = len(dbias), len(strips.cells)
    live = _Live(np.empty(cell_count, np.int64), np.empty(cell_count, x.dtype))
    fill(dkernel, 0, len(dkernel), 0)
    control = flush_denormals()
    for image in range(images[0], images[1]):
        if len(dkernel) > 0 and not all_finite(x, image * size, size):
            is_finite = False
        source, start = batch.framed_image(frame, x, image, padded)
        fill(dx_padded, 0, len(dx_padded), 0)
        for cell in range(0, cell_count, strips.cells_together):
            cells = cell, min(cell + strips.cells_together, cell_count)
            for f in range(filters):
                slot = f * strips.slot_count
                count = _collect_live(gradient, image * cell_count * filters + f, cells, filters, strips, live)
                dbias[f] += _sum_of(live.gradients, count)
                for offset, first, strip_count, width in strips.groups if len(dkernel) > 0 else strips.groups[:0]:
                    group = _Group(strip_count, width, strips.stride, strips.strip_slots)
                    _sum_strips(source, start + offset, live, count, group, dkernel, slot + first)
                for offset, first, strip_count, width in strips.groups if len(dx) > 0 else strips.groups[:0]:
                    group = _Group(strip_count, width, strips.stride, strips.strip_slots)
                    _spread_strips(dx_padded, offset, live, count, group, packed, slot + first)
        if len(dx) > 0:
            batch.copy_out(frame, dx_padded, dx, image * size)
    restore_denormals(control)
    return is_finite and all_finite(dbias, 0, filters)


@parallel_kernel
def _conv2d_pool_backward(pool, x, kernel, gradient, out, chunks, filters, frame, strips):
    dx, dkernel, dbias = out
    packed = _filter_vectors(kernel if len(dx) > 0 else kernel[:0], filters, strips)
    size = filters * strips.slot_count if len(dkernel) > 0 else 0
    sums = batch.sums_for(chunks, dx, size, filters, x)  # (chunks, F, slots), (chunks, F)
    is_finite = in_parallel(pool, chunks.count, _chunk, (x, packed, gradient, sums, chunks, frame, strips))
    batch.add_up(pool, sums.dbias, chunks.count, dbias)
    total = scratch(size, x)  # (F, slots)
    batch.add_up(pool, sums.dkernel, chunks.count, total)
    for i in range(strips.slot_count // strips.strip_slots if size > 0 else 0):
        start, at = i * strips.strip_slots, i * strips.length * filters
        transpose(total, start, strips.slot_count, filters, strips.length, dkernel, at, filters)
    return is_finite and (len(dx) == 0 or all_finite(kernel, 0, len(kernel)))
