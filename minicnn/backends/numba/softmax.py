"""Softmax over the last axes: row by row."""

import math

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.batch import Chunks, chunks_of, images_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import scratch
from minicnn.backends.numba.machine.numbers import Numbers
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import reference
from minicnn.backends.numba.machine.vectors import Emitter

_NANOSECONDS = 1  # that one core needs for a number, about


def softmax(x: np.ndarray, y: np.ndarray, axis: int | tuple[int, ...] = -1, log: bool = False) -> None:
    """See `minicnn.backends.reference.softmax.softmax`."""
    chunks = _rows(x.shape, axis)
    if chunks is None:
        reference.softmax(x, y, axis, log)
    else:
        _softmax.launch(_NANOSECONDS * x.size, x.reshape(-1), y.reshape(-1), log, chunks, chunks=chunks.count)


def softmax_backward(
    y: np.ndarray, dy: np.ndarray, dx: np.ndarray, axis: int | tuple[int, ...] = -1, log: bool = False
) -> None:
    """See `minicnn.backends.reference.softmax.softmax_backward`."""
    chunks = _rows(y.shape, axis)
    if chunks is None:
        reference.softmax_backward(y, dy, dx, axis, log)
    else:
        arrays = y.reshape(-1), dy.reshape(-1), dx.reshape(-1)
        _softmax_backward.launch(_NANOSECONDS * y.size, *arrays, log, chunks, chunks=chunks.count)


def _rows(shape, axis) -> Chunks | None:
    """How the rows are cut; None if the axes are not the last ones, or there is nothing to sum up."""
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    first = len(shape) - len(axes)
    if axes != set(range(first, len(shape))) or 0 in shape:
        return None
    return chunks_of(math.prod(shape[:first]))


@intrinsic
def _exp_row(typingctx, x, start, count, shift, y, at):
    """y[at + i] = exp(x[start + i] - shift) for i < count."""
    index = types.int64
    return types.void(x, index, index, x.dtype, y, index), _emit_exp_row


def _emit_exp_row(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    x, start, count, shift, y, at = emit.plain(signature.args, args)
    x, y, shift = emit.moved(x, start), emit.moved(y, at), Numbers(emit, emit.splat(shift))
    with cgutils.for_range_slice(builder, emit.index(0), count, emit.index(emit.lanes), inc=True) as (i, _):
        value = np.exp(Numbers(emit, emit.load(emit.moved(x, i))) - shift)
        emit.store_counted(value.value, emit.moved(y, i), builder.sub(count, i))
    return context.get_dummy_value()


@inline
def _highest(row):
    """The maximum, or NaN."""
    highest, has_nan = row[0], False
    for i in range(len(row)):
        has_nan |= row[i] != row[i]
        highest = row[i] if row[i] > highest else highest
    return row.dtype.type(np.nan) if has_nan else highest


@inline
def _total(row):
    total = row.dtype.type(0)
    for i in range(len(row)):
        total += row[i]
    return total


@inline
def _softmax_chunk(chunk, x, y, log, chunks):
    size = len(x) // chunks.images
    own = scratch(size if log else 0, x)
    first, last = images_of(chunks, chunk)
    for n in range(first, last):
        row, result = x[n * size : (n + 1) * size], y[n * size : (n + 1) * size]
        highest = _highest(row)
        if log:
            _exp_row(x, n * size, size, highest, own, 0)
            for i in range(size):  # two loops: large numbers lose their digits if the logarithm is added to them
                result[i] = row[i] - highest
            logarithm = math.log(_total(own))
            for i in range(size):
                result[i] -= logarithm
        else:
            _exp_row(x, n * size, size, highest, y, n * size)
            total = _total(result)
            for i in range(size):
                result[i] /= total


@parallel_kernel
def _softmax(pool, x, y, log, chunks):
    in_parallel(pool, chunks.count, _softmax_chunk, (x, y, log, chunks))


@inline
def _gradient_chunk(chunk, y, dy, dx, log, chunks):
    size = len(y) // chunks.images
    first, last = images_of(chunks, chunk)
    for n in range(first, last):
        start, end = n * size, (n + 1) * size
        row, gradient, result = y[start:end], dy[start:end], dx[start:end]
        if log:
            total = _total(gradient)
            _exp_row(y, start, size, y.dtype.type(0), dx, start)
            for i in range(size):
                result[i] = gradient[i] - result[i] * total
        else:
            total = y.dtype.type(0)
            for i in range(size):
                total += row[i] * gradient[i]
            for i in range(size):
                result[i] = row[i] * (gradient[i] - total)


@parallel_kernel
def _softmax_backward(pool, y, dy, dx, log, chunks):
    in_parallel(pool, chunks.count, _gradient_chunk, (y, dy, dx, log, chunks))
