"""The one matrix product behind convolution and dense layers, and the scratch memory of the kernels.

Every sum of these layers has the form ``out[i, j] = sum over k of left[i, k] · right[k, j]`` where the place of
left[i, k] in memory is a sum of a part that depends on i and a part that depends on k. Tables hold both parts, so
that stride, dilation, padding and transposition are a matter of tables (`tables.py`) and never of another loop.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.launch import SharedCode, part
from minicnn.backends.numba.machine.target import ROWS, WIDTH
from minicnn.backends.numba.machine.target import lanes as lanes_of_size
from minicnn.backends.numba.machine.vectors import Emitter, lanes_of, multiply_tile, transpose_square

_CACHE_LINE, _VECTOR_SLACK = 64, 64
_VECTORS_PER_NANOSECOND = 2  # multiplied and added by one core, about


def product_nanoseconds(multiply_adds, itemsize):
    """About how long one core needs for a matrix product."""
    return multiply_adds // (_VECTORS_PER_NANOSECOND * lanes_of_size(itemsize))


@part
def scratch(size, like):
    """Uninitialised 1-D array of the dtype of `like`, aligned and with room behind it for a vector."""
    itemsize = like.itemsize
    raw = np.empty(size + (_CACHE_LINE + _VECTOR_SLACK) // itemsize, like.dtype)
    first = (-raw.ctypes.data % _CACHE_LINE) // itemsize
    return raw[first : first + size]


@part
def fill(array, start, count, value):
    """array[start : start + count] = value. (Numba's own slice assignment takes far longer to compile.)"""
    number, target = array.dtype.type(value), array[start : start + count]
    for i in range(count):
        target[i] = number


@intrinsic
def copy(typingctx, source, start, count, target, target_start):
    """target[target_start : target_start + count] = source[start : start + count], as one memcpy."""
    index = types.int64
    return types.void(source, index, index, target, index), _emit_copy


def _emit_copy(context, builder, signature, args):
    source, start, count, target, target_start = args
    emit = Emitter(context, builder, signature.args[0].dtype)
    source_pointer = emit.pointer(signature.args[0], source, start)
    target_pointer = emit.pointer(signature.args[3], target, target_start)
    cgutils.raw_memcpy(builder, target_pointer, source_pointer, count, emit.size)
    return context.get_dummy_value()


@part
def floor_of(relu, like):
    """The least value that an output may take."""
    return like.dtype.type(0.0) if relu else like.dtype.type(-np.inf)


@part
def transpose(source, start, step, rows, columns, target, target_start, target_step):
    """target[j, i] = source[i, j] for i < rows, j < columns; `step` and `target_step` elements from row to row."""
    lanes = lanes_of(source)
    whole_rows, whole_columns = rows // lanes * lanes, columns // lanes * lanes
    for i in range(0, whole_rows, lanes):
        for j in range(0, whole_columns, lanes):
            transpose_square(
                source, start + i * step + j, step, target, target_start + j * target_step + i, target_step
            )
    for i in range(rows):
        for j in range(whole_columns if i < whole_rows else 0, columns):
            target[target_start + j * target_step + i] = source[start + i * step + j]


def _multiply(
    a, a_start, a_rows, a_inner, b, b_start, b_inner, inner_first, inner_last, bias, accumulate,
    out, out_start, out_rows, row_first, row_last, columns, floor,
):  # fmt: skip
    """`multiply`, for pointers."""
    lanes, control = lanes_of(out), flush_denormals()
    row_last = row_first + (row_last - row_first + ROWS - 1) // ROWS * ROWS
    column = 0
    while column < columns:
        row = row_first
        while row < row_last:
            row += multiply_tile(
                a, a_start, a_rows, a_inner, b, b_start, b_inner, inner_first, inner_last, bias, accumulate != 0,
                out, out_start, out_rows, row, row_last - row, column, columns - column, floor,
            )  # fmt: skip
        column += WIDTH * lanes if columns - column > lanes else lanes
    restore_denormals(control)


def _multiply_types(scalar):
    numbers, table, index = types.CPointer(scalar), types.CPointer(types.int64), types.int64
    return (
        numbers, index, table, table, numbers, index, table, index, index, numbers, index,
        numbers, index, table, index, index, index, scalar,
    )  # fmt: skip


MULTIPLY = SharedCode(_multiply, _multiply_types)


@intrinsic
def multiply(
    typingctx, a, a_start, a_rows, a_inner, b, b_start, b_inner, inner_first, inner_last, bias, accumulate,
    out, out_start, out_rows, row_first, row_last, columns, floor,
):  # fmt: skip
    """out[i, j] = max(floor, first + sum over k of a[i, k] · b[k, j]).

    Here first is bias[j], or out[i, j] if `accumulate`.

    Parameters
    ----------
    a, b, bias, out : 1-D arrays
        a[i, k] is at ``a_start + a_rows[i] + a_inner[k]``, b[k, j] at ``b_start + b_inner[k] + j``, out[i, j] at
        ``out_start + out_rows[i] + j``.
    inner_first, inner_last : int
        The range of k.
    row_first, row_last : int
        The range of i. The row tables go on to a multiple of `tiles.ROWS` rows from `row_first` and repeat the last
        row, which is computed several times rather than by a loop of its own.
    columns : int
        j is below it.
    """
    index = types.int64
    signature = types.void(
        a, index, a_rows, a_inner, b, index, b_inner, index, index, bias, index,
        out, index, out_rows, index, index, index, a.dtype,
    )  # fmt: skip
    return signature, _emit_multiply


def _emit_multiply(context, builder, signature, args):
    pointers_for_arrays = [
        context.make_array(kind)(context, builder, argument).data if isinstance(kind, types.Array) else argument
        for kind, argument in zip(signature.args, args, strict=True)
    ]
    function_type = ir.FunctionType(ir.VoidType(), [argument.type for argument in pointers_for_arrays])
    name = MULTIPLY.symbol(signature.args[0].dtype)
    builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), pointers_for_arrays)
    return context.get_dummy_value()
