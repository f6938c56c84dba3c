"""Dense layers: three matrix products."""

from numba import prange

from minicnn.backends.numba.machine import offsets as tables
from minicnn.backends.numba.machine.launch import parallel_kernel, part
from minicnn.backends.numba.machine.matrix import (
    MULTIPLY,
    fill,
    floor_of,
    multiply,
    product_nanoseconds,
    scratch,
    transpose,
)
from minicnn.backends.numba.machine.offsets import flat_or_absent as _flat
from minicnn.backends.numba.machine.offsets import zero_row
from minicnn.backends.numba.machine.target import ROWS, WIDTH
from minicnn.backends.numba.machine.vectors import lanes_of

_INNER_BLOCK = 256  # rows of the kernel matrix whose panel of one tile's width stays in the L1 cache
_TILES_ABREAST = 2  # tiles side by side in one task: x is read once for all of them


def dense(x, kernel, bias, y, relu=False):
    """See `minicnn.backends.reference.dense`."""
    inputs, outputs = kernel.shape
    _dense.run(
        product_nanoseconds(len(x) * kernel.size, x.itemsize),
        x.reshape(-1), kernel.reshape(-1), zero_row(outputs, x.dtype) if bias is None else bias, y.reshape(-1), relu,
        tables.dense(len(x), inputs, outputs, x.itemsize),
    )  # fmt: skip


def dense_backward(x, kernel, y, dy, dx, dkernel, dbias, relu=False):
    """See `minicnn.backends.reference.dense_backward`."""
    inputs, outputs = kernel.shape
    products = (dx is not None) + (dkernel is not None)
    _dense_backward.run(
        product_nanoseconds(products * len(x) * kernel.size, x.itemsize),
        x.reshape(-1), kernel.reshape(-1), _flat(y if relu else None, x.dtype), dy.reshape(-1),
        _flat(dx, x.dtype), _flat(dkernel, x.dtype), _flat(dbias, x.dtype), zero_row(max(inputs, outputs), x.dtype),
        tables.dense(len(x), inputs, outputs, x.itemsize),
    )  # fmt: skip


@part
def _dense_block(x, kernel, bias, y, relu, row_first, row_last, column, columns, t):
    """Some rows by some columns of y, in blocks of the inner dimension."""
    for first in range(0, t.inputs, _INNER_BLOCK):
        last = min(first + _INNER_BLOCK, t.inputs)
        multiply(
            x, 0, t.x_rows, t.x_columns, kernel, column, t.kernel_rows, first, last, bias[column:], first > 0,
            y, column, t.y_rows, row_first, row_last, columns, floor_of(relu and last == t.inputs, x),
        )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _dense(x, kernel, bias, y, relu, t):
    width = _TILES_ABREAST * WIDTH * lanes_of(x)
    half = (t.samples + 2 * ROWS - 1) // (2 * ROWS) * ROWS  # samples in one of two row blocks
    column_blocks = (t.outputs + width - 1) // width
    for task in prange(2 * column_blocks):  # half after half: each thread reads what it has written in the step before
        row_first, column = task // column_blocks * half, task % column_blocks * width
        row_last, columns = min(row_first + half, t.samples), min(width, t.outputs - column)
        _dense_block(x, kernel, bias, y, relu, row_first, row_last, column, columns, t)


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
def _kernel_gradient_block(x, dy, dkernel, zeros, first, last, t):
    """Some rows of dkernel."""
    multiply(
        x, 0, t.x_columns, t.x_rows, dy, 0, t.y_rows, 0, t.samples, zeros, False,
        dkernel, 0, t.kernel_rows, first, last, t.outputs, floor_of(False, x),
    )  # fmt: skip


@part
def _input_gradient_block(kernel, dy, dx, zeros, first, last, t):
    """Some columns of dx, by a panel of the transposed kernel."""
    width = WIDTH * lanes_of(dx)
    panel = scratch(t.outputs * width, dx)
    transpose(kernel, first * t.outputs, t.outputs, last - first, t.outputs, panel, 0, width)
    multiply(
        dy, 0, t.y_rows, t.y_columns, panel, 0, t.panel_rows, 0, t.outputs, zeros, False,
        dx, first, t.x_rows, 0, t.samples, last - first, floor_of(False, dx),
    )  # fmt: skip


@parallel_kernel(uses=[MULTIPLY])
def _dense_backward(x, kernel, y, dy, dx, dkernel, dbias, zeros, t):
    gradient = _masked(y, dy) if len(y) > 0 else dy
    if len(dbias) > 0:
        _add_rows(gradient, t.samples, dbias)
    width = WIDTH * lanes_of(x)  # inputs in one block: rows of dkernel, columns of dx
    for task in prange(2 * ((t.inputs + width - 1) // width)):
        first = task // 2 * width
        last = min(first + width, t.inputs)
        if task % 2 == 0 and len(dkernel) > 0:
            _kernel_gradient_block(x, gradient, dkernel, zeros, first, last, t)
        if task % 2 == 1 and len(dx) > 0:
            _input_gradient_block(kernel, gradient, dx, zeros, first, last, t)
