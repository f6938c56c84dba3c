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

from minicnn.backends.numba.machine.compiled import borrowing, inline
from minicnn.backends.numba.machine.memory import filled, scratch
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.tiles.block import DEPTH, TILE
from minicnn.backends.numba.tiles.emulation import SIDE
from minicnn.backends.numba.tiles.lanes import Lanes, narrowed, widened


@intrinsic
def number(typingctx, array, index):
    """array[index] as float32, from float32 or bfloat16."""

    def emit(context, builder, signature, args):
        emitter = Lanes(context, builder, array)
        pointer, index = emitter.plain(signature.args, args)
        value = builder.load(emitter.moved(pointer, index))
        return value if array.dtype == types.float32 else widened(builder, value)

    return types.float32(array, types.int64), emit


@intrinsic
def put(typingctx, array, index, value):
    """array[index] = value, a float32, into float32 or rounded to bfloat16."""

    def emit(context, builder, signature, args):
        emitter = Lanes(context, builder, array)
        pointer, index, value = emitter.plain(signature.args, args)
        value = value if array.dtype == types.float32 else narrowed(builder, value)
        builder.store(value, emitter.moved(pointer, index))
        return context.get_dummy_value()

    return types.void(array, types.int64, types.float32), emit


# ------------------------------------------------------------------------------------------------------- numbers


class Numbers(NamedTuple):
    """An array of float32 or bfloat16. The kernel is told when it runs, so that it is compiled once for both."""

    array: np.ndarray  # flat uint16: two for a float32
    is_half: bool


def numbers_of(array: np.ndarray) -> Numbers:
    """An array of float32 or uint16, as a kernel takes it that has not been compiled for either."""
    return Numbers(array.reshape(-1).view(np.uint16), array.dtype == np.uint16)


def _each_kind(emit, kind, place):
    """The block of code is for what lies at `place`: emitted for an array once, for `Numbers` once for either type."""
    if isinstance(kind, types.Array):
        yield place
        return
    with emit.builder.if_else(place.is_half) as (half, whole):
        with half:
            yield place.array
        with whole:
            yield emit.builder.bitcast(place.array, ir.FloatType().as_pointer())


class Pieces(NamedTuple):
    """Bfloat16 pieces of an array of some size."""

    array: np.ndarray  # (count, step) uint16, flat
    count: int
    step: int  # from piece to piece: more than the size, and zeros from there on


@inline
def pieces_of(size: int, zeros: int, count: int) -> Pieces:
    """Memory for pieces of so many numbers, with so many zeros behind each; all of it is zero."""
    return Pieces(filled(count * (size + zeros), 0, np.uint16), count, size + zeros)


@borrowing
def split(source: np.ndarray | Numbers, start: int, count: int, pieces: Pieces, at: int) -> None:
    """Split source[start : start + count]: the numbers from `at` on of each piece."""
    _split(source, start, count, pieces.array, at, pieces.step, pieces.count)


@intrinsic
def _split(typingctx, source, start, count, target, at, step, pieces):
    index = types.int64
    return types.void(source, index, index, target, index, index, index), _emit_split


def _emit_split(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[0])
    source, start, count, target, at, step, pieces = emit.plain(signature.args, args)
    target = emit.moved(target, at)

    def put_piece(values, number, place, left):
        bits = narrowed(builder, values)
        emit.put_counted(bits, emit.moved(place, builder.mul(step, emit.index(number))), left)
        if number < 2:
            with builder.if_then(builder.icmp_signed(">", pieces, emit.index(number + 1))):
                put_piece(builder.fsub(values, widened(builder, bits)), number + 1, place, left)

    for own in _each_kind(emit, signature.args[0], source):
        with emit.each_vector(count) as (i, _):
            put_piece(emit.numbers(emit.moved(own, start, i)), 0, emit.moved(target, i), builder.sub(count, i))
    return context.get_dummy_value()


@intrinsic
def put_row(typingctx, sums, start, count, floor, out, at):
    """out[at + i] = max(floor, sums[start + i]), i < count; returns 0, or NaN if one of them is not finite."""
    index = types.int64
    return types.float32(sums, index, index, types.float32, out, index), _emit_put_row


def _emit_put_row(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[0])
    sums, start, count, floor, out, at = emit.plain(signature.args, args)
    sums, floors, zeros = emit.moved(sums, start), emit.splat(floor), emit.full(0.0)
    (total,) = emit.registers([zeros])

    def put(target, i):
        values, left = emit.at_least(floors, emit.numbers(emit.moved(sums, i))), builder.sub(count, i)
        bits = narrowed(builder, values) if target.type.pointee == ir.IntType(16) else values
        kept = values if bits is values else widened(builder, bits)
        emit.put_counted(bits, emit.moved(target, at, i), left)
        nothing = builder.fmul(kept, zeros)  # NaN of what is not finite
        with builder.if_else(builder.icmp_signed(">=", left, emit.index(SIDE))) as (whole, partial):
            with whole:
                builder.store(builder.fadd(builder.load(total), nothing), total)
            with partial:
                own = builder.select(emit.below(left), nothing, zeros)
                builder.store(builder.fadd(builder.load(total), own), total)

    for target in _each_kind(emit, signature.args[4], out):
        with emit.each_vector(count) as (i, _):
            put(target, i)
    return emit.total(builder.load(total))


# --------------------------------------------------------------------------------------------------------- tiles


@intrinsic
def pack_pairs(typingctx, source, start, rows, first, target, at):
    """A right tile, 16 rows of 16 pairs, from 32 rows of 16 numbers: those from source[start + rows[first + k]] on."""
    index = types.int64
    return types.void(source, index, rows, index, target, index), lambda *args: _emit_pack(*args, is_turned=False)


@intrinsic
def pack_turned(typingctx, source, start, rows, first, target, at):
    """The left tile of the transposed matrix: 16 rows of 32 numbers, from 32 rows of 16, as `pack_pairs` takes them."""
    index = types.int64
    return types.void(source, index, rows, index, target, index), lambda *args: _emit_pack(*args, is_turned=True)


def _emit_pack(context, builder, signature, args, is_turned):
    emit = Lanes(context, builder, signature.args[0])
    source, start, rows, first, target, at = emit.plain(signature.args, args)
    source, target = emit.moved(source, start), emit.moved(target, at)

    def pair(number):
        places = [emit.moved(source, emit.entry(rows, first, 2 * number + odd)) for odd in (0, 1)]
        return emit.pairs(*places)

    _put_tile(emit, [pair(number) for number in range(SIDE)], target, is_turned)
    return context.get_dummy_value()


@intrinsic
def turn_pairs(typingctx, source, start, row, target, at):
    """A tile whose pairs are those of 16 rows of 32 numbers, transposed; rows are `row` apart."""
    index = types.int64
    return types.void(source, index, index, target, index), _emit_turn


def _emit_turn(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[0])
    source, start, row, target, at = emit.plain(signature.args, args)
    pointers = [emit.moved(source, start, builder.mul(row, emit.index(number))) for number in range(SIDE)]
    _put_tile(emit, [emit.words(pointer) for pointer in pointers], emit.moved(target, at), is_turned=True)
    return context.get_dummy_value()


def _put_tile(emit, rows, target, is_turned):
    """Store 16 rows of 16 words, or their transpose."""
    for number, row in enumerate(emit.transposed(rows) if is_turned else rows):
        emit.put(row, emit.moved(target, emit.index(DEPTH * number)))


@inline
def _pack_k_tile(task, source, rows, columns, packed, count):
    """A row of right tiles, from 32 rows of the matrix."""
    tiles, own = (columns + SIDE - 1) // SIDE, rows[DEPTH * task : DEPTH * (task + 1)]
    pieces, places = pieces_of(DEPTH * tiles * SIDE, 0, count), scratch(DEPTH, np.int64)
    is_block = tiles * SIDE == columns and own[0] >= 0  # without gaps
    for k in range(1, DEPTH):
        is_block = is_block and own[k] == own[0] + k * columns
    if is_block:
        split(source, own[0], DEPTH * columns, pieces, 0)
    for k in range(DEPTH):
        places[k] = k * tiles * SIDE
        if own[k] >= 0 and not is_block:
            split(source, own[k], columns, pieces, places[k])
    at = task * tiles * count * TILE
    for column in range(0, columns, SIDE):
        for piece in range(count):
            pack_pairs(pieces.array, piece * pieces.step + column, places, 0, packed, at)
            at += TILE


@inline
def pack_matrix(pool: int, source: np.ndarray | Numbers, rows: np.ndarray, columns: int, count: int) -> np.ndarray:
    """Right tiles of a matrix: (k tile, column tile, piece, 16, 16, 2), flat, with zeros beyond its columns.

    Parameters
    ----------
    pool : int
    source : 1-D array, or Numbers
        Float32 or bfloat16.
    rows : 1-D int64 array
        Where each row begins, 32 for each k tile; -1 for a row of zeros.
    columns : int
        How many numbers a row has.
    count : int
        Of pieces.
    """
    tiles = (columns + SIDE - 1) // SIDE
    packed = scratch(len(rows) * tiles * count * SIDE, np.uint16)
    in_parallel(pool, len(rows) // DEPTH, _pack_k_tile, (source, rows, columns, packed, count))
    return packed
