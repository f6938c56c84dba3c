"""The few LLVM phrases that vector code is written in.

Arrays are one-dimensional here, and offsets in them count elements. Loads of a last, partial vector run over the end of
its row, and by less than a vector over the end of the array (`minicnn.backends.memory` leaves room). Stores into arrays
never do; into scratch memory some write whole vectors, and say so.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.target import TARGET, lanes

I8, I16, I64 = ir.IntType(8), ir.IntType(16), ir.IntType(64)
_I32 = ir.IntType(32)


class Emitter:
    """Emits LLVM instructions for vectors of one element type.

    Parameters
    ----------
    context, builder
        What Numba gives to the body of an intrinsic.
    kind : Numba type
        Of an array, a pointer, or a named tuple that begins with one: its elements are what vectors hold.
    """

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: types.Type):
        self.context: Any = context
        self.builder: ir.IRBuilder = builder
        self.scalar: types.Type = (kind.types[0] if isinstance(kind, types.BaseTuple) else kind).dtype
        self.size: int = self.scalar.bitwidth // 8
        self.lanes: int = lanes(self.size)
        self.vector: ir.VectorType = ir.VectorType(context.get_value_type(self.scalar), self.lanes)
        self.suffix: str = f"v{self.lanes}f{self.scalar.bitwidth}"

    def plain(self, kinds: Sequence[types.Type], values: Sequence[ir.Value]) -> list[Any]:
        """The values, a pointer to its first element for an array; likewise inside tuples."""
        return [self._plain(kind, value) for kind, value in zip(kinds, values, strict=True)]

    def _plain(self, kind, value):
        if isinstance(kind, types.Array):
            return self.context.make_array(kind)(self.context, self.builder, value).data
        if isinstance(kind, types.BaseTuple):
            parts = self.plain(kind.types, cgutils.unpack_tuple(self.builder, value, len(kind.types)))
            return kind.instance_class(*parts) if isinstance(kind, types.BaseNamedTuple) else parts
        return value

    def moved(self, pointer: ir.Value, *offsets: ir.Value) -> ir.Value:
        """The pointer, so many elements on."""
        for offset in offsets:
            pointer = self.builder.gep(pointer, [offset])
        return pointer

    def index(self, value: int) -> ir.Constant:
        """A constant among the integers that count elements."""
        return ir.Constant(I64, value)

    def entry(self, table: ir.Value, index: ir.Value, further: int) -> ir.Value:
        """The number at index + further in a table of offsets."""
        return self.builder.load(self.moved(table, index, self.index(further)))

    def full(self, value: float) -> ir.Constant:
        """A vector of one constant number."""
        return ir.Constant(self.vector, [value] * self.lanes)

    def load(self, pointer: ir.Value, index: int = 0) -> ir.Value:
        """The vector of that index, counted from the pointer."""
        pointer = self.moved(pointer, self.index(index * self.lanes))
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def load_bytes(self, pointer: ir.Value) -> ir.Value:
        """As many bytes as a vector has lanes."""
        return self.builder.load(self.builder.bitcast(pointer, self.bytes(0).type.as_pointer()), align=1)

    def bytes(self, value: int) -> ir.Constant:
        """One constant byte a lane."""
        return ir.Constant(ir.VectorType(I8, self.lanes), [value] * self.lanes)

    def store(self, value: ir.Value, pointer: ir.Value, index: int = 0) -> None:
        """Store a vector of numbers or bytes as the one of that index, counted from the pointer."""
        pointer = self.moved(pointer, self.index(index * self.lanes))
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()), align=self._align(value))

    def store_counted(self, value: ir.Value, pointer: ir.Value, count: ir.Value) -> None:
        """Store the lanes below `count` of a vector of numbers or bytes; `count` may exceed the lanes."""
        self.store_all_counted([value], [pointer], count)

    def store_all_counted(self, values: Sequence[ir.Value], pointers: Sequence[ir.Value], count: ir.Value) -> None:
        """The same of some vectors, with one branch for all of them."""
        is_whole = self.builder.icmp_signed(">=", count, self.index(self.lanes))
        with self.builder.if_else(is_whole) as (whole, partial):
            with whole:
                for value, pointer in zip(values, pointers, strict=True):
                    self.store(value, pointer)
            with partial:
                self._store_part(values, pointers, count)

    def _store_part(self, values, pointers, count):
        """Store the lanes below `count`, which are not all."""
        if self._align(values[0]) < TARGET.least_masked_bytes:
            self._store_halves(values, pointers, count)
            return
        mask = self.below(count)
        for value, pointer in zip(values, pointers, strict=True):
            self._store_masked(value, pointer, mask)

    def _store_masked(self, value, pointer, mask):
        target, element = self.builder.bitcast(pointer, value.type.as_pointer()), value.type.element
        suffix = f"v{self.lanes}i{element.width}" if isinstance(element, ir.IntType) else self.suffix
        function_type = ir.FunctionType(ir.VoidType(), [value.type, target.type, _I32, mask.type])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, f"llvm.masked.store.{suffix}.p0")
        self.builder.call(function, [value, target, ir.Constant(_I32, self._align(value)), mask])

    def _store_halves(self, values, pointers, count):
        """Store the lower half of each vector if so many lanes are left; then of its upper or its lower half, and on.

        Where a processor has no mask for numbers of that size, LLVM would write a branch for each lane.
        """
        half = self.lanes // 2
        while half > 0:
            fits = self.builder.icmp_signed("!=", self.builder.and_(count, self.index(half)), self.index(0))
            lower = [self.shuffle(value, value, list(range(half))) for value in values]
            with self.builder.if_then(fits):
                for value, pointer in zip(lower, pointers, strict=True):
                    target = self.builder.bitcast(pointer, value.type.as_pointer())
                    self.builder.store(value, target, align=self._align(value))
            upper = [self.shuffle(value, value, list(range(half, 2 * half))) for value in values]
            values = [self.builder.select(fits, *pair) for pair in zip(upper, lower, strict=True)]
            pointers = [self.builder.select(fits, self.moved(p, self.index(half)), p) for p in pointers]
            half //= 2

    def below(self, count: ir.Value) -> ir.Value:
        """Which lanes are below `count`; compared as integers as wide as the numbers, as their masks are."""
        word, fits = ir.IntType(8 * self.size), self.builder.icmp_signed("<", count, self.index(self.lanes))
        count = self.builder.select(fits, count, self.index(self.lanes))
        lane_indices = ir.Constant(ir.VectorType(word, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane_indices, self.splat(self.builder.trunc(count, word)))

    def least_passing(self, relu: ir.Value) -> ir.Value:
        """What numbers exceed that pass a ReLU, where there is one: zeros; else NaN, which nothing is compared with.

        So `fcmp_unordered(">", y, …)` says where a gradient passes, in one instruction: without AVX-512, a further
        condition would take ten, to bring both masks to one width.
        """
        return self.builder.select(relu, self.full(0.0), self.full(math.nan))

    def splat(self, scalar: ir.Value) -> ir.Value:
        """The scalar in every lane."""
        vector = ir.VectorType(scalar.type, self.lanes)
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
        return self.shuffle(first, undefined, [0] * self.lanes)

    def shuffle(self, x: ir.Value, y: ir.Value, lane_indices: list[int]) -> ir.Value:
        """The lanes of x, then y, with these indices."""
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_I32, len(lane_indices)), lane_indices))

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x · y + z."""
        if not TARGET.has_fma:
            return self.builder.fadd(self.builder.fmul(x, y), z)
        function_type = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, function_type, f"llvm.fma.{self.suffix}")
        return self.builder.call(fma, [x, y, z])

    def at_least(self, floor: ir.Value, x: ir.Value) -> ir.Value:
        """max(floor, x), and NaN where x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, floor), floor, x)

    def least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The lesser one of two indices."""
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def most(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The greater one of two indices."""
        return self.builder.select(self.builder.icmp_signed(">", x, y), x, y)

    def registers(self, values: Sequence[ir.Value]) -> list[ir.Value]:
        """Variables that LLVM will keep in registers, with these first values."""
        registers = [cgutils.alloca_once(self.builder, value.type) for value in values]
        for register, value in zip(registers, values, strict=True):
            self.builder.store(value, register)
        return registers

    def each_vector(self, count: Any) -> Any:
        """A loop over `count` numbers, vector by vector."""
        return cgutils.for_range_slice(self.builder, self.index(0), count, self.index(self.lanes), I64)

    @contextmanager
    def loop(self, first: ir.Value, last: ir.Value, unrolls: bool) -> Iterator[cgutils.Loop]:
        """A loop from `first` to below `last`; LLVM may write out several turns of it, or not.

        Where most registers hold sums it must not: for some processors (AMD's Zen) it puts the loads of both turns
        first, which then fit into no registers.
        """
        with cgutils.for_range(self.builder, last, start=first) as loop:
            yield loop
            end = self.builder.block
        if not unrolls:
            module = self.builder.module
            option = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
            name = module.add_metadata([option, option])
            name.operands = name, option  # LLVM tells a loop's options by this reference of the node to itself
            end.terminator.set_metadata("llvm.loop", name)

    def _align(self, vector):
        element = vector.type.element
        return element.width // 8 if isinstance(element, ir.IntType) else self.size


@intrinsic
def lanes_of(typingctx, array):
    """Numbers of the array's dtype in one vector."""
    count = lanes(array.dtype.bitwidth // 8)
    return types.int64(array), lambda context, builder, sig, args: ir.Constant(I64, count)
