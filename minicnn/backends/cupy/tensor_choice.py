"""Which convolutions tensor cores compute, in which tiles and parts: functions of geometry and of the GPU's properties.

A convolution costs what the tables say. The times were measured on an H100, and stand for all GPUs: only their order
counts, and so shapes alone decide in which order numbers are added, not the GPU at hand. Only Hopper has more tiles.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.backends.cupy.structures import Convolution, Correlation
from minicnn.geometry import Window

LEAST_CAPABILITY = 80  # Ampere: mma of TF32, cp.async
FAST = (80, 90, 100, 103)  # TF32 at four times float32's rate or more: three products for one gain by it
LEAST_CHANNELS = 16  # of both sides: below that few_channels.cu serves, or a tile is mostly empty
MOST_TAPS = 32  # which of them lie inside the image are bits of a word
MOST_ELEMENTS = 2**31 - 1  # indices are 32 bits
STAGES = 3  # of weights, as in the kernels
MULTIPROCESSORS = 132  # of an H100
SHARED = 228 * 1024  # bytes of shared memory of a multiprocessor; a block has 1 KiB less than it takes
OVERHEAD = 1.0  # µs of a launch


class Device(NamedTuple):
    """What a choice depends on.

    Attributes
    ----------
    capability : int
        Of computing, 80 for 8.0; 0: no tensor cores.
    shared : int
        Bytes of dynamic shared memory that a block can have.
    """

    capability: int
    shared: int


class Tile(NamedTuple):
    """What a block of threads computes.

    Attributes
    ----------
    rows, columns : int
        Positions and filters; of a kernel's gradient channels and filters.
    warps_down, warps_across : int
    blocks : int
        That a multiprocessor has registers for.
    alone, together : float
        µs of a step (32 terms; of a kernel's gradient 32 positions and 3 taps) where a multiprocessor has one block,
        and where it has `blocks`.
    below : int or None
        Only where the layer has fewer channels, or filters, than that.
    start : float
        Steps that a block takes longer, to begin and to end.
    """

    rows: int
    columns: int
    warps_down: int
    warps_across: int
    blocks: int
    alone: float
    together: float
    below: int | None = None
    start: float = 0

    def suits(self, channels: int, filters: int) -> bool:
        """Whether it is one for such a layer."""
        return self.below is None or min(channels, filters) < self.below


# Large tiles load less for each product; small ones leave no multiprocessor idle, and waste less of narrow layers. The
# times are fitted to those of six convolutions, by three products of TF32. What has a `below` was not measured: its
# times are guesses from its neighbours', and it only serves narrower layers.
TILES = (
    Tile(128, 64, 2, 2, 2, 1.17, 1.92, start=2.5),
    Tile(64, 64, 2, 2, 3, 0.8, 1.75, start=1.2),
    Tile(64, 32, 2, 1, 4, 0.72, 1.18, start=2),
    Tile(64, 16, 2, 1, 6, 0.6, 1.13, below=32, start=2),
)
GRADIENT_TILES = (
    Tile(64, 64, 4, 2, 1, 2.2, 2.2),
    Tile(32, 64, 2, 2, 2, 1.4, 2.2),
    Tile(32, 32, 2, 1, 4, 1.2, 2.6, below=64),
    Tile(16, 16, 1, 1, 8, 0.8, 1.8, below=32),
)
# By instructions of sm_90a alone.
HOPPER_TILES = (
    Tile(128, 128, 8, 1, 1, 1.08, 1.08, start=7),
    Tile(128, 64, 8, 1, 1, 0.73, 0.73, start=4),
    Tile(64, 64, 4, 1, 3, 0.5, 0.92, start=4.5),
)
HOPPER = 90  # capability; sm_90a is for it alone
HOPPER_FILE = "hopper_convolution"
HOPPER_TERMS, HOPPER_STAGES = 32, 4  # of a step; of weights
PREPARING = 2.8  # µs of the kernel that prepares weights
SHORT_STEP = 0.6  # of a step: that of 16 terms instead of 32
POSITIONS = 32  # of a stage of a kernel's gradient
LEAST_STAGES = 4  # of a part of the sums
MOST_STAGES = 512  # of a part: longer chains of additions cost digits
MOST_PARTS = 256
MOST_WIDTH = 5  # of a kernel whose gradient fits into registers
PARTS_RATE = 2.4e6  # bytes a µs: parts are written, and read to be added


def plain_microseconds(products: int, is_kernel_gradient: bool) -> float:
    """How long the kernels of products.cu need for so many multiplications: their rate, and what small ones wait."""
    return 7 + 2 * products / 28e6 if is_kernel_gradient else 10 + 2 * products / 36e6


class Choice(NamedTuple):
    """How a convolution or its input's gradient is computed.

    Attributes
    ----------
    size : str
        Of the kernel's text, without the number of products: positions, columns, warps, blocks, terms of a step.
    geometry : Convolution
    threads, blocks, shared : int
        Of a block; of the launch; bytes of a block.
    microseconds : float
    file : str
        Where the kernel is written.
    """

    size: str
    geometry: Convolution
    threads: int
    blocks: int
    shared: int
    microseconds: float
    file: str = "tensor_convolution"

    @property
    def columns(self) -> int:
        """Of a block."""
        return int(self.size.split("x")[1])


class GradientChoice(NamedTuple):
    """How the gradient of a kernel is computed: as `Choice`, and in how many parts."""

    size: str
    geometry: Correlation
    threads: int
    blocks: int
    parts: int
    shared: int
    microseconds: float


def is_servable(window: Window, inner: int, outer: int, device: Device) -> bool:
    """Whether the kernels can compute such a convolution and its gradients, worth it or not."""
    if device.capability < LEAST_CAPABILITY or min(inner, outer) < LEAST_CHANNELS or inner % 4 or outer % 4:
        return False
    plain = (window.stride_y, window.stride_x, window.dilation_y, window.dilation_x) == (1, 1, 1, 1)
    down = window.pad_top < window.kernel_height and window.pad_bottom < window.kernel_height
    across = window.pad_left < window.kernel_width and window.pad_right < window.kernel_width
    return plain and down and across and window.taps <= MOST_TAPS


@lru_cache(1024)
def choose_convolution(
    images: int, window: Window, inner: int, outer: int, pool: Window | None, relu: bool, device: Device
) -> Choice | None:
    """How to compute a convolution; None if other kernels are better, or the only ones.

    Parameters
    ----------
    images : int
    window : Window
        Of the input's gradient: `Window.turned_around`.
    inner, outer : int
        Channels of the source and of the result.
    pool : Window or None
        2 × 2, side by side.
    relu : bool
    device : Device
    """
    products = images * window.out_height * window.out_width * window.taps * inner * outer
    fit = [c for c in candidates(images, window, inner, outer, pool, relu, device) if c.shared <= device.shared]
    best = min(fit, key=lambda choice: choice.microseconds, default=None)
    return best if best and best.microseconds < plain_microseconds(products, False) else None


def candidates(
    images: int, window: Window, inner: int, outer: int, pool: Window | None, relu: bool, device: Device
) -> list[Choice]:
    """A `Choice` for every tile, whether its shared memory can be had or not; see `choose_convolution`."""
    height, width = (window.out_height, window.out_width) if pool is None else (pool.out_height, pool.out_width)
    rows = images * height * width
    cells = (4 if pool else 1) * rows * outer
    most = max(images * window.in_height * window.in_width * inner, cells, window.taps * inner * outer)
    if not is_servable(window, inner, outer, device) or not rows or most > MOST_ELEMENTS:
        return []
    terms = 16 if 0 < inner % 32 <= 16 else 32
    plain = Convolution(
        *(images, window.in_height, window.in_width, inner, outer, window.kernel_height, window.kernel_width),
        *(window.pad_top, window.pad_left, 0, 0, int(relu), int(pool is not None)),
        *(rows, height, width, *magic(width), *magic(height * width)),
    )
    hopper = HOPPER_TILES if device.capability == HOPPER else ()
    return [
        *(_in_hopper_tiles(tile, plain) for tile in hopper),
        *(_in_tiles(tile, terms, plain, shared_bytes) for tile in TILES if tile.suits(outer, outer)),
    ]


def _in_hopper_tiles(tile, plain):
    found = _in_tiles(tile, HOPPER_TERMS, plain, lambda tile, _, patch: hopper_shared_bytes(tile.columns, patch, 3))
    return found._replace(file=HOPPER_FILE, microseconds=PREPARING + found.microseconds)


def _in_tiles(tile, terms, plain, bytes_of):
    geometry = plain._replace(patch=patch_pixels(plain, tile.rows), slices=-(-plain.channels // terms))
    rows = tile.rows // 4 if geometry.pool else tile.rows
    blocks = -(-geometry.rows // rows) * -(-geometry.filters // tile.columns)
    shared = bytes_of(tile, terms, geometry.patch)
    steps = geometry.slices * geometry.kernel_height * geometry.kernel_width * (1 if terms == 32 else SHORT_STEP)
    size = f"{tile.rows}x{tile.columns}x{tile.warps_down}x{tile.warps_across}x{tile.blocks}x{terms}"
    threads = 32 * tile.warps_down * tile.warps_across
    return Choice(size, geometry, threads, blocks, shared, OVERHEAD + _microseconds(tile, blocks, steps, shared))


def _microseconds(tile, blocks, steps, shared):
    """Of so many blocks of so many steps: as many as fit at a time, then those that are left."""
    at_once = max(1, min(tile.blocks, SHARED // (shared + 1024)))

    def step(resident):
        return tile.alone + (tile.together - tile.alone) * (resident - 1) / max(1, tile.blocks - 1)

    full, left = divmod(blocks, MULTIPROCESSORS * at_once)
    return (steps + tile.start) * (full * step(at_once) + (step(-(-left // MULTIPROCESSORS)) if left else 0))


def shared_bytes(tile: Tile, terms: int, patch: int) -> int:
    """Of a block of ``convolve``, whichever way its weights lie: their stages, a row of zeros, two patches."""
    weights = max(tile.columns * (terms * 4 + 16), terms * (tile.columns * 4 + 32))
    return STAGES * weights + (terms * 4 + 16) * (1 + 2 * patch)


def hopper_shared_bytes(columns: int, patch: int, products: int) -> int:
    """As `shared_bytes`, of the kernel for Hopper: weights without gaps, maybe what rounding leaves over; barriers."""
    weights = columns * hopper_weight_bytes(products)
    return HOPPER_STAGES * (weights + 8) + (HOPPER_TERMS * 4 + 16) * (1 + 2 * patch)


def hopper_weight_bytes(products: int) -> int:
    """Of a column's weights in a step: TF32, maybe what rounding leaves over; of no products of TF32, bfloat16."""
    return HOPPER_TERMS * {0: 2, 1: 4, 3: 8}[products]


def magic(divisor: int) -> tuple[int, int]:
    """(magic, shift) with which ``divide`` of tensor_cores.cu divides; magic as the int32 of the same bits.

    Granlund, Montgomery: "Division by invariant integers using multiplication", 1994.
    """
    shift = (divisor - 1).bit_length()
    number = (1 << (31 + shift)) // divisor + 1
    return (number - 2**32 if number >= 2**31 else number), shift


def patch_pixels(g: Convolution, tile_rows: int) -> int:
    """The most pixels of the source that any tile sees, from the first to the last one, as ``convolve`` counts them."""
    stride, cells = (2, tile_rows // 4) if g.pool else (1, tile_rows)
    first = np.arange(0, g.rows, cells)
    image, y, x = _place(first, g.row_height, g.row_width)
    top, left = y * stride - g.pad_top, x * stride - g.pad_left
    low = (image * g.height + np.maximum(top, 0)) * g.width + np.where(top >= 0, np.maximum(left, 0), 0)
    image, y, x = _place(np.minimum(first + cells, g.rows) - 1, g.row_height, g.row_width)
    bottom = y * stride + stride - 1 - g.pad_top + g.kernel_height - 1
    right = x * stride + stride - 1 - g.pad_left + g.kernel_width - 1
    column = np.where(bottom < g.height, np.minimum(right, g.width - 1), g.width - 1)
    high = (image * g.height + np.minimum(bottom, g.height - 1)) * g.width + column
    return int((high - low).max()) + 1


def _place(position, height, width):
    """(image, row, column)."""
    return position // (height * width), position // width % height, position % width


# ------------------------------------------------------------------------------------------------ gradients of kernels


@lru_cache(1024)
def choose_gradient(
    images: int, window: Window, channels: int, filters: int, has_bias: bool, device: Device
) -> GradientChoice | None:
    """How to compute the gradient of a kernel; None if other kernels are better, or the only ones.

    `has_bias`: whether that of the bias is computed too.
    """
    products = images * window.out_height * window.out_width * window.taps * channels * filters
    found = gradient_candidates(images, window, channels, filters, has_bias, device)
    fit = [choice for choice in found if choice.shared <= device.shared]
    best = min(fit, key=lambda choice: choice.microseconds, default=None)
    return best if best and best.microseconds < plain_microseconds(products, True) else None


def gradient_candidates(
    images: int, window: Window, channels: int, filters: int, has_bias: bool, device: Device
) -> list[GradientChoice]:
    """A `GradientChoice` for every tile; see `choose_gradient`."""
    positions = images * window.out_height * window.out_width
    most = max(images * window.in_height * window.in_width * channels, positions * filters)
    fits = window.kernel_width <= MOST_WIDTH and max(most, window.taps * channels * filters) <= MOST_ELEMENTS
    # The first of some positions sees the first pixel of them all.
    grows = window.out_height <= window.in_height and window.out_width <= window.in_width
    if not is_servable(window, channels, filters, device) or not positions or not fits or not grows:
        return []
    plain = Correlation(
        *(images, window.in_height, window.in_width, channels, window.out_height, window.out_width, filters),
        *(window.kernel_height, window.pad_top, window.pad_left, 0),
        *(*magic(window.out_width), *magic(window.out_height * window.out_width)),
    )
    size = window.taps * channels * filters + (filters if has_bias else 0)
    tiles = (tile for tile in GRADIENT_TILES if tile.suits(channels, filters))
    return [_gradient_in_tiles(tile, window, plain, size, positions) for tile in tiles]


def _gradient_in_tiles(tile, window, plain, size, positions):
    width, patch = window.kernel_width, -(-patch_of_row(window, positions) // 8) * 8
    blocks = window.kernel_height * -(-plain.channels // tile.rows) * -(-plain.filters // tile.columns)
    shared = 4 * ((tile.rows + 8) * (1 + STAGES * patch) + STAGES * POSITIONS * (tile.columns + 9))
    stages = -(-positions // POSITIONS)
    least = -(-stages // MOST_STAGES)
    most = max(least, min(MOST_PARTS, stages // LEAST_STAGES))

    def cost(parts):
        steps = -(-stages // parts) * width / 3
        added = 2 * 4 * parts * size / PARTS_RATE
        return OVERHEAD + _microseconds(tile, blocks * parts, steps, shared) + added

    parts = min(range(least, most + 1), key=cost)
    own = -(-stages // parts)
    name = f"{tile.rows}x{tile.columns}x{tile.warps_down}x{tile.warps_across}x{tile.blocks}x{width}x{patch}"
    threads = 32 * tile.warps_down * tile.warps_across
    geometry = plain._replace(stages_per_split=own)
    return GradientChoice(name, geometry, threads, blocks, -(-stages // own), shared, cost(parts))


def patch_of_row(window: Window, positions: int) -> int:
    """The most pixels that `POSITIONS` positions in a row see through a row of taps, from the first to the last one."""
    first = np.arange(0, positions, POSITIONS)
    span = _pixel(window, np.minimum(first + POSITIONS, positions) - 1) - _pixel(window, first)
    return int(span.max()) + window.kernel_width


def _pixel(window, position):
    """The pixel under a tap of a position, but for a constant."""
    image, y, x = _place(position, window.out_height, window.out_width)
    return (image * window.in_height + y) * window.in_width + x
