"""Memory of kernels: scratch arrays, and filling, copying and transposing parts of arrays."""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.vectors import Emitter, lanes_of

_CACHE_LINE, _VECTOR_SLACK = 64, 64  # bytes


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
    owner = context.nrt.meminfo_alloc_aligned(builder, bytes_of_all, _CACHE_LINE)
    array = context.make_array(kind)(context, builder)
    data = builder.bitcast(context.nrt.meminfo_data(builder, owner), array.data.type)
    populate_array(array, data=data, shape=[size], strides=[itemsize], itemsize=itemsize, meminfo=owner)
    return array._getvalue()


@inline
def filled(size: int, value: float, like: np.ndarray) -> np.ndarray:
    """`scratch`, full of one value."""
    array = scratch(size, like)
    fill(array, 0, size, value)
    return array


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
    """target[at : at + count] = source[start : start + count], as one memcpy."""
    index = types.int64
    return types.void(source, index, index, target, index), _emit_copy


def _emit_copy(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    source, start, count, target, at = emit.plain(signature.args, args)
    cgutils.raw_memcpy(builder, emit.moved(target, at), emit.moved(source, start), count, emit.size)
    return context.get_dummy_value()


@inline
def transpose(
    source: np.ndarray,
    start: int,
    stride: int,
    rows: int,
    columns: int,
    target: np.ndarray,
    at: int,
    target_stride: int,
) -> None:
    """target[j, i] = source[i, j] for i < rows, j < columns; `stride` and `target_stride` elements from row to row."""
    lanes = lanes_of(source)
    whole_rows, whole_columns = rows // lanes * lanes, columns // lanes * lanes
    for i in range(0, whole_rows, lanes):
        for j in range(0, whole_columns, lanes):
            _transpose_square(source, start + i * stride + j, stride, target, at + j * target_stride + i, target_stride)
    for i in range(rows):
        for j in range(whole_columns if i < whole_rows else 0, columns):
            target[at + j * target_stride + i] = source[start + i * stride + j]


@intrinsic
def _transpose_square(typingctx, source, start, stride, target, at, target_stride):
    """target[j, i] = source[i, j] for i, j < lanes; `stride` and `target_stride` elements from row to row."""
    index = types.int64
    return types.void(source, index, index, target, index, index), _emit_transpose_square


def _emit_transpose_square(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    source, start, stride, target, at, target_stride = emit.plain(signature.args, args)
    source, target, indices = emit.moved(source, start), emit.moved(target, at), range(emit.lanes)
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
    return context.get_dummy_value()
