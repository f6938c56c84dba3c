"""Convolution as one matrix product over its windows, which are never copied: tables say where their pixels are.

Of groups, each is a product of its own, whose operands lie among those of the others; its kernel lies by itself.
"""

from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.machine.batch import framed_part, images_of, part_scratch, parts_of_images, rows_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.offsets import (
    input_frame,
    outer_sum,
    row_table,
    run_of,
    strided_rows,
    strides,
    table_cache,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import ROWS, product_nanoseconds
from minicnn.geometry import Window


class Convolution(NamedTuple):
    """Tables for y = sum over taps and channels of x · kernel, and for the kernel's gradient."""

    groups: int
    channels: int  # of a group
    filters: int  # of a group
    pixel_count: int  # of an output
    kernel_height: int  # of a group's kernel as a matrix: taps · channels
    pixels: np.ndarray  # row table: of every output pixel the window, in the padded input
    taps: np.ndarray  # row table: of every row of the kernel matrix the element in a window
    tap_run: int  # of the rows of the kernel matrix, see `run_of`
    pixel_run: int  # of the pixels
    kernel_rows: np.ndarray  # row table: of every row of the kernel matrix the first element
    y_rows: np.ndarray  # row table: of every output pixel the first element


@table_cache
def convolution(window: Window, channels: int, filters: int, groups: int = 1) -> Convolution:
    """The tables of `Convolution` for one geometry; channels and filters are a group's."""
    pixel = groups * channels
    row = input_frame(window, pixel).padded_row
    pixel_count, kernel_height = window.out_height * window.out_width, window.taps * channels
    rows = strides(window.out_height, window.stride_y * row)
    tap_rows = strides(window.kernel_height, window.dilation_y * row)
    tap_columns = strides(window.kernel_width, window.dilation_x * pixel)
    pixels = outer_sum(rows, strides(window.out_width, window.stride_x * pixel))
    taps = outer_sum(tap_rows, tap_columns, strides(channels, 1))
    return Convolution(
        groups=groups,
        channels=channels,
        filters=filters,
        pixel_count=pixel_count,
        kernel_height=kernel_height,
        pixels=row_table(pixels),
        taps=row_table(taps),
        tap_run=run_of(taps),
        pixel_run=run_of(pixels),
        kernel_rows=strided_rows(kernel_height, filters),
        y_rows=strided_rows(pixel_count, groups * filters),
    )


def product_time(x: np.ndarray, kernel: np.ndarray, window: Window) -> int:
    """Nanoseconds that one core needs to apply the kernel at every position of the window, for all images."""
    return product_nanoseconds(len(x) * window.out_height * window.out_width * kernel.size, x.itemsize)


def bias_or_zeros(bias: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    """The bias, or that of a layer that has none: (F,), where `like` is (…, F)."""
    return zero_row(like.shape[-1], like.dtype) if bias is None else bias


def groups_of(kernel: np.ndarray) -> int:
    """1, or how many groups a kernel (groups, KH, KW, C, F) is for."""
    return len(kernel) if kernel.ndim > 4 else 1


def conv2d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray, window: Window, relu: bool
) -> None:
    """`minicnn.backends.reference.convolution.conv2d`; of several groups, the kernel is (groups, KH, KW, C, F)."""
    arrays = x.reshape(-1), kernel.reshape(-1), bias_or_zeros(bias, y), y.reshape(-1)
    tables = input_frame(window, x.shape[-1]), convolution(window, *kernel.shape[-2:], groups_of(kernel))
    time = product_time(x, kernel, window)
    chunks = parts_of_images(len(x), len(tables[1].pixels) // ROWS, time)
    _conv2d.launch(time, *arrays, relu, chunks, *tables, chunks=chunks.count)


@inline
def _chunk(chunk, x, kernel, bias, y, relu, chunks, frame, conv):
    images, pixels = images_of(chunks, chunk), rows_of(chunks, chunk, conv.pixel_count, ROWS)
    last = (conv.groups - 1) * conv.channels + conv.taps[conv.kernel_height - 1]  # element of a window
    reach = conv.pixels[pixels[0]], conv.pixels[pixels[1] - 1] + last + 1
    padded = part_scratch(frame, reach, x)
    for image in range(images[0], images[1]):
        source, start = framed_part(frame, x, image, padded, reach)
        for group in range(conv.groups):
            multiply(
                Left(source, start + group * conv.channels, conv.pixels, conv.taps),
                Right(kernel, group * conv.kernel_height * conv.filters, conv.kernel_rows),
                Out(y, (image * conv.pixel_count * conv.groups + group) * conv.filters, conv.y_rows),
                Span(0, conv.kernel_height, pixels[0], pixels[1], conv.filters, conv.tap_run),
                first=bias[group * conv.filters :],
                accumulate=False,
                floor=floor_of(relu, x),
            )


@parallel_kernel(uses=[MULTIPLY])
def _conv2d(pool, x, kernel, bias, y, relu, chunks, frame, conv):
    in_parallel(pool, chunks.count, _chunk, (x, kernel, bias, y, relu, chunks, frame, conv))
