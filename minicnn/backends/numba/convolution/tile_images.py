"""Images of a batch as left tiles read them, and lines of sums as they go back into images."""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from minicnn.backends.numba.convolution.tile_tables import Lines, Source
from minicnn.backends.numba.machine.compiled import borrowing, inline
from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.backends.numba.tiles.block import (
    TILE,
    Area,
    LeftTiles,
    RightTiles,
    Steps,
    Sums,
    multiply_tiles,
)
from minicnn.backends.numba.tiles.emulation import SIDE
from minicnn.backends.numba.tiles.packing import Pieces, pieces_of, put_row, split


@intrinsic
def _copy_some(typingctx, source, start, target, at):
    """target[at : at + 16] = source[start : start + 16], of bfloat16."""

    def emit(context, builder, signature, args):
        emitter = Emitter(context, builder, source)
        source_pointer, start, target_pointer, at = emitter.plain(signature.args, args)
        vector = ir.VectorType(ir.IntType(16), SIDE).as_pointer()
        values = builder.load(builder.bitcast(emitter.moved(source_pointer, start), vector), align=2)
        builder.store(values, builder.bitcast(emitter.moved(target_pointer, at), vector), align=2)
        return context.get_dummy_value()

    index = types.int64
    return types.void(source, index, target, index), emit


class Image(NamedTuple):
    """Memory for one image, in pieces."""

    framed: Pieces
    patches: Pieces  # of no size where there are none


@inline
def image_memory(source: Source, count: int) -> Image:
    """An `Image` full of zeros: of the padding, and behind the image."""
    framed = pieces_of(source.frame.size, source.zeros, count)
    return Image(framed, pieces_of(source.size, source.zeros, count) if source.is_patched else framed)


@inline
def load_image(source: Source, x: np.ndarray, image: int, memory: Image) -> Pieces:
    """An image of x in pieces, inside its padding, or as patches."""
    frame, framed, patches = source.frame, memory.framed, memory.patches
    for row in range(frame.rows):
        start = (image * frame.rows + row) * frame.row_size
        split(x, start, frame.row_size, framed, frame.first + row * frame.padded_row)
    if source.is_patched:
        for piece in range(framed.count):
            _cut_patches(source, framed.array, piece * framed.step, patches.array, piece * patches.step)
    return patches


@borrowing
def _cut_patches(source, framed, start, patches, at):
    """Copies in vectors: the next strip is written over what is beyond one, and zeros over what is beyond the last."""
    size = len(source.strips) * source.strip
    for pixel in source.pixels:
        for strip in range(len(source.strips)):
            place = start + pixel + source.strips[strip]
            for i in range(0, source.strip, SIDE):
                _copy_some(framed, place + i, patches, at + strip * source.strip + i)
        at += size
    patches[at : at + SIDE] = 0


@borrowing
def multiply_lines(
    registers: np.ndarray,
    left: tuple[np.ndarray, int],
    packed: np.ndarray,
    first: np.ndarray,
    band: tuple[np.ndarray, int, int],
    count: int,
    lines: Lines,
) -> None:
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
    array, start = left
    sums, at, line = band
    beside = lines.pieces * TILE
    for y in range(0, count, 2):
        for column in range(0, lines.columns, lines.rows):
            x = min(column, lines.columns - lines.rows)
            for n in range(0, lines.width, 2 * SIDE):
                multiply_tiles(
                    registers,
                    LeftTiles(array, start + y * lines.down + x * lines.step, lines.down, lines.step),
                    RightTiles(packed, n // SIDE * beside, beside),
                    Steps(lines.steps, 0, len(lines.steps) // 2),
                    Sums(first, n, 0, 0),
                    Sums(sums, at + y * line + x * lines.width + n, line, lines.width),
                    Area(1 if y + 1 == count else 2, 1 if n + SIDE == lines.width else 2),
                )


@borrowing
def put_line(sums: np.ndarray, start: int, lines: Lines, floor: float, out: np.ndarray, at: int, step: int) -> float:
    """Pixels of a line of sums to where they belong, `step` elements apart; returns 0, or NaN if one is not finite."""
    if lines.width == lines.count == step:
        return put_row(sums, start, lines.columns * lines.count, floor, out, at)
    total = np.float32(0)
    for x in range(lines.columns):
        total += put_row(sums, start + x * lines.width, lines.count, floor, out, at + x * step)
    return total
