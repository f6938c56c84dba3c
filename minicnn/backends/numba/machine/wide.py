"""Phrases for sums in double precision, and for tables of numbers of the channels."""

from collections.abc import Iterable

from llvmlite import ir

from minicnn.backends.numba.machine.vectors import Emitter


class Wide:
    """Phrases for vectors of as many float64 numbers as the emitter's vectors have lanes."""

    def __init__(self, emit: Emitter):
        self._emit, self._builder = emit, emit.builder
        self._vector = ir.VectorType(ir.DoubleType(), emit.lanes)

    def of(self, vector: ir.Value) -> ir.Value:
        """The numbers of an ordinary vector."""
        return vector if self._emit.size == 8 else self._builder.fpext(vector, self._vector)

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x · y + z."""
        return self._builder.fadd(self._builder.fmul(x, y, flags=["contract"]), z, flags=["contract"])

    def load(self, pointer: ir.Value) -> ir.Value:
        """A vector of numbers that are float64 in memory."""
        return self._builder.load(self._builder.bitcast(pointer, self._vector.as_pointer()), align=8)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        """All lanes: into scratch memory."""
        self._builder.store(value, self._builder.bitcast(pointer, self._vector.as_pointer()), align=8)


def rows_of(
    emit: Emitter, table: ir.Value, start: ir.Value, padded: ir.Value, column: ir.Value, count: int
) -> list[ir.Value]:
    """Pointers to a column of so many rows of a table, which have `padded` numbers, from element `start` on."""
    first = emit.moved(table, start, column)
    return [emit.moved(first, emit.builder.mul(padded, emit.index(i))) for i in range(count)]


def store_sums(emit: Emitter, registers: Iterable[ir.Value], rows: Iterable[ir.Value], count: ir.Value) -> None:
    """Store sums that were loaded from these rows, but for lanes from `count` on: they hold what lies behind a row."""
    wide, inside = Wide(emit), emit.below(count)
    for register, row in zip(registers, rows, strict=True):
        wide.store(emit.builder.select(inside, emit.builder.load(register), wide.load(row)), row)
