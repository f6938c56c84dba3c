"""Gradients of a convolution with few outputs: several images at a time, the input gradient by im2col's adjoint.

For 3 x 3 taps over 5 x 5 pixels without padding, 81 pairs of an output and a tap exist, but a convolution of the framed
gradient would look at 225 pairs of an input and a tap, most of them zero. Here one matrix product gives every output's
gradients for all of its window (the columns of im2col), which are then added up where windows overlap. (Chellapilla et
al.: "High Performance Convolutional Neural Networks for Document Processing", 2006.)

Names in the kernels: `conv` and `group` are named tuples of `tables.py`.
"""

from numba import prange

from minicnn.backends.numba.machine import offsets as tables
from minicnn.backends.numba.machine.batch import (
    add_block,
    add_parts,
    copy_in,
    copy_out,
    is_framed,
    parts_with_sums,
    range_of,
    row_of,
    sum_blocks,
    wants_threads,
)
from minicnn.backends.numba.machine.launch import parallel_kernel, part
from minicnn.backends.numba.machine.matrix import (
    MULTIPLY,
    fill,
    floor_of,
    multiply,
    product_nanoseconds,
    scratch,
    transpose,
)
from minicnn.backends.numba.machine.offsets import flat_or_absent as _flat
from minicnn.backends.numba.machine.offsets import zero_row
from minicnn.backends.numba.machine.vectors import add_run, lanes_of, mask_pixels


def conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window, relu):
    """`minicnn.backends.reference.conv2d_backward` for one group."""
    channels, filters = kernel.shape[2:]
    parts = parts_with_sums(len(x), kernel.nbytes)
    _conv2d_backward.run(
        product_nanoseconds(2 * len(x) * window.out_height * window.out_width * kernel.size, x.itemsize),
        x.reshape(-1), kernel.reshape(-1), _flat(y if relu else None, x.dtype), dy.reshape(-1), _flat(dx, x.dtype),
        _flat(dkernel, x.dtype), _flat(dbias, x.dtype), zero_row(max(kernel.size // filters, filters), x.dtype),
        len(x), parts, tables.input_frame(window, channels), tables.convolution(window, channels, filters),
        tables.image_group(window, channels, filters),
        parts=parts,
    )  # fmt: skip


@part
def _masked_rows(y, dy, start, pixels, filters, rows, bias_sum):
    """rows = dy where y is positive, if there is a y; and their sum."""
    for column in range(0, filters, lanes_of(dy)):
        mask_pixels(
            y, len(y) > 0, dy, start + column, rows, column, pixels, filters, bias_sum, column, filters - column
        )


@part
def _add_columns(columns, row, conv, group, target, start):
    """target += the columns of one image, each where it comes from."""
    for pixel in range(conv.pixel_count):
        for k in range(0, conv.kernel_height, group.run):
            source = (row + pixel) * conv.kernel_height + k
            add_run(columns, source, target, start + conv.pixels[pixel] + conv.taps[k], group.run)


@part
def _part(x, transposed, y, dy, dx, zeros, kernel_sum, bias_sum, first, last, frame, conv, group):
    if first == last:
        fill(kernel_sum, 0, len(kernel_sum), 0)
    image_size, framed = frame.rows * frame.row_size, is_framed(frame)
    padded = scratch(group.images * frame.size if framed else 0, x)
    fill(padded, 0, len(padded), 0)
    dx_padded = scratch(frame.size if framed and len(dx) > 0 else 0, x)
    rows = scratch(group.images * conv.pixel_count * conv.filters, x)
    columns = scratch(group.images * conv.pixel_count * conv.kernel_height, x)
    no_floor = floor_of(False, x)
    for image in range(first, last, group.images):
        images = min(group.images, last - image)
        pixels = images * conv.pixel_count
        _masked_rows(y, dy, image * conv.pixel_count * conv.filters, pixels, conv.filters, rows, bias_sum)
        if len(kernel_sum) > 0:
            for n in range(images if framed else 0):
                copy_in(frame, x, (image + n) * image_size, padded[n * frame.size :])
            multiply(
                padded if framed else x, 0 if framed else image * image_size, conv.taps, group.pixels,
                rows, 0, group.row_steps, 0, pixels, zeros, image > first,
                kernel_sum, 0, conv.kernel_rows, 0, conv.kernel_height, conv.filters, no_floor,
            )  # fmt: skip
        if len(dx) > 0:
            multiply(
                rows, 0, group.rows, group.filter_steps, transposed, 0, group.transposed_rows, 0, conv.filters,
                zeros, False, columns, 0, group.column_rows, 0, pixels, conv.kernel_height, no_floor,
            )  # fmt: skip
        for n in range(images if len(dx) > 0 else 0):
            if framed:
                fill(dx_padded, 0, len(dx_padded), 0)
                _add_columns(columns, n * conv.pixel_count, conv, group, dx_padded, 0)
                copy_out(frame, dx_padded, dx, (image + n) * image_size)
            else:
                fill(dx, (image + n) * image_size, image_size, 0)
                _add_columns(columns, n * conv.pixel_count, conv, group, dx, (image + n) * image_size)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, zeros, images, parts, frame, conv, group):
    transposed = scratch(len(kernel), x)  # (F, T·C)
    transpose(kernel, 0, conv.filters, conv.kernel_height, conv.filters, transposed, 0, conv.kernel_height)
    sums = scratch(parts * len(dkernel), x)  # (parts, T·C, F)
    bias_sums = scratch(parts * conv.filters, x)
    fill(bias_sums, 0, len(bias_sums), 0)
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        kernel_sum, bias_sum = row_of(sums, number, len(dkernel)), row_of(bias_sums, number, conv.filters)
        _part(x, transposed, y, dy, dx, zeros, kernel_sum, bias_sum, first, last, frame, conv, group)
    add_parts(bias_sums, parts, dbias)
    if wants_threads(sums):
        for block in prange(sum_blocks(len(dkernel))):
            add_block(sums, parts, dkernel, block)
    else:
        add_parts(sums, parts, dkernel)
