"""Images of a batch as left tiles read them, and lines of sums as they go back into images."""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.convolution.tile_tables import Lines, Source
from minicnn.backends.numba.machine.compiled import borrowing
from minicnn.backends.numba.machine.memory import give_back
from minicnn.backends.numba.machine.tables import Fields
from minicnn.backends.numba.tiles.block import (
    TILE,
    Area,
    LeftTiles,
    RightTiles,
    Steps,
    Sums,
    emit_multiply,
)
from minicnn.backends.numba.tiles.emulation import SIDE
from minicnn.backends.numba.tiles.lanes import Lanes
from minicnn.backends.numba.tiles.packing import Pieces, pieces_of, put_row, split


@intrinsic
def _cut_patches(typingctx, pixels, strips, strip, framed, start, patches, at):
    """Copies in vectors: the next strip is written over what is beyond one, and zeros over what is beyond the last."""
    index = types.int64
    kinds = pixels, strips, index, framed, index, patches, index
    return types.void(*kinds), _emit_cut


def _emit_cut(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[3])
    counts = [context.make_array(signature.args[i])(context, builder, args[i]).nitems for i in (0, 1)]
    pixels, strips, strip, framed, start, patches, at = emit.plain(signature.args, args)
    framed, target = emit.moved(framed, start), emit.moved(patches, at)
    row = builder.mul(counts[1], strip)
    with cgutils.for_range(builder, counts[0]) as pixel, cgutils.for_range(builder, counts[1]) as number:
        places = [builder.load(emit.moved(t, loop.index)) for t, loop in ((pixels, pixel), (strips, number))]
        source = emit.moved(framed, *places)
        own = emit.moved(target, builder.mul(pixel.index, row), builder.mul(number.index, strip))
        with emit.each_vector(strip) as (i, _):
            emit.put(emit.halves(emit.moved(source, i)), emit.moved(own, i))
    end = emit.moved(target, builder.mul(counts[0], row))
    emit.put(ir.Constant(ir.VectorType(ir.IntType(16), SIDE), [0] * SIDE), end)
    return context.get_dummy_value()


class Image(NamedTuple):
    """Memory for one image, in pieces."""

    framed: Pieces
    patches: Pieces  # the same where there are none


@borrowing
def image_memory(source: Source, count: int) -> Image:
    """An `Image` full of zeros: of the padding, and behind the image. See `give_back_image`."""
    framed = pieces_of(source.frame.size, source.zeros, count)
    return Image(framed, pieces_of(source.size, source.zeros, count) if source.is_patched else framed)


@borrowing
def give_back_image(source: Source, memory: Image) -> None:
    """The end of an image's memory."""
    give_back(memory.framed)
    if source.is_patched:
        give_back(memory.patches)


@borrowing
def load_image(source: Source, x: np.ndarray, image: int, memory: Image) -> None:
    """An image of x in pieces, inside its padding, or as patches: to `memory.patches`."""
    frame, framed, patches = source.frame, memory.framed, memory.patches
    for row in range(frame.rows):
        start = (image * frame.rows + row) * frame.row_size
        split(x, start, frame.row_size, framed, frame.first + row * frame.padded_row)
    if source.is_patched:
        for piece in range(framed.count):
            places = framed.array, piece * framed.step, patches.array, piece * patches.step
            _cut_patches(source.pixels, source.strips, source.strip, *places)


@intrinsic
def multiply_lines(typingctx, registers, left, packed, first, band, count, lines):
    """So many lines of a product into a band.

    Parameters
    ----------
    registers : 1-D uint8 array
        Configured for `lines.rows`.
    left : (array, start)
        Where the first line's left tiles are.
    packed : 1-D uint16 array
        Right tiles.
    first : 1-D float32 array
        What the sums begin with, of all columns.
    band : (array, start, line)
        Float32; `line` elements from line to line.
    count : int
    lines : Lines
    """
    return types.void(registers, left, packed, first, band, types.int64, lines), _emit_lines


def _emit_lines(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[2])
    registers, (array, start), packed, first, (sums, at, line), count, pointer = emit.plain(signature.args, args)
    lines, zero = Fields(context, builder, signature.args[6], pointer), emit.index(0)
    steps, size = lines.steps
    beside, last = builder.mul(lines.pieces, emit.index(TILE)), builder.sub(lines.columns, lines.rows)
    ranges = (count, emit.index(2)), (lines.columns, lines.rows), (lines.width, emit.index(2 * SIDE))
    rows, columns, tiles = (cgutils.for_range_slice(builder, zero, *pair, zero.type) for pair in ranges)
    with rows as (y, _), columns as (column, _), tiles as (n, _):
        x = builder.select(builder.icmp_signed("<", column, last), column, last)
        emit_multiply(
            *(context, builder, registers),
            LeftTiles(array, emit.sum_of(start, (y, lines.down), (x, lines.step)), lines.down, lines.step),
            RightTiles(packed, builder.mul(builder.udiv(n, emit.index(SIDE)), beside), beside),
            Steps(steps, zero, builder.udiv(size, emit.index(2))),
            Sums(first, n, zero, zero),
            Sums(sums, emit.sum_of(builder.add(at, n), (y, line), (x, lines.width)), line, lines.width),
            Area(emit.one_or_two(builder.sub(count, y), 1), emit.one_or_two(builder.sub(lines.width, n), SIDE)),
        )
    return context.get_dummy_value()


@borrowing
def put_line(sums: np.ndarray, start: int, lines: Lines, floor: float, out: np.ndarray, at: int, step: int) -> float:
    """Pixels of a line of sums to where they belong, `step` elements apart; returns 0, or NaN if one is not finite."""
    if lines.width == lines.count == step:
        return put_row(sums, start, lines.columns * lines.count, floor, out, at)
    total = np.float32(0)
    for x in range(lines.columns):
        total += put_row(sums, start + x * lines.width, lines.count, floor, out, at + x * step)
    return total
