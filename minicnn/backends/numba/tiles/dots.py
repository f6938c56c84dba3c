"""The product on tiles by vectors: for processors that multiply pairs of bfloat16 (avx512_bf16) but have no tiles.

``vdpbf16ps`` adds to sixteen sums in float32 the products of sixteen pairs each: a row of a right tile, and one pair of
a left one, repeated. So tables and packed tiles serve as they are. A block of rows, by one tile or two, has its sums in
vector registers while all steps pass.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from minicnn.backends.numba.machine.vectors import I64
from minicnn.backends.numba.tiles.emulation import ROWS_AT, SIDE
from minicnn.backends.numba.tiles.lanes import Lanes

_MOST_ROWS = 8  # of a block: sixteen sums, enough for two units that take five cycles, and registers to spare
_I32, _FLOATS, _WORDS = ir.IntType(32), ir.VectorType(ir.FloatType(), SIDE), ir.VectorType(ir.IntType(32), SIDE)


class _Bfloat(ir.Type):
    """LLVM's type, which llvmlite does not have."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bfloat)

    def __hash__(self) -> int:
        return hash(_Bfloat)


_PAIRS = ir.VectorType(_Bfloat(), 2 * SIDE)


def emit_walk(context: Any, builder: ir.IRBuilder, kind: Any, registers: ir.Value, operands: list[Any]) -> None:
    """`minicnn.backends.numba.tiles.block.multiply_tiles`; of the configuration, only the rows of a tile count."""
    emit, (*_, area) = Lanes(context, builder, kind), operands
    rows = builder.zext(builder.load(builder.gep(registers, [emit.index(ROWS_AT)])), I64)
    blocks = builder.udiv(builder.add(rows, emit.index(_MOST_ROWS - 1)), emit.index(_MOST_ROWS))
    height = builder.udiv(builder.sub(builder.add(rows, blocks), emit.index(1)), blocks)  # alike, but for the last one
    slices = cgutils.for_range_slice(builder, emit.index(0), rows, height, I64)
    with cgutils.for_range(builder, area.height) as tile, slices as (row, _):
        left = builder.sub(rows, row)
        own = builder.select(builder.icmp_signed("<", left, height), left, height)
        _emit_some(emit, own, operands, tile.index, row)


def _emit_some(emit, height, operands, tile, row):
    """A block of so many rows of a tile, from this row on."""
    builder, width = emit.builder, operands[-1].width
    end = builder.append_basic_block("end")
    number = builder.add(builder.mul(height, emit.index(2)), width)
    choice = builder.switch(number, end)
    for rows in range(1, _MOST_ROWS + 1):
        for columns in (1, 2):
            block = builder.append_basic_block(f"block_{rows}_{columns}")
            choice.add_case(emit.index(2 * rows + columns), block)
            builder.position_at_end(block)
            _emit_block(emit, operands, (rows, columns), tile, row)
            builder.branch(end)
    builder.position_at_end(end)


def _emit_block(emit, operands, shape, tile, row):
    left, right, steps, first, out, _ = operands
    builder, (rows, columns) = emit.builder, shape
    places = [(i, j) for i in range(rows) for j in range(columns)]

    def place(tiles, i, j):
        down = builder.mul(tiles.down, tile)
        across = builder.mul(tiles.row, builder.add(row, emit.index(i)))
        return emit.moved(tiles.array, tiles.start, down, across, emit.index(SIDE * j))

    sums = emit.registers([emit.vector_at(place(first, i, j), _FLOATS) for i, j in places])
    begin = emit.moved(left.array, left.start, builder.mul(left.down, tile), builder.mul(left.row, row))
    with cgutils.for_range(builder, steps.last, start=steps.first) as loop:
        at = builder.mul(loop.index, emit.index(2))
        lefts = emit.moved(begin, emit.entry(steps.table, at, 0))
        lefts = [emit.moved(lefts, builder.mul(left.row, emit.index(i))) for i in range(rows)]
        rights = emit.moved(right.array, right.start, emit.entry(steps.table, at, 1))
        rights = [emit.moved(rights, builder.mul(right.beside, emit.index(j))) for j in range(columns)]
        with cgutils.for_range(builder, emit.index(SIDE)) as pair:
            _emit_pair(emit, sums, lefts, rights, pair.index)
    for (i, j), total in zip(places, sums, strict=True):
        emit.put(builder.load(total), place(out, i, j))


def _emit_pair(emit, sums, lefts, rights, number):
    """sums += the products of a pair of each left row by the pairs of a row of each right tile."""
    builder = emit.builder
    step = builder.mul(number, emit.index(2))
    row = builder.mul(number, emit.index(2 * SIDE))
    rights = [builder.bitcast(emit.words(emit.moved(pointer, row)), _PAIRS) for pointer in rights]
    kind = ir.FunctionType(_FLOATS, [_FLOATS, _PAIRS, _PAIRS])
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
    for i, pointer in enumerate(lefts):
        word = builder.load(builder.bitcast(emit.moved(pointer, step), _I32.as_pointer()), align=2)
        pair = builder.bitcast(emit.splat(word), _PAIRS)
        for j, pairs in enumerate(rights):
            total = sums[len(rights) * i + j]
            builder.store(builder.call(dot, [builder.load(total), pair, pairs]), total)
