"""Max and average pooling and their gradients."""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.batch import chunks_of, copy_out, frame_scratch, framed_image, images_of, is_framed
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import fill
from minicnn.backends.numba.machine.offsets import flat, input_frame, outer_sum, strides, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import reference
from minicnn.backends.numba.machine.vectors import I8, Emitter, lanes_of
from minicnn.geometry import MAX_TAPS, RELU_OFF, Window

# Nanoseconds that one core needs, about.
_MAX_TIME = 0.2  # per tap
_MAX_GRADIENT_TIME = 1.0  # per winner
_AVERAGE_TIME = 1.2  # per tap, and for its gradient


def max_pool2d(x: np.ndarray, y: np.ndarray, winner: np.ndarray | None, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.max_pool2d`."""
    if window.taps > MAX_TAPS:
        return reference.max_pool2d(x, y, winner, window)
    chunks, time = chunks_of(len(x)), _MAX_TIME * y.size * window.taps
    _max_pool2d.launch(time, x.reshape(-1), pooled(y, winner), chunks, *_tables(window, x), chunks=chunks.count)


def max_pool2d_backward(dy: np.ndarray, winner: np.ndarray, dx: np.ndarray | None, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.max_pool2d_backward`."""
    if dx is None:
        return
    if window.taps > MAX_TAPS:
        reference.max_pool2d_backward(dy, winner, dx, window)
        return
    chunks, arrays = chunks_of(len(dx)), (dy.reshape(-1), winner.reshape(-1), dx.reshape(-1))
    time = _MAX_GRADIENT_TIME * dy.size
    _max_pool2d_backward.launch(time, *arrays, chunks, *_tables(window, dx), chunks=chunks.count)


def avg_pool2d(x: np.ndarray, y: np.ndarray, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.avg_pool2d`."""
    chunks, tables = chunks_of(len(x)), (*_tables(window, x), _pixel_shares(window))
    time = _AVERAGE_TIME * y.size * window.taps
    _avg_pool2d.launch(time, x.reshape(-1), y.reshape(-1), chunks, *tables, chunks=chunks.count)


def avg_pool2d_backward(dy: np.ndarray, dx: np.ndarray | None, window: Window) -> None:
    """See `minicnn.backends.reference.pooling.avg_pool2d_backward`."""
    if dx is None:
        return
    chunks, tables = chunks_of(len(dx)), (*_tables(window, dx), _pixel_shares(window))
    time = _AVERAGE_TIME * dy.size * window.taps
    _avg_pool2d_backward.launch(time, dy.reshape(-1), dx.reshape(-1), chunks, *tables, chunks=chunks.count)


# ------------------------------------------------------------------------------------------------------ tables


class Cells(NamedTuple):
    """The cells of an image that pooling looks at."""

    channels: int
    cells: np.ndarray  # first tap of every cell, in the padded image
    taps: np.ndarray  # every tap of a cell, from its first
    covers: bool  # whether every pixel is in one cell, and there are no others


@table_cache
def _cells(pool: Window, channels: int) -> Cells:
    row = input_frame(pool, channels).padded_row
    cell_rows, cell_columns = strides(pool.out_height, pool.stride_y * row), pool.stride_x * channels
    tap_rows, tap_columns = strides(pool.kernel_height, pool.dilation_y * row), pool.dilation_x * channels
    cells = outer_sum(cell_rows, strides(pool.out_width, cell_columns))
    taps = outer_sum(tap_rows, strides(pool.kernel_width, tap_columns))
    is_apart = not pool.is_padded and not pool.overlaps
    return Cells(channels, cells, taps, is_apart and len(cells) * len(taps) == pool.in_height * pool.in_width)


def _tables(window, x):
    """The frame of an image of `x`, and the tables of its cells."""
    return input_frame(window, x.shape[-1]), _cells(window, x.shape[-1])


@table_cache
def _pixel_shares(pool: Window) -> np.ndarray:
    """1 / pixels of the image in each window: (OH·OW,) float64."""
    rows = _pixels_inside(
        pool.out_height, pool.stride_y, pool.pad_top, pool.kernel_height, pool.dilation_y, pool.in_height
    )
    columns = _pixels_inside(
        pool.out_width, pool.stride_x, pool.pad_left, pool.kernel_width, pool.dilation_x, pool.in_width
    )
    return 1.0 / np.multiply.outer(rows, columns).reshape(-1)


def _pixels_inside(out_size, stride, pad, kernel, dilation, in_size):
    """How many taps of each window along one axis lie inside the image."""
    positions = np.add.outer(np.arange(out_size) * stride - pad, np.arange(kernel) * dilation)
    return ((positions >= 0) & (positions < in_size)).sum(axis=1)


# ------------------------------------------------------------------------------------------------- max pooling


class Pooled(NamedTuple):
    """What max pooling writes."""

    y: np.ndarray
    winner: np.ndarray  # empty if it is not kept
    keeps_winner: bool


def pooled(y: np.ndarray, winner: np.ndarray | None) -> Pooled:
    """The `Pooled` for arrays; `winner` may be None."""
    return Pooled(y.reshape(-1), flat(winner, np.uint8), winner is not None)


@intrinsic
def pool_cells(typingctx, images, start, cells, taps, channels, out, at, relu):
    """out = the maximum of each cell and its (first) tap, from element `at` on; cells count from `start`."""
    index = types.int64
    return types.void(images, index, cells, taps, index, out, index, types.boolean), _emit_pool_cells


def _emit_pool_cells(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    sizes = [context.make_array(signature.args[i])(context, builder, args[i]).nitems for i in (2, 3)]
    images, start, cells, taps, channels, out, at, relu = emit.plain(signature.args, args)
    images, is_square = emit.moved(images, start), builder.icmp_signed("==", sizes[1], emit.index(4))
    with cgutils.for_range(builder, sizes[0]) as cell, emit.each_vector(channels) as (column, _):
        x = emit.moved(images, builder.load(emit.moved(cells, cell.index)), column)
        place = builder.add(builder.add(at, builder.mul(cell.index, channels)), column)
        with builder.if_else(is_square) as (square, others):
            for block, count in ((square, emit.index(4)), (others, sizes[1])):
                with block:
                    best = _emit_best(emit, x, taps, count)
                    _store_cell(emit, *best, relu, out, place, builder.sub(channels, column))
    return context.get_dummy_value()


def _emit_best(emit, x, offsets, taps):
    """Maximum over pixels of one vector of channels, and its tap; a constant number of them is unrolled."""
    builder, first = emit.builder, emit.load(emit.moved(x, emit.builder.load(offsets)))
    best, best_tap = emit.registers([first, _taps(emit, 0)])
    with cgutils.for_range(builder, taps, start=emit.index(1)) as loop:
        pixels = emit.load(emit.moved(x, builder.load(emit.moved(offsets, loop.index))))
        tap = emit.splat(builder.trunc(loop.index, _taps(emit, 0).type.element))
        better, better_tap = _better(emit, pixels, tap, builder.load(best), builder.load(best_tap))
        builder.store(better, best)
        builder.store(better_tap, best_tap)
    return builder.load(best), builder.load(best_tap)


def _taps(emit, tap):
    """One constant tap a lane, as wide as the numbers: where they are compared, masks have that width."""
    return ir.Constant(ir.VectorType(ir.IntType(8 * emit.size), emit.lanes), [tap] * emit.lanes)


def _better(emit, pixels, tap, best, best_tap):
    """The greater of `pixels` and `best`, lane by lane, and its tap; NaN beats every number, and nothing beats NaN."""
    builder = emit.builder
    beats = builder.and_(builder.fcmp_unordered(">", pixels, best), builder.fcmp_ordered("ord", best, best))
    return builder.select(beats, pixels, best), builder.select(beats, tap, best_tap)


def _store_cell(emit, result, result_tap, relu, out, at, count):
    """Store a pooled cell after ReLU, if there is one, and its winner, if it is kept."""
    builder, zero = emit.builder, emit.full(0.0)
    blocked = builder.fcmp_ordered("<=", result, emit.least_passing(relu))
    emit.store_counted(builder.select(blocked, zero, result), emit.moved(out.y, at), count)
    with builder.if_then(out.keeps_winner):
        tap = builder.select(blocked, _taps(emit, RELU_OFF), result_tap)
        emit.store_counted(builder.trunc(tap, emit.bytes(0).type), emit.moved(out.winner, at), count)


def emit_cell(
    emit: Emitter, taps: list[ir.Value], bias: ir.Value, relu: ir.Value, out: Pooled, at: ir.Value, count: ir.Value
) -> None:
    """Pool vectors that are in registers, add the bias and store the cell."""
    best, best_tap = taps[0], _taps(emit, 0)
    for tap, pixels in enumerate(taps[1:], 1):
        best, best_tap = _better(emit, pixels, _taps(emit, tap), best, best_tap)
    _store_cell(emit, emit.builder.fadd(best, bias), best_tap, relu, out, at, count)


@inline
def _max_pool2d_chunk(chunk, x, out, chunks, frame, t):
    images = images_of(chunks, chunk)
    padded = frame_scratch(frame, -np.inf, x)
    for image in range(images[0], images[1]):
        source, start = framed_image(frame, x, image, padded)
        pool_cells(source, start, t.cells, t.taps, t.channels, out, image * len(t.cells) * t.channels, False)


@parallel_kernel
def _max_pool2d(pool, x, out, chunks, frame, t):
    in_parallel(pool, chunks.count, _max_pool2d_chunk, (x, out, chunks, frame, t))


@inline
def _gradient_image(frame, dx, image, padded):
    """(array, start) of the zeroed, padded gradient of one image: its elements of dx if there is no padding."""
    size = frame.rows * frame.row_size
    if is_framed(frame):
        fill(padded, 0, len(padded), 0)
        return padded, 0
    fill(dx, image * size, size, 0)
    return dx, image * size


@intrinsic
def _add_to_winners(typingctx, dy, winner, at, target, cell, offsets, taps, count, adds):
    """target += (or =) one vector of channels of a cell's gradient, at the winner's tap of each channel."""
    index = types.int64
    return types.void(dy, winner, index, target, index, offsets, index, index, types.boolean), _emit_add_to_winners


def _emit_add_to_winners(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    dy, winner, at, target, cell, offsets, taps, count, adds = emit.plain(signature.args, args)
    gradient, winners = emit.load(emit.moved(dy, at)), emit.load_bytes(emit.moved(winner, at))
    adds, zero = emit.splat(adds), emit.full(0.0)
    with cgutils.for_range(builder, taps) as loop:
        pixels = emit.moved(target, cell, builder.load(emit.moved(offsets, loop.index)))
        has_won = builder.icmp_unsigned("==", winners, emit.splat(builder.trunc(loop.index, I8)))
        share, before = builder.select(has_won, gradient, zero), builder.select(adds, emit.load(pixels), zero)
        emit.store_counted(builder.fadd(before, share), pixels, count)
    return context.get_dummy_value()


@inline
def _add_cells(dy, winner, at, target, start, t):
    """The gradient of all cells of an image, vector by vector."""
    for cell in t.cells:
        for c in range(0, t.channels, lanes_of(target)):
            pixel, count = start + cell + c, t.channels - c
            _add_to_winners(dy, winner, at + c, target, pixel, t.taps, len(t.taps), count, not t.covers)
        at += t.channels


@inline
def _scatter_cells(dy, winner, at, target, start, t):
    """The same, number by number."""
    for cell in t.cells:
        for c in range(t.channels):
            tap = winner[at + c]
            if tap < len(t.taps):
                target[start + cell + t.taps[tap] + c] += dy[at + c]
        at += t.channels


@inline
def _max_pool2d_backward_chunk(chunk, dy, winner, dx, chunks, frame, t):
    images = images_of(chunks, chunk)
    padded = frame_scratch(frame, 0, dx)
    has_vectors = t.channels >= lanes_of(dx) >= len(t.taps)
    for image in range(images[0], images[1]):
        target, start = dx, image * frame.size
        if not (has_vectors and t.covers):
            target, start = _gradient_image(frame, dx, image, padded)
        at = image * len(t.cells) * t.channels
        if has_vectors:
            _add_cells(dy, winner, at, target, start, t)
        else:
            _scatter_cells(dy, winner, at, target, start, t)
        if is_framed(frame):
            copy_out(frame, padded, dx, image * frame.rows * frame.row_size)


@parallel_kernel
def _max_pool2d_backward(pool, dy, winner, dx, chunks, frame, t):
    in_parallel(pool, chunks.count, _max_pool2d_backward_chunk, (dy, winner, dx, chunks, frame, t))


# --------------------------------------------------------------------------------------------- average pooling


@inline
def _pixel(images, start, t):
    return images[start : start + t.channels]


@inline
def _avg_pool2d_chunk(chunk, x, y, chunks, frame, t, shares):
    images = images_of(chunks, chunk)
    padded = frame_scratch(frame, 0, x)
    for image in range(images[0], images[1]):
        source, start = framed_image(frame, x, image, padded)
        for cell in range(len(t.cells)):
            at, share = (image * len(t.cells) + cell) * t.channels, y.dtype.type(shares[cell])
            mean = y[at : at + t.channels]
            fill(mean, 0, t.channels, 0)
            for tap in t.taps:
                pixel = _pixel(source, start + t.cells[cell] + tap, t)
                for c in range(t.channels):
                    mean[c] += pixel[c]
            for c in range(t.channels):
                mean[c] *= share


@parallel_kernel
def _avg_pool2d(pool, x, y, chunks, frame, t, shares):
    in_parallel(pool, chunks.count, _avg_pool2d_chunk, (x, y, chunks, frame, t, shares))


@inline
def _avg_pool2d_backward_chunk(chunk, dy, dx, chunks, frame, t, shares):
    images = images_of(chunks, chunk)
    padded = frame_scratch(frame, 0, dx)
    for image in range(images[0], images[1]):
        target, start = _gradient_image(frame, dx, image, padded)
        for cell in range(len(t.cells)):
            at, share = (image * len(t.cells) + cell) * t.channels, dx.dtype.type(shares[cell])
            gradient = dy[at : at + t.channels]
            for tap in t.taps:
                pixel = _pixel(target, start + t.cells[cell] + tap, t)
                for c in range(t.channels):
                    pixel[c] += share * gradient[c]
        if is_framed(frame):
            copy_out(frame, padded, dx, image * frame.rows * frame.row_size)


@parallel_kernel
def _avg_pool2d_backward(pool, dy, dx, chunks, frame, t, shares):
    in_parallel(pool, chunks.count, _avg_pool2d_backward_chunk, (dy, dx, chunks, frame, t, shares))
