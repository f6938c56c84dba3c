"""Dense layers: three matrix products."""

from numba import prange

from minicnn.backends.numba import tables
from minicnn.backends.numba.launch import parallel_kernel, part
from minicnn.backends.numba.matrix import MULTIPLY, fill, floor_of, multiply, scratch, transpose
from minicnn.backends.numba.simd import lanes_of
from minicnn.backends.numba.tables import flat_or_absent as _flat
from minicnn.backends.numba.tables import zero_row
from minicnn.backends.numba.tiles import ROWS, WIDTH

_INNER_BLOCK = 256  # rows of the kernel matrix whose panel of one tile's width stays in the L1 cache
_TILES_ABREAST = 2  # tiles side by side in one task: x is read once for all of them
_ROW_BLOCK = 8 * ROWS  # rows of dkernel in one task


def dense(x, kernel, bias, y, relu=False):
    """See `minicnn.backends.reference.dense`."""
    inputs, outputs = kernel.shape
    block = min(inputs, _INNER_BLOCK)
    _dense(
        x.reshape(-1), kernel.reshape(-1), zero_row(outputs, x.dtype) if bias is None else bias, y.reshape(-1), relu,
        len(x), inputs, outputs, tables.step_rows(len(x), inputs), tables.steps(block, 1), tables.steps(block, outputs),
        tables.step_rows(len(x), outputs),
    )  # fmt: skip


def dense_backward(x, kernel, y, dy, dx, dkernel, dbias, relu=False):
    """See `minicnn.backends.reference.dense_backward`."""
    samples, (inputs, outputs) = len(x), kernel.shape
    _dense_backward(
        x.reshape(-1), kernel.reshape(-1), _flat(y if relu else None, x.dtype), dy.reshape(-1), _flat(dx, x.dtype),
        _flat(dkernel, x.dtype), _flat(dbias, x.dtype), zero_row(max(inputs, outputs), x.dtype),
        samples, inputs, outputs, tables.step_rows(inputs, 1), tables.step_rows(inputs, outputs),
        tables.steps(samples, inputs),
        tables.steps(samples, outputs), tables.step_rows(samples, outputs), tables.step_rows(samples, inputs),
        tables.steps(outputs, 1), tables.steps(outputs, WIDTH * _lanes(x)),
    )  # fmt: skip


def _lanes(x):
    return tables.lanes(x.itemsize)


@part
def _dense_block(
    x,
    kernel,
    bias,
    y,
    relu,
    row_first,
    row_last,
    column,
    columns,
    inputs,
    outputs,
    x_rows,
    x_inner,
    kernel_rows,
    y_rows,
):
    """Some rows by some columns of y, in blocks of the inner dimension."""
    for first in range(0, inputs, len(x_inner)):
        is_last = first + len(x_inner) >= inputs
        multiply(
            x, first, x_rows, x_inner, kernel, first * outputs + column, kernel_rows, 0,
            min(len(x_inner), inputs - first), bias[column:], first > 0, y, column, y_rows, row_first, row_last,
            columns,
            floor_of(relu and is_last, x),
        )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _dense(x, kernel, bias, y, relu, samples, inputs, outputs, x_rows, x_inner, kernel_rows, y_rows):
    width = _TILES_ABREAST * WIDTH * lanes_of(x)
    half = (samples + 2 * ROWS - 1) // (2 * ROWS) * ROWS  # samples in one of two row blocks
    column_blocks = (outputs + width - 1) // width
    for task in prange(2 * column_blocks):
        row_first, column = task % 2 * half, task // 2 * width
        _dense_block(
            x, kernel, bias, y, relu, row_first, min(row_first + half, samples), column, min(width, outputs - column),
            inputs, outputs, x_rows, x_inner, kernel_rows, y_rows,
        )  # fmt: skip


@part
def _masked(y, dy):
    """dy where y is positive, else 0."""
    masked = scratch(len(dy), dy)
    for i in range(len(dy)):
        masked[i] = dy[i] if y[i] > 0 else dy.dtype.type(0)
    return masked


@part
def _add_rows(dy, samples, total):
    """total = the sum of the rows of dy."""
    fill(total, 0, len(total), 0)
    for n in range(samples):
        for j in range(len(total)):
            total[j] += dy[n * len(total) + j]


@part
def _input_gradient_block(
    kernel, dy, dx, zeros, samples, inputs, outputs, column, dy_rows, dx_rows, dy_inner, panel_rows
):
    """Some columns of dx, by a panel of the transposed kernel."""
    width = WIDTH * lanes_of(dx)
    panel = scratch(outputs * width, dx)
    columns = min(width, inputs - column)
    transpose(kernel, column * outputs, outputs, columns, outputs, panel, 0, width)
    multiply(
        dy, 0, dy_rows, dy_inner, panel, 0, panel_rows, 0, outputs, zeros, False,
        dx, column, dx_rows, 0, samples, columns, floor_of(False, dx),
    )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _dense_backward(
    x, kernel, y, dy, dx, dkernel, dbias, zeros, samples, inputs, outputs, input_rows, dkernel_rows, x_inner,
    dy_sample_inner, dy_rows, dx_rows, dy_inner, panel_rows,
):  # fmt: skip
    gradient = _masked(y, dy) if len(y) > 0 else dy
    if len(dbias) > 0:
        _add_rows(gradient, samples, dbias)
    if len(dkernel) > 0:
        for task in prange((inputs + _ROW_BLOCK - 1) // _ROW_BLOCK):
            multiply(
                x, 0, input_rows, x_inner, gradient, 0, dy_sample_inner, 0, samples, zeros, False,
                dkernel, 0, dkernel_rows, task * _ROW_BLOCK, min((task + 1) * _ROW_BLOCK, inputs), outputs,
                floor_of(False, x),
            )  # fmt: skip
    if len(dx) > 0:
        width = WIDTH * lanes_of(x)
        for task in prange((inputs + width - 1) // width):
            _input_gradient_block(
                kernel,
                gradient,
                dx,
                zeros,
                samples,
                inputs,
                outputs,
                task * width,
                dy_rows,
                dx_rows,
                dy_inner,
                panel_rows,
            )
