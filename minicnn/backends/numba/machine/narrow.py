"""The matrix product with one vector of columns, of operands whose rows lie at equal distances.

With so few columns every multiply-add has a load of its own, and loads are what such a product waits for: here no
offset is read from a table as in `matrix.py`. A result has the same bits as there.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import SharedCode
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.target import TARGET
from minicnn.backends.numba.machine.vectors import Emitter


class Even(NamedTuple):
    """An operand, or the result: its element [i, j] is ``start + i · row + j · column`` of a flat array."""

    array: np.ndarray
    start: int
    row: int
    column: int


def _multiply_narrow(left, right, out, rows, inner, accumulate):
    """`multiply_narrow`, for pointers."""
    row, control = 0, flush_denormals()
    while row < rows:
        row += _multiply_block(left, right, out, row, rows - row, inner, accumulate != 0)
    restore_denormals(control)


def _types(scalar):
    even = types.NamedTuple((types.CPointer(scalar), types.int64, types.int64, types.int64), Even)
    return even, even, even, types.int64, types.int64, types.int64


MULTIPLY_NARROW = SharedCode(_multiply_narrow, _types)


@intrinsic
def multiply_narrow(typingctx, left, right, out, rows, inner, accumulate):
    """out[i] = sum over k of left[i, k] · right[k], or out[i] + that sum if `accumulate`, for vectors right[k], out[i].

    Parameters
    ----------
    left, right, out : Even
    rows : int
        A multiple of `ROWS`.
    inner : int
        How many k there are.
    accumulate : bool
    """
    return types.void(left, right, out, types.int64, types.int64, types.int64), MULTIPLY_NARROW.emit_call


@intrinsic
def _multiply_block(typingctx, left, right, out, row, rows_left, inner, accumulate):
    """The tallest block of rows that fits into those left; returns its height."""
    signature = types.int64(left, right, out, types.int64, types.int64, types.int64, types.boolean)
    return signature, _emit_multiply_block


def _emit_multiply_block(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands = emit.plain(signature.args, args)
    height = cgutils.alloca_once_value(builder, emit.index(TARGET.heights[-1]))
    _emit_tallest(emit, operands, height, TARGET.heights)
    return builder.load(height)


def _emit_tallest(emit, operands, height, heights):
    """The first of `heights` that fits into the rows left; the last one always does."""
    builder, tallest = emit.builder, heights[0]
    if len(heights) == 1:
        _emit_block(emit, operands, tallest)
        return
    with builder.if_else(builder.icmp_signed(">=", operands[4], emit.index(tallest))) as (fits, too_tall):
        with fits:
            builder.store(emit.index(tallest), height)
            _emit_block(emit, operands, tallest)
        with too_tall:
            _emit_tallest(emit, operands, height, heights[1:])


def _emit_block(emit: Any, operands: list[Any], height: int) -> None:
    builder, (left, right, out, row, _, inner, accumulate) = emit.builder, operands
    left_pointers, out_pointers = ([_place(emit, x, row, t) for t in range(height)] for x in (left, out))
    sums = emit.registers([emit.full(0.0)] * height)
    with builder.if_then(accumulate):
        for register, pointer in zip(sums, out_pointers, strict=True):
            builder.store(emit.load(pointer), register)
    with emit.loop(emit.index(0), inner, unrolls=False) as loop:
        offset = builder.mul(loop.index, left.column)
        vector = emit.load(emit.moved(right.array, right.start, builder.mul(loop.index, right.row)))
        for register, pointer in zip(sums, left_pointers, strict=True):
            number = emit.splat(builder.load(emit.moved(pointer, offset)))
            builder.store(emit.multiply_add(number, vector, builder.load(register)), register)
    for register, pointer in zip(sums, out_pointers, strict=True):
        emit.store(builder.load(register), pointer)


def _place(emit, operand, row, further):
    """Where a row of an operand begins."""
    row = emit.builder.add(row, emit.index(further))
    return emit.moved(operand.array, operand.start, emit.builder.mul(row, operand.row))
