"""Numba intrinsics that emit LLVM vector code: the inner loops of the kernels.

Arrays are one-dimensional here and places in them are element numbers. Loads of a last, partial vector run over the end of
its row, and by less than a vector over the end of the array (`minicnn.backends.memory` leaves room); stores never do.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.tiles import AXPY_WIDTHS, TARGET, WIDTH
from minicnn.backends.numba.tiles import lanes as lanes_of_size

_I1, _I8, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))


class Emitter:
    """The few LLVM phrases that the intrinsics are written in, for vectors of one element type."""

    def __init__(self, context, builder, scalar):
        self.context, self.builder = context, builder
        self.size = scalar.bitwidth // 8
        self.lanes = lanes_of_size(self.size)
        self.scalar = context.get_value_type(scalar)
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.suffix = f"v{self.lanes}f{scalar.bitwidth}"

    def pointer(self, array_type, array, *element_numbers):
        """Address of the element whose number is the sum of `element_numbers`."""
        pointer = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.moved(pointer, *element_numbers)

    def moved(self, pointer, *element_numbers):
        for number in element_numbers:
            pointer = self.builder.gep(pointer, [number])
        return pointer

    def number(self, value):
        return ir.Constant(_I64, value)

    def full(self, value):
        return ir.Constant(self.vector, [value] * self.lanes)

    def load(self, pointer, vector_number=0):
        return self.builder.load(self._vector_at(pointer, vector_number), align=self.size)

    def store(self, value, pointer, vector_number=0):
        pointer = self.moved(pointer, self.number(vector_number * self.lanes))
        place = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, place, align=self._align(value))

    def store_counted(self, value, pointer, count):
        """Store the lanes below `count` of a vector of numbers or bytes; `count` may exceed the lanes."""
        is_whole = self.builder.icmp_signed(">=", count, self.number(self.lanes))
        with self.builder.if_else(is_whole) as (whole, partial):
            with whole:
                self.store(value, pointer)
            with partial:
                self.store_first(value, pointer, count)

    def store_first(self, value, pointer, count):
        """Store the lanes below `count` of a vector of numbers or bytes."""
        element = value.type.element
        lane_numbers = ir.Constant(ir.VectorType(_I64, self.lanes), list(range(self.lanes)))
        mask = self.builder.icmp_signed("<", lane_numbers, self.splat(count))
        place = self.builder.bitcast(pointer, value.type.as_pointer())
        suffix = f"v{self.lanes}i8" if element == _I8 else self.suffix
        function_type = ir.FunctionType(ir.VoidType(), [value.type, place.type, _I32, mask.type])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, f"llvm.masked.store.{suffix}.p0")
        self.builder.call(function, [value, place, ir.Constant(_I32, self._align(value)), mask])

    def splat(self, scalar):
        vector = ir.VectorType(scalar.type, self.lanes)
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        )

    def multiply_add(self, x, y, z):
        """x · y + z."""
        if not TARGET.has_fma:
            return self.builder.fadd(self.builder.fmul(x, y), z)
        function_type = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, function_type, f"llvm.fma.{self.suffix}")
        return self.builder.call(fma, [x, y, z])

    def at_least(self, floor, x):
        """max(floor, x), and NaN where x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, floor), floor, x)

    def registers(self, values):
        """Variables that LLVM will keep in registers, with these first values."""
        registers = [cgutils.alloca_once(self.builder, value.type) for value in values]
        for register, value in zip(registers, values, strict=True):
            self.builder.store(value, register)
        return registers

    def _align(self, vector):
        return 1 if vector.type.element == _I8 else self.size

    def _vector_at(self, pointer, vector_number):
        pointer = self.moved(pointer, self.number(vector_number * self.lanes))
        return self.builder.bitcast(pointer, self.vector.as_pointer())


@intrinsic
def lanes_of(typingctx, array):
    """Numbers of the array's dtype in one vector."""
    count = lanes_of_size(array.dtype.bitwidth // 8)
    return types.int64(array), lambda context, builder, sig, args: ir.Constant(_I64, count)


@intrinsic
def multiply_tile(
    typingctx, a, a_start, a_rows, a_inner, b, b_start, b_inner, inner_first, inner_last, bias, accumulate,
    out, out_start, out_rows, row, rows_left, column, columns_left, floor,
):  # fmt: skip
    """One register tile of `matrix.multiply`, the tallest that fits into the rows left; returns its height."""
    arrays = (a, b, bias, out)
    if not all(isinstance(array, types.Array) and array.dtype == a.dtype for array in arrays):
        return None
    index = types.int64
    signature = types.int64(
        a, index, a_rows, a_inner, b, index, b_inner, index, index, bias, types.boolean,
        out, index, out_rows, index, index, index, index, a.dtype,
    )  # fmt: skip
    return signature, _emit_multiply_tile


def _emit_multiply_tile(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0].dtype)
    height = cgutils.alloca_once_value(builder, emit.number(TARGET.heights[-1]))
    rows_left, columns_left = args[15], args[17]
    is_wide = builder.icmp_signed(">", columns_left, emit.number(emit.lanes))
    with builder.if_else(is_wide) as (wide, narrow):
        for branch, width in ((wide, WIDTH), (narrow, 1)):
            with branch:
                _emit_tallest(emit, signature, args, rows_left, height, TARGET.heights, width)
    return builder.load(height)


def _emit_tallest(emit, signature, args, rows_left, height, heights, width):
    """The first of `heights` that fits into `rows_left`; the last one always does, row tables are padded for it."""
    builder, tallest = emit.builder, heights[0]
    if len(heights) == 1:
        _emit_tile(emit, signature, args, tallest, width)
        return
    with builder.if_else(builder.icmp_signed(">=", rows_left, emit.number(tallest))) as (fits, too_tall):
        with fits:
            builder.store(emit.number(tallest), height)
            _emit_tile(emit, signature, args, tallest, width)
        with too_tall:
            _emit_tallest(emit, signature, args, rows_left, height, heights[1:], width)


def _emit_tile(emit, signature, args, height, width):
    builder = emit.builder
    (a, a_start, a_rows, a_inner, b, b_start, b_inner, inner_first, inner_last, bias, accumulate,
     out, out_start, out_rows, row, _, column, columns_left, floor) = args  # fmt: skip
    kinds = signature.args
    numbers = [builder.load(emit.pointer(kinds[2], a_rows, row, emit.number(t))) for t in range(height)]
    a_pointers = [emit.pointer(kinds[0], a, a_start, number) for number in numbers]
    numbers = [builder.load(emit.pointer(kinds[13], out_rows, row, emit.number(t))) for t in range(height)]
    out_pointers = [emit.pointer(kinds[11], out, out_start, number, column) for number in numbers]
    b_pointer = emit.pointer(kinds[4], b, b_start, column)
    bias_pointer = emit.pointer(kinds[9], bias, column)
    first = [
        emit.load(builder.select(accumulate, out_pointer, bias_pointer), v)
        for out_pointer in out_pointers
        for v in range(width)
    ]
    sums = emit.registers(first)  # height · width of them, row by row
    a_inner_pointer, b_inner_pointer = emit.pointer(kinds[3], a_inner), emit.pointer(kinds[6], b_inner)
    with cgutils.for_range(builder, inner_last, start=inner_first) as loop:
        a_number = builder.load(emit.moved(a_inner_pointer, loop.index))
        b_number = builder.load(emit.moved(b_inner_pointer, loop.index))
        b_vectors = [emit.load(emit.moved(b_pointer, b_number), v) for v in range(width)]
        for t, a_pointer in enumerate(a_pointers):
            a_vector = emit.splat(builder.load(emit.moved(a_pointer, a_number)))
            for register, b_vector in zip(sums[t * width : (t + 1) * width], b_vectors, strict=True):
                builder.store(emit.multiply_add(a_vector, b_vector, builder.load(register)), register)
    floors = emit.splat(floor)
    results = [emit.at_least(floors, builder.load(register)) for register in sums]
    is_whole = builder.icmp_signed(">=", columns_left, emit.number(width * emit.lanes))
    with builder.if_else(is_whole) as (whole, partial):
        with whole:
            for number, result in enumerate(results):
                emit.store(result, out_pointers[number // width], number % width)
        with partial:
            for number, result in enumerate(results):
                v = number % width
                count = builder.sub(columns_left, emit.number(v * emit.lanes))
                emit.store_first(result, emit.moved(out_pointers[number // width], emit.number(v * emit.lanes)), count)


@intrinsic
def pool_vector(typingctx, x, start, tap_offsets, taps, y, winner, place, keeps_winner, relu, count):
    """Maximum over `taps` pixels of one vector of channels, with its (first) winner; `taps` 4 as a literal is unrolled."""
    index = types.int64
    taps_type = taps if isinstance(taps, types.IntegerLiteral) else index
    signature = types.void(x, index, tap_offsets, taps_type, y, winner, index, types.boolean, types.boolean, index)
    return signature, _emit_pool_vector


def _emit_pool_vector(context, builder, signature, args):
    x, start, tap_offsets, taps, y, winner, place, keeps_winner, relu, count = args
    kinds = signature.args
    emit = Emitter(context, builder, kinds[0].dtype)
    x_pointer, offsets = emit.pointer(kinds[0], x, start), emit.pointer(kinds[2], tap_offsets)
    bytes_type = ir.VectorType(_I8, emit.lanes)
    first = emit.load(emit.moved(x_pointer, builder.load(offsets)))
    best, best_tap = emit.registers([first, ir.Constant(bytes_type, [0] * emit.lanes)])

    def compare(tap):
        pixels = emit.load(emit.moved(x_pointer, builder.load(emit.moved(offsets, tap))))
        current = builder.load(best)
        # NaN beats every number, and nothing beats NaN: errors must surface.
        beats = builder.and_(
            builder.fcmp_unordered(">", pixels, current), builder.fcmp_ordered("ord", current, current)
        )
        builder.store(builder.select(beats, pixels, current), best)
        builder.store(builder.select(beats, emit.splat(builder.trunc(tap, _I8)), builder.load(best_tap)), best_tap)

    if isinstance(kinds[3], types.IntegerLiteral):
        for tap in range(1, kinds[3].literal_value):
            compare(emit.number(tap))
    else:
        with cgutils.for_range(builder, taps, start=emit.number(1)) as loop:
            compare(loop.index)

    result, result_tap, zero = builder.load(best), builder.load(best_tap), emit.full(0.0)
    blocked = builder.and_(builder.fcmp_ordered("<=", result, zero), emit.splat(relu))
    result = builder.select(blocked, zero, result)
    result_tap = builder.select(blocked, ir.Constant(bytes_type, [255] * emit.lanes), result_tap)
    emit.store_counted(result, emit.pointer(kinds[4], y, place), count)
    with builder.if_then(keeps_winner):
        emit.store_counted(result_tap, emit.pointer(kinds[5], winner, place), count)
    return context.get_dummy_value()


@intrinsic
def sum_runs(typingctx, x, start, items, weights, count, vector_offsets, vectors_left, out, out_start):
    """out[v, :] += weights[i] · x[start + items[i] + vector_offsets[v], :] over i < count; returns the number of v's done."""
    index = types.int64
    signature = types.int64(x, index, items, weights, index, vector_offsets, index, out, index)
    return signature, lambda *arguments: _emit_runs(*arguments, emit_runs=_emit_sum_runs)


@intrinsic
def spread_runs(typingctx, x, start, items, weights, count, vector_offsets, vectors_left, out, out_start):
    """x[start + items[i] + vector_offsets[v], :] += weights[i] · out[v, :] over i < count: the adjoint of `sum_runs`."""
    index = types.int64
    signature = types.int64(x, index, items, weights, index, vector_offsets, index, out, index)
    return signature, lambda *arguments: _emit_runs(*arguments, emit_runs=_emit_spread_runs)


def _emit_runs(context, builder, signature, args, emit_runs):
    """As many vectors of `AXPY_WIDTHS` as there are left, with a loop over the items for each width."""
    x, start, items, weights, count, vector_offsets, vectors_left, out, out_start = args
    kinds = signature.args
    emit = Emitter(context, builder, kinds[0].dtype)
    done = cgutils.alloca_once_value(builder, emit.number(1))
    x_pointer, out_pointer = emit.pointer(kinds[0], x, start), emit.pointer(kinds[7], out, out_start)
    items_pointer, weights_pointer = emit.pointer(kinds[2], items), emit.pointer(kinds[3], weights)
    offsets_pointer = emit.pointer(kinds[5], vector_offsets)

    def emit_width(widths):
        width = widths[0]
        with builder.if_else(builder.icmp_signed(">=", vectors_left, emit.number(width))) as (fits, too_wide):
            with fits:
                builder.store(emit.number(width), done)
                offsets = [builder.load(emit.moved(offsets_pointer, emit.number(v))) for v in range(width)]
                registers = emit.registers([emit.load(out_pointer, v) for v in range(width)])
                with cgutils.for_range(builder, count) as loop:
                    place = emit.moved(x_pointer, builder.load(emit.moved(items_pointer, loop.index)))
                    weight = emit.splat(builder.load(emit.moved(weights_pointer, loop.index)))
                    emit_runs(emit, [emit.moved(place, offset) for offset in offsets], weight, registers)
                if emit_runs is _emit_sum_runs:
                    for v, register in enumerate(registers):
                        emit.store(builder.load(register), out_pointer, v)
            with too_wide:
                if len(widths) > 1:
                    emit_width(widths[1:])

    emit_width(AXPY_WIDTHS)
    return builder.load(done)


def _emit_sum_runs(emit, places, weight, registers):
    for place, register in zip(places, registers, strict=True):
        emit.builder.store(emit.multiply_add(weight, emit.load(place), emit.builder.load(register)), register)


def _emit_spread_runs(emit, places, weight, registers):
    for place, register in zip(places, registers, strict=True):
        emit.store(emit.multiply_add(weight, emit.builder.load(register), emit.load(place)), place)
