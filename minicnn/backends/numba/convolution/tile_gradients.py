"""The gradients of a convolution on tiles, alone or behind pooling.

An image's dy is framed by zeros once; the input gradient is a product over its lines, the kernel gradient one over all
its pixels (see `tile_tables.py`).
"""

from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.convolution.gradients import Masked, masked_pixels
from minicnn.backends.numba.convolution.pooled import Winners, spread_cells
from minicnn.backends.numba.convolution.tile_forward import product_time
from minicnn.backends.numba.convolution.tile_images import image_memory, load_image, multiply_lines, put_line
from minicnn.backends.numba.convolution.tile_tables import Backward, Phase, backward_of, whole_tiles
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import borrowing, inline
from minicnn.backends.numba.machine.finite import all_finite
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import floor_of
from minicnn.backends.numba.machine.memory import fill, filled, scratch, transpose
from minicnn.backends.numba.machine.offsets import flat, outer_sum, strides, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.tables import laid_out, table_at
from minicnn.backends.numba.tiles.block import (
    TILE,
    TILES_CODE,
    Area,
    LeftTiles,
    RightTiles,
    Steps,
    Sums,
    configure,
    multiply_tiles,
    release,
    tile_registers,
)
from minicnn.backends.numba.tiles.emulation import SIDE
from minicnn.backends.numba.tiles.packing import number, pack_matrix, pack_pairs, pack_turned, pieces_of, split
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
    frame, dy, y = t.frame, incoming.dy, incoming.y
    for line in range(frame.rows):
        start = (image * frame.rows + line) * frame.row_size
        if len(y) > 0:
            for i in range(frame.row_size):
                rows[i] = np.float32(0) if number(y, start + i) <= np.float32(0) else number(dy, start + i)
        else:
            for i in range(frame.row_size):
                rows[i] = number(dy, start + i)
        own = Masked(rows, rows, False)
        masked_pixels(own, 0, frame.row_size // t.filters, rows, 0, t.filters, dbias)  # adds up
        split(rows, 0, frame.row_size, framed, frame.first + line * frame.padded_row)


@borrowing
def _load_winners(incoming, image, t, rows, framed, dbias):
    """The same behind pooling: a pixel that is no winner gets nothing.

    `rows` is memory for the lines of a row of cells, full of zeros, and behind them for dy.
    """
    frame, c = t.frame, incoming.cells
    width = frame.row_size // t.filters * c.pixel
    dy = rows[c.lines * width :]
    for row in range(c.high):
        start = (image * c.high + row) * c.size
        for i in range(c.size):
            dy[i] = number(incoming.dy, start + i)
        gradient = Winners(dy, incoming.winner[start : start + c.size])
        spread_cells(gradient, 0, c.cells, c.taps, t.filters, rows, dbias)
        for line in range(c.lines):
            at = frame.first + (row * c.apart + line) * frame.padded_row
            if c.pixel == t.filters:
                split(rows, line * width, width, framed, at)
            for x in range(frame.row_size // t.filters if c.pixel != t.filters else 0):
                split(rows, line * width + x * c.pixel, t.filters, framed, at + x * t.filters)


# ------------------------------------------------------------------------------------------------ the input gradient


@borrowing
def _transpose_tap(tap, kernel, channels, filters, turned):
    """(F, C) of a tap."""
    size = channels * filters
    transpose(kernel, tap * size, filters, channels, filters, turned, tap * size, channels)


@inline
def _pack_transposed(pool, kernel, t):
    """Right tiles of the transposed kernel."""
    turned, size = scratch(len(kernel), kernel), t.inputs * t.filters
    in_parallel(pool, len(kernel) // size, _transpose_tap, (kernel, t.inputs, t.filters, turned))
    return pack_matrix(pool, turned, t.dx.kernel_rows, t.inputs, t.pieces)


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


@borrowing
def _pack_image(source, framed, right, left, number_in_group, t):
    """Tiles of an image, x and dy in pieces, in their places among those of a group."""
    g, at = t.dkernel, 0
    for copy_row in g.copies:
        for piece in range(t.pieces):
            for c in range(0, g.channel_tiles * SIDE, SIDE):
                place = (at + number_in_group) * g.plane * SIDE
                for pixel in range(0, g.plane, 2 * SIDE):
                    start = piece * source.step + c
                    pack_pairs(source.array, start, g.plane_rows, copy_row + pixel, right, place + pixel * SIDE)
                at += g.together
    for f in range(g.filter_tiles):
        for piece in range(t.pieces):
            for tile_number in range(g.sum_tiles):
                start = piece * framed.step + t.frame.first + tile_number * 2 * SIDE * t.filters + f * SIDE
                place = ((f * t.pieces + piece) * g.together + number_in_group) * g.sum_tiles + tile_number
                pack_turned(framed.array, start, g.gradient_rows, 0, left, place * TILE)


@borrowing
def _add_products(registers, right, left, zeros, sums, is_first, images, t):
    """sums (T, F, C), in whole tiles, += the products of a group of images."""
    g = t.dkernel
    filters, channels = g.filter_tiles * SIDE, g.channel_tiles * SIDE
    down, beside = t.pieces * g.together * g.sum_tiles * TILE, g.together * g.plane * SIDE
    last_step = len(g.steps) // 2 // g.together * images
    for f in range(0, g.filter_tiles, 2):
        for tap in range(t.taps):
            for c in range(0, g.channel_tiles, 2):
                at = (tap * filters + f * SIDE) * channels + c * SIDE
                out = Sums(sums, at, SIDE * channels, channels)
                multiply_tiles(
                    registers,
                    LeftTiles(left, f * down, down, 2 * SIDE),
                    RightTiles(right, g.taps[tap] + c * beside, beside),
                    Steps(g.steps, 0, last_step),
                    Sums(zeros, 0, 0, 0) if is_first else out,
                    out,
                    Area(1 if f + 1 == g.filter_tiles else 2, 1 if c + 1 == g.channel_tiles else 2),
                )


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


@inline
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
    registers, total = tile_registers(), np.float32(0)
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
                _pack_image(load_image(t.source, x, group + i, memory), framed, right, left, i, t)
        if len(dkernel) > 0:
            configure(registers, SIDE)
            _add_products(registers, right, left, zeros, dkernel, group == images[0], count, t)
        release(registers)
    return total == 0 and all_finite(dbias, 0, len(dbias))


@parallel_kernel(typed=2, uses=TILES_CODE)
def _conv2d_backward(pool, x, dy, y, winner, cells, kernel, out, chunks, words):
    """Returns whether all gradients are finite."""
    incoming, t = Incoming(dy, y, winner, table_at(cells, 0, Cells)), table_at(words, 0, Backward)
    dx, dkernel, dbias = out
    packed = _pack_transposed(pool, kernel, t) if len(dx) > 0 else scratch(0, np.uint16)
    sums = batch.sums_for(chunks, dx, _sums_size(t) if len(dkernel) > 0 else 0, t.filters, kernel)
    is_finite = in_parallel(pool, chunks.count, _chunk, (x, packed, incoming, sums, chunks, t))
    batch.add_up(pool, sums.dbias, chunks.count, dbias)
    total = scratch(_sums_size(t) if len(dkernel) > 0 else 0, kernel)
    batch.add_up(pool, sums.dkernel, chunks.count, total)
    if len(dkernel) > 0:
        is_finite = in_parallel(pool, t.taps, _unpack, (total, dkernel, t)) and is_finite
    return is_finite
