"""Which gradients of kernels tensor cores compute, in which tiles and parts: see `tensor_choice`."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.backends.cupy.structures import Correlation
from minicnn.backends.cupy.tensor_choice import (
    HOPPER,
    MOST_ELEMENTS,
    OVERHEAD,
    STAGES,
    Device,
    Tile,
    is_servable,
    magic,
    microseconds,
    place_of,
    plain_microseconds,
)
from minicnn.geometry import Window

GRADIENT_TILES = (
    Tile(64, 64, 4, 2, 1, 2.2, 2.2),
    Tile(32, 64, 2, 2, 2, 1.4, 2.2),
    Tile(32, 32, 2, 1, 4, 1.2, 2.6, below=64),
    Tile(16, 16, 1, 1, 8, 0.8, 1.8, below=32),
)
# By instructions of sm_90a alone, from factors of 16 bits. The times are those of a prototype with one scale for all of
# a stage, on an H100, and a tenth more.
HOPPER_GRADIENT_TILES = (Tile(64, 64, 4, 1, 2, 1.3, 1.85, start=5), Tile(32, 64, 4, 1, 2, 0.9, 1.55, start=10))
FILE = "tensor_gradient"
HOPPER_GRADIENT_FILE = "hopper_gradient"
HOPPER_ROWS = 64  # taps and channels of a product of four warps
HOPPER_PRODUCTS = 2, 3  # of a block: in the time of one the next stage is split; for more there are no registers
HOPPER_LOADS = 10  # pixels of a stage that a thread has in registers: eleven are written to memory, in part
POSITIONS = 32  # of a stage of a kernel's gradient
LEAST_STAGES = 4  # of a part of the sums
MOST_STAGES = 512  # of a part: longer chains of additions cost digits
MOST_PARTS = 256
MOST_WIDTH = 5  # of a kernel whose gradient fits into registers
PARTS_RATE = 2.4e6  # bytes a µs: parts are written, and read to be added


class GradientChoice(NamedTuple):
    """How the gradient of a kernel is computed: as `Choice`, and in how many parts.

    `microseconds` are those of all that are computed together.
    """

    size: str
    geometry: Correlation
    threads: int
    blocks: int
    parts: int
    shared: int
    microseconds: float
    file: str = FILE


@lru_cache(1024)
def choose_gradient(
    images: int, window: Window, channels: int, filters: int, has_bias: bool, device: Device, together: int = 1
) -> GradientChoice | None:
    """How to compute the gradient of a kernel; None if other kernels are better, or the only ones.

    Parameters
    ----------
    images : int
    window : Window
        Of the convolution.
    channels, filters : int
    has_bias : bool
        Whether the gradient of the bias is computed too.
    device : Device
    together : int, default 1
        So many that are alike are computed side by side: then fewer parts of each keep the GPU busy.
    """
    products = images * window.out_height * window.out_width * window.taps * channels * filters
    best = best_gradient(images, window, channels, filters, has_bias, device, together)
    return best if best and best.microseconds < together * plain_microseconds(products, True) else None


def best_gradient(
    images: int, window: Window, channels: int, filters: int, has_bias: bool, device: Device, together: int = 1
) -> GradientChoice | None:
    """As `choose_gradient`, whether other kernels are better or not."""
    found = gradient_candidates(images, window, channels, filters, has_bias, device, together)
    fit = [choice for choice in found if choice.shared <= device.shared]
    return min(fit, key=lambda choice: choice.microseconds, default=None)


def gradient_candidates(
    images: int, window: Window, channels: int, filters: int, has_bias: bool, device: Device, together: int = 1
) -> list[GradientChoice]:
    """A `GradientChoice` for every tile; see `choose_gradient`."""
    positions = images * window.out_height * window.out_width
    most = max(images * window.in_height * window.in_width * channels, positions * filters)
    fits = window.kernel_width <= MOST_WIDTH and max(most, window.taps * channels * filters) <= MOST_ELEMENTS
    # The first of some positions sees the first pixel of them all.
    down, across = (window.out_height - 1) * window.stride_y, (window.out_width - 1) * window.stride_x
    grows = down < window.in_height and across < window.in_width
    if not is_servable(window, channels, filters, device) or not positions or not fits or not grows:
        return []
    plain = Correlation(
        *(images, window.in_height, window.in_width, channels, window.out_height, window.out_width, filters),
        *(window.kernel_height, window.pad_top, window.pad_left, 0),
        *(*magic(window.out_width), *magic(window.out_height * window.out_width)),
        *(window.stride_y, window.stride_x),
    )
    size = window.taps * channels * filters + (filters if has_bias else 0)
    tiles = [tile for tile in GRADIENT_TILES if tile.suits(channels, filters)]
    patch = -(-patch_of_row(window, positions) // 8) * 8
    hopper = [tile for tile in HOPPER_GRADIENT_TILES if _has_hoppers(tile, window, patch, device)]
    return [_in_tiles(tile, window, plain, patch, size, positions, together) for tile in (*tiles, *hopper)]


def _has_hoppers(tile, window, patch, device):
    """Whether the kernel for Hopper computes such a convolution in such tiles."""
    rows = -(-window.kernel_width * tile.rows // HOPPER_ROWS)
    fits = rows in HOPPER_PRODUCTS and -(-patch // _hopper_lines(tile)) <= HOPPER_LOADS
    return device.capability == HOPPER and window.stride_y == window.stride_x == 1 and fits


def _hopper_lines(tile):
    """Pixels that all threads load at a time, each four channels of one."""
    return 32 * tile.warps_down // (tile.rows // 4)


def _in_tiles(tile, window, plain, patch, size, positions, together):
    width = window.kernel_width
    blocks = window.kernel_height * -(-plain.channels // tile.rows) * -(-plain.filters // tile.columns)
    is_hopper = tile in HOPPER_GRADIENT_TILES
    shared = (_hopper_shared_bytes if is_hopper else _shared_bytes)(tile, patch)
    own, parts, cost = _cut(tile, blocks * together, -(-positions // POSITIONS), width / 3, size * together, shared)
    name = f"{tile.rows}x{tile.columns}x{tile.warps_down}x{tile.warps_across}x{tile.blocks}x{width}x{patch}"
    threads = 32 * tile.warps_down * tile.warps_across
    file, geometry = HOPPER_GRADIENT_FILE if is_hopper else FILE, plain._replace(stages_per_split=own)
    return GradientChoice(name, geometry, threads, blocks, parts, shared, cost, file)


def _shared_bytes(tile, patch):
    """A row of zeros; stages of pixels, of gradients, of places."""
    return 4 * ((tile.rows + 8) * (1 + STAGES * patch) + STAGES * POSITIONS * (tile.columns + 9))


def _hopper_shared_bytes(tile, patch):
    """As text in `hopper_gradient.cu` has it: halves of pixels and of gradients, scales, places."""
    lines = _hopper_lines(tile)
    pixels, pitch = -(-patch // lines) * lines, 4 * tile.rows + 16
    scales = (tile.warps_down + 2) * tile.rows + 2 * tile.columns
    return pitch * (1 + 2 * pixels) + 2 * 4 * POSITIONS * tile.columns + 4 * (scales + 2 * POSITIONS)


def _cut(tile, blocks, stages, step, size, shared):
    """(stages of a part, parts, microseconds): the best of all numbers of parts."""
    least = -(-stages // MOST_STAGES)
    most = max(least, min(MOST_PARTS, stages // LEAST_STAGES))

    def cost(parts):
        added = 2 * 4 * parts * size / PARTS_RATE
        return OVERHEAD + microseconds(tile, blocks * parts, -(-stages // parts) * step, shared) + added

    parts = min(range(least, most + 1), key=cost)
    own = -(-stages // parts)
    return own, -(-stages // own), cost(parts)


def patch_of_row(window: Window, positions: int) -> int:
    """The most pixels that the positions of a stage see through a row of taps, from the first to the last one."""
    first = np.arange(0, positions, POSITIONS)
    span = _pixel(window, np.minimum(first + POSITIONS, positions) - 1) - _pixel(window, first)
    return int(span.max()) + window.kernel_width


def _pixel(window, position):
    """The pixel under a tap of a position, but for a constant."""
    image, y, x = place_of(position, window.out_height, window.out_width)
    return (image * window.in_height + y * window.stride_y) * window.in_width + x * window.stride_x
