"""Memory of kernels: scratch arrays, and filling, copying and transposing parts of arrays."""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.runtime.context import NRTContext
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.target import TARGET
from minicnn.backends.numba.machine.vectors import I8, I64, Emitter

_CACHE_LINE, _VECTOR_SLACK = 64, 64  # bytes
_COPIED_TOGETHER = 4  # vectors


@intrinsic
def scratch(typingctx, size, like):
    """Uninitialised 1-D array of the dtype of `like`, an array or a NumPy type, aligned and with room for a vector.

    (NumPy's `empty` and a view that begins where a cache line does take far longer to compile.)
    """
    return types.Array(like.dtype, 1, "C")(types.int64, like), _emit_scratch


def _emit_scratch(context, builder, signature, args):
    kind, size = signature.return_type, args[0]
    itemsize = ir.Constant(size.type, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    bytes_of_all = builder.add(builder.mul(size, itemsize), ir.Constant(size.type, _VECTOR_SLACK))
    memory = NRTContext(context, True)  # in functions that count no references, too
    owner = memory.meminfo_alloc_aligned(builder, bytes_of_all, _CACHE_LINE)
    array = context.make_array(kind)(context, builder)
    data = builder.bitcast(memory.meminfo_data(builder, owner), array.data.type)
    populate_array(array, data=data, shape=[size], strides=[itemsize], itemsize=itemsize, meminfo=owner)
    return array._getvalue()


@intrinsic
def give_back(typingctx, arrays):
    """The end of the arrays in a tuple, which a function made that counts no references (`borrowing`)."""

    def emit(context, builder, signature, args):
        NRTContext(context, True).decref(builder, arrays, args[0])
        return context.get_dummy_value()

    return types.void(arrays), emit


@intrinsic
def part_of(typingctx, array, start, size):
    """array[start : start + size], which does not keep its memory alive. (A slice takes far longer to compile.)"""
    return types.Array(array.dtype, 1, "C")(array, types.int64, types.int64), _emit_part_of


def _emit_part_of(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    pointer, start, size = emit.plain(signature.args, args)
    part, itemsize = context.make_array(signature.return_type)(context, builder), emit.index(emit.size)
    data = emit.moved(pointer, start)
    populate_array(part, data=data, shape=[size], strides=[itemsize], itemsize=itemsize, meminfo=None)
    return part._getvalue()


@intrinsic
def filled(typingctx, size, value, like):
    """`scratch`, full of one value."""

    def emit(context, builder, signature, args):
        array = _emit_scratch(context, builder, signature, args)
        kind, start = signature.return_type, ir.Constant(args[0].type, 0)
        filling = types.void(kind, types.int64, types.int64, signature.args[1])
        _emit_fill(context, builder, filling, [array, start, *args[:2]])
        return array

    return types.Array(like.dtype, 1, "C")(types.int64, types.unliteral(value), like), emit


@intrinsic
def fill(typingctx, array, start, count, value):
    """array[start : start + count] = value. (Numba's own slice assignment takes far longer to compile.)"""
    return types.void(array, types.int64, types.int64, types.unliteral(value)), _emit_fill


def _emit_fill(context, builder, signature, args):
    kind = signature.args[0]
    pointer, start, count, value = Emitter(context, builder, kind).plain(signature.args, args)
    number = context.cast(builder, value, signature.args[3], kind.dtype)
    target = builder.gep(pointer, [start])
    with cgutils.for_range(builder, count) as loop:
        builder.store(number, builder.gep(target, [loop.index]))
    return context.get_dummy_value()


@intrinsic
def copy(typingctx, source, start, count, target, at):
    """target[at : at + count] = source[start : start + count]; they must not overlap."""
    index = types.int64
    return types.void(source, index, index, target, index), _emit_copy


def _emit_copy(context, builder, signature, args):
    """Vector by vector, but for the last bytes.

    The C library's memcpy copies thousands of bytes by one instruction, for which AMD's Zen 3 needs half as long again.
    """
    emit = Emitter(context, builder, signature.args[0])
    source, start, count, target, at = emit.plain(signature.args, args)
    source, target = (
        builder.bitcast(pointer, I8.as_pointer()) for pointer in (emit.moved(source, start), emit.moved(target, at))
    )
    size, block = builder.mul(count, emit.index(emit.size)), emit.index(_COPIED_TOGETHER * TARGET.vector_bytes)
    rest = builder.urem(size, block)
    whole = builder.sub(size, rest)
    with cgutils.for_range_slice(builder, emit.index(0), whole, block, I64) as (i, _):
        places = [builder.add(i, emit.index(n * TARGET.vector_bytes)) for n in range(_COPIED_TOGETHER)]
        vectors = [builder.load(_as_vector(builder, emit.moved(source, place)), align=1) for place in places]
        for vector, place in zip(vectors, places, strict=True):
            builder.store(vector, _as_vector(builder, emit.moved(target, place)), align=1)
    cgutils.raw_memcpy(builder, emit.moved(target, whole), emit.moved(source, whole), rest, 1)
    return context.get_dummy_value()


def _as_vector(builder, pointer):
    return builder.bitcast(pointer, ir.VectorType(I8, TARGET.vector_bytes).as_pointer())


@intrinsic
def add(typingctx, source, start, count, target, at):
    """target[at : at + count] += source[start : start + count]. (A loop over slices takes far longer to compile.)"""
    index = types.int64
    return types.void(source, index, index, target, index), _emit_add


def _emit_add(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    source, start, count, target, at = emit.plain(signature.args, args)
    source, target = emit.moved(source, start), emit.moved(target, at)
    with emit.each_vector(count) as (i, _):
        place = emit.moved(target, i)
        total = builder.fadd(emit.load(place), emit.load(emit.moved(source, i)))
        emit.store_counted(total, place, builder.sub(count, i))
    return context.get_dummy_value()


@intrinsic
def transpose(typingctx, source, start, stride, rows, columns, target, at, target_stride):
    """target[j, i] = source[i, j] for i < rows, j < columns; `stride` and `target_stride` elements from row to row."""
    index = types.int64
    return types.void(source, index, index, index, index, target, index, index), _emit_transpose


def _emit_transpose(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    source, start, stride, rows, columns, target, at, target_stride = emit.plain(signature.args, args)
    source, target = emit.moved(source, start), emit.moved(target, at)
    zero, lanes = emit.index(0), emit.index(emit.lanes)
    whole_rows, whole_columns = ends = [builder.mul(builder.udiv(count, lanes), lanes) for count in (rows, columns)]
    down, across = (cgutils.for_range_slice(builder, zero, end, lanes, zero.type) for end in ends)

    def place(array, row, stride, column):
        return emit.moved(array, builder.mul(row, stride), column)

    with down as (i, _), across as (j, _):
        _emit_square(emit, place(source, i, stride, j), stride, place(target, j, target_stride, i), target_stride)
    with cgutils.for_range(builder, rows) as row:
        is_whole = builder.icmp_signed("<", row.index, whole_rows)
        with cgutils.for_range(builder, columns, start=builder.select(is_whole, whole_columns, zero)) as column:
            number = builder.load(place(source, row.index, stride, column.index))
            builder.store(number, place(target, column.index, target_stride, row.index))
    return context.get_dummy_value()


def _emit_square(emit, source, stride, target, target_stride):
    """As many rows and columns as a vector has lanes."""
    builder, indices = emit.builder, range(emit.lanes)
    rows = [emit.load(emit.moved(source, builder.mul(stride, emit.index(i)))) for i in indices]
    bit = 1
    while bit < emit.lanes:  # swap the squares off the diagonal: of 1, then 2, then 4 … rows
        for i in (i for i in indices if not i & bit):
            upper, lower = rows[i], rows[i + bit]
            rows[i] = emit.shuffle(upper, lower, [j if not j & bit else emit.lanes + j - bit for j in indices])
            rows[i + bit] = emit.shuffle(upper, lower, [j + bit if not j & bit else emit.lanes + j for j in indices])
        bit *= 2
    for i in indices:
        emit.store(rows[i], emit.moved(target, builder.mul(target_stride, emit.index(i))))


@inline
def pack(source: np.ndarray, start: int, stride: int, rows: int, columns: int, target: np.ndarray, width: int) -> None:
    """target[i, j] = source[i, j] for i < rows, j < columns; `stride` and `width` elements from row to row."""
    for i in range(rows):
        copy(source, start + i * stride, columns, target, i * width)
