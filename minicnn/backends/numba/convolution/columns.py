"""Gradients of a convolution with few outputs: several images at a time, the input gradient by im2col's adjoint.

For 3 x 3 taps over 5 x 5 pixels without padding, 81 pairs of an output and a tap exist, but a convolution of the framed
gradient would look at 225 pairs of an input and a tap, most of them zero. Here one matrix product gives every output's
gradients for all of its window (the columns of im2col), which are then added up where windows overlap. (Chellapilla et
al.: "High Performance Convolutional Neural Networks for Document Processing", 2006.)

Names in the kernels: `conv` and `group` are named tuples of tables, `frame` is the input image's.
"""

from typing import NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.convolution.direct import convolution, product_time
from minicnn.backends.numba.convolution.gradients import Masked, masked_pixels
from minicnn.backends.numba.machine import batch
from minicnn.backends.numba.machine.batch import Gradients
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import fill, filled, scratch, transpose
from minicnn.backends.numba.machine.offsets import (
    input_frame,
    outer_sum,
    run_of,
    strided_rows,
    strides,
    table_cache,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.vectors import I64, Emitter
from minicnn.geometry import Window

_OUTPUTS_TOGETHER = 48  # of a group of images


def conv2d_backward(x: np.ndarray, kernel: np.ndarray, incoming: Masked, out: Gradients, window: Window) -> None:
    """`minicnn.backends.reference.convolution.conv2d_backward` for one group."""
    channels, filters = kernel.shape[2:]
    conv, group = convolution(window, channels, filters), image_group(window, channels, filters)
    zeros = zero_row(max(conv.kernel_height, filters), x.dtype)
    arrays, frame = (x.reshape(-1), kernel.reshape(-1), incoming, zeros, out), input_frame(window, channels)
    chunks, time = batch.chunks_with_sums(len(x), kernel.nbytes), 2 * product_time(x, kernel, window)
    _conv2d_backward.launch(time, *arrays, chunks, frame, conv, group, chunks=chunks.count)


class ImageGroup(NamedTuple):
    """Tables for the gradients of several images with few outputs."""

    images: int
    strip: int  # rows of the kernel matrix that are side by side in the image
    pixels: np.ndarray  # of every output of the group its window, in the images one after the other
    run: int  # of the pixels, see `run_of`
    gradients: np.ndarray  # of every output the first gradient
    rows: np.ndarray  # the same as a row table
    filters: np.ndarray
    transposed_rows: np.ndarray  # of the kernel as (F, T·C)
    column_rows: np.ndarray  # row table: of every output its T·C columns


@table_cache
def image_group(window: Window, channels: int, filters: int) -> ImageGroup:
    """The tables of `ImageGroup` for one geometry."""
    x_frame, conv = input_frame(window, channels), convolution(window, channels, filters)
    images = max(1, _OUTPUTS_TOGETHER // conv.pixel_count)
    outputs, image_size = images * conv.pixel_count, x_frame.size  # a frame without padding is the image
    pixels = outer_sum(strides(images, image_size), conv.pixels[: conv.pixel_count])
    return ImageGroup(
        images=images,
        strip=channels * (window.kernel_width if window.dilation_x == 1 else 1),
        pixels=pixels,
        run=run_of(pixels),
        gradients=strides(outputs, filters),
        rows=strided_rows(outputs, filters),
        filters=strides(filters, 1),
        transposed_rows=strides(filters, conv.kernel_height),
        column_rows=strided_rows(outputs, conv.kernel_height),
    )


@intrinsic
def _add(typingctx, source, start, target, at, count):
    """target[at : at + count] += source[start : start + count]."""
    index = types.int64
    return types.void(source, index, target, index, index), _emit_add


def _emit_add(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    source, start, target, at, count = emit.plain(signature.args, args)
    source, target = emit.moved(source, start), emit.moved(target, at)
    with cgutils.for_range_slice(builder, emit.index(0), count, emit.index(emit.lanes), I64) as (i, _):
        pointer = emit.moved(target, i)
        total = builder.fadd(emit.load(pointer), emit.load(emit.moved(source, i)))
        emit.store_counted(total, pointer, builder.sub(count, i))
    return context.get_dummy_value()


@inline
def _add_columns(columns, row, conv, group, target, start):
    """target += the columns of one image, each where it comes from."""
    for pixel in range(conv.pixel_count):
        for k in range(0, conv.kernel_height, group.strip):
            source = (row + pixel) * conv.kernel_height + k
            _add(columns, source, target, start + conv.pixels[pixel] + conv.taps[k], group.strip)


@inline
def _add_images(columns, dx, dx_padded, first, last, frame, conv, group):
    """dx = the columns of some images, added up where windows overlap."""
    size = frame.rows * frame.row_size
    for image in range(first, last):
        row = (image - first) * conv.pixel_count
        if batch.is_framed(frame):
            fill(dx_padded, 0, len(dx_padded), 0)
            _add_columns(columns, row, conv, group, dx_padded, 0)
            batch.copy_out(frame, dx_padded, dx, image * size)
        else:
            fill(dx, image * size, size, 0)
            _add_columns(columns, row, conv, group, dx, image * size)


@inline
def _chunk(chunk, x, transposed, incoming, zeros, sums, chunks, frame, conv, group):
    (dx, dkernel, dbias), images = batch.sums_of(sums, chunks, chunk), batch.images_of(chunks, chunk)
    if images[0] == images[1]:
        fill(dkernel, 0, len(dkernel), 0)
    size, framed = frame.rows * frame.row_size, batch.is_framed(frame)
    padded = filled(group.images * frame.size if framed and len(dkernel) > 0 else 0, 0, x)
    dx_padded = scratch(frame.size if framed and len(dx) > 0 else 0, x)
    rows, columns = scratch(len(group.rows) * conv.filters, x), scratch(len(group.rows) * conv.kernel_height, x)
    for image in range(images[0], images[1], group.images):
        last = min(image + group.images, images[1])
        pixels = (last - image) * conv.pixel_count
        masked_pixels(incoming, image * conv.pixel_count * conv.filters, pixels, rows, 0, conv.filters, dbias)
        if len(dkernel) > 0:
            for n in range(last - image if framed else 0):
                batch.copy_in(frame, x, (image + n) * size, padded[n * frame.size :])
            multiply(
                Left(padded if framed else x, 0 if framed else image * size, conv.taps, group.pixels),
                Right(rows, 0, group.gradients),
                Out(dkernel, 0, conv.kernel_rows),
                Span(0, pixels, 0, conv.kernel_height, conv.filters, group.run),
                first=zeros,
                accumulate=image > images[0],
                floor=floor_of(False, x),
            )
        if len(dx) > 0:
            multiply(
                Left(rows, 0, group.rows, group.filters),
                Right(transposed, 0, group.transposed_rows),
                Out(columns, 0, group.column_rows),
                Span(0, conv.filters, 0, pixels, conv.kernel_height, conv.filters),
                first=zeros,
                accumulate=False,
                floor=floor_of(False, x),
            )
            _add_images(columns, dx, dx_padded, image, last, frame, conv, group)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_backward(pool, x, kernel, incoming, zeros, out, chunks, frame, conv, group):
    _, dkernel, dbias = out
    transposed = scratch(len(kernel), x)  # (F, T·C)
    transpose(kernel, 0, conv.filters, conv.kernel_height, conv.filters, transposed, 0, conv.kernel_height)
    sums = batch.sums_for(chunks, out.dx, len(dkernel), conv.filters, x)
    in_parallel(pool, chunks.count, _chunk, (x, transposed, incoming, zeros, sums, chunks, frame, conv, group))
    batch.add_up(pool, sums.dbias, chunks.count, dbias)
    batch.add_up(pool, sums.dkernel, chunks.count, dkernel)
