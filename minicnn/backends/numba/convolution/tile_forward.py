"""Convolution on tiles, with bias, ReLU and pooling: a band of lines at a time, finished while it is in the cache."""

import numpy as np

from minicnn.backends.numba.convolution.tile_images import (
    give_back_image,
    image_memory,
    load_image,
    multiply_lines,
    put_line,
)
from minicnn.backends.numba.convolution.tile_tables import Forward, forward_of
from minicnn.backends.numba.machine.batch import chunks_of, images_of
from minicnn.backends.numba.machine.compiled import borrowing
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import floor_of
from minicnn.backends.numba.machine.memory import copy, filled, give_back, part_of, scratch
from minicnn.backends.numba.machine.offsets import flat, zero_row
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.self_contained import Plain
from minicnn.backends.numba.machine.tables import table_at
from minicnn.backends.numba.pooling import Pooled, pool_cells
from minicnn.backends.numba.tiles.block import TILES_CODE, configure, release
from minicnn.backends.numba.tiles.emulation import REGISTERS_SIZE, SIDE
from minicnn.backends.numba.tiles.packing import pack_matrix, put_row
from minicnn.geometry import Window

PRODUCTS_PER_NANOSECOND = 300  # that one core multiplies and adds, about, with all that surrounds it


def conv2d(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    out: tuple[np.ndarray, np.ndarray | None],
    window: Window,
    pool: Window | None,
    relu: bool,
    pieces: int,
) -> bool:
    """`conv2d` or, with `pool`, `conv2d_pool` of `minicnn.backends.reference.convolution`; `out` is y and the winners.

    In so many pieces, or of x and y that are bfloat16 (uint16), either; pooling without dilation and of few taps.

    Returns
    -------
    bool
        Whether all outputs are finite; if not, they may be others than the formula's.
    """
    channels, filters = kernel.shape[2:]
    tables = forward_of(window, pool, channels, filters, pieces)
    bias = zero_row(filters, kernel.dtype) if bias is None else bias
    chunks = chunks_of(len(x))
    y, winner = out
    arrays = x.reshape(-1), y.reshape(-1), kernel.reshape(-1), bias, flat(winner, np.uint8), winner is not None
    return _conv2d.launch(product_time(x, kernel, window, pieces), *arrays, relu, chunks, tables, chunks=chunks.count)


def product_time(x: np.ndarray, kernel: np.ndarray, window: Window, pieces: int) -> int:
    """Nanoseconds that one core needs for a product over all images, about."""
    products = pieces * (pieces + 1) // 2
    return len(x) * window.out_height * window.out_width * kernel.size * products // PRODUCTS_PER_NANOSECOND


@borrowing
def _pool_band(sums, cells, out, at, relu, band, filters):
    """Pool a band of sums and store it from element `at` on; `cells` is memory for its cells."""
    size = len(band.cells) * filters
    winner = part_of(out.winner, at, size) if out.keeps_winner else out.winner
    pool_cells(sums, 0, band.cells, band.taps, filters, Pooled(cells, winner, out.keeps_winner), 0, relu)
    return put_row(cells, 0, size, floor_of(False, sums), out.y, at)


@borrowing
def _put_band(sums, y, at, count, relu, band, lines):
    """Store so many lines of sums from element `at` on."""
    total = np.float32(0)
    for line in range(count):
        place = at + line * lines.columns * lines.count
        total += put_line(sums, band.first + line * band.line, lines, floor_of(relu, sums), y, place, lines.count)
    return total


@borrowing
def _chunk(chunk, x, packed, first, out, relu, chunks, tables):
    """Returns whether all outputs are finite."""
    source, lines, band = tables.source, tables.lines, tables.band
    memory, registers, total = image_memory(source, lines.pieces), scratch(REGISTERS_SIZE, np.uint8), np.float32(0)
    sums = filled(band.size, -np.inf, first)  # what pooling finds in its padding
    cells = filled(len(band.cells) * lines.count, 0, first)
    configure(registers, lines.rows)
    images = images_of(chunks, chunk)
    for image in range(images[0], images[1]):
        load_image(source, x, image, memory)
        for i in range(band.bands):
            top = i * band.lines_apart
            count = min(band.lines, band.all_lines - top)
            place = memory.patches.array, top * lines.down
            multiply_lines(registers, place, packed, first, (sums, band.first, band.line), count, lines)
            if len(band.cells) > 0:
                total += _pool_band(sums, cells, out, (image * band.bands + i) * len(cells), relu, band, lines.count)
            else:
                at = (image * band.all_lines + top) * lines.columns * lines.count
                total += _put_band(sums, out.y, at, count, relu, band, lines)
    release(registers)
    give_back_image(source, memory)
    give_back((registers, sums, cells))
    return total == 0


@parallel_kernel(typed=2, uses=TILES_CODE, compiler=Plain)
def _conv2d(pool, x, y, kernel, bias, winner, keeps_winner, relu, chunks, words):
    """Returns whether all outputs are finite."""
    tables, out = table_at(words, 0, Forward), Pooled(y, winner, keeps_winner)
    lines = tables.lines
    packed = pack_matrix(pool, kernel, tables.kernel_rows, lines.count, lines.pieces)
    first = filled(lines.width + SIDE, 0, bias)
    copy(bias, 0, lines.count, first, 0)
    return in_parallel(pool, chunks.count, _chunk, (x, packed, first, out, relu, chunks, tables))
