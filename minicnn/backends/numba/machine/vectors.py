"""Numba intrinsics that emit LLVM vector code: the inner loops of the kernels.

Arrays are one-dimensional here and places in them are element numbers. Loads of a last, partial vector run over the
end of its row, and by less than a vector over the end of the array (`minicnn.backends.memory` leaves room). Stores into
arrays never do; into scratch memory some write whole vectors, and say so.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.target import RUN_SHAPES, TARGET, WIDTH
from minicnn.backends.numba.machine.target import lanes as lanes_of_size
from minicnn.geometry import RELU_OFF

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
        """Address of the element of an array, or behind a pointer, whose number is the sum of `element_numbers`."""
        if isinstance(array_type, types.Array):
            array = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.moved(array, *element_numbers)

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
        return self.shuffle(first, undefined, [0] * self.lanes)

    def shuffle(self, x, y, lane_numbers):
        """The lanes of x, then y, with these numbers."""
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_I32, self.lanes), lane_numbers))

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
    """Maximum over `taps` pixels of one vector of channels, with its (first) winner; literal `taps` are unrolled."""
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
        better, better_tap = _better(emit, pixels, builder.trunc(tap, _I8), builder.load(best), builder.load(best_tap))
        builder.store(better, best)
        builder.store(better_tap, best_tap)

    if isinstance(kinds[3], types.IntegerLiteral):
        for tap in range(1, kinds[3].literal_value):
            compare(emit.number(tap))
    else:
        with cgutils.for_range(builder, taps, start=emit.number(1)) as loop:
            compare(loop.index)

    y_pointer, winner_pointer = emit.pointer(kinds[4], y, place), emit.pointer(kinds[5], winner, place)
    _store_cell(emit, builder.load(best), builder.load(best_tap), relu, y_pointer, winner_pointer, keeps_winner, count)
    return context.get_dummy_value()


def _better(emit, pixels, tap, best, best_tap):
    """The greater of `pixels` and `best`, lane by lane, and its tap; NaN beats every number, and nothing beats NaN."""
    builder = emit.builder
    beats = builder.and_(builder.fcmp_unordered(">", pixels, best), builder.fcmp_ordered("ord", best, best))
    return builder.select(beats, pixels, best), builder.select(beats, emit.splat(tap), best_tap)


def _store_cell(emit, result, result_tap, relu, y_pointer, winner_pointer, keeps_winner, count):
    """Store a pooled cell after ReLU, if there is one, and its winner, if it is kept."""
    builder, zero = emit.builder, emit.full(0.0)
    blocked = builder.and_(builder.fcmp_ordered("<=", result, zero), emit.splat(relu))
    result = builder.select(blocked, zero, result)
    result_tap = builder.select(blocked, ir.Constant(result_tap.type, [RELU_OFF] * emit.lanes), result_tap)
    emit.store_counted(result, y_pointer, count)
    with builder.if_then(keeps_winner):
        emit.store_counted(result_tap, winner_pointer, count)


def emit_cell(emit, taps, bias, relu, y_pointer, winner_pointer, keeps_winner, count):
    """Pool vectors that are in registers, add the bias and store the cell."""
    best, best_tap = taps[0], ir.Constant(ir.VectorType(_I8, emit.lanes), [0] * emit.lanes)
    for tap, pixels in enumerate(taps[1:], 1):
        best, best_tap = _better(emit, pixels, ir.Constant(_I8, tap), best, best_tap)
    best = emit.builder.fadd(best, bias)
    _store_cell(emit, best, best_tap, relu, y_pointer, winner_pointer, keeps_winner, count)


@intrinsic
def transpose_square(typingctx, source, start, step, target, target_start, target_step):
    """target[j, i] = source[i, j] for i, j < lanes; `step` and `target_step` elements from row to row."""
    index = types.int64
    return types.void(source, index, index, target, index, index), _emit_transpose_square


def _emit_transpose_square(context, builder, signature, args):
    source, start, step, target, target_start, target_step = args
    emit = Emitter(context, builder, signature.args[0].dtype)
    source_pointer = emit.pointer(signature.args[0], source, start)
    target_pointer = emit.pointer(signature.args[3], target, target_start)
    numbers = range(emit.lanes)
    rows = [emit.load(emit.moved(source_pointer, builder.mul(step, emit.number(i)))) for i in numbers]
    bit = 1
    while bit < emit.lanes:  # swap the blocks off the diagonal: of 1, then 2, then 4 … rows
        for i in (i for i in numbers if not i & bit):
            upper, lower = rows[i], rows[i + bit]
            rows[i] = emit.shuffle(upper, lower, [j if not j & bit else emit.lanes + j - bit for j in numbers])
            rows[i + bit] = emit.shuffle(upper, lower, [j + bit if not j & bit else emit.lanes + j for j in numbers])
        bit *= 2
    for i in numbers:
        emit.store(rows[i], emit.moved(target_pointer, builder.mul(target_step, emit.number(i))))
    return context.get_dummy_value()


@intrinsic
def mask_pixels(typingctx, y, has_y, dy, start, framed, place, pixels, step, sums, sums_start, count):
    """framed = dy where y > 0, or all of dy without a y: `count` channels of pixels that are `step` apart.

    Adds up what it has copied: sums += the pixels of framed.
    """
    index = types.int64
    signature = types.void(y, types.boolean, dy, index, framed, index, index, index, sums, index, index)
    return signature, _emit_mask_pixels


def _emit_mask_pixels(context, builder, signature, args):
    y, has_y, dy, start, framed, place, pixels, step, sums, sums_start, count = args
    kinds = signature.args
    emit = Emitter(context, builder, kinds[2].dtype)
    dy_pointer, framed_pointer = emit.pointer(kinds[2], dy, start), emit.pointer(kinds[4], framed, place)
    y_pointer = builder.select(has_y, emit.pointer(kinds[0], y, start), dy_pointer)
    sums_pointer = emit.pointer(kinds[8], sums, sums_start)
    (total,) = emit.registers([emit.load(sums_pointer)])
    counts_all = emit.splat(builder.not_(has_y))
    with cgutils.for_range(builder, pixels) as loop:
        offset = builder.mul(loop.index, step)
        value, y_value = emit.load(emit.moved(dy_pointer, offset)), emit.load(emit.moved(y_pointer, offset))
        counts = builder.or_(counts_all, builder.fcmp_ordered(">", y_value, emit.full(0.0)))
        value = builder.select(counts, value, emit.full(0.0))
        builder.store(builder.fadd(builder.load(total), value), total)
        emit.store_counted(value, emit.moved(framed_pointer, offset), count)
    emit.store_counted(builder.load(total), sums_pointer, count)
    return context.get_dummy_value()


@intrinsic
def add_run(typingctx, source, start, target, place, count):
    """target[place : place + count] += source[start : start + count]."""
    index = types.int64
    return types.void(source, index, target, index, index), _emit_add_run


def _emit_add_run(context, builder, signature, args):
    source, start, target, place, count = args
    emit = Emitter(context, builder, signature.args[0].dtype)
    source_pointer = emit.pointer(signature.args[0], source, start)
    target_pointer = emit.pointer(signature.args[2], target, place)
    with cgutils.for_range_slice(builder, emit.number(0), count, emit.number(emit.lanes), _I64) as (at, _):
        pointer = emit.moved(target_pointer, at)
        total = builder.fadd(emit.load(pointer), emit.load(emit.moved(source_pointer, at)))
        emit.store_counted(total, pointer, builder.sub(count, at))
    return context.get_dummy_value()


@intrinsic
def spread_winners(typingctx, dy, winner, place, band, cell, tap_offsets, taps, sums, sums_start, count):
    """band[cell + tap_offsets[t]] = dy where t is the winner, else 0, for every tap: a vector of channels of one cell.

    Adds up what it has spread: sums += dy where there is a winner, `count` channels.
    """
    index = types.int64
    return types.void(dy, winner, index, band, index, tap_offsets, index, sums, index, index), _emit_spread_winners


def _emit_spread_winners(context, builder, signature, args):
    dy, winner, place, band, cell, tap_offsets, taps, sums, sums_start, count = args
    kinds = signature.args
    emit = Emitter(context, builder, kinds[0].dtype)
    values, zero = emit.load(emit.pointer(kinds[0], dy, place)), emit.full(0.0)
    bytes_type = ir.VectorType(_I8, emit.lanes)
    winners = builder.load(builder.bitcast(emit.pointer(kinds[1], winner, place), bytes_type.as_pointer()), align=1)
    band_pointer, offsets = emit.pointer(kinds[3], band, cell), emit.pointer(kinds[5], tap_offsets)
    with cgutils.for_range(builder, taps) as loop:
        won = builder.icmp_unsigned("==", winners, emit.splat(builder.trunc(loop.index, _I8)))
        pixel = emit.moved(band_pointer, builder.load(emit.moved(offsets, loop.index)))
        emit.store(builder.select(won, values, zero), pixel)
    live = builder.icmp_unsigned("<", winners, emit.splat(builder.trunc(taps, _I8)))
    sums_pointer = emit.pointer(kinds[7], sums, sums_start)
    total = builder.fadd(emit.load(sums_pointer), builder.select(live, values, zero))
    emit.store_counted(total, sums_pointer, count)
    return context.get_dummy_value()


@intrinsic
def sum_runs(typingctx, x, start, items, weights, count, run_step, runs, vectors, out, out_start, out_step):
    """out[r, v, :] += weights[i] · x[start + items[i] + r · run_step + v · lanes, :] over i < count.

    `runs` by `vectors` is one of `RUN_SHAPES`; a run's vectors follow each other, in `out` runs are `out_step` apart.
    """
    index = types.int64
    signature = types.void(x, index, items, weights, index, index, index, index, out, index, index)
    return signature, lambda *arguments: _emit_runs(*arguments, emit_runs=_emit_sum_runs)


@intrinsic
def spread_runs(typingctx, x, start, items, weights, count, run_step, runs, vectors, out, out_start, out_step):
    """x[start + items[i] + r · run_step + v · lanes, :] += weights[i] · out[r, v, :]: the adjoint of `sum_runs`.

    Writes whole vectors: behind the end of a run, where `out` is 0, x keeps its value.
    """
    index = types.int64
    signature = types.void(x, index, items, weights, index, index, index, index, out, index, index)
    return signature, lambda *arguments: _emit_runs(*arguments, emit_runs=_emit_spread_runs)


def _emit_runs(context, builder, signature, args, emit_runs):
    """A loop over the items for each of `RUN_SHAPES`, and the choice between them."""
    x, start, items, weights, count, run_step, runs, vectors, out, out_start, out_step = args
    kinds = signature.args
    emit = Emitter(context, builder, kinds[0].dtype)
    x_pointer, out_pointer = emit.pointer(kinds[0], x, start), emit.pointer(kinds[8], out, out_start)
    items_pointer, weights_pointer = emit.pointer(kinds[2], items), emit.pointer(kinds[3], weights)

    def emit_shape(shape):
        steps = [builder.mul(run_step, emit.number(r)) for r in range(shape[0])]
        places = [emit.moved(out_pointer, builder.mul(out_step, emit.number(r))) for r in range(shape[0])]
        registers = emit.registers([emit.load(place, v) for place in places for v in range(shape[1])])
        with cgutils.for_range(builder, count) as loop:
            item = emit.moved(x_pointer, builder.load(emit.moved(items_pointer, loop.index)))
            weight = emit.splat(builder.load(emit.moved(weights_pointer, loop.index)))
            pointers = [emit.moved(item, step, emit.number(v * emit.lanes)) for step in steps for v in range(shape[1])]
            emit_runs(emit, pointers, weight, registers)
        if emit_runs is _emit_sum_runs:
            for number, register in enumerate(registers):
                emit.store(builder.load(register), places[number // shape[1]], number % shape[1])

    for shape in RUN_SHAPES:
        is_it = builder.and_(
            builder.icmp_signed("==", runs, emit.number(shape[0])),
            builder.icmp_signed("==", vectors, emit.number(shape[1])),
        )
        with builder.if_then(is_it):
            emit_shape(shape)
    return context.get_dummy_value()


def _emit_sum_runs(emit, places, weight, registers):
    for place, register in zip(places, registers, strict=True):
        emit.builder.store(emit.multiply_add(weight, emit.load(place), emit.builder.load(register)), register)


def _emit_spread_runs(emit, places, weight, registers):
    for place, register in zip(places, registers, strict=True):
        emit.store(emit.multiply_add(weight, emit.builder.load(register), emit.load(place)), place)
