"""Vectors of float32 from and to arrays of bfloat16, which kernels see as uint16: converted in registers."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.target import lanes
from minicnn.backends.numba.machine.vectors import I16, I64, Emitter

_FLOAT, _WORD = ir.FloatType(), ir.IntType(32)
_NUMBERS = types.Array(types.float32, 1, "C")


class HalfEmitter(Emitter):
    """Emits code for float32; what is loaded from arrays of uint16 is widened, what is stored there is rounded."""

    def __init__(self, context: Any, builder: ir.IRBuilder):
        super().__init__(context, builder, _NUMBERS)
        self._words = ir.VectorType(_WORD, self.lanes)

    def load(self, pointer: ir.Value, index: int = 0) -> ir.Value:
        """See `Emitter.load`."""
        if pointer.type.pointee != I16:
            return super().load(pointer, index)
        halves = ir.VectorType(I16, self.lanes).as_pointer()
        pointer = self.moved(pointer, self.index(index * self.lanes))
        words = self.builder.zext(self.builder.load(self.builder.bitcast(pointer, halves), align=2), self._words)
        return self.builder.bitcast(self.builder.shl(words, self._all(16)), self.vector)

    def store(self, value: ir.Value, pointer: ir.Value, index: int = 0) -> None:
        """See `Emitter.store`."""
        super().store(self._as_kept(value, pointer), pointer, index)

    def _store_part(self, values, pointers, count):
        super()._store_part(list(map(self._as_kept, values, pointers)), pointers, count)

    def _all(self, number):
        return ir.Constant(self._words, [number] * self.lanes)

    def _as_kept(self, value, pointer):
        """The vector as the array has it: the nearest bfloat16, halves to even; NaN stays NaN, a quiet one."""
        if pointer.type.pointee != I16:
            return value
        builder, words = self.builder, self.builder.bitcast(value, self._words)
        upper = builder.lshr(words, self._all(16))
        nearest = builder.add(words, builder.add(self._all(0x7FFF), builder.and_(upper, self._all(1))))
        is_nan = builder.icmp_unsigned(">", builder.and_(words, self._all(0x7FFFFFFF)), self._all(0x7F800000))
        kept = builder.select(is_nan, builder.or_(upper, self._all(0x40)), builder.lshr(nearest, self._all(16)))
        return builder.trunc(kept, ir.VectorType(I16, self.lanes))


def emitter_of(context: Any, builder: ir.IRBuilder, kind: types.Type) -> Emitter:
    """The emitter for the numbers of arrays of that kind, see `Emitter`; of uint16, for bfloat16."""
    scalar = (kind.types[0] if isinstance(kind, types.BaseTuple) else kind).dtype
    return HalfEmitter(context, builder) if scalar == types.uint16 else Emitter(context, builder, kind)


@intrinsic
def numbers_in_vector(typingctx, array):
    """Numbers of the array in one of its emitter's vectors."""
    count = lanes(4 if array.dtype == types.uint16 else array.dtype.bitwidth // 8)
    return types.int64(array), lambda context, builder, sig, args: ir.Constant(I64, count)


@intrinsic
def number(typingctx, word):
    """What an element of an array stands for: of uint16 a bfloat16, as float32; others are themselves."""
    is_half = word == types.uint16

    def emit(context, builder, signature, args):
        if not is_half:
            return args[0]
        return builder.bitcast(builder.shl(builder.zext(args[0], _WORD), ir.Constant(_WORD, 16)), _FLOAT)

    return (types.float32 if is_half else word)(word), emit
