"""Dense layers: three matrix products."""

from typing import NamedTuple

from minicnn.backends.memory import Array, Maybe
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import fill, filled, pack, scratch, transpose
from minicnn.backends.numba.machine.offsets import flat, strided_rows, strides, table_cache, zero_row
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import ROWS, WIDTH, lanes, product_nanoseconds
from minicnn.backends.numba.machine.vectors import lanes_of
from minicnn.backends.numba.tiles import dense as on_tiles
from minicnn.backends.numba.tiles.serving import (
    by_vectors,
    in_float32,
    is_bfloat16,
    plain,
    precision_of,
    takes_bfloat16,
)

_INNER_TOGETHER = 256  # rows of the kernel matrix whose numbers for some blocks' columns stay in a core's caches
_ABREAST = 2 * WIDTH  # vectors of a task's columns, two blocks or a wide one: the left operand is read once for all
_OF_A_SAMPLE = 4 * WIDTH  # the same for a single sample, whose rows of the kernel are read once
# Rows of so many bytes lie in pages of their own, and often all in the same few lines of a cache: what a block reads of
# them is copied side by side first, if enough rows of the product are made of it.
_LONG_ROW = 1024
_LEAST_ROWS = 32
# Many inputs and few outputs: a task takes some of the inputs and all outputs, so that x and the kernel, which no cache
# of a core holds, are read once. The tasks' sums are added up in their order.
_INPUTS_OF_A_PART, _MOST_PARTS, _MOST_SUMS = 768, 8, 1 << 15


def dense(x: Array, kernel: Array, bias: Maybe, y: Array, relu: bool = False) -> None:
    """See `minicnn.backends.reference.dense.dense`."""
    pieces, (own_x, own_y) = _pieces(x, kernel, y), plain(x, y)
    if pieces > 0 and on_tiles.dense(own_x, kernel, bias, own_y, relu, pieces):
        return None
    if is_bfloat16(x, y):
        return in_float32(dense, x, kernel, bias, y, relu)
    bias = zero_row(kernel.shape[1], x.dtype) if bias is None else bias
    arrays = x.reshape(-1), kernel.reshape(-1), bias, y.reshape(-1)
    tables = _matrices(len(x), *kernel.shape, x.itemsize)
    _dense.launch(product_nanoseconds(len(x) * kernel.size, x.itemsize), *arrays, relu, tables)


def dense_backward(
    x: Array, kernel: Array, y: Maybe, dy: Array, dx: Maybe, dkernel: Maybe, dbias: Maybe, relu: bool = False
) -> None:
    """See `minicnn.backends.reference.dense.dense_backward`."""
    pieces, out = _pieces(x, kernel, dy), (dx, dkernel, dbias)
    own_x, own_y, own_dy = plain(x, y if relu else None, dy)
    if pieces > 0 and on_tiles.dense_backward(own_x, kernel, own_y, own_dy, plain(*out), pieces):
        return None
    if is_bfloat16(x, dy):
        return in_float32(dense_backward, x, kernel, y, dy, *out, relu)
    products = (dx is not None) + (dkernel is not None)
    time = product_nanoseconds(products * len(x) * kernel.size, x.itemsize)
    inputs = x.reshape(-1), kernel.reshape(-1), flat(y if relu else None, x.dtype), dy.reshape(-1)
    outputs = flat(dx, x.dtype), flat(dkernel, x.dtype), flat(dbias, x.dtype)
    tables = _matrices(len(x), *kernel.shape, x.itemsize)
    _dense_backward.launch(time, *inputs, *outputs, zero_row(max(kernel.shape), x.dtype), tables)


def _pieces(x, kernel, y):
    precision, sizes = precision_of(x, y), (len(x), *kernel.shape)
    if by_vectors() and precision == "medium" and not on_tiles.gains_by_vectors(*sizes):
        return 0
    return on_tiles.pieces_on_tiles(precision, *sizes)


def _takes_dense(x, kernel, bias, y, relu=False):
    return takes_bfloat16((x, x), (y, y)) and _gains(x, kernel)


def _takes_dense_backward(x, kernel, y, dy, dx, dkernel, dbias, relu=False):
    return takes_bfloat16((x, dx), (dy, y)) and _gains(x, kernel)


def _gains(x, kernel):
    return not by_vectors() or on_tiles.gains_by_vectors(len(x), *kernel.shape)


dense.takes_bfloat16, dense_backward.takes_bfloat16 = _takes_dense, _takes_dense_backward


class Matrices(NamedTuple):
    """Tables for the three products of a dense layer: offsets from row to row of its matrices."""

    samples: int
    inputs: int
    outputs: int
    x_rows: Array  # row table, and of dx
    y_rows: Array  # row table, and of dy
    x_columns: Array  # row table: the columns of x are the rows of dkernel
    kernel_rows: Array  # row table
    y_columns: Array
    panel_rows: Array  # of a panel: some columns of a matrix side by side
    parts: int  # of the inputs
    abreast: int  # vectors of outputs of a task
    shares_evenly: bool  # whether tasks of an odd number of vectors leave no single one
    packs_kernel: bool
    packs_x: bool
    packs_dy: bool


@table_cache
def _matrices(samples: int, inputs: int, outputs: int, itemsize: int) -> Matrices:
    width, are_few = _ABREAST * lanes(itemsize), samples * outputs <= _MOST_SUMS
    has_many_rows, is_long = samples >= _LEAST_ROWS, outputs * itemsize >= _LONG_ROW
    return Matrices(
        samples=samples,
        inputs=inputs,
        outputs=outputs,
        x_rows=strided_rows(samples, inputs),
        y_rows=strided_rows(samples, outputs),
        x_columns=strided_rows(inputs, 1),
        kernel_rows=strided_rows(inputs, outputs),
        y_columns=strides(outputs, 1),
        panel_rows=strides(max(samples, inputs, outputs), width),
        parts=min(inputs // _INPUTS_OF_A_PART, _MOST_PARTS) if are_few else 0,
        abreast=_OF_A_SAMPLE if samples == 1 else _ABREAST,
        shares_evenly=samples > 1,
        packs_kernel=has_many_rows and is_long,
        packs_x=inputs * itemsize >= _LONG_ROW and outputs > width,
        packs_dy=is_long and inputs >= _LEAST_ROWS,
    )


@inline
def _some_outputs(x, kernel, bias, y, relu, rows, columns, t):
    """The rows from rows[0] to rows[1] and as many columns from columns[0] to columns[1] of y."""
    width = _ABREAST * lanes_of(x)
    panel = scratch(_INNER_TOGETHER * width if t.packs_kernel else 0, x)
    for first in range(0, t.inputs, _INNER_TOGETHER):
        last = min(first + _INNER_TOGETHER, t.inputs)
        right = Right(kernel, columns[0], t.kernel_rows)
        if t.packs_kernel:
            start = first * t.outputs + columns[0]
            pack(kernel, start, t.outputs, last - first, columns[1] - columns[0], panel, width)
            right = Right(panel, -first * width, t.panel_rows)
        multiply(
            Left(x, 0, t.x_rows, t.x_columns),
            right,
            Out(y, columns[0], t.y_rows),
            Span(first, last, rows[0], rows[1], columns[1] - columns[0], t.inputs),
            first=bias[columns[0] :],
            accumulate=first > 0,
            floor=floor_of(relu and last == t.inputs, x),
        )


@inline
def _tasks_of(count, abreast, like):
    """How many tasks the columns are, of so many vectors each."""
    return (count + abreast * lanes_of(like) - 1) // (abreast * lanes_of(like))


@inline
def _columns_of(task, tasks, like, t):
    """First and last of the columns of outputs that are a task's."""
    lanes = lanes_of(like)
    vectors = (t.outputs + lanes - 1) // lanes
    first, last = task * t.abreast, (task + 1) * t.abreast
    if t.shares_evenly and vectors % t.abreast == 1:  # a single vector would take twice its time: others have one less
        first, last = task * vectors // tasks, (task + 1) * vectors // tasks
    return first * lanes, min(last * lanes, t.outputs)


@inline
def _block_of_outputs(task, x, kernel, bias, y, relu, tasks, t):
    half = (t.samples + 2 * ROWS - 1) // (2 * ROWS) * ROWS  # samples in one of two halves of the rows
    row = task // tasks * half
    rows, columns = (row, min(row + half, t.samples)), _columns_of(task % tasks, tasks, y, t)
    _some_outputs(x, kernel, bias, y, relu, rows, columns, t)


@inline
def _part_of_sums(part, x, kernel, bias, zeros, sums, t):
    """The sums of all outputs over one part of the inputs."""
    begin, end, size = part * t.inputs // t.parts, (part + 1) * t.inputs // t.parts, t.samples * t.outputs
    own = sums[part * size : (part + 1) * size]
    for first in range(begin, end, _INNER_TOGETHER):
        last = min(first + _INNER_TOGETHER, end)
        multiply(
            Left(x, 0, t.x_rows, t.x_columns),
            Right(kernel, 0, t.kernel_rows),
            Out(own, 0, t.y_rows),
            Span(first, last, 0, t.samples, t.outputs, t.inputs),
            first=bias if part == 0 else zeros,
            accumulate=first > begin,
            floor=floor_of(False, x),
        )


@inline
def _add_parts(sums, relu, y, t):
    """y from the sums of all parts; the first ones begin with the bias."""
    size, zero = t.samples * t.outputs, y.dtype.type(0)
    for part in range(1, t.parts):
        total, own = y if part == t.parts - 1 else sums[:size], sums[part * size : (part + 1) * size]
        for i in range(size):
            total[i] = sums[i] + own[i]
    for i in range(size if relu else 0):
        y[i] = zero if y[i] < 0 else y[i]


@parallel_kernel(uses=[MULTIPLY])
def _dense(pool, x, kernel, bias, y, relu, t):
    if t.parts > 1:
        sums, zeros = scratch(t.parts * t.samples * t.outputs, x), filled(t.outputs, 0, x)
        in_parallel(pool, t.parts, _part_of_sums, (x, kernel, bias, zeros, sums, t))
        _add_parts(sums, relu, y, t)
        return
    tasks = _tasks_of(t.outputs, t.abreast, y)
    # Half after half: each thread reads what it has written in the plan's step before.
    in_parallel(pool, 2 * tasks, _block_of_outputs, (x, kernel, bias, y, relu, tasks, t))


@inline
def _masked(y, dy):
    """dy where y is positive or NaN, else 0."""
    masked = scratch(len(dy), dy)
    for i in range(len(dy)):
        masked[i] = dy.dtype.type(0) if y[i] <= 0 else dy[i]
    return masked


@inline
def _add_rows(dy, samples, total):
    """total = the sum of the rows of dy."""
    fill(total, 0, len(total), 0)
    for n in range(samples):
        row = dy[n * len(total) : (n + 1) * len(total)]
        for j in range(len(total)):  # no index can be negative here, so this becomes vector code
            total[j] += row[j]


@inline
def _kernel_gradient(x, dy, dkernel, zeros, first, last, t):
    """Some rows of dkernel; where dy is packed, by its panels."""
    width = _ABREAST * lanes_of(x)
    left, panel = Left(x, 0, t.x_columns, t.x_rows), scratch(t.samples * width if t.packs_x else 0, x)
    if t.packs_x:
        pack(x, first, t.inputs, t.samples, last - first, panel, width)
        left = Left(panel, -first, t.x_columns, t.panel_rows)
    block = width if t.packs_dy else t.outputs
    for column in range(0, t.outputs, block):
        right = Right(dy, column * t.samples, t.panel_rows) if t.packs_dy else Right(dy, 0, t.y_rows)
        multiply(
            left,
            right,
            Out(dkernel, column, t.kernel_rows),
            Span(0, t.samples, first, last, min(block, t.outputs - column), t.samples),
            first=zeros,
            accumulate=False,
            floor=floor_of(False, x),
        )


@inline
def _pack_gradient(task, dy, panels, t):
    """One panel of dy, (samples, width)."""
    width = _ABREAST * lanes_of(dy)
    column, size = task * width, t.samples * width
    panel = panels[task * size : (task + 1) * size]
    pack(dy, column, t.outputs, t.samples, min(width, t.outputs - column), panel, width)


@inline
def _input_gradient(kernel, dy, dx, zeros, first, last, t):
    """Some columns of dx, by a panel of the transposed kernel."""
    width = _ABREAST * lanes_of(dx)
    panel = scratch(t.outputs * width, dx)
    transpose(kernel, first * t.outputs, t.outputs, last - first, t.outputs, panel, 0, width)
    multiply(
        Left(dy, 0, t.y_rows, t.y_columns),
        Right(panel, 0, t.panel_rows),
        Out(dx, first, t.x_rows),
        Span(0, t.outputs, 0, t.samples, last - first, t.outputs),
        first=zeros,
        accumulate=False,
        floor=floor_of(False, dx),
    )


@inline
def _some_gradients(task, x, kernel, gradient, panels, dx, dkernel, zeros, t):
    width = _ABREAST * lanes_of(x)  # inputs in one task: rows of dkernel, columns of dx
    first = task // 2 * width
    last = min(first + width, t.inputs)
    if task % 2 == 0 and len(dkernel) > 0:
        _kernel_gradient(x, panels, dkernel, zeros, first, last, t)
    if task % 2 == 1 and len(dx) > 0:
        _input_gradient(kernel, gradient, dx, zeros, first, last, t)


@parallel_kernel(uses=[MULTIPLY])
def _dense_backward(pool, x, kernel, y, dy, dx, dkernel, dbias, zeros, t):
    gradient = _masked(y, dy) if len(y) > 0 else dy
    if len(dbias) > 0:
        _add_rows(gradient, t.samples, dbias)
    width, panels = _ABREAST * lanes_of(x), gradient
    if t.packs_dy and len(dkernel) > 0:
        count = (t.outputs + width - 1) // width
        panels = scratch(count * t.samples * width, x)
        in_parallel(pool, count, _pack_gradient, (gradient, panels, t))
    tasks = 2 * ((t.inputs + width - 1) // width)
    in_parallel(pool, tasks, _some_gradients, (x, kernel, gradient, panels, dx, dkernel, zeros, t))
