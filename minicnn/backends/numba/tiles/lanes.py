"""The vector code of packing: sixteen lanes on every processor, since a row of a tile is sixteen words.

As everywhere, loads may run over the end of an array by less than a vector; stores never do.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.backends.numba.tiles.emulation import SIDE

_I16, _I32, _FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()
_HALVES, _WORDS, _FLOATS = (ir.VectorType(kind, SIDE) for kind in (_I16, _I32, _FLOAT))


def _constant(kind, value):
    return ir.Constant(kind, [value] * SIDE if isinstance(kind, ir.VectorType) else value)


def narrowed(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The bits of the nearest bfloat16 of one or sixteen float32, of two equally near ones the even; NaN stays NaN."""
    words, halves = (_WORDS, _HALVES) if isinstance(value.type, ir.VectorType) else (_I32, _I16)
    word, shift = builder.bitcast(value, words), _constant(words, 16)
    upper = builder.lshr(word, shift)
    half = builder.add(_constant(words, 0x7FFF), builder.and_(upper, _constant(words, 1)))
    rounded = builder.lshr(builder.add(word, half), shift)
    quiet = builder.or_(upper, _constant(words, 0x40))
    return builder.trunc(builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded), halves)


def widened(builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """One or sixteen bfloat16 as float32."""
    words, floats = (_WORDS, _FLOATS) if isinstance(bits.type, ir.VectorType) else (_I32, _FLOAT)
    return builder.bitcast(builder.shl(builder.zext(bits, words), _constant(words, 16)), floats)


class Lanes(Emitter):
    """`Emitter`, with sixteen lanes; arrays of float32 and of bfloat16 (uint16) are read and written alike."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any):
        super().__init__(context, builder, kind)
        self.lanes, self.vector = SIDE, _FLOATS

    def numbers(self, pointer: ir.Value) -> ir.Value:
        """Sixteen numbers as float32."""
        kind = _HALVES if pointer.type.pointee == _I16 else _FLOATS
        values = self.vector_at(pointer, kind)
        return widened(self.builder, values) if kind is _HALVES else values

    def vector_at(self, pointer: ir.Value, kind: ir.VectorType) -> ir.Value:
        """Sixteen of whatever lies there."""
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=2)

    def halves(self, pointer: Any) -> Any:
        """Sixteen bfloat16 as they lie."""
        return self.vector_at(pointer, _HALVES)

    def words(self, pointer: ir.Value) -> ir.Value:
        """Sixteen pairs of bfloat16."""
        return self.vector_at(pointer, _WORDS)

    def pairs(self, even: ir.Value, odd: ir.Value) -> ir.Value:
        """Sixteen pairs of what lies at two pointers."""
        return self.paired(self.halves(even), self.halves(odd))

    def paired(self, even: Any, odd: Any) -> Any:
        """Sixteen pairs of two vectors of bfloat16."""
        low, high = (self.builder.zext(bits, _WORDS) for bits in (even, odd))
        return self.builder.or_(low, self.builder.shl(high, _constant(_WORDS, 16)))

    def put(self, values: ir.Value, pointer: ir.Value) -> None:
        """Store a whole vector."""
        self.builder.store(values, self.builder.bitcast(pointer, values.type.as_pointer()), align=2)

    def put_counted(self, values: ir.Value, pointer: ir.Value, count: ir.Value) -> None:
        """Store the lanes below `count`, which may exceed them."""
        is_whole = self.builder.icmp_signed(">=", count, self.index(SIDE))
        with self.builder.if_else(is_whole) as (whole, partial):
            with whole:
                self.put(values, pointer)
            with partial:
                target = self.builder.bitcast(pointer, values.type.as_pointer())
                mask = self.below(count)
                function_type = ir.FunctionType(ir.VoidType(), [values.type, target.type, _I32, mask.type])
                name = f"llvm.masked.store.v16{'i16' if values.type == _HALVES else 'f32'}.p0"
                function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
                self.builder.call(function, [values, target, ir.Constant(_I32, 2), mask])

    def sum_of(self, start: Any, *products: tuple[Any, Any]) -> Any:
        """start + the products of some pairs of whole numbers."""
        for factor, number in products:
            start = self.builder.add(start, self.builder.mul(factor, number))
        return start

    def one_or_two(self, left: Any, unit: int) -> Any:
        """How many tiles a block has, where so much is left and one is so large."""
        return self.builder.select(self.builder.icmp_signed("<=", left, self.index(unit)), self.index(1), self.index(2))

    def transposed(self, rows: list[ir.Value]) -> list[ir.Value]:
        """16 x 16 words: swap the squares off the diagonal, of 1, then 2, 4, 8 rows."""
        rows, indices = list(rows), range(SIDE)
        for bit in (1, 2, 4, 8):
            for i in (i for i in indices if not i & bit):
                upper, lower = rows[i], rows[i + bit]
                rows[i] = self.shuffle(upper, lower, [j if not j & bit else SIDE + j - bit for j in indices])
                rows[i + bit] = self.shuffle(upper, lower, [j + bit if not j & bit else SIDE + j for j in indices])
        return rows

    def total(self, vector: ir.Value) -> ir.Value:
        """The sum of the lanes."""
        for half in (8, 4, 2, 1):
            other = self.shuffle(vector, vector, [(i + half) % SIDE for i in range(SIDE)])
            vector = self.builder.fadd(vector, other)
        return self.builder.extract_element(vector, ir.Constant(_I32, 0))
