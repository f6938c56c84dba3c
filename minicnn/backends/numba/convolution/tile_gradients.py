"""The gradients of a convolution on tiles, alone or behind pooling.

An image's dy is framed by zeros once; the input gradient is a product over its lines, the kernel gradient one over all
its pixels (see `tile_tables.py`).
"""

from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.convolution.pooled import Winners, spread_cells
from minicnn.backends.numba.convolution.tile_forward import product_time
from minicnn.backends.numba.convolution.tile_images import (
    give_back_image,
    image_memory,
    load_image,
    multiply_lines,
    put_line,
)
from minicnn.backends.numba.convolution.tile_tables import Backward, Phase, backward_of, whole_tiles
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import borrowing, inline
from minicnn.backends.numba.machine.finite import all_finite
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import floor_of
from minicnn.backends.numba.machine.memory import add, fill, filled, give_back, part_of, scratch, transpose
from minicnn.backends.numba.machine.offsets import flat, outer_sum, strides, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.self_contained import Plain
from minicnn.backends.numba.machine.tables import Fields, laid_out, table_at
from minicnn.backends.numba.tiles.block import (
    DEPTH,
    TILE,
    TILES_CODE,
    Area,
    LeftTiles,
    RightTiles,
    Steps,
    Sums,
    configure,
    emit_multiply,
    release,
)
from minicnn.backends.numba.tiles.emulation import REGISTERS_SIZE, SIDE
from minicnn.backends.numba.tiles.lanes import Lanes
from minicnn.backends.numba.tiles.packing import emit_pack, pack_matrix, pieces_of, split, take_masked
from minicnn.geometry import Window


class Cells(NamedTuple):
    """How a row of pooled cells lies over lines of pixels; no cells without pooling."""

    high: int  # rows of cells
    size: int  # numbers of a row
    cells: np.ndarray  # first pixel of each, in the lines
    taps: np.ndarray  # of a cell
    lines: int  # of pixels
    apart: int  # from the lines of a row to those of the next
    pixel: int  # numbers from pixel to pixel, in whole tiles


class Incoming(NamedTuple):
    """The gradient that comes in: dy, where y is positive or NaN; or that of pooled cells, and their winners."""

    dy: np.ndarray
    y: np.ndarray  # empty without ReLU
    winner: np.ndarray  # empty without pooling
    cells: Cells


def conv2d_backward(
    x: np.ndarray,
    kernel: np.ndarray,
    gradient: tuple[np.ndarray, np.ndarray | None, np.ndarray | None],
    out: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None],
    window: Window,
    pool: Window | None,
    pieces: int,
) -> bool:
    """The gradients of `conv2d` or `conv2d_pool` of `minicnn.backends.reference.convolution`.

    Parameters
    ----------
    x, kernel : arrays
        x is float32 or bfloat16 (uint16), as dx is; so is dy, as y is.
    gradient : (dy, y, winner)
        y is None without ReLU, or behind pooling; winner is None without that.
    out : (dx, dkernel, dbias)
        Written; None where not wanted.
    window : Window
    pool : Window or None
        Without padding, of windows that do not overlap.
    pieces : int

    Returns
    -------
    bool
        Whether all gradients are finite; if not, they may be others than the formula's.
    """
    channels, filters = kernel.shape[2:]
    dy, y, winner = gradient
    incoming = dy.reshape(-1), flat(y, dy.dtype), flat(winner, np.uint8), _cells_of(pool, filters)
    dx, dkernel, dbias = out
    own = Gradients(flat(dx, x.dtype), flat(dkernel, kernel.dtype), flat(dbias, kernel.dtype))
    chunks, tables = batch.chunks_with_sums(len(x), kernel.nbytes), backward_of(window, channels, filters, pieces)
    time = 2 * product_time(x, kernel, window, pieces)
    arrays = x.reshape(-1), *incoming, kernel.reshape(-1), own
    return _conv2d_backward.launch(time, *arrays, chunks, tables, chunks=chunks.count)


@table_cache
def _cells_of(pool, filters):
    if pool is None:
        return laid_out(Cells(0, 0, strides(0, 0), strides(0, 0), 1, 0, filters))
    pixel = whole_tiles(filters)
    cells = strides(pool.out_width, pool.stride_x * pixel)
    taps = outer_sum(strides(pool.kernel_height, pool.in_width * pixel), strides(pool.kernel_width, pixel))
    sizes = pool.out_height, pool.out_width * filters
    return laid_out(Cells(*sizes, cells, taps, pool.kernel_height, pool.stride_y, pixel))


# -------------------------------------------------------------------------------------------- the gradient that comes


@borrowing
def _load_masked(incoming, image, t, rows, framed, dbias):
    """An image of dy in pieces, in its frame; dbias += its sum over the pixels. `rows` is memory for a line."""
    frame = t.frame
    for line in range(frame.rows):
        start = (image * frame.rows + line) * frame.row_size
        take_masked(incoming.dy, incoming.y, start, frame.row_size, rows, 0)
        for pixel in range(frame.row_size // t.filters):
            add(rows, pixel * t.filters, t.filters, dbias, 0)
        split(rows, 0, frame.row_size, framed, frame.first + line * frame.padded_row)


@borrowing
def _load_winners(incoming, image, t, rows, framed, dbias):
    """The same behind pooling: a pixel that is no winner gets nothing.

    `rows` is memory for the lines of a row of cells, full of zeros, and behind them for dy.
    """
    frame, c = t.frame, incoming.cells
    width = frame.row_size // t.filters * c.pixel
    dy = part_of(rows, c.lines * width, c.size)
    count, size = (1, width) if c.pixel == t.filters else (frame.row_size // t.filters, t.filters)
    for row in range(c.high):
        start = (image * c.high + row) * c.size
        take_masked(incoming.dy, incoming.y, start, c.size, dy, 0)
        gradient = Winners(dy, part_of(incoming.winner, start, c.size))
        spread_cells(gradient, 0, c.cells, c.taps, t.filters, rows, dbias)
        for line in range(c.lines):
            at = frame.first + (row * c.apart + line) * frame.padded_row
            for x in range(count):
                split(rows, line * width + x * c.pixel, size, framed, at + x * t.filters)


# ------------------------------------------------------------------------------------------------ the input gradient


@borrowing
def _transpose_tap(tap, kernel, channels, filters, turned):
    """(F, C) of a tap."""
    size = channels * filters
    transpose(kernel, tap * size, filters, channels, filters, turned, tap * size, channels)


@inline
def _pack_transposed(pool, kernel, t, is_wanted):
    """Right tiles of the transposed kernel; none if nobody wants them."""
    turned, size, rows = scratch(len(kernel), kernel), t.inputs * t.filters, t.dx.kernel_rows
    if is_wanted:
        in_parallel(pool, len(kernel) // size, _transpose_tap, (kernel, t.inputs, t.filters, turned))
    return pack_matrix(pool, turned, part_of(rows, 0, len(rows) if is_wanted else 0), t.inputs, t.pieces)


@borrowing
def _input_gradient(registers, framed, packed, first, band, dx, image, t):
    """dx of an image, phase by phase. Returns 0, or NaN."""
    total = np.float32(0)
    for at in t.dx.places:
        phase = table_at(t.dx.phases, at, Phase)
        lines = phase.lines
        for y in range(0, phase.height, 2):
            count, line, start = min(2, phase.height - y), lines.columns * lines.width, phase.place + y * lines.down
            multiply_lines(registers, (framed, start), packed, first, (band, 0, line), count, lines)
            for i in range(count):
                target = image * t.image + phase.dx_place + (y + i) * phase.dx_row
                total += put_line(band, i * line, lines, floor_of(False, band), dx, target, phase.dx_step)
    return total


# ----------------------------------------------------------------------------------------------- the kernel gradient


@intrinsic
def _pack_image(typingctx, source, framed, right, left, number, t):
    """Tiles of an image, x and dy in pieces, in their places among those of a group, where it has this number."""
    return types.void(source, framed, right, left, types.int64, t), _emit_pack_image


def _emit_pack_image(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[0])
    source, framed, right, left, number, pointer = emit.plain(signature.args, args)
    t = Fields(context, builder, signature.args[5], pointer)
    g, side = t.dkernel, emit.index(SIDE)
    pixels = builder.udiv(g.plane, emit.index(DEPTH))
    (copies, count), (rows, _), (gradient_rows, _) = g.copies, g.plane_rows, g.gradient_rows
    with _each(emit, count, t.pieces, g.channel_tiles, pixels) as (copy, piece, c, pixel):
        own_rows = emit.moved(rows, builder.load(emit.moved(copies, copy)), builder.mul(pixel, emit.index(DEPTH)))
        start = emit.sum_of(builder.mul(piece, source.step), (c, side))
        tiles = emit.sum_of(c, (emit.sum_of(piece, (copy, t.pieces)), g.channel_tiles))
        tiles = emit.sum_of(pixel, (emit.sum_of(number, (tiles, g.together)), pixels))
        target = emit.moved(right, builder.mul(tiles, emit.index(TILE)))
        emit_pack(emit, emit.moved(source.array, start), own_rows, target, is_turned=False)
    with _each(emit, g.filter_tiles, t.pieces, g.sum_tiles) as (f, piece, tile):
        start = emit.sum_of(t.frame.first, (piece, framed.step), (f, side))
        start = emit.sum_of(start, (builder.mul(tile, emit.index(DEPTH)), t.filters))
        tiles = emit.sum_of(number, (emit.sum_of(piece, (f, t.pieces)), g.together))
        target = emit.moved(left, builder.mul(emit.sum_of(tile, (tiles, g.sum_tiles)), emit.index(TILE)))
        emit_pack(emit, emit.moved(framed.array, start), gradient_rows, target, is_turned=True)
    return context.get_dummy_value()


@contextmanager
def _each(emit, *counts):
    """Loops in each other, of so many turns."""
    with ExitStack() as loops:
        yield [loops.enter_context(cgutils.for_range(emit.builder, count)).index for count in counts]


@intrinsic
def _add_products(typingctx, registers, right, left, zeros, sums, is_first, images, t):
    """sums (T, F, C), in whole tiles, += the products of a group of images."""
    kinds = registers, right, left, zeros, sums, types.boolean, types.int64, t
    return types.void(*kinds), _emit_add_products


def _emit_add_products(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[1])
    registers, right, left, zeros, sums, is_first, images, pointer = emit.plain(signature.args, args)
    t = Fields(context, builder, signature.args[7], pointer)
    g, zero, two, side, (steps, size) = t.dkernel, emit.index(0), emit.index(2), emit.index(SIDE), t.dkernel.steps
    filters, channels = builder.mul(g.filter_tiles, side), builder.mul(g.channel_tiles, side)
    down = builder.mul(builder.mul(t.pieces, g.together), builder.mul(g.sum_tiles, emit.index(TILE)))
    beside = builder.mul(builder.mul(g.together, g.plane), side)
    last = builder.mul(builder.udiv(builder.udiv(size, two), g.together), images)
    ranges = (g.filter_tiles, two), (t.taps, emit.index(1)), (g.channel_tiles, two)
    rows, taps, columns = (cgutils.for_range_slice(builder, zero, *pair, zero.type) for pair in ranges)
    with rows as (f, _), taps as (tap, _), columns as (c, _):
        row = emit.sum_of(builder.mul(f, side), (tap, filters))
        at = emit.sum_of(builder.mul(c, side), (row, channels))
        out = Sums(sums, at, builder.mul(side, channels), channels)
        begin = Sums(zeros, zero, zero, zero)
        place = builder.load(emit.moved(g.taps[0], tap))
        emit_multiply(
            *(context, builder, registers),
            LeftTiles(left, builder.mul(f, down), down, emit.index(DEPTH)),
            RightTiles(right, emit.sum_of(place, (c, beside)), beside),
            Steps(steps, zero, last),
            Sums(*(builder.select(is_first, *pair) for pair in zip(begin, out, strict=True))),
            out,
            Area(*(emit.one_or_two(builder.sub(*pair), 1) for pair in ((g.filter_tiles, f), (g.channel_tiles, c)))),
        )
    return context.get_dummy_value()


@borrowing
def _sums_size(t):
    return t.taps * t.dkernel.filter_tiles * t.dkernel.channel_tiles * SIDE * SIDE


@borrowing
def _unpack(tap, sums, dkernel, t):
    """dkernel (C, F) of a tap from its sums (F, C), in whole tiles. Returns whether it is finite."""
    filters, channels = t.dkernel.filter_tiles * SIDE, t.dkernel.channel_tiles * SIDE
    size = t.channels * t.filters
    transpose(sums, tap * filters * channels, channels, t.filters, t.channels, dkernel, tap * size, t.filters)
    return all_finite(dkernel, tap * size, size)


# -------------------------------------------------------------------------------------------------------- the kernel


@borrowing
def _chunk(chunk, x, packed, incoming, sums, chunks, t):
    """Returns whether dx and dbias are finite."""
    dx, dkernel, dbias = batch.sums_of(sums, chunks, chunk)
    images, g = batch.images_of(chunks, chunk), t.dkernel
    memory, framed = image_memory(t.source, t.pieces), pieces_of(t.frame.size, t.zeros, t.pieces)
    c = incoming.cells
    rows = filled(c.lines * (t.frame.row_size // t.filters) * c.pixel + c.size, 0, dbias)
    zeros, band = filled(t.inputs + 2 * SIDE, 0, dbias), scratch(2 * t.dx.width, dbias)
    size = t.pieces * g.together * TILE if len(dkernel) > 0 else 0
    left = scratch(size * g.filter_tiles * g.sum_tiles, framed.array)
    right = scratch(size * len(g.copies) * g.channel_tiles * (g.plane // 32), framed.array)
    registers, total = scratch(REGISTERS_SIZE, np.uint8), np.float32(0)
    if images[0] == images[1]:
        fill(dkernel, 0, len(dkernel), 0)
    for group in range(images[0], images[1], g.together):
        count = min(g.together, images[1] - group)
        configure(registers, t.dx.rows)
        for i in range(count):
            if len(incoming.winner) > 0:
                _load_winners(incoming, group + i, t, rows, framed, dbias)
            else:
                _load_masked(incoming, group + i, t, rows, framed, dbias)
            if len(dx) > 0:
                total += _input_gradient(registers, framed.array, packed, zeros, band, dx, group + i, t)
            if len(dkernel) > 0:
                load_image(t.source, x, group + i, memory)
                _pack_image(memory.patches, framed, right, left, i, t)
        if len(dkernel) > 0:
            configure(registers, SIDE)
            _add_products(registers, right, left, zeros, dkernel, group == images[0], count, t)
        release(registers)
    give_back_image(t.source, memory)
    give_back((framed, rows, zeros, band, left, right, registers))
    return total == 0 and all_finite(dbias, 0, len(dbias))


@parallel_kernel(typed=2, uses=TILES_CODE, compiler=Plain)
def _conv2d_backward(pool, x, dy, y, winner, cells, kernel, out, chunks, words):
    """Returns whether all gradients are finite."""
    incoming, t = Incoming(dy, y, winner, table_at(cells, 0, Cells)), table_at(words, 0, Backward)
    size = _sums_size(t) if len(out.dkernel) > 0 else 0
    packed = _pack_transposed(pool, kernel, t, len(out.dx) > 0)
    sums, total = batch.sums_for(chunks, out.dx, size, t.filters, kernel), scratch(size, kernel)
    is_finite = in_parallel(pool, chunks.count, _chunk, (x, packed, incoming, sums, chunks, t))
    batch.add_up(pool, sums.dbias, chunks.count, out.dbias)
    batch.add_up(pool, sums.dkernel, chunks.count, total)
    return in_parallel(pool, t.taps if size > 0 else 0, _unpack, (total, out.dkernel, t)) and is_finite
