"""Parts of arrays along an axis: rows that are copied from one distance to another."""

import math
from typing import NamedTuple

from minicnn.backends.memory import Array
from minicnn.backends.numba.machine.batch import Chunks, chunks_of, images_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import copy
from minicnn.backends.numba.machine.offsets import table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import call
from minicnn.backends.reference import ops as reference

_NANOSECONDS, _NANOSECONDS_A_ROW = 0.2, 5  # that one core needs for a number, about
_SMALL = 4096  # numbers: up to here NumPy has copied them before a kernel is called


def put_part(x: Array, y: Array, axis: int, start: int) -> None:
    """See `minicnn.backends.reference.parts.put_part`."""
    if x.size <= _SMALL:
        call(reference.put_part, x, y, axis, start)
        return
    rows, first = _rows(x.shape, y.shape[axis], axis, start, False)
    _copy(x, y, 0, first, rows)


def take_part(x: Array, y: Array, axis: int, start: int) -> None:
    """See `minicnn.backends.reference.parts.take_part`."""
    if y.size <= _SMALL:
        call(reference.take_part, x, y, axis, start)
        return
    rows, first = _rows(y.shape, x.shape[axis], axis, start, True)
    _copy(x, y, first, 0, rows)


def make_whole(gradient: Array) -> None:
    """See `minicnn.backends.reference.parts.make_whole`: no op here leaves any in parts."""


class _Rows(NamedTuple):
    size: int
    source_stride: int
    target_stride: int
    chunks: Chunks  # of the rows


@table_cache
def _rows(shape, whole, axis, start, is_taken):
    """(the rows of a part of this shape, where they begin in an array of size `whole` along the axis)."""
    inner = math.prod(shape[axis + 1 :])
    part, whole = shape[axis] * inner, whole * inner
    strides = (whole, part) if is_taken else (part, whole)
    return _Rows(part, *strides, chunks_of(math.prod(shape[:axis]))), start * inner


def _copy(x, y, start, at, rows):
    time = rows.chunks.images * (_NANOSECONDS * rows.size + _NANOSECONDS_A_ROW)
    _copy_rows.launch(time, x.reshape(-1), y.reshape(-1), start, at, rows, chunks=rows.chunks.count)


@inline
def _copy_some(chunk, x, y, start, at, rows):
    first, last = images_of(rows.chunks, chunk)
    for row in range(first, last):
        copy(x, start + row * rows.source_stride, rows.size, y, at + row * rows.target_stride)


@parallel_kernel
def _copy_rows(pool, x, y, start, at, rows):
    in_parallel(pool, rows.chunks.count, _copy_some, (x, y, start, at, rows))
