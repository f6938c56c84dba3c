"""Kernels that sum a formula up: over the axes that an output lacks.

Axes of one kind are one axis, as in `elementwise`: the output has `outer` times `inner` numbers, each the sum of `rows`
of them. Sums are kept in float64, and those of parts of the rows are added in their order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.elementwise import Formula, axes_of, everywhere, named, start_of
from minicnn.backends.numba.machine.launch import Kernel
from minicnn.backends.numba.machine.memory import fill, scratch
from minicnn.backends.numba.machine.numbers import Numbers
from minicnn.backends.numba.machine.offsets import table_cache, whole_vectors
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.vectors import Emitter
from minicnn.backends.numba.machine.wide import Wide

_ENOUGH_TASKS = 16
_LEAST_OF_A_PART = 8192  # numbers
_WIDE = 64  # numbers: several rows together are as one where a row is shorter


class Parts(NamedTuple):
    """How arrays are summed up."""

    size: int
    outer: int
    parts: int  # of the rows of each outer
    rows: int
    inner: int
    together: int  # rows that are one row here: what is summed up for an output in the end
    padded: int  # numbers of a part's sums
    tasks: int
    strides: np.ndarray  # as in `elementwise.Rows`


@table_cache
def parts_of(shape: tuple[int, ...], first: tuple[int, ...], *others: tuple[int, ...]) -> Parts | None:
    """The `Parts` for the shapes of an output and of inputs, the first with all axes; None if they do not fit."""
    axes = axes_of(first, shape, *others)  # (size, (whether the output has it, whether the other inputs have it))
    everywhere = (True,) * (1 + len(others))
    inner, has_inner = axes.pop() if axes and axes[-1][1][0] else (1, everywhere)
    rows, of_rows = axes.pop() if axes and not axes[-1][1][0] else (1, (False,) + (True,) * len(others))
    outer, of_outer = axes.pop() if axes and axes[-1][1][0] else (1, everywhere)
    if axes or not all(has_inner):
        return None
    strides = [(rows * inner, inner)]
    for of_o, of_r in zip(of_outer[1:], of_rows[1:], strict=True):
        strides.append((of_o * (rows if of_r else 1) * inner, of_r * inner))
    together = 1
    if all(of_rows[1:]):
        together = max(k for k in range(1, max(1, _WIDE // inner) + 1) if rows % k == 0)
        strides = [(o, r * together) for o, r in strides]
    size, rows, wide = outer * rows * inner, rows // together, inner * together
    parts = max(1, min(-(-_ENOUGH_TASKS // outer), rows * wide // _LEAST_OF_A_PART))
    return Parts(
        size, outer, parts, rows, inner, together, whole_vectors(wide, 4), outer * parts, np.array(strides, np.int64)
    )


def summing(formula: Formula, name: str) -> Kernel:
    """The kernel (y, inputs, numbers, factor, parts): y = factor · Σ formula(*inputs, *numbers); as `elementwise`."""

    @inline
    def task(index, sums, y, inputs, numbers, factor, p):
        outer, part = index // p.parts, index % p.parts
        own = index * p.padded
        fill(sums, own, p.padded, 0)
        for row in range(part * p.rows // p.parts, (part + 1) * p.rows // p.parts):
            add_row(y, inputs, numbers, sums, p.strides, own, outer, row, p.inner * p.together)
        if p.parts == 1:
            close(outer, sums, y, factor, p)

    @intrinsic
    def add_row(typingctx, y, inputs, numbers, sums, strides, own, outer, row, count):
        index = types.int64
        return types.void(y, inputs, numbers, sums, strides, index, index, index, index), emit_row

    def emit_row(context, builder, signature, args):
        emit = Emitter(context, builder, signature.args[0])
        _, inputs, numbers, sums, strides, own, outer, row, count = emit.plain(signature.args, args)
        starts = [start_of(emit, x, strides, k, (outer, row)) for k, x in enumerate(inputs)]
        numbers, sums, wide = [everywhere(emit, number) for number in numbers], emit.moved(sums, own), Wide(emit)
        with cgutils.for_range_slice(builder, emit.index(0), count, emit.index(emit.lanes), inc=True) as (at, _):
            operands = [Numbers(emit, emit.load(emit.moved(start, at))) for start in starts]
            value = formula(*operands, *numbers).value  # of lanes beyond the row too: their sums are not used
            total = emit.moved(sums, at)
            wide.store(builder.fadd(wide.load(total), wide.of(value)), total)
        return context.get_dummy_value()

    return Kernel(named(_over_parts, name, task=task))


@inline
def close(outer, sums, y, factor, p):
    """The outputs of one outer, from the sums of its parts."""
    for i in range(p.inner):
        total = 0.0
        for part in range(outer * p.parts, (outer + 1) * p.parts):
            for k in range(p.together):
                total += sums[part * p.padded + k * p.inner + i]
        y[outer * p.inner + i] = total * factor


def _over_parts(pool, y, inputs, numbers, factor, p):
    sums = scratch(p.tasks * p.padded, np.float64)
    in_parallel(pool, p.tasks, task, (sums, y, inputs, numbers, factor, p))  # noqa: F821
    if p.parts > 1:
        for outer in range(p.outer):
            close(outer, sums, y, factor, p)
