"""Products of stacks of matrices that are both computed: a task for each pair, by the product of dense layers."""

import math
from typing import NamedTuple

import numpy as np

from minicnn.backends.memory import Array
from minicnn.backends.numba.machine.batch import Chunks, chunks_of, images_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import scratch, transpose
from minicnn.backends.numba.machine.offsets import (
    outer_sum,
    strided_rows,
    strides,
    table_cache,
    whole_vectors,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import reference
from minicnn.backends.numba.machine.target import product_nanoseconds


def matrix_products(a: Array, b: Array, y: Array, factor: float = 1.0) -> None:
    """See `minicnn.backends.reference.products.matrix_products`."""
    layout = tuple(tuple(stride // x.itemsize for stride in x.strides) for x in (a, b, y))
    fits = (*a.shape[:-1], b.shape[-1]) == y.shape and (*y.shape[:-2], a.shape[-1]) == b.shape[:-1]
    is_served = fits and 1 in layout[1][-2:] and layout[2][-1] == 1
    if 0 in (a.size, b.size, y.size) or not is_served:
        reference.matrix_products(a, b, y, factor)
        return
    products = _products((*y.shape, a.shape[-1]), *layout, y.itemsize)
    time = product_nanoseconds(y.size * a.shape[-1], y.itemsize)
    arrays = _span(a), _span(b), _span(y), zero_row(y.shape[-1], y.dtype)
    _matrix_products.launch(time, *arrays, y.dtype.type(factor), products, chunks=products.chunks.count)


def _span(x):
    """The memory from the first number of a view to its last, with one axis."""
    size = 1 + sum((n - 1) * (stride // x.itemsize) for n, stride in zip(x.shape, x.strides, strict=True))
    return np.lib.stride_tricks.as_strided(x, (size,), (x.itemsize,))


class Products(NamedTuple):
    """Tables of offsets for the matrices of three stacks."""

    rows: int
    inner: int
    columns: int
    a_starts: np.ndarray
    b_starts: np.ndarray
    y_starts: np.ndarray
    a_rows: np.ndarray  # row table
    a_inner: np.ndarray
    b_inner: np.ndarray
    y_rows: np.ndarray  # row table
    turned_inner: np.ndarray
    stride: int  # of b, from column to column, if that is not 1
    width: int  # of a turned b
    chunks: Chunks


@table_cache
def _products(shape, a, b, y, itemsize) -> Products:
    """The tables for (…, P, Q, K), from the strides of the arrays in numbers."""
    *lead, rows, columns, inner = shape
    width = whole_vectors(columns, itemsize)
    starts = [outer_sum(*(np.arange(n) * stride for n, stride in zip(lead, s, strict=False))) for s in (a, b, y)]
    return Products(
        rows,
        inner,
        columns,
        *starts,
        a_rows=strided_rows(rows, a[-2]),
        a_inner=strides(inner, a[-1]),
        b_inner=strides(inner, b[-2]),
        y_rows=strided_rows(rows, y[-2]),
        turned_inner=strides(inner, width),
        stride=0 if b[-1] == 1 else b[-1],
        width=width,
        chunks=chunks_of(math.prod(lead)),
    )


@inline
def _some_products(chunk, a, b, y, zeros, factor, t):
    panel = scratch(t.inner * t.width if t.stride > 0 else 0, a)
    first, last = images_of(t.chunks, chunk)
    for n in range(first, last):
        right = Right(b, t.b_starts[n], t.b_inner)
        if t.stride > 0:
            transpose(b, t.b_starts[n], t.stride, t.columns, t.inner, panel, 0, t.width)
            right = Right(panel, 0, t.turned_inner)
        multiply(
            Left(a, t.a_starts[n], t.a_rows, t.a_inner),
            right,
            Out(y, t.y_starts[n], t.y_rows),
            Span(0, t.inner, 0, t.rows, t.columns, t.inner),
            first=zeros,
            accumulate=False,
            floor=floor_of(False, y),
        )
        for i in range(t.rows if factor != 1 else 0):
            start = t.y_starts[n] + t.y_rows[i]
            row = y[start : start + t.columns]
            for j in range(len(row)):
                row[j] *= factor


@parallel_kernel(uses=[MULTIPLY])
def _matrix_products(pool, a, b, y, zeros, factor, t):
    in_parallel(pool, t.chunks.count, _some_products, (a, b, y, zeros, factor, t))
