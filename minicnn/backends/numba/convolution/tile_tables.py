"""Tables of convolutions on tiles: where tiles lie in images, and where their sums go.

Every product of a convolution walks over tiles of 32 neighbouring numbers k: the channels of a window's pixels, tap by
tap where pixels are apart, a row of taps where they are side by side. What is read beyond such a run is multiplied by
zeros. Images of few channels are taken to *patches* first, the windows' numbers side by side, so that a tile is not
mostly zeros; from there on the convolution is one of 1 x 1 taps.
"""

from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.convolution.direct import convolution
from minicnn.backends.numba.convolution.gradients import phases_of
from minicnn.backends.numba.machine.offsets import Frame, frame, input_frame, outer_sum, strides, table_cache
from minicnn.backends.numba.machine.tables import laid_out
from minicnn.backends.numba.tiles.block import DEPTH, PRODUCTS, TILE
from minicnn.backends.numba.tiles.emulation import SIDE
from minicnn.geometry import Window

_NO_OFFSETS = np.zeros(0, np.int64)
_PATCHES_BELOW = 16  # channels
_BAND_BYTES = 24 << 10  # of sums that are pooled while they are in the first cache
_SUM_TILES = 16  # of pixels, about, that a kernel gradient adds up at a time, from several images if these are small


def whole_tiles(count: int) -> int:
    """`count` rounded up to whole columns of tiles."""
    return -(-count // SIDE) * SIDE


def tile_rows(columns: int) -> int:
    """Rows of a tile, so that few tiles cover so many pixels; the last one may overlap its neighbour."""
    return -(-columns // -(-columns // SIDE))


class Source(NamedTuple):
    """How an image becomes what left tiles are read from: its frame in pieces, or patches of it."""

    frame: Frame
    is_patched: bool
    pixels: np.ndarray  # of every output the window's first element
    strips: np.ndarray  # of a window, that are copied as a whole
    strip: int  # numbers
    size: int  # of the frame, or of all patches
    zeros: int  # behind it


class Lines(NamedTuple):
    """A product whose rows are lines of pixels."""

    down: int  # in the left operand, from line to line
    step: int  # from pixel to pixel
    columns: int  # pixels of a line
    rows: int  # of a tile
    steps: np.ndarray
    width: int  # numbers of a pixel's sums, in whole tiles
    count: int  # of them that count
    pieces: int


class Band(NamedTuple):
    """Lines of sums that are finished together: pooled, or not."""

    bands: int
    lines: int  # of a band; the last one may have fewer
    lines_apart: int  # of a band and the next
    all_lines: int
    line: int  # elements from line to line
    first: int  # element of the first pixel; before it there is the padding of pooling
    size: int
    cells: np.ndarray  # first tap of every pooled cell; empty without pooling
    taps: np.ndarray


class Forward(NamedTuple):
    """All tables of a convolution."""

    source: Source
    lines: Lines
    kernel_rows: np.ndarray
    band: Band


# -------------------------------------------------------------------------------------------- windows and patches


@table_cache
def lowered(window: Window, channels: int) -> tuple[Window, int]:
    """The window over what left tiles are read from, and the channels of that."""
    if channels >= _PATCHES_BELOW or window.taps == 1:
        return window, channels
    return Window(window.out_height, window.out_width, 1, 1), window.taps * channels


@table_cache
def source_of(window: Window, channels: int) -> Source:
    """The `Source` of a convolution's images."""
    own, depth = lowered(window, channels)
    is_patched, x_frame = own is not window, input_frame(window, channels)
    conv = convolution(window, channels, 1)
    rows = strides(window.kernel_height, window.dilation_y * x_frame.padded_row)
    strips, strip = rows, window.kernel_width * channels
    if window.dilation_x > 1:
        strips, strip = outer_sum(rows, strides(window.kernel_width, window.dilation_x * channels)), channels
    size = window.out_height * window.out_width * depth if is_patched else x_frame.size
    zeros = whole_tiles(depth) + 2 * DEPTH
    return Source(x_frame, is_patched, conv.pixels[: conv.pixel_count], strips, strip, size, zeros)


def cut(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the numbers k of a product into tiles.

    Parameters
    ----------
    offsets : (K,) int array
        Where each k lies in the left operand.
    rows : (K,) int array
        Where its row begins in the right one.

    Returns
    -------
    starts : (tiles,) int64
        Where each tile begins in the left operand.
    padded : (32 · tiles,) int64
        The rows of each tile, -1 where it has none.
    """
    starts, padded = [], []
    for run in np.split(np.arange(len(offsets)), np.flatnonzero(np.diff(offsets) != 1) + 1):
        for tile in (run[i : i + DEPTH] for i in range(0, len(run), DEPTH)):
            starts.append(offsets[tile[0]])
            padded.append(np.pad(rows[tile], (0, DEPTH - len(tile)), constant_values=-1))
    return np.array(starts, np.int64), np.concatenate([_NO_OFFSETS, *padded])


def steps_of(starts: np.ndarray, piece: int, columns: int, pieces: int, first: int = 0) -> np.ndarray:
    """Steps (2 · tiles · products,) over left tiles at these places, and over right ones from number `first` on.

    Parameters
    ----------
    starts : (tiles,) int64
    piece : int
        Elements from piece to piece of the left operand.
    columns : int
        Of the right operand.
    pieces : int
    first : int
        Row of right tiles.
    """
    beside = whole_tiles(columns) // SIDE * pieces
    steps = [
        (start + i * piece, ((first + t) * beside + j) * TILE)
        for t, start in enumerate(starts)
        for i, j in PRODUCTS[pieces]
    ]
    return np.array(steps, np.int64).reshape(-1)


# ------------------------------------------------------------------------------------------------- the forward pass


@table_cache
def forward_of(window: Window, pool: Window | None, channels: int, filters: int, pieces: int) -> np.ndarray:
    """The tables of a convolution, alone or with pooling: a `Forward`, laid out."""
    columns = window.out_width if pool is None else _pooled_columns(pool)
    band = _plain_band(window.out_height, columns, filters) if pool is None else _pooled_band(pool, filters)
    source, (own, depth) = source_of(window, channels), lowered(window, channels)
    conv = convolution(own, depth, filters)
    starts, kernel_rows = cut(conv.taps[: conv.kernel_height], conv.kernel_rows[: conv.kernel_height])
    row = input_frame(own, depth).padded_row
    lines = Lines(
        *(own.stride_y * row, own.stride_x * depth, columns, tile_rows(columns)),
        steps_of(starts, source.size + source.zeros, filters, pieces),
        *(whole_tiles(filters), filters, pieces),
    )
    return laid_out(Forward(source, lines, kernel_rows, band))


def _plain_band(height, columns, channels):
    """Two lines at a time, not pooled."""
    line = columns * whole_tiles(channels)
    return Band(-(-height // 2), 2, 2, height, line, 0, 2 * line, _NO_OFFSETS, _NO_OFFSETS)


def _pooled_columns(pool):
    """How many pixels of a line pooling looks at."""
    return min(pool.in_width, (pool.out_width - 1) * pool.stride_x + pool.kernel_width)


def _pooled_band(pool, filters):
    """A few rows of pooled cells, or the whole image if pooling windows overlap or are padded."""
    width = whole_tiles(filters)
    line = (pool.pad_left + _pooled_columns(pool) + pool.pad_right) * width
    cells, lines, first = pool.out_height, pool.in_height, pool.pad_top * line + pool.pad_left * width
    if not (pool.is_padded or pool.overlaps):
        fitting = (c for c in range(1, cells + 1) if cells % c == 0 and 4 * c * pool.stride_y * line <= _BAND_BYTES)
        cells = max(fitting, default=1)
        lines = (cells - 1) * pool.stride_y + pool.kernel_height
    columns = outer_sum(strides(pool.kernel_height, line), strides(pool.kernel_width, width))
    return Band(
        *(pool.out_height // cells, lines, cells * pool.stride_y, pool.in_height, line, first),
        (pool.pad_top + lines + pool.pad_bottom) * line,
        outer_sum(strides(cells, pool.stride_y * line), strides(pool.out_width, pool.stride_x * width)),
        columns,
    )


# ------------------------------------------------------------------------------------------------ the gradients


class Phase(NamedTuple):
    """Pixels of dx that meet the same taps."""

    place: int  # where dy lies
    height: int  # lines
    dx_place: int
    dx_row: int  # from line to line
    dx_step: int  # from pixel to pixel
    lines: Lines


class InputGradient(NamedTuple):
    """The input gradient, phase by phase."""

    phases: np.ndarray  # each a `Phase`, laid out
    places: np.ndarray  # where each begins
    rows: int  # of a tile
    kernel_rows: np.ndarray  # of the transposed kernel, (T·F, C)
    width: int  # of a band of two lines


class KernelGradient(NamedTuple):
    """The kernel gradient as sums over the pixels of the framed dy, of several images.

    Left tiles are dy, transposed. Right ones are pairs of pixels of the *planes*: an image's pixels that a stride apart
    are neighbours, as wide as the frame of dy, so that one number leads through both. A plane is packed once from even
    and once from odd pixels on, as far as taps need: so a tile may begin at any pixel.
    """

    copies: np.ndarray  # (copies,): the first row in `plane_rows` of each
    plane_rows: np.ndarray  # where each pixel of a plane lies in the source
    plane: int  # pixels, in whole tiles
    taps: np.ndarray  # where each one's right tiles begin
    steps: np.ndarray
    gradient_rows: np.ndarray  # (32,): from pixel to pixel of dy
    sum_tiles: int  # of 32 pixels of an image
    together: int  # images
    channel_tiles: int
    filter_tiles: int


class Backward(NamedTuple):
    """All tables of a convolution's gradients."""

    source: Source
    frame: Frame  # of dy
    zeros: int  # behind it
    dx: InputGradient
    dkernel: KernelGradient
    inputs: int  # channels of x
    channels: int  # of the source
    filters: int
    taps: int  # of the window over the source
    pieces: int
    image: int  # numbers of one of x


@table_cache
def backward_of(window: Window, channels: int, filters: int, pieces: int) -> np.ndarray:
    """The tables of a convolution's gradients: a `Backward`, laid out."""
    own, depth = lowered(window, channels)
    row_phases, column_phases, (top, bottom, left, right) = phases_of(window)
    reach = (own.kernel_width - 1) * own.dilation_x // own.stride_x
    dy_frame = frame(window.out_height, window.out_width, filters, top, bottom, left, max(right, reach - left))
    zeros = DEPTH * filters + whole_tiles(filters) + DEPTH
    phases = row_phases, column_phases
    dx = _input_gradient(window, phases, dy_frame, zeros, (channels, filters, pieces))
    dkernel = _kernel_gradient(window, dy_frame, (channels, filters, pieces))
    sizes = channels, depth, filters, own.taps, pieces, window.in_height * window.in_width * channels
    return laid_out(Backward(source_of(window, channels), dy_frame, zeros, dx, dkernel, *sizes))


def _input_gradient(window, phases, dy_frame, zeros, sizes):
    (row_phases, column_phases), (channels, filters, pieces) = phases, sizes
    row, size, width = dy_frame.padded_row, dy_frame.size + zeros, whole_tiles(channels)
    most, tile = max(len(c.inputs) for c in column_phases), tile_rows(min(len(c.inputs) for c in column_phases))
    table, kernel_rows, done = [], [], 0  # tiles
    for rows in row_phases:
        for columns in column_phases:
            back = outer_sum(-rows.back * row, -columns.back * filters)
            taps = outer_sum(rows.taps * window.kernel_width, columns.taps)
            order = np.argsort(back, kind="stable")  # from left to right, so that neighbours are one run
            offsets = outer_sum(back[order], strides(filters, 1))
            starts, own_rows = cut(offsets, outer_sum(taps[order] * filters, strides(filters, 1)) * channels)
            steps = steps_of(starts, size, channels, pieces, done)
            kernel_rows.append(own_rows)
            done += len(starts)
            place = dy_frame.first + rows.outputs[0] * row + columns.outputs[0] * filters
            dx_place = (rows.inputs[0] * window.in_width + columns.inputs[0]) * channels
            strides_of_dx = window.stride_y * window.in_width * channels, window.stride_x * channels
            lines = Lines(row, filters, len(columns.inputs), tile, steps, width, channels, pieces)
            table.append(laid_out(Phase(place, len(rows.inputs), dx_place, *strides_of_dx, lines)))
    places = np.cumsum([0, *map(len, table[:-1])])
    return InputGradient(np.concatenate(table), places, tile, np.concatenate(kernel_rows), most * width)


def _kernel_gradient(window, dy_frame, sizes):
    channels, filters, pieces = sizes
    source, (own, depth) = source_of(window, channels), lowered(window, channels)
    width = dy_frame.padded_row // filters  # of a plane
    sum_tiles = -(-((own.out_height - 1) * width + own.out_width) // DEPTH)
    offsets_y, offsets_x = strides(own.kernel_height, own.dilation_y), strides(own.kernel_width, own.dilation_x)
    phase = outer_sum(offsets_y % own.stride_y * own.stride_x, offsets_x % own.stride_x)
    pixel = outer_sum(offsets_y // own.stride_y * width, offsets_x // own.stride_x)
    plane = -(-(DEPTH * sum_tiles + pixel.max()) // DEPTH) * DEPTH
    copies, copy_of_tap = np.unique(np.stack([phase, pixel % 2], 1), axis=0, return_inverse=True)
    together, channel_tiles = max(1, _SUM_TILES // sum_tiles), whole_tiles(depth) // SIDE
    plane_rows = np.stack([_plane_rows(own, depth, width, plane + DEPTH, p, source) for p in range(phase.max() + 1)])
    piece = channel_tiles * together * plane * SIDE
    left = np.arange(together * sum_tiles) * TILE
    right = (np.arange(together)[:, None] * plane * SIDE + np.arange(sum_tiles) * TILE).reshape(-1)
    steps = [
        (at + i * len(left) * TILE, to + j * piece)
        for at, to in zip(left, right, strict=True)
        for i, j in PRODUCTS[pieces]
    ]
    return KernelGradient(
        copies=copies[:, 0] * (plane + DEPTH) + copies[:, 1],
        plane_rows=plane_rows.reshape(-1),
        plane=plane,
        taps=copy_of_tap.reshape(-1) * pieces * piece + pixel // 2 * 2 * SIDE,
        steps=np.array(steps, np.int64).reshape(-1),
        gradient_rows=strides(DEPTH, filters),
        sum_tiles=sum_tiles,
        together=together,
        channel_tiles=channel_tiles,
        filter_tiles=whole_tiles(filters) // SIDE,
    )


def _plane_rows(own, depth, width, count, phase, source):
    """Where the pixels of a plane lie in the source: in its zeros, if it has none there."""
    y, x = np.divmod(np.arange(count), width)
    y, x = y * own.stride_y + phase // own.stride_x, x * own.stride_x + phase % own.stride_x
    height, in_width = own.in_height + own.pad_top + own.pad_bottom, own.in_width + own.pad_left + own.pad_right
    is_inside = (y < height) & (x < in_width)
    return np.where(is_inside, y * input_frame(own, depth).padded_row + x * depth, source.size)
