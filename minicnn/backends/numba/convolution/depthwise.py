"""Depthwise convolution: every filter sees one channel, so that vectors run over the channels.

Forward and backward towards the input it is one loop: a block of pixels in registers, tap by tap a vector of the kernel
times a vector of every pixel. (Input gradient: the framed dy, with the taps that `gradients.py` finds for each phase of
the stride.) The kernel's gradient keeps a few taps in registers while the pixels of a row pass. With several filters a
channel, the image is first copied with each of its channels repeated.
"""

from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.convolution.direct import bias_or_zeros
from minicnn.backends.numba.convolution.gradients import Masked, masked_image, phases_of
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.finite import all_finite
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import fill, filled, scratch
from minicnn.backends.numba.machine.offsets import Frame, frame, input_frame, outer_sum, strides, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import product_nanoseconds
from minicnn.backends.numba.machine.vectors import Emitter, lanes_of
from minicnn.geometry import Window

# Whose sums are in registers together; taps of the kernel's gradient: 3 x 3 are the most frequent, and with fewer sums
# each addition would wait for the one before.
_PIXELS, _TAPS = 8, 9
_SLOWER = 3  # than a matrix product: a vector of x is loaded for each multiply-add


class Taps(NamedTuple):
    """A sum over taps, for every pixel: phase by phase of the stride, if there is one.

    Phase i is the entries `phases[i, 0]` to `phases[i, 1]` of the pixels, a multiple of `_PIXELS` (the last one is
    repeated), by the entries `phases[i, 2]` to `phases[i, 3]` of the taps.
    """

    channels: int
    sources: np.ndarray  # of every pixel: where its window is
    targets: np.ndarray  # where it is written
    offsets: np.ndarray  # of every tap in the window
    kernel_rows: np.ndarray  # of every tap in the kernel
    phases: np.ndarray


class Rows(NamedTuple):
    """What the kernel's gradient sums up: for rows of outputs, `_TAPS` taps together (the last one is repeated)."""

    height: int
    width: int
    x_row: int  # elements from row to row, and from pixel to pixel
    x_pixel: int
    dy_frame: Frame
    offsets: np.ndarray
    kernel_rows: np.ndarray


def conv2d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray, window: Window, relu: bool
) -> bool:
    """`minicnn.backends.reference.convolution.conv2d` for as many groups as channels.

    Returns False if y is another: weights that are not finite have not met the zeros around the image.
    """
    (channels, filters), time = (x.shape[-1], kernel.shape[-1]), _time(y, window)
    if channels == filters and _is_less_inside(window):
        tables = frame(window.in_height, window.in_width, channels, 0, 0, 0, 0), _windows_inside(window, channels)
    else:  # where each channel is repeated, images are copied anyway
        tables = input_frame(window, filters), _windows(window, filters)
    chunks = batch.parts_of_images(len(x), len(tables[1].sources) // _PIXELS, time)
    arrays = x.reshape(-1), kernel.reshape(-1), bias_or_zeros(bias, kernel), y.reshape(-1)
    floor = 0.0 if relu else -np.inf
    return _conv2d.launch(time, *arrays, channels, floor, chunks, *tables, chunks=chunks.count)


def conv2d_backward(x: np.ndarray, kernel: np.ndarray, incoming: Masked, out: Gradients, window: Window) -> bool:
    """`minicnn.backends.reference.convolution.conv2d_backward` for as many groups as channels.

    Returns False if dx is another: the frame's zeros have met weights that are not finite.
    """
    channels, filters = x.shape[-1], kernel.shape[-1]
    chunks, (dy_frame, taps) = batch.chunks_with_sums(len(x), kernel.nbytes), _input_gradient(window, filters)
    tables = input_frame(window, filters), taps, _rows(window, filters, dy_frame)
    arrays = x.reshape(-1), kernel.reshape(-1), incoming, out
    time = 2 * product_nanoseconds(incoming.dy.size * window.taps, x.itemsize)
    return _conv2d_backward.launch(_SLOWER * time, *arrays, channels, chunks, *tables, chunks=chunks.count)


def _time(y, window):
    """Nanoseconds that one core needs, about."""
    return _SLOWER * product_nanoseconds(y.size * window.taps, y.itemsize)


# -------------------------------------------------------------------------------------------------------- tables


def _repeated(offsets, height):
    """The offsets, with the last one repeated up to a multiple of `height`."""
    return np.pad(offsets, (0, -len(offsets) % height), mode="edge")


def _tap_offsets(window, row, channels):
    """Of every tap of a window, from its first."""
    rows = strides(window.kernel_height, window.dilation_y * row)
    return outer_sum(rows, strides(window.kernel_width, window.dilation_x * channels))


def _in_phases(channels, phases):
    """The `Taps` of phases: (sources, targets, offsets, kernel rows) of each."""
    parts = [(_repeated(sources, _PIXELS), _repeated(targets, _PIXELS), *taps) for sources, targets, *taps in phases]
    ends = np.cumsum([(0, 0), *((len(sources), len(offsets)) for sources, _, offsets, _ in parts)], axis=0)
    ranges = np.concatenate([ends[:-1, :1], ends[1:, :1], ends[:-1, 1:], ends[1:, 1:]], axis=1)  # (phases, 4)
    return Taps(channels, *map(np.concatenate, zip(*parts, strict=True)), np.ascontiguousarray(ranges))


@table_cache
def _windows(window: Window, channels: int) -> Taps:
    """The convolution of framed images."""
    row = input_frame(window, channels).padded_row
    rows = strides(window.out_height, window.stride_y * row)
    sources = outer_sum(rows, strides(window.out_width, window.stride_x * channels))
    targets, offsets = strides(window.out_height * window.out_width, channels), _tap_offsets(window, row, channels)
    return _in_phases(channels, [(sources, targets, offsets, strides(window.taps, channels))])


@table_cache
def _windows_inside(window: Window, channels: int) -> Taps:
    """The convolution of images as they lie: a phase for the pixels whose windows have the same taps inside."""
    w, phases = window, []
    x_row, y_row, kernel_row = (n * channels for n in (w.in_width, w.out_width, w.kernel_width))
    axes = (
        (w.out_height, w.stride_y, w.dilation_y, w.kernel_height, w.pad_top, w.in_height),
        (w.out_width, w.stride_x, w.dilation_x, w.kernel_width, w.pad_left, w.in_width),
    )
    for rows, at_y, taps_y in _inside(axes[0]):
        for columns, at_x, taps_x in _inside(axes[1]):
            phases.append(
                (
                    outer_sum(at_y * x_row, at_x * channels),
                    outer_sum(rows * y_row, columns * channels),
                    outer_sum(w.dilation_y * taps_y * x_row, w.dilation_x * taps_x * channels),
                    outer_sum(taps_y * kernel_row, taps_x * channels),
                )
            )
    return _in_phases(channels, phases)


@table_cache
def _is_less_inside(window: Window) -> bool:
    """Whether `_windows_inside` is less work: of a large kernel on a small map, every phase fills few of its pixels."""

    def work(taps):
        return sum((last - first) * (last_tap - first_tap) for first, last, first_tap, last_tap in taps.phases)

    return work(_windows_inside(window, 1)) <= work(_windows(window, 1))


def _inside(axis):
    """(outputs, where their windows begin, the taps inside) along an axis, for outputs with the same taps inside."""
    count, stride, dilation, taps, pad, size = axis
    begins = np.arange(count) * stride - pad
    is_inside = (begins[:, None] + np.arange(taps) * dilation) // size == 0  # (outputs, taps)
    changes = np.flatnonzero((is_inside[1:] != is_inside[:-1]).any(axis=1)) + 1
    for outputs in np.split(np.arange(count), changes):
        yield outputs, begins[outputs], np.flatnonzero(is_inside[outputs[0]])


@table_cache
def _input_gradient(window: Window, channels: int) -> tuple[Frame, Taps]:
    """The frame of dy, and the sums that make dx."""
    row_phases, column_phases, margins = phases_of(window)
    dy_frame = frame(window.out_height, window.out_width, channels, *margins)
    phases = []
    for rows in row_phases:
        for columns in column_phases:
            inside = outer_sum(rows.outputs * dy_frame.padded_row, columns.outputs * channels)
            inputs = outer_sum(rows.inputs * (window.in_width * channels), columns.inputs * channels)
            offsets = outer_sum(-rows.back * dy_frame.padded_row, -columns.back * channels)
            kernel_rows = outer_sum(rows.taps * (window.kernel_width * channels), columns.taps * channels)
            phases.append((dy_frame.first + inside, inputs, offsets, kernel_rows))
    return dy_frame, _in_phases(channels, phases)


@table_cache
def _rows(window: Window, channels: int, dy_frame: Frame) -> Rows:
    row = input_frame(window, channels).padded_row
    return Rows(
        height=window.out_height,
        width=window.out_width,
        x_row=window.stride_y * row,
        x_pixel=window.stride_x * channels,
        dy_frame=dy_frame,
        offsets=_repeated(_tap_offsets(window, row, channels), _TAPS),
        kernel_rows=_repeated(strides(window.taps, channels), _TAPS),
    )


# --------------------------------------------------------------------------------------------------- vector code


class _Sum(NamedTuple):
    """What a block of pixels is the sum of."""

    x: np.ndarray
    start: int
    kernel: np.ndarray
    first: np.ndarray  # bias
    out: np.ndarray
    at: int
    floor: float
    taps: Taps


@intrinsic
def _sum_taps(typingctx, operands, pixel, tap, last, column, count):
    """One vector of `_PIXELS` pixels: out = max(floor, first + sum over taps of x · kernel)."""
    index = types.int64
    return types.void(operands, index, index, index, index, index), _emit_sum_taps


def _emit_sum_taps(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands, pixel, tap, last, column, count = emit.plain(signature.args, args)
    taps = operands.taps
    x, kernel = emit.moved(operands.x, operands.start, column), emit.moved(operands.kernel, column)
    out = emit.moved(operands.out, operands.at, column)
    pointers = [emit.moved(x, emit.entry(taps.sources, pixel, i)) for i in range(_PIXELS)]
    sums = emit.registers([emit.load(emit.moved(operands.first, column))] * _PIXELS)
    with cgutils.for_range(builder, last, start=tap) as loop:
        factor = emit.load(emit.moved(kernel, emit.entry(taps.kernel_rows, loop.index, 0)))
        offset = emit.entry(taps.offsets, loop.index, 0)
        for pointer, register in zip(pointers, sums, strict=True):
            value = emit.load(emit.moved(pointer, offset))
            builder.store(emit.multiply_add(value, factor, builder.load(register)), register)
    floor = emit.splat(operands.floor)
    for i, register in enumerate(sums):
        value = emit.at_least(floor, builder.load(register))
        emit.store_counted(value, emit.moved(out, emit.entry(taps.targets, pixel, i)), count)
    return context.get_dummy_value()


@inline
def _sum_image(x, start, kernel, first, out, at, floor, taps, pixels):
    """The pixels of an image; of a single phase, those from pixels[0] to pixels[1]."""
    operands = _Sum(x, start, kernel, first, out, at, x.dtype.type(floor), taps)
    for phase in taps.phases:
        for pixel in range(max(phase[0], pixels[0]), min(phase[1], pixels[1]), _PIXELS):
            for column in range(0, taps.channels, lanes_of(x)):
                _sum_taps(operands, pixel, phase[2], phase[3], column, taps.channels - column)


class _Row(NamedTuple):
    """A row of outputs, and the windows over it."""

    x: np.ndarray
    start: int
    dy: np.ndarray
    at: int
    dkernel: np.ndarray
    rows: Rows
    channels: int


@intrinsic
def _sum_pixels(typingctx, operands, tap, column, count):
    """dkernel += sum over the pixels of a row of x · dy, for one vector of `_TAPS` taps."""
    index = types.int64
    return types.void(operands, index, index, index), _emit_sum_pixels


def _emit_sum_pixels(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    operands, tap, column, count = emit.plain(signature.args, args)
    rows = operands.rows
    x, dy = emit.moved(operands.x, operands.start, column), emit.moved(operands.dy, operands.at, column)
    pointers = [emit.moved(x, emit.entry(rows.offsets, tap, i)) for i in range(_TAPS)]
    targets = [emit.moved(operands.dkernel, column, emit.entry(rows.kernel_rows, tap, i)) for i in range(_TAPS)]
    sums = emit.registers([emit.load(target) for target in targets])
    # Several turns written out would have more addresses than registers.
    with emit.loop(emit.index(0), rows.width, unrolls=False) as loop:
        gradient = emit.load(emit.moved(dy, builder.mul(loop.index, operands.channels)))
        offset = builder.mul(loop.index, rows.x_pixel)
        for pointer, register in zip(pointers, sums, strict=True):
            value = emit.load(emit.moved(pointer, offset))
            builder.store(emit.multiply_add(value, gradient, builder.load(register)), register)
    for target, register in zip(targets, sums, strict=True):
        emit.store_counted(builder.load(register), target, count)
    return context.get_dummy_value()


@inline
def _kernel_gradient(x, start, dy, dkernel, rows, channels):
    """dkernel += what one image contributes."""
    for row in range(rows.height):
        window, at = start + row * rows.x_row, rows.dy_frame.first + row * rows.dy_frame.padded_row
        operands = _Row(x, window, dy, at, dkernel, rows, channels)
        for column in range(0, channels, lanes_of(x)):
            for tap in range(0, len(rows.offsets), _TAPS):
                _sum_pixels(operands, tap, column, channels - column)


# ------------------------------------------------------------------------------------------------------ kernels


@inline
def _image(x, image, channels, frame, filters, padded):
    """(array, start) of an image with its padding, and its channels repeated for as many filters as there are."""
    if channels == filters:
        return batch.framed_image(frame, x, image, padded)
    times = filters // channels
    size = frame.rows * (frame.row_size // times)
    for row in range(frame.rows):
        source = x[image * size + row * (frame.row_size // times) :]
        target = padded[frame.first + row * frame.padded_row :]
        for i in range(frame.row_size // times):
            for m in range(times):
                target[i * times + m] = source[i]
    return padded, 0


@inline
def _image_scratch(frame, is_repeated, like):
    return filled(frame.size if is_repeated or batch.is_framed(frame) else 0, 0, like)


@inline
def _chunk(chunk, x, kernel, bias, y, channels, floor, chunks, frame, taps):
    images, y_size = batch.images_of(chunks, chunk), len(y) // chunks.images
    pixels = batch.rows_of(chunks, chunk, len(taps.sources), _PIXELS)
    padded = _image_scratch(frame, channels != taps.channels, x)
    control = flush_denormals()
    for image in range(images[0], images[1]):
        source, start = _image(x, image, channels, frame, taps.channels, padded)
        _sum_image(source, start, kernel, bias, y, image * y_size, floor, taps, pixels)
    restore_denormals(control)


@parallel_kernel
def _conv2d(pool, x, kernel, bias, y, channels, floor, chunks, frame, taps):
    in_parallel(pool, chunks.count, _chunk, (x, kernel, bias, y, channels, floor, chunks, frame, taps))
    return channels != taps.channels or all_finite(kernel, 0, len(kernel))


@inline
def _input_gradient_image(framed, kernel, zeros, dx, image, channels, expanded, frame, taps):
    """dx of an image; with several filters a channel, their sum."""
    size, is_repeated = frame.rows * frame.row_size, channels != taps.channels
    target, at = (expanded, 0) if is_repeated else (dx, image * size)
    everything = 0, len(taps.sources)
    _sum_image(framed, 0, kernel, zeros, target, at, -np.inf, taps, everything)
    times = taps.channels // channels if is_repeated else 0
    for i in range(size // times if is_repeated else 0):
        total = expanded[i * times]
        for m in range(1, times):
            total += expanded[i * times + m]
        dx[image * (size // times) + i] = total


@inline
def _backward_chunk(chunk, x, kernel, incoming, sums, channels, chunks, frame, taps, rows):
    (dx, dkernel, dbias), images = batch.sums_of(sums, chunks, chunk), batch.images_of(chunks, chunk)
    filters, is_repeated, dy_frame = taps.channels, channels != taps.channels, rows.dy_frame
    padded = _image_scratch(frame, is_repeated, x)
    framed, zeros = filled(dy_frame.size, 0, x), filled(filters, 0, x)
    expanded = scratch(frame.rows * frame.row_size if is_repeated else 0, x)
    control = flush_denormals()
    for image in range(images[0], images[1]):
        masked_image(dy_frame, incoming, image * dy_frame.rows * dy_frame.row_size, framed, filters, dbias)
        if len(dkernel) > 0:
            source, start = _image(x, image, channels, frame, filters, padded)
            _kernel_gradient(source, start, framed, dkernel, rows, filters)
        if len(dx) > 0:
            _input_gradient_image(framed, kernel, zeros, dx, image, channels, expanded, frame, taps)
    restore_denormals(control)


@parallel_kernel
def _conv2d_backward(pool, x, kernel, incoming, out, channels, chunks, frame, taps, rows):
    sums = batch.sums_for(chunks, out.dx, len(out.dkernel), taps.channels, x)
    fill(sums.dkernel, 0, len(sums.dkernel), 0)
    in_parallel(pool, chunks.count, _backward_chunk, (x, kernel, incoming, sums, channels, chunks, frame, taps, rows))
    batch.add_up(pool, sums.dbias, chunks.count, out.dbias)
    batch.add_up(pool, sums.dkernel, chunks.count, out.dkernel)
    return len(out.dx) == 0 or all_finite(kernel, 0, len(kernel))
