"""The matrix product of operands whose rows lie at equal distances, as those of Winograd's algorithm do.

Its sums are short there, and in `matrix.py` each of their terms has offsets to be read from tables, which take longer
than the multiply-adds of a few columns. Here none is read. A result has the same bits as there.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import SharedCode, inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.target import TARGET, WIDTH
from minicnn.backends.numba.machine.vectors import Emitter

_LEAST_WIDE = TARGET.wide_block[1] or 1 << 30  # vectors; for processors without wide blocks, more than there are


class Even(NamedTuple):
    """An operand, or the result: its element [i, j] is ``start + i · row + j · column`` of a flat array."""

    array: np.ndarray
    start: int
    row: int
    column: int


def _multiply_even(left, right, out, rows, inner, vectors, accumulate):
    """`multiply_even`, for pointers."""
    vector, control = 0, flush_denormals()
    while vector < vectors:
        row, abreast = 0, min(WIDTH, vectors - vector)
        while row < rows:
            row += _multiply_block(left, right, out, inner, accumulate != 0, _Block(row, rows - row, vector, abreast))
        vector += abreast
    restore_denormals(control)


@inline
def are_even(vectors: int) -> bool:
    """Whether the product for so many vectors of columns is this one.

    Of an odd number a single vector would be left, and wide blocks read the left operand less often.
    """
    return vectors == 1 or (vectors % WIDTH == 0 and vectors < _LEAST_WIDE)


def _types(scalar):
    even = types.NamedTuple((types.CPointer(scalar), types.int64, types.int64, types.int64), Even)
    return even, even, even, *[types.int64] * 4


MULTIPLY_EVEN = SharedCode(_multiply_even, _types)


@intrinsic
def multiply_even(typingctx, left, right, out, rows, inner, vectors, accumulate):
    """out[i] = sum over k of left[i, k] · right[k], or out[i] + that sum if `accumulate`.

    Here right[k] and out[i] are so many whole vectors; see `are_even`.

    Parameters
    ----------
    left, right, out : Even
    rows : int
        A multiple of `ROWS`.
    inner : int
        How many k there are.
    vectors : int
    accumulate : bool
    """
    index = types.int64
    return types.void(left, right, out, index, index, index, index), MULTIPLY_EVEN.emit_call


class _Block(NamedTuple):
    """A block of registers."""

    row: int  # the first one
    rows_left: int
    vector: int  # of the columns, the first one
    vectors: int


@intrinsic
def _multiply_block(typingctx, left, right, out, inner, accumulate, block):
    """The tallest block of rows that fits into those left; returns its height."""
    signature = types.int64(left, right, out, types.int64, types.boolean, block)
    return signature, _emit_multiply_block


def _emit_multiply_block(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands = emit.plain(signature.args, args)
    height = cgutils.alloca_once_value(builder, emit.index(TARGET.heights[-1]))
    for width in (1, WIDTH):
        with builder.if_then(builder.icmp_signed("==", operands[-1].vectors, emit.index(width))):
            _emit_tallest(emit, operands, height, TARGET.heights, width)
    return builder.load(height)


def _emit_tallest(emit, operands, height, heights, width):
    """The first of `heights` that fits into the rows left; the last one always does."""
    builder, tallest = emit.builder, heights[0]
    if len(heights) == 1:
        _emit_block(emit, operands, tallest, width)
        return
    with builder.if_else(builder.icmp_signed(">=", operands[-1].rows_left, emit.index(tallest))) as (fits, too_tall):
        with fits:
            builder.store(emit.index(tallest), height)
            _emit_block(emit, operands, tallest, width)
        with too_tall:
            _emit_tallest(emit, operands, height, heights[1:], width)


def _emit_block(emit: Any, operands: list[Any], height: int, width: int) -> None:
    builder, (left, right, out, inner, accumulate, block) = emit.builder, operands
    column = builder.mul(block.vector, emit.index(emit.lanes))
    left_pointers, out_rows = ([_place(emit, x, block.row, t) for t in range(height)] for x in (left, out))
    targets = [emit.moved(row, column, emit.index(v * emit.lanes)) for row in out_rows for v in range(width)]
    first = emit.moved(right.array, right.start, column)
    sums = emit.registers([emit.full(0.0)] * len(targets))  # row by row
    with builder.if_then(accumulate):
        for register, pointer in zip(sums, targets, strict=True):
            builder.store(emit.load(pointer), register)
    with emit.loop(emit.index(0), inner, unrolls=False) as loop:
        offset = builder.mul(loop.index, left.column)
        row = emit.moved(first, builder.mul(loop.index, right.row))
        vectors = [emit.load(row, v) for v in range(width)]
        for t, pointer in enumerate(left_pointers):
            number = emit.splat(builder.load(emit.moved(pointer, offset)))
            for register, vector in zip(sums[t * width : (t + 1) * width], vectors, strict=True):
                builder.store(emit.multiply_add(number, vector, builder.load(register)), register)
    for register, pointer in zip(sums, targets, strict=True):
        emit.store(builder.load(register), pointer)


def _place(emit, operand, row, further):
    """Where a row of an operand begins."""
    row = emit.builder.add(row, emit.index(further))
    return emit.moved(operand.array, operand.start, emit.builder.mul(row, operand.row))
