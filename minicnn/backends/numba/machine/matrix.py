"""The one matrix product behind convolution and dense layers, and the block of registers that it works in.

Every sum of these layers has the form ``out[i, j] = sum over k of left[i, k] · right[k, j]`` where the address of
left[i, k] in memory is a sum of a part that depends on i and a part that depends on k. Tables hold both parts, so
that stride, dilation, padding and transposition are a matter of tables (`offsets.py`) and never of another loop.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import SharedCode, inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.target import ODD_WIDTH, ROWS, TARGET, WIDTH
from minicnn.backends.numba.machine.vectors import I64, Emitter, lanes_of


class Left(NamedTuple):
    """The left operand: left[i, k] is the element ``start + rows[i] + inner[k]`` of a flat array."""

    array: np.ndarray
    start: int
    rows: np.ndarray  # row table
    inner: np.ndarray


class Right(NamedTuple):
    """The right operand: right[k, j] is the element ``start + inner[k] + j``."""

    array: np.ndarray
    start: int
    inner: np.ndarray


class Out(NamedTuple):
    """The result: out[i, j] is the element ``start + rows[i] + j``."""

    array: np.ndarray
    start: int
    rows: np.ndarray  # row table


class Span(NamedTuple):
    """The ranges of k and i, and how many j there are.

    The row tables go on to a multiple of `ROWS` rows from `row_first` and repeat the last row, which is computed
    several times rather than by a loop of its own.

    In both tables of the k, offsets are at equal distances for `run` of them, which begins at a multiple of it: as many
    are not read. 1 says nothing of them.
    """

    inner_first: int
    inner_last: int
    row_first: int
    row_last: int
    columns: int
    run: int


_WIDE_HEIGHT, _WIDE = TARGET.wide_block
_ENOUGH = 8  # multiply-adds of a turn of the loop over k, to hide what the loop costs
_LEAST_RUN = 16  # fewer take longer than from the tables, measured


class _Block(NamedTuple):
    """Where a block of registers stands in the result."""

    row: int
    rows_left: int
    column: int
    columns_left: int
    vectors: int  # in a row; of a single row, as many as fit
    run_first: int  # the k where the first run begins, which may be before the range


@inline
def floor_of(relu: bool, like: np.ndarray) -> float:
    """The least value that an output may take."""
    return like.dtype.type(0.0) if relu else like.dtype.type(-np.inf)


# ------------------------------------------------------------------------------------------------- the product


@inline
def _leaves_blocks(rows: int) -> bool:
    """Whether a wide block fits into so many rows, and those below it are a number that other blocks can share."""
    rest = rows - _WIDE_HEIGHT
    return rest >= _WIDE_HEIGHT or (rest >= 0 and rest % ROWS == 0)


def _multiply(left, right, out, span, first, accumulate, floor):
    """`multiply`, for pointers."""
    width, control = lanes_of(out.array), flush_denormals()
    row_last = span.row_first + (span.row_last - span.row_first + ROWS - 1) // ROWS * ROWS
    column, run_first, has_runs = 0, span.inner_first // span.run * span.run, _WIDE == 0 and span.run >= _LEAST_RUN
    while column < span.columns:
        vectors = (span.columns - column + width - 1) // width
        if span.row_last - span.row_first == 1:
            block = _Block(span.row_first, 1, column, span.columns - column, 0, run_first)
            column += width * _multiply_row(left, right, out, span, first, accumulate != 0, floor, block)
            continue
        is_odd = vectors == ODD_WIDTH or vectors == ODD_WIDTH + WIDTH
        is_wide = _WIDE > 0 and vectors >= _WIDE and not is_odd
        row_first = span.row_first
        while is_wide and _leaves_blocks(row_last - row_first):
            block = _Block(row_first, row_last - row_first, column, span.columns - column, _WIDE, run_first)
            _multiply_wide(left, right, out, span, first, accumulate != 0, floor, block)
            row_first += _WIDE_HEIGHT
        end = vectors - (_WIDE if is_wide else 1)
        while vectors > end:  # the rows that are left
            abreast, row = ODD_WIDTH if is_odd else min(vectors, WIDTH), row_first
            while row < row_last:
                block = _Block(row, row_last - row, column, span.columns - column, abreast, run_first)
                if has_runs and abreast > 1:
                    row += _multiply_block_by_runs(left, right, out, span, first, accumulate != 0, floor, block)
                else:
                    row += _multiply_block(left, right, out, span, first, accumulate != 0, floor, block)
            column += width * abreast
            vectors -= abreast
    restore_denormals(control)


def _multiply_types(scalar):
    numbers, table, index = types.CPointer(scalar), types.CPointer(types.int64), types.int64
    return (
        types.NamedTuple((numbers, index, table, table), Left),
        types.NamedTuple((numbers, index, table), Right),
        types.NamedTuple((numbers, index, table), Out),
        types.NamedUniTuple(index, len(Span._fields), Span),
        numbers,
        index,
        scalar,
    )


MULTIPLY = SharedCode(_multiply, _multiply_types)


@intrinsic
def multiply(typingctx, left, right, out, span, first, accumulate, floor):
    """out[i, j] = max(floor, start + sum over k of left[i, k] · right[k, j]).

    Here start is first[j], or out[i, j] if `accumulate`.

    Parameters
    ----------
    left, right, out, span : Left, Right, Out, Span
        Named tuples cost nothing here: they are taken apart when the call is compiled.
    first : 1-D array
    accumulate : bool
    floor : number
        See `floor_of`.
    """
    signature = types.void(left, right, out, span, first, types.int64, first.dtype)
    return signature, MULTIPLY.emit_call


# ----------------------------------------------------------------------------------------------- register block


@intrinsic
def _multiply_block(typingctx, left, right, out, span, first, accumulate, floor, block):
    """One block of `multiply`, as wide as it says, the tallest that fits into the rows left; returns its height."""
    signature = types.int64(left, right, out, span, first, types.boolean, floor, block)
    return signature, partial(_emit_multiply_block, _emit_sums_by_tables, (1, WIDTH, ODD_WIDTH))


@intrinsic
def _multiply_block_by_runs(typingctx, left, right, out, span, first, accumulate, floor, block):
    """The same for tables with runs; a single vector's sums are too few for another loop to be faster."""
    signature = types.int64(left, right, out, span, first, types.boolean, floor, block)
    return signature, partial(_emit_multiply_block, _emit_sums_by_runs, () if _WIDE else (WIDTH, ODD_WIDTH))


def _emit_multiply_block(emit_sums, widths, context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands = emit.plain(signature.args, args)
    height = cgutils.alloca_once(builder, I64)
    for width in widths:
        heights = TARGET.odd_heights if width == ODD_WIDTH else TARGET.heights
        with builder.if_then(builder.icmp_signed("==", operands[-1].vectors, emit.index(width))):
            _emit_tallest(emit, operands, height, heights, width, emit_sums)
    return builder.load(height)


@intrinsic
def _multiply_wide(typingctx, left, right, out, span, first, accumulate, floor, block):
    """One block of `multiply` as wide as there is: it has as many rows and columns, the last vector perhaps in part."""
    signature = types.void(left, right, out, span, first, types.boolean, floor, block)
    return signature, _emit_multiply_wide


def _emit_multiply_wide(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    if _WIDE:
        _emit_block(emit, emit.plain(signature.args, args), _WIDE_HEIGHT, _WIDE, _emit_sums_by_tables)
    return context.get_dummy_value()


@intrinsic
def _multiply_row(typingctx, left, right, out, span, first, accumulate, floor, block):
    """The same for a single row: as many vectors of it as fit into the columns left; returns how many."""
    signature = types.int64(left, right, out, span, first, types.boolean, floor, block)
    return signature, _emit_multiply_row


def _emit_multiply_row(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands = emit.plain(signature.args, args)
    width = cgutils.alloca_once_value(builder, emit.index(1))
    _emit_widest(emit, operands, width, TARGET.row_widths)
    return builder.load(width)


def _emit_widest(emit, operands, width, widths):
    """The first of `widths` all of whose vectors have columns; the last one is 1."""
    builder, widest = emit.builder, widths[0]
    if len(widths) == 1:
        _emit_block(emit, operands, 1, widest, _emit_sums_by_tables)
        return
    least = emit.index((widest - 1) * emit.lanes)
    with builder.if_else(builder.icmp_signed(">", operands[-1].columns_left, least)) as (fits, too_wide):
        with fits:
            builder.store(emit.index(widest), width)
            _emit_block(emit, operands, 1, widest, _emit_sums_by_tables)
        with too_wide:
            _emit_widest(emit, operands, width, widths[1:])


def _emit_tallest(emit, operands, height, heights, width, emit_sums):
    """The first of `heights` that fits into the rows left; the last one always does, row tables are padded for it."""
    builder, tallest = emit.builder, heights[0]
    if len(heights) == 1:
        builder.store(emit.index(tallest), height)
        _emit_block(emit, operands, tallest, width, emit_sums)
        return
    with builder.if_else(builder.icmp_signed(">=", operands[-1].rows_left, emit.index(tallest))) as (fits, too_tall):
        with fits:
            builder.store(emit.index(tallest), height)
            _emit_block(emit, operands, tallest, width, emit_sums)
        with too_tall:
            _emit_tallest(emit, operands, height, heights[1:], width, emit_sums)


def _emit_block(emit, operands, height, width, emit_sums):
    builder = emit.builder
    left, right, out, span, first, accumulate, floor, block = operands
    rows = [builder.load(emit.moved(left.rows, block.row, emit.index(t))) for t in range(height)]
    left_pointers = [emit.moved(left.array, left.start, row) for row in rows]
    rows = [builder.load(emit.moved(out.rows, block.row, emit.index(t))) for t in range(height)]
    out_pointers = [emit.moved(out.array, out.start, row, block.column) for row in rows]
    first_pointer, right_pointer = emit.moved(first, block.column), emit.moved(right.array, right.start, block.column)
    starts = [builder.select(accumulate, pointer, first_pointer) for pointer in out_pointers]
    sums = emit.registers([emit.load(pointer, v) for pointer in starts for v in range(width)])  # row by row

    def add_product(left_offset, right_offset):
        right_k = emit.moved(right_pointer, right_offset)
        right_vectors = [emit.load(right_k, v) for v in range(width)]
        for t, pointer in enumerate(left_pointers):
            left_vector = emit.splat(builder.load(emit.moved(pointer, left_offset)))
            for register, right_vector in zip(sums[t * width : (t + 1) * width], right_vectors, strict=True):
                builder.store(emit.multiply_add(left_vector, right_vector, builder.load(register)), register)

    emit_sums(emit, (left.inner, right.inner), span, block, len(sums), add_product)
    floors = emit.splat(floor)
    results = [emit.at_least(floors, builder.load(register)) for register in sums]
    _store_block(emit, results, out_pointers, block.columns_left, width)


def _emit_sums_by_tables(emit, tables, span, block, count, add_product):
    """The loop over k, where `add_product` adds to `count` sums what the offsets in both tables lead to."""
    with emit.loop(span.inner_first, span.inner_last, unrolls=count < _ENOUGH) as loop:
        add_product(*(emit.builder.load(emit.moved(table, loop.index)) for table in tables))


def _emit_sums_by_runs(emit, tables, span, block, count, add_product):
    """The same, where two offsets of each table are read for each run."""
    builder = emit.builder
    with cgutils.for_range_slice(builder, block.run_first, span.inner_last, span.run, I64) as (begin, _):
        first, end = emit.most(begin, span.inner_first), emit.least(builder.add(begin, span.run), span.inner_last)
        second = emit.least(builder.add(first, emit.index(1)), builder.sub(end, emit.index(1)))
        firsts = [builder.load(emit.moved(table, first)) for table in tables]
        steps = [
            builder.sub(builder.load(emit.moved(table, second)), start)
            for table, start in zip(tables, firsts, strict=True)
        ]
        with emit.loop(emit.index(0), builder.sub(end, first), unrolls=False) as loop:
            moves = (builder.mul(loop.index, step) for step in steps)
            add_product(*(builder.add(start, move) for start, move in zip(firsts, moves, strict=True)))


def _store_block(emit, results, pointers, columns_left, width):
    """Store row after row of `width` vectors; of a row's last one, which may be there in part, the columns left."""
    for i, result in enumerate(results):
        if i % width < width - 1:
            emit.store(result, pointers[i // width], i % width)
    before = emit.index((width - 1) * emit.lanes)
    last_pointers = [emit.moved(pointer, before) for pointer in pointers]
    emit.store_all_counted(results[width - 1 :: width], last_pointers, emit.builder.sub(columns_left, before))
