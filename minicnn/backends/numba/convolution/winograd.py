"""Convolution with 3 x 3 taps by Winograd's algorithm: a quarter of the multiplications.

The output is cut into tiles of 4 x 4 pixels. A few dozen tiles at a time are transformed into 36 numbers each, for
every channel; for each of the 36 a matrix product over the channels follows; then the transform back, with bias, ReLU
and pooling while the tile is in registers. `winograd_transforms.py` says why this gives the convolution.

The gradient of the input is the same convolution of the outputs' gradient with the kernel turned around.

Names in the kernels: `tiles` is the named tuple of `tables.py`; `numbers` are transformed inputs (36, tiles, channels),
`factors` the transformed kernel (36, channels, filters), `products` (36, tiles, filters). `mask` and `winner` belong to
an x that is a gradient: what ReLU let through, and where it goes; `cell_winner` is written beside pooled outputs.
"""

import numpy as np
from numba import prange

from minicnn.backends.numba.convolution.winograd_transforms import (
    cells_of,
    outputs_of,
    transform_inputs,
    transform_kernel,
)
from minicnn.backends.numba.machine import offsets as tables
from minicnn.backends.numba.machine.batch import framed_image, is_framed, masked_image, range_of, spread_cells
from minicnn.backends.numba.machine.denormals import flush_denormals, restore_denormals
from minicnn.backends.numba.machine.launch import MOST_PARTS, parallel_kernel, part
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
from minicnn.backends.numba.machine.target import ROWS, TILE_NUMBERS
from minicnn.backends.numba.machine.vectors import lanes_of


def conv2d(x, kernel, bias, y, window, relu):
    """`minicnn.backends.reference.conv2d` for one group."""
    _run(x, kernel, bias, y, window, relu=relu)


def conv2d_pool(x, kernel, bias, y, winner, window, relu):
    """`minicnn.backends.reference.conv2d_pool` for pooling by 2 x 2."""
    _run(x, kernel, bias, y, window, cell_winner=winner, relu=relu, pooled=True)


def input_gradient(kernel, y, dy, dx, window):
    """dx of `minicnn.backends.reference.conv2d_backward`; without ReLU, y is None."""
    _run(dy, kernel, None, dx, window.turned_around, mask=y, turned=True)


def pool_input_gradient(kernel, winner, dy, dx, window):
    """dx of `minicnn.backends.reference.conv2d_pool_backward`, for pooling by 2 x 2 and whole vectors of filters."""
    _run(dy, kernel, None, dx, window.turned_around, winner=winner, turned=True)


def _run(
    x, kernel, bias, y, window, mask=None, winner=None, cell_winner=None, relu=False, turned=False, pooled=False
):  # fmt: skip
    """Run the kernel; the arguments that are not given are not wanted."""
    channels, filters = reversed(kernel.shape[2:]) if turned else kernel.shape[2:]
    frame, tiles = tables.winograd_tiles(window, *y.shape[1:3], channels, filters, x.itemsize, pooled)
    parts = _parts(len(x), tiles)
    _conv2d.run(
        _time(len(x), tiles, x), x.reshape(-1), kernel.reshape(-1), _bias(bias, tiles, x), y.reshape(-1),
        _flat(mask, x.dtype), _flat(winner, np.uint8), _flat(cell_winner, np.uint8), relu, turned, pooled, len(x),
        parts, frame, tiles,
        parts=parts,
    )  # fmt: skip


def _parts(images, tiles):
    """Parts of a batch, each large enough to fill the products."""
    return max(1, min(images, MOST_PARTS, max(2, images * tiles.count // tiles.most)))


def _time(images, tiles, x):
    """Nanoseconds that one core needs, about."""
    return product_nanoseconds(TILE_NUMBERS * images * tiles.count * tiles.channels * tiles.filters, x.itemsize)


def _bias(bias, tiles, x):
    return zero_row(tiles.filters, x.dtype) if bias is None else bias


@part
def _turned_around(kernel, tiles):
    """The kernel (9, filters, channels) with its taps in reverse order, as (9, channels, filters)."""
    size = tiles.channels * tiles.filters
    turned = scratch(len(kernel), kernel)
    for tap in range(9):
        transpose(
            kernel, (8 - tap) * size, tiles.channels, tiles.filters, tiles.channels, turned, tap * size, tiles.filters
        )
    return turned


@part
def _transformed_kernel(kernel, tiles):
    """The factors of a kernel (9, channels, filters)."""
    factors = scratch(TILE_NUMBERS * tiles.factor_step, kernel)
    tap = tiles.channels * tiles.filters
    for channel in range(tiles.channels):
        for filter in range(0, tiles.filters, lanes_of(kernel)):
            start, place = channel * tiles.filters + filter, channel * tiles.filter_slots + filter
            transform_kernel(kernel, start, 3 * tap, tap, factors, place, tiles.factor_step)
    return factors


@part
def _load_image(frame, x, mask, winner, image, tiles, padded, sums):
    """(array, start) of an image in its frame: as it is, where a mask is positive, or spread over the winners."""
    if len(winner) > 0:
        spread_cells(
            x, winner, image * len(tiles.x_cells) * tiles.channels, tiles.x_cells, tiles.x_cell_taps, tiles.channels,
            padded, sums,
        )  # fmt: skip
        return padded, 0
    if len(mask) > 0:
        masked_image(frame, mask, x, image * frame.rows * frame.row_size, padded, tiles.channels, sums)
        return padded, 0
    return framed_image(frame, x, image, padded)


@part
def _transform_tiles(x, mask, winner, first, begin, count, frame, tiles, padded, sums, numbers):
    """Transform tiles number `begin` to `begin + count` of the images from `first` on."""
    current, source, start = -1, x, 0
    for n in range((count + ROWS - 1) // ROWS * ROWS):  # the product reads whole rows of its tiles
        at = begin + min(n, count - 1)
        image, tile = first + at // tiles.count, at % tiles.count
        if image != current:
            current = image
            source, start = _load_image(frame, x, mask, winner, image, tiles, padded, sums)
        for channel in range(0, tiles.channels, lanes_of(x)):
            place = n * tiles.channel_slots + channel
            transform_inputs(
                source, start + tiles.places[tile] + channel, frame.padded_row, tiles.channels,
                numbers, place, tiles.number_step,
            )  # fmt: skip


@part
def _multiply_tiles(numbers, factors, zeros, count, tiles, products):
    """The 36 matrix products."""
    for k in range(TILE_NUMBERS):
        multiply(
            numbers, k * tiles.number_step, tiles.number_rows, tiles.channel_steps,
            factors, k * tiles.factor_step, tiles.factor_rows, 0, tiles.channels, zeros, False,
            products, k * tiles.product_step, tiles.product_rows, 0, count, tiles.filter_slots,
            floor_of(False, products),
        )  # fmt: skip


@part
def _store_tiles(products, bias, relu, y, cell_winner, pooled, first, begin, count, tiles):
    """Transform tiles number `begin` to `begin + count` of the images from `first` on back into outputs, or cells."""
    for n in range(count):
        image, tile = first + (begin + n) // tiles.count, (begin + n) % tiles.count
        start, height, width = image * tiles.image_size + tiles.y_places[tile], tiles.heights[tile], tiles.widths[tile]
        for filter in range(0, tiles.filters, lanes_of(products)):
            place, filters_left = n * tiles.filter_slots + filter, tiles.filters - filter
            if pooled:
                cells_of(
                    products, place, tiles.product_step, bias, filter, relu, y, cell_winner, len(cell_winner) > 0,
                    start + filter, tiles.y_row, tiles.filters, height, width, filters_left,
                )  # fmt: skip
            else:
                outputs_of(
                    products, place, tiles.product_step, bias, filter, floor_of(relu, products), y,
                    start + filter, tiles.y_row, tiles.filters, height, width, filters_left,
                )  # fmt: skip


@part
def _conv2d_part(x, factors, zeros, bias, y, mask, winner, cell_winner, relu, pooled, first, last, frame, tiles):
    padded = scratch(frame.size if is_framed(frame) or len(mask) > 0 or len(winner) > 0 else 0, x)
    fill(padded, 0, len(padded), 0)
    sums = scratch(tiles.channel_slots, x)  # of the gradients, not used here
    fill(sums, 0, len(sums), 0)
    numbers = scratch(TILE_NUMBERS * tiles.number_step, x)
    products = scratch(TILE_NUMBERS * tiles.product_step, x)
    control = flush_denormals()
    total = (last - first) * tiles.count
    for begin in range(0, total, tiles.most):
        count = min(tiles.most, total - begin)
        _transform_tiles(x, mask, winner, first, begin, count, frame, tiles, padded, sums, numbers)
        _multiply_tiles(numbers, factors, zeros, count, tiles, products)
        _store_tiles(products, bias, relu, y, cell_winner, pooled, first, begin, count, tiles)
    restore_denormals(control)


@parallel_kernel(uses=[MULTIPLY])
def _conv2d(
    x, kernel, bias, y, mask, winner, cell_winner, relu, turned, pooled, images, parts, frame, tiles
):  # fmt: skip
    if turned:
        kernel = _turned_around(kernel, tiles)
    factors = _transformed_kernel(kernel, tiles)
    zeros = scratch(tiles.filter_slots, x)
    fill(zeros, 0, len(zeros), 0)
    for number in prange(parts):
        first, last = range_of(number, parts, images)
        _conv2d_part(
            x, factors, zeros, bias, y, mask, winner, cell_winner, relu, pooled, first, last, frame, tiles
        )  # fmt: skip
