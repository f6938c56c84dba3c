"""Numbers in bfloat16 pieces, and pieces in tiles.

A kernel reads arrays of float32 or of bfloat16 (uint16) alike. It first *splits* them: piece 0 is the nearest bfloat16,
piece 1 that of what is left, and so on; pieces lie one after the other, each of the array's size and some zeros. Then
tiles are put together from rows of 16 neighbouring numbers, wherever a table says that these are.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.memory import filled, scratch, transpose
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.tiles.block import SIDE, TILE

_I16, _I32, _FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()


def _narrowed(builder, value):
    """The bits of the nearest bfloat16, of two equally near ones the even; NaN stays NaN."""
    word = builder.bitcast(value, _I32)
    upper = builder.lshr(word, ir.Constant(_I32, 16))
    half = builder.add(ir.Constant(_I32, 0x7FFF), builder.and_(upper, ir.Constant(_I32, 1)))
    rounded = builder.lshr(builder.add(word, half), ir.Constant(_I32, 16))
    quiet = builder.or_(upper, ir.Constant(_I32, 0x40))
    return builder.trunc(builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded), _I16)


def _widened(builder, bits):
    return builder.bitcast(builder.shl(builder.zext(bits, _I32), ir.Constant(_I32, 16)), _FLOAT)


def _address(context, builder, kind, array, index):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@intrinsic
def number(typingctx, array, index):
    """array[index] as float32, from float32 or bfloat16."""

    def emit(context, builder, signature, args):
        value = builder.load(_address(context, builder, signature.args[0], *args))
        return value if array.dtype == types.float32 else _widened(builder, value)

    return types.float32(array, types.int64), emit


@intrinsic
def put(typingctx, array, index, value):
    """array[index] = value, a float32, into float32 or rounded to bfloat16."""

    def emit(context, builder, signature, args):
        value = args[2] if array.dtype == types.float32 else _narrowed(builder, args[2])
        builder.store(value, _address(context, builder, signature.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(array, types.int64, types.float32), emit


@intrinsic
def _rest(typingctx, value):
    """value - the nearest bfloat16, exactly."""

    def emit(context, builder, signature, args):
        return builder.fsub(args[0], _widened(builder, _narrowed(builder, args[0])))

    return types.float32(types.float32), emit


class Pieces(NamedTuple):
    """Bfloat16 pieces of an array of some size."""

    array: np.ndarray  # (count, step) uint16, flat
    count: int
    step: int  # from piece to piece: more than the size, and zeros from there on


@inline
def pieces_of(size: int, zeros: int, count: int) -> Pieces:
    """Memory for pieces of so many numbers, with so many zeros behind each; all of it is zero."""
    return Pieces(filled(count * (size + zeros), 0, np.empty(0, np.uint16)), count, size + zeros)


@inline
def split(source: np.ndarray, start: int, count: int, pieces: Pieces, at: int) -> None:
    """Split source[start : start + count]: the numbers from `at` on of each piece."""
    target = pieces.array
    for i in range(count):
        put(target, at + i, number(source, start + i))
    if pieces.count > 1:
        second = at + pieces.step
        for i in range(count):
            put(target, second + i, _rest(number(source, start + i)))
    if pieces.count > 2:
        third = at + 2 * pieces.step
        for i in range(count):
            put(target, third + i, _rest(_rest(number(source, start + i))))


@inline
def put_row(sums: np.ndarray, start: int, count: int, floor: float, out: np.ndarray, at: int) -> float:
    """out[at + i] = max(floor, sums[start + i]), i < count; returns 0, or NaN if one of them is not finite."""
    total = np.float32(0)
    for i in range(count):
        value = sums[start + i]
        value = floor if value < floor else value  # NaN stays
        put(out, at + i, value)
        total += number(out, at + i) * np.float32(0)
    return total


@intrinsic
def _zip_rows(typingctx, source, even, odd, target, at):
    """target[at + 2 · i] = source[even + i], target[at + 2 · i + 1] = source[odd + i], i < 16."""

    def emit(context, builder, signature, args):
        source_kind, _, _, target_kind, _ = signature.args
        halves, words = (ir.VectorType(kind, SIDE) for kind in (_I16, _I32))

        def row(index):
            address = _address(context, builder, source_kind, args[0], index)
            return builder.zext(builder.load(builder.bitcast(address, halves.as_pointer()), align=2), words)

        upper = builder.shl(row(args[2]), ir.Constant(words, [16] * SIDE))
        address = _address(context, builder, target_kind, args[3], args[4])
        builder.store(builder.or_(row(args[1]), upper), builder.bitcast(address, words.as_pointer()), align=2)
        return context.get_dummy_value()

    index = types.int64
    return types.void(source, index, index, target, index), emit


@inline
def pack_pairs(source: np.ndarray, start: int, rows: np.ndarray, first: int, target: np.ndarray, at: int) -> None:
    """A right tile, 16 rows of 16 pairs, from 32 rows of 16 numbers: those from source[start + rows[first + k]] on."""
    for pair in range(SIDE):
        even, odd = start + rows[first + 2 * pair], start + rows[first + 2 * pair + 1]
        _zip_rows(source, even, odd, target, at + 2 * SIDE * pair)


@inline
def pack_turned(
    source: np.ndarray, start: int, rows: np.ndarray, first: int, tile: np.ndarray, target: np.ndarray, at: int
) -> None:
    """The left tile of the transposed matrix: 16 rows of 32 numbers, from 32 rows of 16, as `pack_pairs` takes them.

    `tile` is memory for one tile.
    """
    pack_pairs(source, start, rows, first, tile, 0)
    turn_pairs(tile, 0, 2 * SIDE, target, at)


@inline
def turn_pairs(source: np.ndarray, start: int, row: int, target: np.ndarray, at: int) -> None:
    """A tile whose pairs are those of 16 rows of 32 numbers, transposed; rows are `row` apart, all numbers even."""
    transpose(source.view(np.float32), start // 2, row // 2, SIDE, SIDE, target.view(np.float32), at // 2, SIDE)


@inline
def _pack_k_tile(task, source, rows, columns, packed, count):
    """A row of right tiles, from 32 rows of the matrix."""
    tiles = (columns + SIDE - 1) // SIDE
    pieces, places = pieces_of(2 * SIDE * tiles * SIDE, 0, count), np.empty(2 * SIDE, np.int64)
    for k in range(2 * SIDE):
        places[k] = k * tiles * SIDE
        if rows[2 * SIDE * task + k] >= 0:
            split(source, rows[2 * SIDE * task + k], columns, pieces, places[k])
    at = task * tiles * count * TILE
    for column in range(0, columns, SIDE):
        for piece in range(count):
            pack_pairs(pieces.array, piece * pieces.step + column, places, 0, packed, at)
            at += TILE


@inline
def pack_matrix(pool: int, source: np.ndarray, rows: np.ndarray, columns: int, count: int) -> np.ndarray:
    """Right tiles of a matrix: (k tile, column tile, piece, 16, 16, 2), flat, with zeros beyond its columns.

    Parameters
    ----------
    pool : int
    source : 1-D array
        Float32 or bfloat16.
    rows : 1-D int64 array
        Where each row begins, 32 for each k tile; -1 for a row of zeros.
    columns : int
        How many numbers a row has.
    count : int
        Of pieces.
    """
    tiles = (columns + SIDE - 1) // SIDE
    packed = scratch(len(rows) * tiles * count * SIDE, np.empty(0, np.uint16))
    in_parallel(pool, len(rows) // (2 * SIDE), _pack_k_tile, (source, rows, columns, packed, count))
    return packed
