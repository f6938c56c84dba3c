"""Numbers in bfloat16 pieces, and pieces in tiles.

A kernel reads arrays of float32 or of bfloat16 (uint16) alike. It first *splits* them: piece 0 is the nearest bfloat16,
piece 1 that of what is left, and so on; pieces lie one after the other, each of the array's size and some zeros. Then
tiles are put together from rows of 16 neighbouring numbers, wherever a table says that these are.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import borrowing, inline
from minicnn.backends.numba.machine.fetching import read_ahead
from minicnn.backends.numba.machine.memory import filled, scratch
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.tiles.block import DEPTH, TILE
from minicnn.backends.numba.tiles.emulation import SIDE
from minicnn.backends.numba.tiles.lanes import Lanes, narrowed, widened

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


@intrinsic
def convert(typingctx, source, target, start, count):
    """target[start : start + count] = the same of the source, two `Numbers`; from float32 to float32, rounded too."""
    return types.void(source, target, types.int64, types.int64), _emit_convert


def _emit_convert(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[0])
    source, target, start, count = emit.plain(signature.args, args)

    def is_float(pointer):
        return pointer.type.pointee == ir.FloatType()

    for x in _each_kind(emit, signature.args[0], source):
        for y in _each_kind(emit, signature.args[1], target):
            with emit.each_vector(count) as (i, _):
                numbers = emit.numbers(emit.moved(x, start, i))
                if is_float(x) or not is_float(y):
                    bits = narrowed(builder, numbers)
                    numbers = widened(builder, bits) if is_float(y) else bits
                emit.put_counted(numbers, emit.moved(y, start, i), builder.sub(count, i))
    return context.get_dummy_value()


@intrinsic
def take_masked(typingctx, dy, y, start, count, target, at):
    """target[at + i], a float32, = dy[start + i] where y[start + i] is positive or NaN, else 0; all if y is empty."""
    index = types.int64
    return types.void(dy, y, index, index, target, index), _emit_take


def _emit_take(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[0])
    size = context.make_array(signature.args[1])(context, builder, args[1]).nitems
    dy, y, start, count, target, at = emit.plain(signature.args, args)
    takes_all = builder.icmp_signed("==", size, emit.index(0))
    y, zeros = builder.select(takes_all, dy, y), emit.full(0.0)
    with emit.each_vector(count) as (i, _):
        values, outputs = (emit.numbers(emit.moved(pointer, start, i)) for pointer in (dy, y))
        lives = builder.or_(emit.splat(takes_all), builder.fcmp_unordered(">", outputs, zeros))
        own = builder.select(lives, values, zeros)
        emit.put_counted(own, emit.moved(target, at, i), builder.sub(count, i))
    return context.get_dummy_value()


class Pieces(NamedTuple):
    """Bfloat16 pieces of an array of some size."""

    array: np.ndarray  # (count, step) uint16, flat
    count: int
    step: int  # from piece to piece: more than the size, and zeros from there on


@borrowing
def pieces_of(size: int, zeros: int, count: int) -> Pieces:
    """Memory for pieces of so many numbers, with so many zeros behind each; all of it is zero. To be given back."""
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
    """out[at + i] = max(floor, sums[start + i]), i < count; returns 0, or NaN if a sum is not finite."""
    index = types.int64
    return types.float32(sums, index, index, types.float32, out, index), _emit_put_row


def _emit_put_row(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[0])
    sums, start, count, floor, out, at = emit.plain(signature.args, args)
    sums, floors, zeros = emit.moved(sums, start), emit.splat(floor), emit.full(0.0)
    (total,) = emit.registers([zeros])

    def put(target, i):
        own_sums, left = emit.numbers(emit.moved(sums, i)), builder.sub(count, i)
        values = emit.at_least(floors, own_sums)
        bits = narrowed(builder, values) if target.type.pointee == ir.IntType(16) else values
        emit.put_counted(bits, emit.moved(target, at, i), left)
        nothing = builder.fmul(own_sums, zeros)  # NaN of what is not finite, which the floor may hide
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


def emit_pack(emit: Lanes, source: ir.Value, rows: ir.Value, target: ir.Value, is_turned: bool) -> None:
    """A right tile, 16 rows of 16 pairs, from 32 rows of 16 numbers: those from source[rows[k]] on; or its transpose.

    That is the left tile of the transposed matrix.

    Parameters
    ----------
    emit : Lanes
    source, rows, target : LLVM pointers
        To bfloat16, int64, bfloat16.
    is_turned : bool
    """

    def pair(number):
        places = [emit.moved(source, emit.entry(rows, emit.index(2 * number), odd)) for odd in (0, 1)]
        return emit.pairs(*places)

    _put_tile(emit, [pair(number) for number in range(SIDE)], target, is_turned)


def _put_tile(emit, rows, target, is_turned):
    """Store 16 rows of 16 words, or their transpose."""
    for number, row in enumerate(emit.transposed(rows) if is_turned else rows):
        emit.put(row, emit.moved(target, emit.index(DEPTH * number)))


@borrowing
def _pack_k_tile(task, source, rows, columns, packed, count):
    _pack_rows(source, rows, DEPTH * task, columns, packed, count)


@intrinsic
def _pack_rows(typingctx, source, rows, first, columns, packed, count):
    """A row of right tiles, from 32 rows of the matrix: piece by piece in registers, with nothing in between."""
    index = types.int64
    return types.void(source, rows, index, index, packed, index), _emit_pack_rows


def _emit_pack_rows(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[4])
    source, rows, first, columns, packed, count = emit.plain(signature.args, args)
    tiles = builder.udiv(builder.add(columns, emit.index(SIDE - 1)), emit.index(SIDE))
    size = builder.mul(count, emit.index(TILE))  # of a tile's pieces
    packed = emit.moved(packed, builder.mul(builder.mul(builder.udiv(first, emit.index(DEPTH)), tiles), size))
    for own in _each_kind(emit, signature.args[0], source):
        with cgutils.for_range(builder, emit.index(SIDE)) as pair:
            even = builder.add(first, builder.mul(pair.index, emit.index(2)))
            two = [_row(emit, own, emit.entry(rows, even, odd), columns) for odd in (0, 1)]
            target = emit.moved(packed, builder.mul(pair.index, emit.index(DEPTH)))
            with cgutils.for_range(builder, tiles) as tile:
                at = builder.mul(tile.index, emit.index(SIDE))
                numbers = [_numbers_below(emit, row, at, last) for row, last in two]
                own_target = emit.moved(target, builder.mul(tile.index, size))
                _put_pieces(emit, numbers, emit.paired, own_target, emit.index(TILE), count)
    return context.get_dummy_value()


def _row(emit, source, start, columns):
    """(where a row begins, how many numbers it has): none, if it begins at -1."""
    is_there = emit.builder.icmp_signed(">=", start, emit.index(0))
    start, columns = (emit.builder.select(is_there, value, emit.index(0)) for value in (start, columns))
    return emit.moved(source, start), columns


def _numbers_below(emit, row, at, last):
    """Sixteen numbers of a row from `at` on, zeros from `last` on."""
    left = emit.builder.sub(last, at)  # where none are left, the row's first numbers are read: those surely exist
    at = emit.builder.select(emit.builder.icmp_signed(">", left, emit.index(0)), at, emit.index(0))
    numbers = emit.numbers(read_ahead(emit, emit.moved(row, at)))
    return emit.builder.select(emit.below(left), numbers, emit.full(0.0))


def _put_pieces(emit, numbers, joined, target, apart, pieces, number=0):
    """Pieces of two vectors, joined to words, `apart` from each other."""
    builder, bits = emit.builder, [narrowed(emit.builder, values) for values in numbers]
    emit.put(joined(*bits), target)
    if number < 2:
        with builder.if_then(builder.icmp_signed(">", pieces, emit.index(number + 1))):
            left = [builder.fsub(v, widened(builder, b)) for v, b in zip(numbers, bits, strict=True)]
            _put_pieces(emit, left, joined, emit.moved(target, apart), apart, pieces, number + 1)


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


class Part(NamedTuple):
    """Some rows of a matrix."""

    start: int
    row: int  # from row to row
    rows: int
    columns: int


class Tiles(NamedTuple):
    """Where tiles go that lie side by side."""

    array: np.ndarray  # uint16
    start: int
    beside: int
    piece: int  # from piece to piece


@borrowing
def pack_transposed(source: np.ndarray | Numbers, part: Part, is_left: bool, tiles: Tiles, pieces: int) -> None:
    """Tiles of a part's transpose: left ones of 32 of its rows, each of 16 columns, or right ones of 16 rows by 32."""
    _pack_transposed(source, part, is_left, tiles, pieces)


@intrinsic
def _pack_transposed(typingctx, source, part, is_left, tiles, pieces):
    return types.void(source, part, types.boolean, tiles, types.int64), _emit_pack_transposed


def _emit_pack_transposed(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[3])
    source, part, is_left, tiles, pieces = emit.plain(signature.args, args)
    together, width = (builder.select(is_left, *map(emit.index, pair)) for pair in ((2, 1), (SIDE, 2 * SIDE)))
    count = builder.udiv(builder.add(part.columns, builder.sub(width, emit.index(1))), width)
    target = emit.moved(tiles.array, tiles.start)

    def joined(first, second):
        beside = builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), 32), list(range(32))))
        pairs = emit.paired(first, second)
        return builder.select(is_left, pairs, builder.bitcast(beside, pairs.type))

    def numbers(own, row, at):
        """Of two rows, or of two vectors of one."""
        second = builder.sub(builder.add(row, together), emit.index(1))
        further = builder.add(at, builder.sub(width, emit.index(SIDE)))
        for number, column in ((row, at), (second, further)):
            is_there = builder.icmp_signed("<", number, part.rows)
            number, last = (builder.select(is_there, v, emit.index(0)) for v in (number, part.columns))
            yield _numbers_below(emit, emit.moved(own, part.start, builder.mul(number, part.row)), column, last)

    for own in _each_kind(emit, signature.args[0], source):
        with cgutils.for_range(builder, emit.index(SIDE)) as row, cgutils.for_range(builder, count) as tile:
            at = builder.mul(tile.index, width)
            two = list(numbers(own, builder.mul(row.index, together), at))
            line = builder.add(builder.mul(row.index, emit.index(DEPTH)), builder.mul(tile.index, tiles.beside))
            _put_pieces(emit, two, joined, emit.moved(target, line), tiles.piece, pieces)
    with cgutils.for_range(builder, count) as tile, cgutils.for_range(builder, pieces) as piece:
        place = builder.add(builder.mul(tile.index, tiles.beside), builder.mul(piece.index, tiles.piece))
        own = emit.moved(target, place)
        rows = [emit.words(emit.moved(own, emit.index(DEPTH * number))) for number in range(SIDE)]
        _put_tile(emit, rows, own, is_turned=True)
    return context.get_dummy_value()
