"""The gradients of a convolution without pooling, by the same matrix product as `direct.py`.

Names in the kernels: `conv` and `gradient` are named tuples of tables, `frame` is the input image's, `gradient.frame`
that of dy.
"""

import math
from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.convolution.direct import convolution, groups_of, product_time
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.finite import all_finite
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import fill, filled, scratch, transpose
from minicnn.backends.numba.machine.offsets import (
    Frame,
    flat,
    frame,
    input_frame,
    outer_sum,
    row_table,
    run_of,
    strides,
    table_cache,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.vectors import Emitter, lanes_of
from minicnn.geometry import Window

_PIXELS_TOGETHER = 128  # whose dy stays in the L1 cache while all rows of dkernel pass


class Masked(NamedTuple):
    """The outputs' gradient dy, where y is positive or NaN; all of it if there is no ReLU."""

    dy: np.ndarray
    y: np.ndarray
    has_relu: bool


def masked(dy: np.ndarray, y: np.ndarray | None) -> Masked:
    """The `Masked` for arrays; y is None without ReLU."""
    return Masked(dy.reshape(-1), flat(y, dy.dtype), y is not None)


def conv2d_backward(x: np.ndarray, kernel: np.ndarray, incoming: Masked, out: Gradients, window: Window) -> bool:
    """`minicnn.backends.reference.convolution.conv2d_backward`.

    Of several groups, the kernel and its gradient are (groups, KH, KW, C, F). Returns False if dx is another: the
    frame's zeros have met weights that are not finite.
    """
    geometry = window, *kernel.shape[-2:], groups_of(kernel)
    arrays = x.reshape(-1), kernel.reshape(-1), incoming, zero_row(max(geometry[1:3]), x.dtype), out
    tables = input_frame(window, x.shape[-1]), convolution(*geometry)
    turned, chunks = input_gradient(*geometry), batch.chunks_with_sums(len(x), kernel.nbytes)
    time = product_time(x, kernel, window)
    return _conv2d_backward.launch(time, *arrays, chunks, *tables, turned, chunks=chunks.count)


# ---------------------------------------------------------------------------------- tables of the input gradient


class InputGradient(NamedTuple):
    """Tables for dx = sum over taps of dy · kernelᵀ, as a convolution of a framed dy with the kernel turned around.

    With a stride, pixels fall into phases: a pixel meets only the taps that a whole number of strides leads to. Every
    phase is a product of its own: its pixels, row table entries `phases[i, 0]` to `phases[i, 1]`, by its taps and
    filters, inner table entries `phases[i, 2]` to `phases[i, 3]`.
    """

    frame: Frame  # of dy
    dy_inside: np.ndarray  # every pixel of dy in its frame
    dy_run: int  # of the pixels, there and in x, see `run_of`
    tap_order: np.ndarray  # phase by phase
    dy_rows: np.ndarray
    dx_rows: np.ndarray
    dy_inner: np.ndarray
    inner_run: int
    kernel_rows: np.ndarray  # of the kernel turned around
    phases: np.ndarray


@table_cache
def input_gradient(window: Window, channels: int, filters: int, groups: int) -> InputGradient:
    """The tables for one geometry; channels and filters are a group's."""
    row_phases, column_phases, margins = phases_of(window)
    dx_pixel, dy_pixel = groups * channels, groups * filters
    dy_frame = frame(window.out_height, window.out_width, dy_pixel, *margins)
    row_size, first = dy_frame.padded_row, dy_frame.first
    taps, dy_rows, dx_rows, dy_inner, phases = [], [], [], [], []
    row_start = inner_start = 0
    for rows in row_phases:
        for columns in column_phases:
            taps.append(outer_sum(rows.taps * window.kernel_width, columns.taps))
            dx_rows.append(row_table(outer_sum(rows.inputs * (window.in_width * dx_pixel), columns.inputs * dx_pixel)))
            dy_rows.append(row_table(first + outer_sum(rows.outputs * row_size, columns.outputs * dy_pixel)))
            dy_inner.append(outer_sum(-rows.back * row_size, -columns.back * dy_pixel, strides(filters, 1)))
            row_last = row_start + len(rows.inputs) * len(columns.inputs)
            phases.append((row_start, row_last, inner_start, inner_start + len(dy_inner[-1])))
            row_start, inner_start = row_start + len(dx_rows[-1]), inner_start + len(dy_inner[-1])
    inside = outer_sum(strides(window.out_height, row_size), strides(window.out_width, dy_pixel))
    return InputGradient(
        dy_frame,
        dy_inside=row_table(first + inside),
        dy_run=math.gcd(run_of(inside), convolution(window, channels, filters, groups).pixel_run),
        tap_order=np.concatenate(taps),
        dy_rows=np.concatenate(dy_rows),
        dx_rows=np.concatenate(dx_rows),
        dy_inner=np.concatenate(dy_inner),
        inner_run=run_of(np.concatenate(dy_inner)),
        kernel_rows=strides(inner_start, channels),
        phases=np.array(phases),
    )


class Phase(NamedTuple):
    """One axis of a phase."""

    inputs: np.ndarray  # positions
    outputs: np.ndarray  # where they are in dy, for a tap that goes back by 0
    taps: np.ndarray  # those that meet these inputs
    back: np.ndarray  # by so many outputs


def phases_of(window: Window) -> tuple[list[Phase], list[Phase], tuple[int, int, int, int]]:
    """The phases of the rows, those of the columns, and the frame of zeros (top, bottom, left, right) around dy."""
    rows = window.in_height, window.pad_top, window.kernel_height, window.dilation_y, window.stride_y
    columns = window.in_width, window.pad_left, window.kernel_width, window.dilation_x, window.stride_x
    row_phases, column_phases = _axis_phases(*rows), _axis_phases(*columns)
    margins = *_margins(row_phases, window.out_height), *_margins(column_phases, window.out_width)
    return row_phases, column_phases, margins


def _axis_phases(size, pad, kernel, dilation, stride):
    positions, taps = np.arange(size), np.arange(kernel)
    phases = []
    for phase in range(min(stride, size)):
        remainder = (phase + pad) % stride
        mine = positions[phase::stride]
        meets = taps[taps * dilation % stride == remainder]
        outputs, back = (mine + pad - remainder) // stride, (meets * dilation - remainder) // stride
        phases.append(Phase(mine, outputs, meets, back))
    return phases


def _margins(phases, out_size):
    """Zeros needed before and after dy, so that no tap leads out of its frame."""
    lows = [phase.outputs.min() - phase.back.max() for phase in phases if len(phase.taps)]
    highs = [phase.outputs.max() - phase.back.min() for phase in phases if len(phase.taps)]
    return max(0, -min(lows, default=0)), max(0, max(highs, default=0) - out_size + 1)


# --------------------------------------------------------------------------------- the gradient that comes in


@inline
def masked_image(
    frame: Frame, gradient: Masked, start: int, framed: np.ndarray, filters: int, bias_sum: np.ndarray
) -> None:
    """Copy an image of the gradient, which starts at element `start`, into its frame, and add it up over the pixels."""
    for row in range(frame.rows):
        at = frame.first + row * frame.padded_row
        masked_pixels(gradient, start + row * frame.row_size, frame.row_size // filters, framed, at, filters, bias_sum)


@inline
def masked_pixels(
    gradient: Masked, start: int, pixels: int, target: np.ndarray, at: int, filters: int, bias_sum: np.ndarray
) -> None:
    """Copy neighbouring pixels of the gradient and add them up."""
    for column in range(0, filters, lanes_of(target)):
        _mask(gradient, start + column, pixels, target, at + column, filters, bias_sum, column)


@intrinsic
def _mask(typingctx, gradient, start, pixels, target, at, filters, sums, column):
    """target = one vector of filters of the gradient's pixels, which are `filters` apart; sums[column :] += them."""
    index = types.int64
    return types.void(gradient, index, index, target, index, index, sums, index), _emit_mask


def _emit_mask(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    gradient, start, pixels, target, at, filters, sums, column = emit.plain(signature.args, args)
    dy, target, sums = emit.moved(gradient.dy, start), emit.moved(target, at), emit.moved(sums, column)
    y = builder.select(gradient.has_relu, emit.moved(gradient.y, start), dy)
    count, bound = builder.sub(filters, column), emit.least_passing(gradient.has_relu)
    (total,) = emit.registers([emit.load(sums)])
    with cgutils.for_range(builder, pixels) as loop:
        offset = builder.mul(loop.index, filters)
        value, y_value = emit.load(emit.moved(dy, offset)), emit.load(emit.moved(y, offset))
        value = builder.select(builder.fcmp_unordered(">", y_value, bound), value, emit.full(0.0))
        builder.store(builder.fadd(builder.load(total), value), total)
        emit.store_counted(value, emit.moved(target, offset), count)
    emit.store_counted(builder.load(total), sums, count)
    return context.get_dummy_value()


# ------------------------------------------------------------------------------------------------ the kernel


@inline
def _turned_kernel(kernel, tap_order, conv):
    """The kernel as (group, tap, filter, channel), taps in the given order."""
    size, taps = conv.channels * conv.filters, len(tap_order)
    turned = scratch(conv.groups * taps * size, kernel)
    for i in range(conv.groups * taps):
        source = (i // taps * (conv.kernel_height // conv.channels) + tap_order[i % taps]) * size
        transpose(kernel, source, conv.filters, conv.channels, conv.filters, turned, i * size, conv.channels)
    return turned


@inline
def _add_to_kernel(source, start, framed, zeros, dkernel, group, accumulate, conv, gradient):
    """dkernel of a group = or += what one image contributes."""
    for pixel in range(0, conv.pixel_count, _PIXELS_TOGETHER):
        last = min(pixel + _PIXELS_TOGETHER, conv.pixel_count)
        multiply(
            Left(source, start + group * conv.channels, conv.taps, conv.pixels),
            Right(framed, group * conv.filters, gradient.dy_inside),
            Out(dkernel, group * conv.kernel_height * conv.filters, conv.kernel_rows),
            Span(pixel, last, 0, conv.kernel_height, conv.filters, gradient.dy_run),
            first=zeros,
            accumulate=accumulate or pixel > 0,
            floor=floor_of(False, source),
        )


@inline
def _multiply_phases(framed, turned, zeros, dx, start, group, conv, gradient):
    """dx of an image and a group, phase by phase."""
    for phase in gradient.phases:
        multiply(
            Left(framed, group * conv.filters, gradient.dy_rows, gradient.dy_inner),
            Right(turned, group * len(turned) // conv.groups, gradient.kernel_rows),
            Out(dx, start + group * conv.channels, gradient.dx_rows),
            Span(phase[2], phase[3], phase[0], phase[1], conv.channels, gradient.inner_run),
            first=zeros,
            accumulate=False,
            floor=floor_of(False, framed),
        )


@inline
def _chunk(chunk, x, turned, incoming, zeros, sums, chunks, frame, conv, gradient):
    dx, dkernel, dbias = batch.sums_of(sums, chunks, chunk)
    images = batch.images_of(chunks, chunk)
    if images[0] == images[1]:
        fill(dkernel, 0, len(dkernel), 0)
    padded = batch.frame_scratch(frame, 0, x)
    framed = filled(gradient.frame.size, 0, x)
    for image in range(images[0], images[1]):
        pixel, size = conv.groups * conv.filters, frame.rows * frame.row_size
        masked_image(gradient.frame, incoming, image * conv.pixel_count * pixel, framed, pixel, dbias)
        if len(dkernel) > 0:
            source, start = batch.framed_image(frame, x, image, padded)
            for group in range(conv.groups):
                _add_to_kernel(source, start, framed, zeros, dkernel, group, image > images[0], conv, gradient)
        for group in range(conv.groups if len(dx) > 0 else 0):
            _multiply_phases(framed, turned, zeros, dx, image * size, group, conv, gradient)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_backward(pool, x, kernel, incoming, zeros, out, chunks, frame, conv, gradient):
    dx, dkernel, dbias = out
    tap_order = gradient.tap_order if len(dx) > 0 else gradient.tap_order[:0]
    turned = _turned_kernel(kernel, tap_order, conv)
    sums = batch.sums_for(chunks, out.dx, len(dkernel), conv.groups * conv.filters, x)
    in_parallel(pool, chunks.count, _chunk, (x, turned, incoming, zeros, sums, chunks, frame, conv, gradient))
    batch.add_up(pool, sums.dbias, chunks.count, dbias)
    batch.add_up(pool, sums.dkernel, chunks.count, dkernel)
    return len(dx) == 0 or all_finite(kernel, 0, len(kernel))
