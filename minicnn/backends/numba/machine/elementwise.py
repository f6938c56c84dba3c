"""Kernels made of a formula: one number of the output from the numbers at its place in the inputs.

Inputs of size 1 along an axis count for all of the output's. Axes along which the same inputs do so are one axis; what
is left are `outer` times `rows` rows of `inner` neighbouring numbers, or the whole array cut into such rows.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.half import emitter_of
from minicnn.backends.numba.machine.launch import Kernel
from minicnn.backends.numba.machine.numbers import Numbers
from minicnn.backends.numba.machine.offsets import table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.vectors import Emitter

_ROW = 4096  # numbers, where all arrays have one shape
_MOST_CHUNKS = 32

Formula = Callable[..., Numbers]


class Rows(NamedTuple):
    """How arrays are walked."""

    size: int
    outer: int
    rows: int
    inner: int
    chunks: int
    strides: np.ndarray  # (inputs, 2): elements from outer to outer, and from row to row


def axes_of(shape: tuple[int, ...], *others: tuple[int, ...]) -> list[tuple[int, tuple[bool, ...]]]:
    """The axes of a shape, neighbours of one kind as one: (size, which of the others have it rather than a 1)."""
    axes = []
    others = [(1,) * (len(shape) - len(other)) + other for other in others]
    for n, *sizes in zip(shape, *others, strict=True):
        kind = tuple(m == n for m in sizes)
        if n == 1:
            continue
        if axes and axes[-1][1] == kind:
            axes[-1] = axes[-1][0] * n, kind
        else:
            axes.append((n, kind))
    return axes


@table_cache
def rows_of(shape: tuple[int, ...], *inputs: tuple[int, ...]) -> Rows | None:
    """The `Rows` for the shapes of an output and of inputs; None if more than three axes are left."""
    axes, everywhere = axes_of(shape, *inputs), (True,) * len(inputs)
    if not axes or (len(axes) == 1 and axes[0][1] == everywhere):
        return _whole(int(np.prod(shape)), len(inputs))
    if len(axes) > 3 or axes[-1][1] != everywhere:
        return None
    (outer, of_outer), (rows, of_rows), (inner, _) = [(1, everywhere)] * (3 - len(axes)) + axes
    strides = [
        (has_outer * (rows if has_rows else 1) * inner, has_rows * inner)
        for has_outer, has_rows in zip(of_outer, of_rows, strict=True)
    ]
    chunks = max(1, min(_MOST_CHUNKS, outer * rows, outer * rows * inner // _ROW))
    return Rows(outer * rows * inner, outer, rows, inner, chunks, np.array(strides, np.int64))


def _whole(size, inputs):
    rows = -(-size // _ROW)
    return Rows(size, 1, rows, _ROW, max(1, min(_MOST_CHUNKS, rows)), np.array([(0, _ROW)] * inputs, np.int64))


def elementwise(formula: Formula, name: str) -> Kernel:
    """The kernel (y, inputs, numbers, rows): y = formula(*inputs, *numbers).

    Parameters
    ----------
    formula : function of arrays and numbers
    name : str
        Of the kernel, no other's: its machine code is kept under it.
    """

    @inline
    def task(chunk, y, inputs, numbers, r):
        count = r.outer * r.rows
        for row in range(chunk * count // r.chunks, (chunk + 1) * count // r.chunks):
            first = row * r.inner
            compute(y, inputs, numbers, r.strides, row // r.rows, row % r.rows, first, min(r.inner, r.size - first))

    @intrinsic
    def compute(typingctx, y, inputs, numbers, strides, outer, row, first, count):
        index = types.int64
        return types.void(y, inputs, numbers, strides, index, index, index, index), emit_row

    def emit_row(context, builder, signature, args):
        emit = emitter_of(context, builder, signature.args[0])
        y, inputs, numbers, strides, outer, row, first, count = emit.plain(signature.args, args)
        starts = [start_of(emit, x, strides, k, (outer, row)) for k, x in enumerate(inputs)]
        numbers, y = [everywhere(emit, number) for number in numbers], emit.moved(y, first)
        lanes = emit.index(emit.lanes)
        with cgutils.for_range_slice(builder, emit.index(0), count, lanes, inc=True) as (at, _):
            operands = [Numbers(emit, emit.load(emit.moved(start, at))) for start in starts]
            value = formula(*operands, *numbers).value
            emit.store_counted(value, emit.moved(y, at), builder.sub(count, at))
        return context.get_dummy_value()

    return Kernel(named(_over_chunks, name, task=task))


def start_of(emit: Emitter, x: ir.Value, strides: ir.Value, k: int, place: tuple[ir.Value, ir.Value]) -> ir.Value:
    """Where the row of input k starts."""
    for axis, index in enumerate(place):
        x = emit.moved(x, emit.builder.mul(index, emit.entry(strides, emit.index(2 * k), axis)))
    return x


def everywhere(emit: Emitter, number: ir.Value) -> Numbers:
    """A float64 in every lane, of the dtype of the arrays."""
    if emit.size == 4:
        number = emit.builder.fptrunc(number, emit.vector.element)
    return Numbers(emit, emit.splat(number))


def _over_chunks(pool, y, inputs, numbers, rows):
    in_parallel(pool, rows.chunks, task, (y, inputs, numbers, rows))  # noqa: F821


def named(function: FunctionType, name: str, **names: object) -> FunctionType:
    """A copy of the function that finds these names: a closure's cells would change its stamp in each process."""
    copy = FunctionType(function.__code__, function.__globals__ | names, name)
    copy.__qualname__, copy.__module__ = name, function.__module__
    return copy
