"""Convolutions of few filters, with strides of 1.

Vectors hold neighbouring filters. Of one or three, as where autoencoders and networks that segment end, most lanes
would be empty. So every pixel is multiplied by the whole kernel first, one product whose columns are taps and filters;
then each output gathers its window's numbers from its pixels' columns. A single tap has the channels in its lanes: as
many pixels as a vector has lanes are summed together, and their lanes are then added up crosswise.

The kernel's gradient has the channels in its lanes, too: it is that of the convolution that leads from y to x, with the
kernel turned around.
"""

from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends import memory
from minicnn.backends.numba.convolution import gradients
from minicnn.backends.numba.convolution.direct import bias_or_zeros
from minicnn.backends.numba.convolution.gradients import Masked, masked
from minicnn.backends.numba.machine.batch import chunks_of, images_of, wanted
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import copy, fill, filled, scratch, transpose
from minicnn.backends.numba.machine.offsets import (
    outer_sum,
    strided_rows,
    strides,
    table_cache,
    whole_vectors,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import call
from minicnn.backends.numba.machine.target import product_nanoseconds
from minicnn.backends.numba.machine.vectors import I64, Emitter, lanes_of
from minicnn.geometry import Window

_BAND_BYTES = 1 << 17  # of columns: a part of the second cache


class Bands(NamedTuple):
    """How images are cut into bands of outputs' rows, and what one looks like: lines of pixels' columns, in a frame."""

    height: int  # of an image of x
    width: int
    channels: int
    filters: int
    columns: int  # of a pixel: taps · filters
    pad_top: int
    pad_left: int
    out_height: int
    out_width: int
    line: int  # elements from line to line
    reach: int  # lines that the taps of an output go down
    lines: int  # outputs' rows of a band
    count: int  # bands of an image
    tap_count: int
    taps: np.ndarray  # from an output's place to its window's numbers
    pixels: np.ndarray  # row table: of a row of x
    units: np.ndarray  # its channels
    places: np.ndarray  # row table: of their columns
    kernel_rows: np.ndarray


@table_cache
def bands(window: Window, channels: int, filters: int, itemsize: int) -> Bands:
    """The `Bands` of a geometry."""
    columns = window.taps * filters
    line = (window.pad_left + window.in_width + window.pad_right) * columns
    reach = (window.kernel_height - 1) * window.dilation_y
    lines = min(window.out_height, max(2 * reach, _BAND_BYTES // (line * itemsize) - reach, 1))
    down, across = strides(window.kernel_height, window.dilation_y * line), strides(window.kernel_width, 1)
    return Bands(
        *(window.in_height, window.in_width, channels, filters, columns, window.pad_top, window.pad_left),
        *(window.out_height, window.out_width, line, reach, lines, -(-window.out_height // lines), window.taps),
        taps=outer_sum(down, across * window.dilation_x * columns) + strides(window.taps, filters),
        pixels=strided_rows(window.in_width, channels),
        units=strides(channels, 1),
        places=strided_rows(window.in_width, columns),
        kernel_rows=strides(channels, columns),
    )


def conv2d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray, window: Window, relu: bool
) -> None:
    """`minicnn.backends.reference.convolution.conv2d` for one group, filters that fit into a vector, a finite kernel.

    Products with padding are left out.
    """
    if window.taps == 1:
        return _single_tap(x, kernel, bias, y, relu)
    tables = bands(window, *kernel.shape[2:], x.itemsize)
    time = product_nanoseconds(2 * x.size // tables.channels * kernel.size, x.itemsize)
    chunks = chunks_of(len(x) * tables.count)
    arrays = x.reshape(-1), kernel.reshape(-1), bias_or_zeros(bias, kernel), y.reshape(-1)
    _conv2d.launch(time, *arrays, zero_row(tables.columns, x.dtype), relu, chunks, tables, chunks=chunks.count)
    return None


@intrinsic
def _gather(typingctx, columns, start, tables, bias, floor, y, at):
    """A row of outputs, from y[at] on: max(floor, bias + the windows' numbers); the first window begins at `start`."""
    index = types.int64
    return types.void(columns, index, tables, bias, columns.dtype, y, index), _emit_gather


def _emit_gather(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    columns, start, tables, bias, floor, y, at = emit.plain(signature.args, args)
    columns, y, floors, first = emit.moved(columns, start), emit.moved(y, at), emit.splat(floor), emit.load(bias)
    with cgutils.for_range(builder, tables.out_width) as pixel:
        (total,) = emit.registers([first])
        place = emit.moved(columns, builder.mul(pixel.index, tables.columns))
        with cgutils.for_range(builder, tables.tap_count) as tap:
            numbers = emit.load(emit.moved(place, builder.load(emit.moved(tables.taps, tap.index))))
            builder.store(builder.fadd(builder.load(total), numbers), total)
        out = emit.moved(y, builder.mul(pixel.index, tables.filters))
        emit.store_counted(emit.at_least(floors, builder.load(total)), out, tables.filters)
    return context.get_dummy_value()


@inline
def _multiply_lines(band, x, image, packed, zeros, columns, tables):
    """The columns of all pixels that a band's outputs look at; zeros for those above and below the image."""
    for line in range(tables.lines + tables.reach):
        row = band * tables.lines + line - tables.pad_top
        if row < 0 or row >= tables.height:
            fill(columns, line * tables.line, tables.line, 0)
            continue
        start = (image * tables.height + row) * tables.width * tables.channels
        multiply(
            Left(x, start, tables.pixels, tables.units),
            Right(packed, 0, tables.kernel_rows),
            Out(columns, line * tables.line + tables.pad_left * tables.columns, tables.places),
            Span(0, tables.channels, 0, tables.width, tables.columns, tables.channels),
            first=zeros,
            accumulate=False,
            floor=floor_of(False, x),
        )


@inline
def _chunk(chunk, x, packed, bias, y, zeros, relu, chunks, tables):
    columns = filled((tables.lines + tables.reach) * tables.line, 0, x)
    parts = images_of(chunks, chunk)
    for part in range(parts[0], parts[1]):
        image, band = part // tables.count, part % tables.count
        _multiply_lines(band, x, image, packed, zeros, columns, tables)
        for line in range(min(tables.lines, tables.out_height - band * tables.lines)):
            row = image * tables.out_height + band * tables.lines + line
            at = row * tables.out_width * tables.filters
            _gather(columns, line * tables.line, tables, bias, floor_of(relu, x), y, at)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d(pool, x, kernel, bias, y, zeros, relu, chunks, tables):
    packed = scratch(tables.channels * tables.columns, x)  # (C, T·F)
    for i in range(tables.tap_count * tables.channels):
        tap, channel = i // tables.channels, i % tables.channels
        copy(kernel, i * tables.filters, tables.filters, packed, channel * tables.columns + tap * tables.filters)
    in_parallel(pool, chunks.count, _chunk, (x, packed, bias, y, zeros, relu, chunks, tables))


# --------------------------------------------------------------------------------------------------- a single tap


def _single_tap(x, kernel, bias, y, relu):
    channels, filters = kernel.shape[2:]
    pixels = x.size // channels
    arrays, chunks = (x.reshape(-1), kernel.reshape(-1), bias_or_zeros(bias, kernel), y.reshape(-1)), chunks_of(pixels)
    time = product_nanoseconds(pixels * filters * whole_vectors(channels, x.itemsize), x.itemsize)
    _dots.launch(time, *arrays, relu, channels, chunks, chunks=chunks.count)


@intrinsic
def _dot(typingctx, x, start, count, channels, kernel, at, first, floor, out):
    """The vector `out` = max(floor, first + the products' sum) of pixels, the first at x[start], of which `count`."""
    index = types.int64
    kinds = x, index, index, index, kernel, index, x.dtype, x.dtype, out
    return types.void(*kinds), _emit_dot


def _emit_dot(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    x, start, count, channels, kernel, at, first, floor, out = emit.plain(signature.args, args)
    x, kernel, last = emit.moved(x, start), emit.moved(kernel, at), builder.sub(count, emit.index(1))
    pixels = [emit.index(i) for i in range(emit.lanes)]
    pixels = [builder.select(builder.icmp_signed("<", pixel, last), pixel, last) for pixel in pixels]
    pointers = [emit.moved(x, builder.mul(pixel, channels)) for pixel in pixels]
    sums = emit.registers([emit.full(0.0)] * emit.lanes)
    with cgutils.for_range_slice(builder, emit.index(0), channels, emit.index(emit.lanes), I64) as (channel, _):
        factors, inside = emit.load(emit.moved(kernel, channel)), emit.below(builder.sub(channels, channel))
        for pointer, register in zip(pointers, sums, strict=True):
            numbers = builder.select(inside, emit.load(emit.moved(pointer, channel)), emit.full(0.0))
            builder.store(emit.multiply_add(numbers, factors, builder.load(register)), register)
    total = builder.fadd(_add_crosswise(emit, [builder.load(register) for register in sums]), emit.splat(first))
    emit.store(emit.at_least(emit.splat(floor), total), out)
    return context.get_dummy_value()


def _add_crosswise(emit, rows):
    """A vector of the sums of as many vectors' lanes."""
    bit, lanes = 1, range(emit.lanes)
    while bit < emit.lanes:  # of two vectors, every other lanes: those of the one, then those of the other
        lower = [j if not j & bit else emit.lanes + j - bit for j in lanes]
        upper = [j + bit if not j & bit else emit.lanes + j for j in lanes]
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [emit.builder.fadd(emit.shuffle(x, y, lower), emit.shuffle(x, y, upper)) for x, y in pairs]
        bit *= 2
    return rows[0]


@inline
def _dots_chunk(chunk, x, rows, bias, y, relu, channels, chunks):
    together, filters = lanes_of(x), len(bias)
    size, numbers = len(rows) // filters, scratch(together, x)
    first, last = images_of(chunks, chunk)
    control = flush_denormals()
    for pixel in range(first, last, together):
        count = min(together, last - pixel)
        for f in range(filters):
            start = pixel * channels
            _dot(x, start, count, channels, rows, f * size, bias[f], floor_of(relu, x), numbers)
            for i in range(count):
                y[(pixel + i) * filters + f] = numbers[i]
    restore_denormals(control)


@parallel_kernel
def _dots(pool, x, kernel, bias, y, relu, channels, chunks):
    filters, lanes = len(bias), lanes_of(x)
    size = (channels + lanes - 1) // lanes * lanes
    rows = filled(filters * size, 0, x)  # (F, C in whole vectors)
    transpose(kernel, 0, filters, channels, filters, rows, 0, size)
    in_parallel(pool, chunks.count, _dots_chunk, (x, rows, bias, y, relu, channels, chunks))


# -------------------------------------------------------------------------------------------------- its gradient


def kernel_gradient(
    x: np.ndarray, incoming: Masked, dkernel: np.ndarray, dbias: np.ndarray | None, window: Window
) -> None:
    """The gradients of kernel and bias of `minicnn.backends.reference.convolution.conv2d_backward`, for one group.

    Where dkernel is not all finite, more of it is not than in the formula.
    """
    height, width, channels, filters = dkernel.shape
    dy = incoming.dy.reshape(len(x), window.out_height, window.out_width, filters)
    if incoming.has_relu:
        dy = memory.empty(dy.shape, x.dtype)
        call(_mask, incoming, dy)
    turned = memory.empty((height, width, filters, channels), x.dtype)
    out = wanted(None, turned, None, x.dtype)
    gradients.conv2d_backward(dy, turned, masked(x, None), out, window.turned_around)
    call(_turn, turned, dkernel)
    if dbias is not None:
        gradients.conv2d_backward(x, dkernel, incoming, wanted(None, None, dbias, x.dtype), window)


def _turn(turned, kernel):
    kernel[...] = turned[::-1, ::-1].swapaxes(2, 3)


def _mask(incoming, dy):
    dy.fill(0)
    np.copyto(dy.reshape(-1), incoming.dy, where=~(incoming.y <= 0))
