"""Convolution by Winograd's algorithm: with 3 x 3 taps a quarter of the multiplications, with 5 x 5 about a third.

The output is cut into tiles of 4 x 4 pixels, for 5 x 5 taps of 2 x 2. A few dozen tiles at a time are transformed into
36 numbers each, for every channel; for each of the 36 a matrix product over the channels follows; then the transform
back, with bias, ReLU and pooling while the tile is in registers. `winograd_transforms.py` says why this gives the
convolution.

The gradient of the input is the same convolution of the outputs' gradient with the kernel turned around.

A tile with a number that is not finite, or too large for the transforms, comes out full of such numbers: the functions
return the images that have one, which the caller computes again in another way.

Names in the kernels: `tiles` is a named tuple of tables; `numbers` are transformed inputs (36, tiles, channels),
`factors` the transformed kernel (36, channels, filters), `products` (36, tiles, filters).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minicnn.backends import memory
from minicnn.backends.numba.convolution import choice
from minicnn.backends.numba.convolution.gradients import Masked, masked_image
from minicnn.backends.numba.convolution.pooled import Winners, spread_cells
from minicnn.backends.numba.convolution.winograd_kernels import transformed_kernel, weights_of
from minicnn.backends.numba.convolution.winograd_transforms import (
    TILE_INPUTS,
    TILE_NUMBERS,
    Extent,
    cells_of,
    outputs_of,
    tile_outputs,
    tiles_along,
    transform_inputs,
)
from minicnn.backends.numba.machine.batch import framed_part, images_of, part_scratch, parts_of_images, rows_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.even import MULTIPLY_EVEN, Even, are_even, multiply_even
from minicnn.backends.numba.machine.fetching import fetch, fetch_to_write
from minicnn.backends.numba.machine.finite import images_not_finite
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, floor_of, multiply
from minicnn.backends.numba.machine.memory import filled, scratch
from minicnn.backends.numba.machine.offsets import (
    Frame,
    flat,
    frame,
    outer_sum,
    strided_rows,
    strides,
    table_cache,
    whole_vectors,
    zero_row,
)
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.target import ROWS, TARGET
from minicnn.backends.numba.machine.vectors import lanes_of
from minicnn.backends.numba.pooling import Pooled, pooled
from minicnn.geometry import Window

MOST_TOGETHER = 64  # tiles transformed together
# Of so many tiles and of their products. Where it is more, half as many tiles leave room for the factors in the second
# cache: on Intel's Xeon up to 1.3 times as fast (measured); on AMD's Zen 5 it was up to 1.15 times as slow.
_TRANSFORMED_BYTES = 288 << 10
# Channels and filters of a pixel whose images are fetched ahead. With more, the products take most of the time, and the
# second cache has no room for what is not needed yet.
_FETCHED_BYTES = 128


def conv2d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray, window: Window, relu: bool
) -> Iterator[slice]:
    """`minicnn.backends.reference.convolution.conv2d` for one group, but for the images that are returned."""
    return _launch(_source(x), kernel, bias, pooled(y, None), relu, tiles_of(window, *kernel.shape[2:]))


def conv2d_pool(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, out: Pooled, window: Window, relu: bool
) -> Iterator[slice]:
    """`minicnn.backends.reference.convolution.conv2d_pool` for pooling by 2 x 2, but for the images returned."""
    return _launch(_source(x), kernel, bias, out, relu, tiles_of(window, *kernel.shape[2:], pooled=True))


def input_gradient(
    kernel: np.ndarray, y: np.ndarray | None, dy: np.ndarray, dx: np.ndarray, window: Window
) -> Iterator[slice]:
    """dx of `minicnn.backends.reference.convolution.conv2d_backward`, but for the images returned.

    Without ReLU, y is None.
    """
    return _launch_turned(_source(dy, y=y), kernel, dx, window)


def pool_input_gradient(
    kernel: np.ndarray, winner: np.ndarray, dy: np.ndarray, dx: np.ndarray, window: Window
) -> Iterator[slice]:
    """dx of `minicnn.backends.reference.convolution.conv2d_pool_backward`, but for the images returned.

    For pooling by 2 x 2 and whole vectors.
    """
    return _launch_turned(_source(dy, winner=winner), kernel, dx, window)


def _launch_turned(source, kernel, dx, window):
    """The convolution of the outputs' gradient with the kernel turned around."""
    tables = tiles_of(window.turned_around, *reversed(kernel.shape[2:]), turned=True)
    return _launch(source, kernel, None, pooled(dx, None), False, tables)


def _launch(source, kernel, bias, out, relu, tables):
    """Returns slices of the images that are to be computed again."""
    frame, tiles = tables
    images = len(out.y) // tiles.image_size
    x_size = len(source.x) // max(images, 1)
    sizes = transformed(tiles.count, tiles.channels, tiles.filters, kernel.itemsize, x_size, tiles.image_size)
    time = images * choice.winograd_nanoseconds(tiles.count, tiles.channels, tiles.filters, kernel.itemsize)
    most = max(2, images * tiles.count // sizes.together)  # chunks large enough to fill the products
    chunks = parts_of_images(images, -(-tiles.count // ROWS), time, most)
    bias = zero_row(tiles.filters, kernel.dtype) if bias is None else bias
    weights = weights_of(kernel, bias, sizes.factor_stride, images * tiles.count, tiles.turned)
    arrays = kernel.reshape(-1), tiles, weights, source, out
    is_finite = _conv2d.launch(time, *arrays, relu, chunks, frame, sizes, chunks=chunks.count)
    return () if is_finite else images_not_finite(out.y, images)


class Source(NamedTuple):
    """Images; or gradients, of which only those count where y is positive, or that go to the winners of cells."""

    x: np.ndarray
    y: np.ndarray  # empty unless x is masked
    winner: np.ndarray  # empty unless x is spread


def _source(x, y=None, winner=None):
    return Source(x.reshape(-1), flat(y, x.dtype), flat(winner, np.uint8))


# ------------------------------------------------------------------------------------------------------ tables


class Tiles(NamedTuple):
    """The tiles of an image: `tile_outputs` along each axis, the last ones partly outside."""

    taps: tuple[int, ...]  # along an axis: their number is a part of the type, for which kernels are compiled
    channels: int
    filters: int
    pooled: bool
    turned: bool  # whether the kernel is turned around
    count: int  # tiles of one image
    starts: np.ndarray  # first input of each tile, in the padded image
    x_row: int  # elements from a tile's row of inputs to the next
    x_pixel: int  # from its pixel to the next
    heights: np.ndarray  # outputs of each tile that are inside; with pooling here and below: cells of 2 x 2 of them
    widths: np.ndarray
    y_starts: np.ndarray  # first output of each tile
    y_row: int  # elements from a tile's row of outputs to the next
    y_pixel: int
    image_size: int  # elements of the outputs of an image
    x_cells: np.ndarray  # cells of 2 x 2 inputs in the padded image
    x_cell_taps: np.ndarray


@table_cache
def tiles_of(
    window: Window, channels: int, filters: int, pooled: bool = False, turned: bool = False
) -> tuple[Frame, Tiles]:
    """The frame of the input and the `Tiles` for the outputs of an image, or for its cells of 2 x 2 outputs."""
    size, edge = tile_outputs(window.kernel_height), 2 if pooled else 1  # of a tile; of a cell
    height, width, dilation = (
        window.out_height // edge,
        window.out_width // edge,
        (window.dilation_y, window.dilation_x),
    )
    rows, heights = np.array(tiles_along(height, dilation[0], size // edge)).T
    columns, widths = np.array(tiles_along(width, dilation[1], size // edge)).T
    x_frame = _frame(window, edge * rows.max(), edge * columns.max(), channels)
    cell_rows = strides(window.in_height // 2, 2 * x_frame.padded_row)
    return x_frame, Tiles(
        taps=tuple(range(window.kernel_height)),
        channels=channels,
        filters=filters,
        pooled=pooled,
        turned=turned,
        count=len(rows) * len(columns),
        starts=outer_sum(rows * edge * x_frame.padded_row, columns * edge * channels),
        x_row=dilation[0] * x_frame.padded_row,
        x_pixel=dilation[1] * channels,
        heights=np.repeat(heights, len(columns)),
        widths=np.tile(widths, len(rows)),
        y_starts=outer_sum(rows * width * filters, columns * filters),
        y_row=dilation[0] * width * filters,
        y_pixel=dilation[1] * filters,
        image_size=height * width * filters,
        x_cells=x_frame.first + outer_sum(cell_rows, strides(window.in_width // 2, 2 * channels)),
        x_cell_taps=outer_sum(strides(2, x_frame.padded_row), strides(2, channels)),
    )


def _frame(window, last_row, last_column, channels):
    """The frame that tiles read, of which the last ones begin in this row and this column of outputs."""
    rows, columns = ((TILE_INPUTS - 1) * d + 1 for d in (window.dilation_y, window.dilation_x))
    bottom = max(0, int(last_row) + rows - window.pad_top - window.in_height)
    right = max(0, int(last_column) + columns - window.pad_left - window.in_width)
    return frame(window.in_height, window.in_width, channels, window.pad_top, bottom, window.pad_left, right)


class Transformed(NamedTuple):
    """How transformed tiles and kernels lie in scratch memory."""

    together: int  # tiles that are transformed together
    x_size: int  # elements of the inputs of an image
    x_ahead: int  # of these, and of the outputs, so many are fetched ahead for each tile
    y_ahead: int
    channel_slots: int  # channels in whole vectors
    filter_slots: int  # filters in whole vectors
    number_stride: int  # elements from one of the 36 numbers of all tiles to the next; a power of two would make all 36
    factor_stride: int  # fall into the same few lines of a cache
    product_stride: int
    number_rows: np.ndarray  # row table: transformed tiles
    channels: np.ndarray
    factor_rows: np.ndarray
    product_rows: np.ndarray  # row table


def tiles_together(slots: int, itemsize: int) -> int:
    """How many tiles are transformed before they are multiplied, if a tile has so many channels and filters."""
    fits = TILE_NUMBERS * MOST_TOGETHER * slots * itemsize <= _TRANSFORMED_BYTES
    return MOST_TOGETHER if fits or TARGET.near_third_cache else MOST_TOGETHER // 2


def fetches_ahead(slots: int, itemsize: int) -> bool:
    """Whether memory is fetched before it is needed, if a pixel has so many channels and filters."""
    return slots * itemsize <= _FETCHED_BYTES


@table_cache
def transformed(tiles: int, channels: int, filters: int, itemsize: int, x_size: int, y_size: int) -> Transformed:
    """The tables of `Transformed` for images of so many tiles and elements."""
    channel_slots, filter_slots = whole_vectors(channels, itemsize), whole_vectors(filters, itemsize)
    most = tiles_together(channel_slots + filter_slots, itemsize)
    together = -(-tiles // ROWS) * ROWS if most // 2 < tiles < most else most  # an image, if it is about as many
    line = memory.ALIGNMENT // itemsize
    fetches = fetches_ahead(channel_slots + filter_slots, itemsize)
    return Transformed(
        together=together,
        x_size=x_size,
        x_ahead=-(-x_size // tiles) if fetches else 0,
        y_ahead=-(-y_size // tiles) if fetches else 0,
        channel_slots=channel_slots,
        filter_slots=filter_slots,
        number_stride=together * channel_slots + line,
        factor_stride=channels * filter_slots + line,
        product_stride=together * filter_slots + line,
        number_rows=strided_rows(together, channel_slots),
        channels=strides(channels, 1),
        factor_rows=strides(channels, filter_slots),
        product_rows=strided_rows(together, filter_slots),
    )


# ------------------------------------------------------------------------------------------------- the kernel


class _Room(NamedTuple):
    """Where images are put into their frames."""

    padded: np.ndarray
    reach: tuple[int, int]  # the elements of it that are read
    sums: np.ndarray  # of gradients; not used here


@inline
def _load_image(frame, source, image, tiles, room):
    """Put an image into its frame: as it is, where y is positive, or spread over the winners."""
    padded, sums = room.padded, room.sums
    if len(source.winner) > 0:
        start = image * len(tiles.x_cells) * tiles.channels
        gradient = Winners(source.x, source.winner)
        spread_cells(gradient, start, tiles.x_cells, tiles.x_cell_taps, tiles.channels, padded, sums)
    elif len(source.y) > 0:
        gradient = Masked(source.x, source.y, True)
        masked_image(frame, gradient, image * frame.rows * frame.row_size, padded, tiles.channels, sums)
    else:
        framed_part(frame, source.x, image, padded, room.reach)


@inline
def _reach(tiles, own):
    """The range of elements of a padded image that the tiles of a range read."""
    first, last = tiles.starts[own[0]], tiles.starts[own[0]]
    for tile in range(own[0], own[1]):  # those of dilated taps are in no order
        first, last = min(first, tiles.starts[tile]), max(last, tiles.starts[tile])
    return first, last + (TILE_INPUTS - 1) * (tiles.x_row + tiles.x_pixel) + tiles.channels


@inline
def _transform_tiles(source, out, first, tile_range, frame, tiles, sizes, room, numbers, loaded):
    """Transform the tiles of a range, counted from those of image `first` on; fetch what they will be written to.

    `loaded` is the image whose frame is filled; returns which one is now.
    """
    is_kept = len(room.padded) > 0  # else images are read where they lie
    array, count = room.padded if is_kept else source.x, tile_range[1] - tile_range[0]
    for n in range((count + ROWS - 1) // ROWS * ROWS):  # the product reads whole blocks of their rows
        at = tile_range[0] + min(n, count - 1)
        image, tile = first + at // tiles.count, at % tiles.count
        if is_kept and image != loaded:
            loaded = image
            _load_image(frame, source, image, tiles, room)
        start = 0 if is_kept else image * frame.rows * frame.row_size
        for channel in range(0, tiles.channels, lanes_of(numbers)):
            pixel, slot = start + tiles.starts[tile] + channel, n * sizes.channel_slots + channel
            transform_inputs(array, pixel, tiles.x_row, tiles.x_pixel, numbers, slot, sizes.number_stride)
        fetch_to_write(out.y, image * tiles.image_size + tile * sizes.y_ahead, sizes.y_ahead)
    return loaded


@inline
def _multiply_tiles(numbers, factors, zeros, count, tiles, sizes, products):
    """The 36 matrix products."""
    columns, rows = sizes.filter_slots // lanes_of(products), (count + ROWS - 1) // ROWS * ROWS
    for k in range(TILE_NUMBERS):
        start, factor, product = k * sizes.number_stride, k * sizes.factor_stride, k * sizes.product_stride
        if are_even(columns):
            multiply_even(
                Even(numbers, start, sizes.channel_slots, 1),
                Even(factors, factor, sizes.filter_slots, 1),
                Even(products, product, sizes.filter_slots, 1),
                rows,
                tiles.channels,
                columns,
                accumulate=False,
            )
        else:
            multiply(
                Left(numbers, start, sizes.number_rows, sizes.channels),
                Right(factors, factor, sizes.factor_rows),
                Out(products, product, sizes.product_rows),
                Span(0, tiles.channels, 0, count, sizes.filter_slots, tiles.channels),
                first=zeros,
                accumulate=False,
                floor=floor_of(False, products),
            )


@inline
def _store_tiles(products, bias, relu, source, out, first, tile_range, tiles, sizes):
    """Transform the tiles of a range back into outputs, or cells; returns whether they are finite.

    Of a tile where they are not, which ReLU may hide, the first output becomes NaN. Meanwhile, the inputs of the next
    range are fetched.
    """
    all_are = True
    x_at = (first * tiles.count + tile_range[1]) * sizes.x_size // tiles.count
    for n in range(tile_range[1] - tile_range[0]):
        image, tile = first + (tile_range[0] + n) // tiles.count, (tile_range[0] + n) % tiles.count
        start, height, width = image * tiles.image_size + tiles.y_starts[tile], tiles.heights[tile], tiles.widths[tile]
        fetch(source.x, x_at + n * sizes.x_ahead, sizes.x_ahead)
        for filter in range(0, tiles.filters, lanes_of(products)):
            slot, stride = n * sizes.filter_slots + filter, sizes.product_stride
            extent = Extent(tiles.y_row, tiles.y_pixel, height, width, tiles.filters - filter, tiles.taps)
            if tiles.pooled:
                is_finite = cells_of(products, slot, stride, bias, filter, relu, out, start + filter, extent)
            else:
                floor = floor_of(relu, products)
                is_finite = outputs_of(products, slot, stride, bias, filter, floor, out.y, start + filter, extent)
            if not is_finite:
                out.y[start] = np.nan
                all_are = False
    return all_are


@inline
def _chunk(chunk, source, factors, bias, out, relu, chunks, frame, tiles, sizes):
    """Returns whether all outputs are finite."""
    images, own = images_of(chunks, chunk), rows_of(chunks, chunk, tiles.count, ROWS)
    reach = _reach(tiles, own)
    if len(source.y) > 0 or len(source.winner) > 0:  # gradients are written into frames as a whole
        padded = filled(frame.size, 0, factors)
    else:
        padded = part_scratch(frame, reach, factors)
    room = _Room(padded, reach, filled(sizes.channel_slots, 0, factors))
    zeros = filled(sizes.filter_slots, 0, factors)
    numbers = scratch(TILE_NUMBERS * sizes.number_stride, factors)
    products = scratch(TILE_NUMBERS * sizes.product_stride, factors)
    all_are, loaded, control = True, -1, flush_denormals()
    last = (images[1] - images[0] - 1) * tiles.count + own[1]
    for begin in range(own[0], last, sizes.together):
        tile_range = begin, min(begin + sizes.together, last)
        loaded = _transform_tiles(source, out, images[0], tile_range, frame, tiles, sizes, room, numbers, loaded)
        _multiply_tiles(numbers, factors, zeros, tile_range[1] - begin, tiles, sizes, products)
        all_are &= _store_tiles(products, bias, relu, source, out, images[0], tile_range, tiles, sizes)
    restore_denormals(control)
    return all_are


@parallel_kernel(typed=2, uses=[MULTIPLY, MULTIPLY_EVEN])
def _conv2d(pool, kernel, tiles, weights, source, out, relu, chunks, frame, sizes):
    """Returns whether all outputs are finite."""
    factors = transformed_kernel(pool, kernel, weights, tiles, sizes)
    data = source, factors, weights.bias, out, relu, chunks, frame, tiles, sizes
    return in_parallel(pool, chunks.count, _chunk, data)
