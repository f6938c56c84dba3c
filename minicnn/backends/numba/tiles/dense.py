"""The three products of a dense layer on tiles: y = x · kernel, dkernel = xᵀ · dy, dx = dy · kernelᵀ.

All three are one kernel, out = left · right, where either operand may lie transposed in memory. The right one is packed
into tiles by all threads first; then tasks take blocks of rows and columns, or where there are few of them parts of the
inner sum, and pack what they need of the left one, so much of k at a time that it stays in the cache.
"""

from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends import memory
from minicnn.backends.numba.machine.compiled import borrowing
from minicnn.backends.numba.machine.finite import all_finite
from minicnn.backends.numba.machine.launch import parallel_kernel, serial_kernel
from minicnn.backends.numba.machine.matrix import floor_of
from minicnn.backends.numba.machine.memory import add, copy, filled, give_back, scratch
from minicnn.backends.numba.machine.offsets import flat, strides, table_cache, zero_row
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.self_contained import Plain
from minicnn.backends.numba.machine.tables import Fields, laid_out, table_at
from minicnn.backends.numba.tiles.block import (
    DEPTH,
    PRODUCTS,
    TILE,
    TILES_CODE,
    Area,
    LeftTiles,
    RightTiles,
    Steps,
    Sums,
    configure,
    emit_multiply,
    release,
)
from minicnn.backends.numba.tiles.emulation import REGISTERS_SIZE, SIDE
from minicnn.backends.numba.tiles.lanes import Lanes
from minicnn.backends.numba.tiles.packing import (
    Part,
    Tiles,
    numbers_of,
    pack_matrix,
    pack_transposed,
    pieces_of,
    put_row,
    split,
    take_masked,
)
from minicnn.backends.numba.tiles.serving import PIECES

_ROWS, _FEW_COLUMNS, _MANY_COLUMNS = 128, 128, 512  # of a task
_ENOUGH_TASKS, _LEAST_OF_A_PART = 8, 512  # parts of the inner sum: only until there are so many tasks; so many k
_TILES_TOGETHER = 16  # along k, packed at a time
_GAP = 32  # numbers between rows of a packed left operand: else they would share few lines of a cache
_PRODUCTS_PER_NANOSECOND = 500  # that one core multiplies and adds, about, with all that surrounds it

_LEAST_SAMPLES, _LEAST_SIDE = 16, 32  # of the batch, of the kernel: with fewer, tiles would hold mostly zeros


@table_cache
def pieces_on_tiles(precision: str | None, samples: int, inputs: int, units: int) -> int:
    """Into how many pieces tiles split the factors of a dense layer, or 0 where the kernels for float32 serve it.

    At "highest" these do: packing matrices in three pieces takes as long as multiplying them.

    Parameters
    ----------
    precision : str or None
        What is asked for and can be had, see `minicnn.backends.numba.tiles.serving.precision_of`.
    samples, inputs, units : int
    """
    serves = min(inputs, units) >= _LEAST_SIDE and samples >= _LEAST_SAMPLES and precision != "highest"
    return PIECES[precision] if (serves or precision == "bfloat16") and samples > 0 else 0


def gains_by_vectors(samples: int, inputs: int, units: int) -> bool:
    """Whether vectors that multiply pairs of bfloat16 are faster than those of float32: packing has to pay."""
    return min(samples, inputs, units) >= _LEAST_SIDE


def dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray, relu: bool, pieces: int) -> bool:
    """`minicnn.backends.reference.dense.dense`, of float32 in pieces or of bfloat16 (uint16) x and y.

    Returns
    -------
    bool
        Whether all outputs are finite; if not, they may be others than the formula's.
    """
    bias = zero_row(kernel.shape[1], kernel.dtype) if bias is None else bias
    return _launch((x, False), (kernel, False), y, bias, relu, pieces)


def dense_backward(
    x: np.ndarray,
    kernel: np.ndarray,
    y: np.ndarray | None,
    dy: np.ndarray,
    out: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None],
    pieces: int,
) -> bool:
    """`minicnn.backends.reference.dense.dense_backward`; `out` is dx, dkernel and dbias, y is None without ReLU.

    Returns
    -------
    bool
        As `dense`.
    """
    dx, dkernel, dbias = out
    is_finite = True
    if y is not None or dbias is not None:
        masked = dy if y is None else memory.empty(dy.shape, dy.dtype)
        arrays = dy.reshape(-1), flat(y, dy.dtype), masked.reshape(-1), flat(dbias, kernel.dtype)
        is_finite &= _mask(*arrays, *dy.shape)
        dy = masked
    if dkernel is not None:
        is_finite &= _launch((x, True), (dy, False), dkernel, zero_row(kernel.shape[1], kernel.dtype), False, pieces)
    if dx is not None:
        is_finite &= _launch((dy, False), (kernel, True), dx, zero_row(len(kernel), kernel.dtype), False, pieces)
    return is_finite


class _Left(NamedTuple):
    """How the left operand of a task lies when it is packed: all its rows, some of k."""

    size: int
    row: int  # from row to row of a tile
    down: int  # from tile to tile
    inner: int  # from k tile to k tile


class Product(NamedTuple):
    """How a product (rows, inner) · (inner, columns) is cut."""

    rows: int
    columns: int
    inner: int
    left_is_turned: bool
    right_is_turned: bool
    pieces: int
    steps: np.ndarray  # of `_TILES_TOGETHER` tiles along k
    row_blocks: int
    columns_together: int  # of a task
    column_blocks: int
    parts: int  # of the inner sum
    tiles: int  # k tiles
    column_tiles: int
    right_rows: np.ndarray  # where each row of the right operand begins, -1 for none
    left: _Left


@table_cache
def product_of(
    rows: int, columns: int, inner: int, left_is_turned: bool, right_is_turned: bool, pieces: int
) -> tuple[Product, np.ndarray]:
    """The `Product` of two matrices, also laid out; how it is cut depends on their shapes alone."""
    row_blocks = -(-rows // _ROWS)
    together = _MANY_COLUMNS if row_blocks * columns >= _ENOUGH_TASKS * _MANY_COLUMNS else _FEW_COLUMNS
    column_blocks = -(-columns // together)
    parts = max(1, min(_ENOUGH_TASKS // (row_blocks * column_blocks), inner // _LEAST_OF_A_PART))
    tiles, column_tiles = -(-inner // DEPTH), -(-columns // SIDE)
    left = _left_of(left_is_turned)
    steps = [
        (k * left.inner + i * left.size, (k * column_tiles * pieces + j) * TILE)
        for k in range(_TILES_TOGETHER)
        for i, j in PRODUCTS[pieces]
    ]
    right_rows = np.pad(strides(inner, columns), (0, tiles * DEPTH - inner), constant_values=-1)
    product = Product(
        *(rows, columns, inner, left_is_turned, right_is_turned, pieces, np.array(steps, np.int64)),
        *(row_blocks, together, column_blocks, parts, tiles, column_tiles, right_rows, left),
    )
    return product, laid_out(product)


def _left_of(is_turned):
    depth = _TILES_TOGETHER * DEPTH
    if is_turned:
        return _Left(_ROWS * depth, DEPTH, _TILES_TOGETHER * TILE, TILE)
    row = depth + _GAP
    return _Left(_ROWS * row, row, SIDE * row, DEPTH)


def _launch(left, right, out, bias, relu, pieces):
    (left, left_is_turned), (right, right_is_turned) = left, right
    inner = left.shape[0 if left_is_turned else 1]
    p, words = product_of(len(out), out.shape[1], inner, left_is_turned, right_is_turned, pieces)
    time = p.rows * p.columns * p.inner * len(PRODUCTS[pieces]) // _PRODUCTS_PER_NANOSECOND
    arrays = bias, numbers_of(left), numbers_of(right), numbers_of(out)
    return _product.launch(time, *arrays, relu, words, chunks=p.row_blocks * p.column_blocks * p.parts)


# -------------------------------------------------------------------------------------------- the right operand


@borrowing
def _pack_columns(task, right, packed, p):
    """One column of tiles: 16 rows of the transposed right operand."""
    part = Part(task * SIDE * p.inner, p.inner, min(SIDE, p.columns - task * SIDE), p.inner)
    size, is_left = p.pieces * TILE, not p.right_is_turned  # False: a constant would compile `pack_transposed` twice
    pack_transposed(right, part, is_left, Tiles(packed, task * size, p.column_tiles * size, TILE), p.pieces)


# --------------------------------------------------------------------------------------------- the left operand


@borrowing
def _pack_left(left, own, row, rows, first, last, p):
    """The numbers k from `first` to `last` of some rows of the left operand."""
    for r in range(rows):
        split(left, (row + r) * p.inner + first, last - first, own, r * p.left.row)


@borrowing
def _pack_left_turned(left, own, row, rows, first, last, p):
    """The same of a transposed one, whose rows are k."""
    for tile in range((last - first + DEPTH - 1) // DEPTH):
        k = first + tile * DEPTH
        part = Part(k * p.rows + row, p.rows, min(DEPTH, last - k), rows)
        pack_transposed(
            left, part, p.left_is_turned, Tiles(own.array, tile * p.left.inner, p.left.down, own.step), p.pieces
        )


# --------------------------------------------------------------------------------------------------- the product


class _Place(NamedTuple):
    """A task's part of the product."""

    row: int
    rows: int
    column: int
    columns: int
    first: int  # k tile
    last: int
    width: int  # numbers from row to row of its sums
    part: int


@borrowing
def _place_of(task, p):
    part, block = task // (p.row_blocks * p.column_blocks), task % (p.row_blocks * p.column_blocks)
    row, column = block // p.column_blocks * _ROWS, block % p.column_blocks * p.columns_together
    rows, columns = min(_ROWS, p.rows - row), min(p.columns_together, p.columns - column)
    first, last = part * p.tiles // p.parts, (part + 1) * p.tiles // p.parts
    return _Place(row, rows, column, columns, first, last, p.columns_together, part)


@intrinsic
def _add_tiles(typingctx, registers, own, packed, zeros, k, first, sums, place, p):
    """sums += the products of so many tiles along k as are packed, from tile k on."""
    return types.void(registers, own, packed, zeros, types.int64, first, sums, place, p), _emit_add_tiles


def _emit_add_tiles(context, builder, signature, args):
    emit = Lanes(context, builder, signature.args[2])
    registers, own, packed, zeros, k, first, sums, place, pointer = emit.plain(signature.args, args)
    p = Fields(context, builder, signature.args[8], pointer)
    zero, side, together, (steps, size) = emit.index(0), emit.index(SIDE), emit.index(_TILES_TOGETHER), p.steps
    count = builder.sub(place.last, k)
    count = builder.select(builder.icmp_signed("<", count, together), count, together)
    last = builder.mul(builder.udiv(size, emit.index(2 * _TILES_TOGETHER)), count)
    beside = builder.mul(p.pieces, emit.index(TILE))
    column = emit.sum_of(builder.udiv(place.column, side), (k, p.column_tiles))
    begins = [builder.icmp_signed("==", k, value) for value in (zero, place.first)]  # with the bias, or with zeros

    def each(end):
        return cgutils.for_range_slice(builder, zero, end, emit.index(2 * SIDE), zero.type)

    with each(place.rows) as (i, _), each(place.columns) as (j, _):
        out = Sums(sums, emit.sum_of(j, (i, place.width)), builder.mul(side, place.width), place.width)
        begin = Sums(zeros, zero, zero, zero), Sums(first, builder.add(place.column, j), zero, zero)
        begin = (builder.select(begins[0], *pair) for pair in zip(begin[1], begin[0], strict=True))
        emit_multiply(
            *(context, builder, registers),
            LeftTiles(own.array, builder.mul(builder.udiv(i, side), p.left.down), p.left.down, p.left.row),
            RightTiles(packed, builder.mul(builder.add(column, builder.udiv(j, side)), beside), beside),
            Steps(steps, zero, last),
            Sums(*(builder.select(begins[1], *pair) for pair in zip(begin, out, strict=True))),
            out,
            Area(*(emit.one_or_two(builder.sub(*pair), SIDE) for pair in ((place.rows, i), (place.columns, j)))),
        )
    return context.get_dummy_value()


@borrowing
def _task(task, left, packed, first, out, parts, relu, p):
    """A block of rows and columns of the product, or a part of its sums. Returns whether it is finite."""
    place, own, registers = _place_of(task, p), pieces_of(p.left.size, 0, p.pieces), scratch(REGISTERS_SIZE, np.uint8)
    sums, zeros = scratch(_ROWS * place.width, first), filled(2 * SIDE, 0, first)
    configure(registers, SIDE)
    for k in range(place.first, place.last, _TILES_TOGETHER):
        last = min((k + _TILES_TOGETHER) * DEPTH, place.last * DEPTH, p.inner)
        if p.left_is_turned:
            _pack_left_turned(left, own, place.row, place.rows, k * DEPTH, last, p)
        else:
            _pack_left(left, own, place.row, place.rows, k * DEPTH, last, p)
        _add_tiles(registers, own, packed, zeros, k, first, sums, place, p)
    release(registers)
    total, start = np.float32(0), place.row * p.columns + place.column
    for r in range(place.rows):
        at, from_sums = start + r * p.columns, r * place.width
        if p.parts == 1:
            total += put_row(sums, from_sums, place.columns, floor_of(relu, sums), out, at)
        else:
            copy(sums, from_sums, place.columns, parts, at + place.part * p.rows * p.columns)
    give_back((own, registers, sums, zeros))
    return total == 0


@borrowing
def _add_parts(row, parts, out, relu, p):
    """A row of the product, from its parts, added in their order. Returns whether it is finite."""
    start, size = row * p.columns, p.rows * p.columns
    for part in range(1, p.parts):
        add(parts, part * size + start, p.columns, parts, start)
    return put_row(parts, start, p.columns, floor_of(relu, parts), out, start) == 0


@parallel_kernel(uses=TILES_CODE, compiler=Plain)
def _product(pool, bias, left, right, out, relu, words):
    """Returns whether all of it is finite."""
    p = table_at(words, 0, Product)
    if p.right_is_turned:
        packed = scratch(p.tiles * p.column_tiles * p.pieces * TILE, np.uint16)
        in_parallel(pool, p.column_tiles, _pack_columns, (right, packed, p))
    else:
        packed = pack_matrix(pool, right, p.right_rows, p.columns, p.pieces)
    first, parts = (
        filled((p.column_tiles + 1) * SIDE, 0, bias),
        scratch(p.parts * p.rows * p.columns if p.parts > 1 else 0, bias),
    )
    copy(bias, 0, p.columns, first, 0)
    tasks = p.row_blocks * p.column_blocks * p.parts
    is_finite = in_parallel(pool, tasks, _task, (left, packed, first, out, parts, relu, p))
    if p.parts > 1:
        is_finite = in_parallel(pool, p.rows, _add_parts, (parts, out, relu, p))
    return is_finite


@serial_kernel
def _mask(dy, y, masked, dbias, rows, columns):
    """masked = dy where y is positive or NaN, all if y is empty; dbias = its sums. Returns whether it is finite."""
    sums, line = filled(columns, 0, np.float32), scratch(columns, np.float32)
    for row in range(rows):
        start = row * columns
        take_masked(dy, y, start, columns, line, 0)
        add(line, 0, columns, sums, 0)
        put_row(line, 0, columns, floor_of(False, line), masked, start)
    copy(sums, 0, len(dbias), dbias, 0)
    return all_finite(sums, 0, len(dbias))
