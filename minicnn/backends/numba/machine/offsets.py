"""Tables of element offsets: the geometry of a kernel, worked out once per geometry and read by its loops.

Offsets count elements of C-contiguous arrays. Tables are cached and must not be written to. They come in named tuples,
which Numba takes as arguments; not in tuples of tuples, which it does not take into a parallel loop.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.backends import memory
from minicnn.backends.numba.machine.target import ROWS, RUN_SHAPES, TILE_INPUTS, TILE_OUTPUTS, WIDTH, lanes, vectors
from minicnn.geometry import RELU_OFF, Window

_L1_BYTES = 40 << 10  # of the first-level cache, for one kernel's use
_ROW_SLACK = 16  # elements; the longest vector has as many
_GROUP_OUTPUTS = 48  # of a group of images
_WINOGRAD_TILES = 64  # transformed together

_table_cache = lru_cache(maxsize=256)


def outer_sum(*parts):
    """Sums of one number of each part, the last part running fastest: (product of the lengths,) int64."""
    total = np.zeros(1, np.int64)
    for numbers in parts:
        total = np.add.outer(total, np.asarray(numbers, np.int64)).reshape(-1)
    return total


def row_table(offsets):
    """The offsets, with the last one repeated up to a multiple of the tiles' rows."""
    return np.pad(offsets, (0, -len(offsets) % ROWS), mode="edge")


@_table_cache
def steps(count: int, step: int):
    """0, step, 2·step, … (count,) int64."""
    return np.arange(count, dtype=np.int64) * step


@_table_cache
def step_rows(count: int, step: int):
    """`steps` as a row table."""
    return row_table(steps(count, step))


def whole_vectors(count: int, itemsize: int) -> int:
    """`count` rounded up to whole vectors."""
    return vectors(count, itemsize) * lanes(itemsize)


@_table_cache
def zero_row(count: int, dtype):
    """The bias of a layer that has none."""
    return memory.zeros(count, dtype)


@lru_cache
def _absent(dtype):
    return memory.empty(0, dtype)


def flat_or_absent(array, dtype):
    """The array with one axis; for None an empty array, which means "not wanted" inside a kernel."""
    return _absent(dtype) if array is None else array.reshape(-1)


class Frame(NamedTuple):
    """An image inside a frame of padding."""

    rows: int
    row_size: int  # elements
    padded_row: int
    first: int  # element of the image
    size: int  # elements of all


@_table_cache
def frame(height: int, width: int, channels: int, top: int, bottom: int, left: int, right: int) -> Frame:
    """The `Frame` of an image."""
    padded_row = (left + width + right) * channels
    size = (top + height + bottom) * padded_row
    return Frame(height, width * channels, padded_row, top * padded_row + left * channels, size)


def input_frame(window: Window, channels: int) -> Frame:
    """The frame of the images that a window slides over."""
    pads = window.pad_top, window.pad_bottom, window.pad_left, window.pad_right
    return frame(window.in_height, window.in_width, channels, *pads)


def _input_row(window, channels):
    """Elements in one row of the padded input."""
    return (window.pad_left + window.in_width + window.pad_right) * channels


# ------------------------------------------------------------------------------------------------------ dense


class Dense(NamedTuple):
    """Tables for the three products of a dense layer: steps from row to row of its matrices."""

    samples: int
    inputs: int
    outputs: int
    x_rows: np.ndarray  # row table, and of dx
    y_rows: np.ndarray  # row table, and of dy
    x_columns: np.ndarray  # row table: the columns of x are the rows of dkernel
    kernel_rows: np.ndarray  # row table
    y_columns: np.ndarray
    panel_rows: np.ndarray  # of a panel of the transposed kernel


@_table_cache
def dense(samples: int, inputs: int, outputs: int, itemsize: int) -> Dense:
    """The tables of `Dense` for one geometry."""
    return Dense(
        samples=samples,
        inputs=inputs,
        outputs=outputs,
        x_rows=step_rows(samples, inputs),
        y_rows=step_rows(samples, outputs),
        x_columns=step_rows(inputs, 1),
        kernel_rows=step_rows(inputs, outputs),
        y_columns=steps(outputs, 1),
        panel_rows=steps(outputs, WIDTH * lanes(itemsize)),
    )


# ------------------------------------------------------------------------------------------------ convolution


class Convolution(NamedTuple):
    """Tables for y = sum over taps and channels of x · kernel, and for the kernel's gradient."""

    channels: int
    filters: int
    pixel_count: int  # of an output
    kernel_height: int  # of the kernel as a matrix: taps · channels
    pixels: np.ndarray  # row table: of every output pixel the window, in the padded input
    taps: np.ndarray  # row table: of every row of the kernel matrix the element in a window
    kernel_rows: np.ndarray  # row table: of every row of the kernel matrix the first element
    y_rows: np.ndarray  # row table: of every output pixel the first element


@_table_cache
def convolution(window: Window, channels: int, filters: int) -> Convolution:
    """The tables of `Convolution` for one geometry."""
    row = _input_row(window, channels)
    pixel_count, kernel_height = window.out_height * window.out_width, window.taps * channels
    rows = steps(window.out_height, window.stride_y * row)
    tap_rows = steps(window.kernel_height, window.dilation_y * row)
    tap_columns = steps(window.kernel_width, window.dilation_x * channels)
    return Convolution(
        channels=channels,
        filters=filters,
        pixel_count=pixel_count,
        kernel_height=kernel_height,
        pixels=row_table(outer_sum(rows, steps(window.out_width, window.stride_x * channels))),
        taps=row_table(outer_sum(tap_rows, tap_columns, steps(channels, 1))),
        kernel_rows=step_rows(kernel_height, filters),
        y_rows=step_rows(pixel_count, filters),
    )


class InputGradient(NamedTuple):
    """Tables for dx = sum over taps of dy · kernelᵀ, as a convolution of a framed dy with the kernel turned around.

    With a stride, pixels fall into phases: a pixel meets only the taps that a whole number of strides leads to. Every
    phase is a product of its own: its pixels, row table entries `phases[i, 0]` to `phases[i, 1]`, by its taps and
    filters, inner table entries `phases[i, 2]` to `phases[i, 3]`.
    """

    dy_inside: np.ndarray  # every pixel of dy in its frame
    tap_order: np.ndarray  # phase by phase
    dy_rows: np.ndarray
    dx_rows: np.ndarray
    dy_inner: np.ndarray
    kernel_rows: np.ndarray  # of the kernel turned around
    phases: np.ndarray


@_table_cache
def input_gradient(window: Window, channels: int, filters: int) -> tuple[Frame, InputGradient]:
    """The frame of dy and the tables of `InputGradient` for one geometry."""
    row_phases = _axis_phases(
        window.in_height, window.pad_top, window.kernel_height, window.dilation_y, window.stride_y
    )
    column_phases = _axis_phases(
        window.in_width, window.pad_left, window.kernel_width, window.dilation_x, window.stride_x
    )
    top, bottom = _axis_margins(row_phases, window.out_height)
    left, right = _axis_margins(column_phases, window.out_width)
    dy_frame = frame(window.out_height, window.out_width, filters, top, bottom, left, right)
    row_size, first = dy_frame.padded_row, dy_frame.first
    tables = {"taps": [], "dy_rows": [], "dx_rows": [], "dy_inner": []}
    phases = []
    for rows, row_places, row_taps, row_steps in row_phases:
        for columns, column_places, column_taps, column_steps in column_phases:
            dx_rows = row_table(outer_sum(rows * (window.in_width * channels), columns * channels))
            inner = outer_sum(-row_steps * row_size, -column_steps * filters, steps(filters, 1))
            row_start, inner_start = (sum(map(len, tables[name])) for name in ("dx_rows", "dy_inner"))
            phases.append((row_start, row_start + len(rows) * len(columns), inner_start, inner_start + len(inner)))
            tables["taps"].append(outer_sum(row_taps * window.kernel_width, column_taps))
            tables["dy_rows"].append(row_table(first + outer_sum(row_places * row_size, column_places * filters)))
            tables["dx_rows"].append(dx_rows)
            tables["dy_inner"].append(inner)
    joined = {name: np.concatenate(parts) for name, parts in tables.items()}
    dy_inside = row_table(first + outer_sum(steps(window.out_height, row_size), steps(window.out_width, filters)))
    return dy_frame, InputGradient(
        dy_inside=dy_inside,
        tap_order=joined["taps"],
        dy_rows=joined["dy_rows"],
        dx_rows=joined["dx_rows"],
        dy_inner=joined["dy_inner"],
        kernel_rows=steps(len(joined["dy_inner"]), channels),
        phases=np.array(phases),
    )


def _axis_phases(size, pad, kernel, dilation, stride):
    """One axis of the phases: (input positions, their quotients by the stride, taps, the taps' quotients) of each."""
    positions, tap_numbers = np.arange(size), np.arange(kernel)
    phases = []
    for phase in range(min(stride, size)):
        remainder = (phase + pad) % stride
        mine = positions[phase::stride]
        meets = tap_numbers[tap_numbers * dilation % stride == remainder]
        phases.append((mine, (mine + pad - remainder) // stride, meets, (meets * dilation - remainder) // stride))
    return phases


def _axis_margins(phases, out_size):
    """Zeros needed before and after dy, so that no tap leads out of its frame."""
    lows = [places.min() - quotients.max() for _, places, _, quotients in phases if len(quotients)]
    highs = [places.max() - quotients.min() for _, places, _, quotients in phases if len(quotients)]
    return max(0, -min(lows, default=0)), max(0, max(highs, default=0) - out_size + 1)


class ImageGroup(NamedTuple):
    """Tables for the gradients of several images with few outputs."""

    images: int
    run: int  # rows of the kernel matrix that are side by side in the image
    pixels: np.ndarray  # of every output of the group its window, in the images one after the other
    row_steps: np.ndarray  # of every output the first gradient
    rows: np.ndarray  # the same as a row table
    filter_steps: np.ndarray
    transposed_rows: np.ndarray  # of the kernel as (F, T·C)
    column_rows: np.ndarray  # row table: of every output its T·C columns


@_table_cache
def image_group(window: Window, channels: int, filters: int) -> ImageGroup:
    """The tables of `ImageGroup` for one geometry."""
    x_frame, conv = input_frame(window, channels), convolution(window, channels, filters)
    images = max(1, _GROUP_OUTPUTS // conv.pixel_count)
    outputs, image_size = images * conv.pixel_count, x_frame.size  # a frame without padding is the image
    return ImageGroup(
        images=images,
        run=channels * (window.kernel_width if window.dilation_x == 1 else 1),
        pixels=outer_sum(steps(images, image_size), conv.pixels[: conv.pixel_count]),
        row_steps=steps(outputs, filters),
        rows=step_rows(outputs, filters),
        filter_steps=steps(filters, 1),
        transposed_rows=steps(filters, conv.kernel_height),
        column_rows=step_rows(outputs, conv.kernel_height),
    )


# ---------------------------------------------------------------------------------- convolution with pooling


class Bands(NamedTuple):
    """How the fused forward kernel walks: band after band of convolution pixels, each pooled from scratch memory."""

    bands: int
    x_step: int  # elements of x from band to band
    x_rows: np.ndarray  # window of every convolution pixel of a band
    scratch_rows: np.ndarray  # where the pixel goes
    pixel_count: int  # or groups of pixels that are computed together
    scratch_size: int
    cells: np.ndarray  # first tap of every pooled cell of a band in scratch memory
    taps: np.ndarray  # further taps of a cell


@_table_cache
def bands(window: Window, pool: Window, channels: int, row_length: int, itemsize: int, abreast: int = 1) -> Bands:
    """A band is a few rows of pooled cells, or the whole image if pooling windows overlap or are padded.

    `row_length` elements of scratch memory hold the filters of a pixel. With `abreast` pixels computed together, the
    window is that of such a group (`paired_window`).
    """
    width = min(pool.in_width, (pool.out_width - 1) * pool.stride_x + pool.kernel_width)
    slack = _ROW_SLACK if abreast > 1 else 0  # what is written in whole vectors stays in its row
    scratch_row = (pool.pad_left + width + pool.pad_right) * row_length + slack
    if can_pool_by_rows(pool):
        cells_high = _rows_in_band(pool.out_height, pool.stride_y * scratch_row * itemsize)
        height = (cells_high - 1) * pool.stride_y + pool.kernel_height
    else:
        cells_high, height = pool.out_height, pool.in_height
    x_row = window.stride_y * _input_row(window, channels)
    first = pool.pad_top * scratch_row + pool.pad_left * row_length
    return Bands(
        bands=pool.out_height // cells_high,
        x_step=cells_high * pool.stride_y * x_row,
        x_rows=row_table(outer_sum(steps(height, x_row), steps(width // abreast, window.stride_x * channels))),
        scratch_rows=row_table(
            first + outer_sum(steps(height, scratch_row), steps(width // abreast, abreast * row_length))
        ),
        pixel_count=height * width // abreast,
        scratch_size=(pool.pad_top + height + pool.pad_bottom) * scratch_row,
        cells=outer_sum(
            steps(cells_high, pool.stride_y * scratch_row), steps(pool.out_width, pool.stride_x * row_length)
        ),
        taps=outer_sum(steps(pool.kernel_height, scratch_row), steps(pool.kernel_width, row_length)),
    )


def _rows_in_band(rows, row_bytes):
    """The most rows of cells that divide all of them and leave half of the first cache to others; at least one."""
    fitting = [count for count in range(1, rows + 1) if rows % count == 0 and count * row_bytes <= _L1_BYTES // 2]
    return max(fitting, default=1)


@lru_cache
def paired_window(window: Window) -> Window:
    """The window of two pixels side by side: one tap wider, with twice the step."""
    return replace(window, kernel_width=window.kernel_width + 1, stride_x=2)


def can_pool_by_rows(pool: Window) -> bool:
    """Whether every convolution pixel belongs to at most one pooled cell, and none is padding."""
    return not pool.is_padded and not pool.overlaps


class Runs(NamedTuple):
    """Tables for sums over live winners: the runs of x that one convolution pixel reads, cut into vectors.

    A filter's weights are stored in the same vectors; lanes behind the end of a run hold no weight.
    """

    cells: np.ndarray  # window of the pooled cell's first convolution pixel, in the padded input
    winners: np.ndarray  # further offset for every winner
    tap_count: int  # winners below it are live
    last_place: int  # of the last window
    blocks: np.ndarray  # (blocks, 4): how a window is cut into `RUN_SHAPES`: offset, first slot, runs, vectors
    run_step: int  # from run to run of a block
    run: int  # rows of the kernel matrix in one run
    run_slots: int  # lanes of one run's vectors
    slot_count: int
    block_cells: int  # cells whose part of x and of dx stays in the L1 cache while all filters pass


@_table_cache
def runs(window: Window, pool: Window, channels: int, itemsize: int) -> Runs:
    """The tables of `Runs` for one geometry."""
    input_row = _input_row(window, channels)
    step_y, step_x = window.stride_y * input_row, window.stride_x * channels
    cells = outer_sum(steps(pool.out_height, pool.stride_y * step_y), steps(pool.out_width, pool.stride_x * step_x))
    winners = np.zeros(RELU_OFF + 1, np.int64)
    winners[: pool.taps] = outer_sum(steps(pool.kernel_height, step_y), steps(pool.kernel_width, step_x))
    run_step = window.dilation_y * input_row
    row_starts = steps(window.kernel_height, run_step)
    if window.dilation_x == 1:
        run, starts, most_runs = window.kernel_width * channels, row_starts, window.kernel_height
    else:
        run, starts = channels, outer_sum(row_starts, steps(window.kernel_width, window.dilation_x * channels))
        most_runs = 1  # in a block: they are not evenly spaced
    lane_count = lanes(itemsize)
    vectors_per_run = -(-run // lane_count)
    slots_per_run = vectors_per_run * lane_count
    block_count = -(-pool.out_height * 2 * itemsize * pool.stride_y * step_y // _L1_BYTES)
    return Runs(
        cells=cells - pool.pad_top * step_y - pool.pad_left * step_x,
        winners=winners,
        tap_count=pool.taps,
        last_place=(window.out_height - 1) * step_y + (window.out_width - 1) * step_x,
        blocks=_run_blocks(starts, vectors_per_run, lane_count, most_runs),
        run_step=run_step,
        run=run,
        run_slots=slots_per_run,
        slot_count=len(starts) * slots_per_run,
        block_cells=-(-pool.out_height // block_count) * pool.out_width,
    )


def _run_blocks(starts, vectors_per_run, lane_count, most_runs):
    """Cut runs of vectors into `RUN_SHAPES`, the largest first."""
    blocks, first_run = [], 0
    while first_run < len(starts):
        runs_left, vector = min(len(starts) - first_run, most_runs), 0
        runs = max(r for r, v in RUN_SHAPES if r <= runs_left and (v >= vectors_per_run or r <= 3))
        while vector < vectors_per_run:
            vectors = max(v for r, v in RUN_SHAPES if r == runs and v <= vectors_per_run - vector)
            slot = (first_run * vectors_per_run + vector) * lane_count
            blocks.append((starts[first_run] + vector * lane_count, slot, runs, vectors))
            vector += vectors
        first_run += runs
    return np.array(blocks, np.int64)


# ------------------------------------------------------------------------------------------ Winograd's algorithm


class WinogradTiles(NamedTuple):
    """The tiles of Winograd's convolution: TILE_OUTPUTS x TILE_OUTPUTS outputs each, the last ones partly outside."""

    channels: int
    filters: int
    channel_slots: int  # channels in whole vectors
    filter_slots: int  # filters in whole vectors
    count: int  # tiles of one image
    most: int  # tiles that are transformed together
    number_step: int  # elements from one of the 36 numbers of all tiles to the next; a power of two would make all 36
    factor_step: int  # fall into the same few lines of a cache
    product_step: int
    places: np.ndarray  # first input of each tile, in the padded image
    heights: np.ndarray  # outputs of each tile that are inside; with pooling here and below: cells of 2 x 2 of them
    widths: np.ndarray
    y_places: np.ndarray  # first output of each tile
    y_row: int  # elements in a row of outputs
    image_size: int  # elements of the outputs of an image
    x_cells: np.ndarray  # cells of 2 x 2 inputs in the padded image
    x_cell_taps: np.ndarray
    number_rows: np.ndarray  # row table: transformed tiles
    channel_steps: np.ndarray
    factor_rows: np.ndarray
    product_rows: np.ndarray  # row table


@_table_cache
def winograd_tiles(
    window: Window, height: int, width: int, channels: int, filters: int, itemsize: int, pooled: bool = False
):
    """The frame of the input and the `WinogradTiles` for the first `height` x `width` outputs or cells of an image."""
    tile_size = TILE_OUTPUTS // 2 if pooled else TILE_OUTPUTS
    tiles_high, tiles_wide = -(-height // tile_size), -(-width // tile_size)
    extra = TILE_INPUTS - TILE_OUTPUTS
    bottom = max(0, tiles_high * TILE_OUTPUTS + extra - window.pad_top - window.in_height)
    right = max(0, tiles_wide * TILE_OUTPUTS + extra - window.pad_left - window.in_width)
    x_frame = frame(window.in_height, window.in_width, channels, window.pad_top, bottom, window.pad_left, right)
    count = tiles_high * tiles_wide
    most = -(-min(count, _WINOGRAD_TILES) // ROWS) * ROWS if count > _WINOGRAD_TILES // 2 else _WINOGRAD_TILES
    channel_slots, filter_slots = whole_vectors(channels, itemsize), whole_vectors(filters, itemsize)
    y_row, line = width * filters, memory.ALIGNMENT // itemsize
    return x_frame, WinogradTiles(
        channels=channels,
        filters=filters,
        channel_slots=channel_slots,
        filter_slots=filter_slots,
        count=count,
        most=most,
        number_step=most * channel_slots + line,
        factor_step=channels * filter_slots + line,
        product_step=most * filter_slots + line,
        places=outer_sum(
            steps(tiles_high, TILE_OUTPUTS * x_frame.padded_row), steps(tiles_wide, TILE_OUTPUTS * channels)
        ),
        heights=np.repeat(np.minimum(height - steps(tiles_high, tile_size), tile_size), tiles_wide),
        widths=np.tile(np.minimum(width - steps(tiles_wide, tile_size), tile_size), tiles_high),
        y_places=outer_sum(steps(tiles_high, tile_size * y_row), steps(tiles_wide, tile_size * filters)),
        y_row=y_row,
        image_size=height * y_row,
        x_cells=x_frame.first
        + outer_sum(steps(window.in_height // 2, 2 * x_frame.padded_row), steps(window.in_width // 2, 2 * channels)),
        x_cell_taps=outer_sum(steps(2, x_frame.padded_row), steps(2, channels)),
        number_rows=step_rows(most, channel_slots),
        channel_steps=steps(channels, 1),
        factor_rows=steps(channels, filter_slots),
        product_rows=step_rows(most, filter_slots),
    )


# ---------------------------------------------------------------------------------------------------- pooling


class Cells(NamedTuple):
    """Tables for pooling alone."""

    channels: int
    cells: np.ndarray  # first tap of every cell, in the padded image
    taps: np.ndarray  # further taps of a cell


@_table_cache
def pool_cells(pool: Window, channels: int) -> Cells:
    """The tables of `Cells` for one geometry."""
    row = _input_row(pool, channels)
    return Cells(
        channels=channels,
        cells=outer_sum(steps(pool.out_height, pool.stride_y * row), steps(pool.out_width, pool.stride_x * channels)),
        taps=outer_sum(
            steps(pool.kernel_height, pool.dilation_y * row), steps(pool.kernel_width, pool.dilation_x * channels)
        ),
    )


@_table_cache
def pixel_shares(pool: Window):
    """1 / pixels of the image in each window: (OH·OW,) float64."""
    rows, columns = (
        _pixels_inside(*axis)
        for axis in (
            (pool.out_height, pool.stride_y, pool.pad_top, pool.kernel_height, pool.dilation_y, pool.in_height),
            (pool.out_width, pool.stride_x, pool.pad_left, pool.kernel_width, pool.dilation_x, pool.in_width),
        )
    )
    return 1.0 / np.multiply.outer(rows, columns).reshape(-1)


def _pixels_inside(out_size, stride, pad, kernel, dilation, in_size):
    """How many taps of each window along one axis lie inside the image."""
    places = np.add.outer(np.arange(out_size) * stride - pad, np.arange(kernel) * dilation)
    return ((places >= 0) & (places < in_size)).sum(axis=1)
