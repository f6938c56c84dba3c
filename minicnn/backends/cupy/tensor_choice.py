"""Which convolutions tensor cores compute, in which tiles and parts: functions of geometry and of the GPU's properties.

A convolution costs what the tables say. The times were measured on an H100, and stand for all GPUs: only their order
counts, and so shapes alone decide in which order numbers are added, not the GPU at hand. Only Hopper has more tiles.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.backends.cupy.structures import Convolution
from minicnn.geometry import Window

LEAST_CAPABILITY = 80  # Ampere: mma of TF32, cp.async
FAST = (80, 90, 100, 103)  # TF32 at four times float32's rate or more: three products for one gain by it
LEAST_CHANNELS = 16  # of both sides: below that few_channels.cu serves, or a tile is mostly empty
MOST_STRIDE = 2  # down and across: what lies between positions is loaded, too
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
# times are fitted to those of fifteen convolutions, by three products of TF32, so that the fastest tile is chosen.
TILES = (
    Tile(128, 64, 2, 2, 2, 1.17, 1.78, start=2.6),
    Tile(64, 64, 2, 2, 3, 0.734, 1.74, start=1.8),
    Tile(128, 32, 2, 1, 4, 0.8, 2.09, below=64, start=2),
    Tile(64, 32, 2, 1, 4, 0.595, 1.3, start=1.64),
    Tile(32, 32, 1, 2, 8, 0.34, 1.37, below=64, start=4.2),
    Tile(256, 16, 4, 1, 4, 1.2, 2.35, below=32, start=2),
    Tile(64, 16, 2, 1, 6, 0.6, 1.25, below=32, start=2.5),
)
# By instructions of sm_90a alone.
HOPPER_TILES = (
    Tile(128, 128, 8, 1, 1, 1.13, 1.13, start=4.9),
    Tile(128, 64, 8, 1, 1, 0.745, 0.745, start=3.9),
    Tile(64, 64, 4, 1, 3, 0.486, 0.85, start=3.7),
)
# All weights in shared memory, for 16 channels on both sides. Its times are guesses from its neighbours'.
NARROW_TILES = (Tile(128, 16, 4, 1, 4, 0.5, 0.9, start=2),)
NARROW_FILE = "tensor_narrow"
HOPPER = 90  # capability; sm_90a is for it alone
HOPPER_FILE = "hopper_convolution"
HOPPER_TERMS, HOPPER_STAGES = 32, 4  # of a step; of weights
BFLOAT16, HALVES = 0, 2  # as the number of products of TF32: one of bfloat16, three of halves; as in tensor_cores.cu
PREPARING = 2.8  # µs of the kernel that prepares weights
SHORT_STEP = 0.6  # of a step: that of 16 terms instead of 32
LOADING = 0.42  # steps that a slice of the terms takes longer, for its pixels


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

    @property
    def parts(self) -> int:
        """Of the rows, whose moments can be left: one for each block below another."""
        return self.blocks // -(-self.geometry.filters // self.columns)


def is_servable(window: Window, inner: int, outer: int, device: Device) -> bool:
    """Whether the kernels can compute such a convolution and its gradients, worth it or not."""
    if device.capability < LEAST_CAPABILITY or min(inner, outer) < LEAST_CHANNELS or inner % 4 or outer % 4:
        return False
    plain = max(window.stride_y, window.stride_x) <= MOST_STRIDE and window.dilation_y == window.dilation_x == 1
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
        Of the input's gradient: see `choose_input_gradient`.
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
        *(window.stride_y, window.stride_x, 0, window.kernel_width, 1, height, width, 1, 1, 0, 0),
    )
    hopper = HOPPER_TILES if device.capability == HOPPER else ()
    narrow = NARROW_TILES if inner <= 16 and pool is None else ()
    return [
        *(_in_hopper_tiles(tile, plain) for tile in hopper),
        *(in_tiles(tile, terms, plain, shared_bytes) for tile in TILES if tile.suits(outer, outer)),
        *(_in_narrow_tiles(tile, terms, plain) for tile in narrow if outer <= tile.columns),
    ]


def _in_hopper_tiles(tile, plain):
    def bytes_of(tile, terms, patch, _):
        return hopper_shared_bytes(tile.columns, patch, 3)

    found = in_tiles(tile, HOPPER_TERMS, plain, bytes_of)
    return found._replace(file=HOPPER_FILE, microseconds=PREPARING + found.microseconds)


def _in_narrow_tiles(tile, terms, plain):
    taps = plain.kernel_height * plain.kernel_width

    def bytes_of(tile, terms, patch, _):  # each weight, and what rounding leaves over
        return taps * terms * tile.columns * 8 + (terms * 4 + 16) * (1 + 2 * patch)

    found = in_tiles(tile, terms, plain, bytes_of)
    at_once = MULTIPROCESSORS * max(1, min(tile.blocks, SHARED // (found.shared + 1024)))
    each = -(-found.blocks // at_once)  # tiles of a block, one after the other
    size = f"{found.size}x{plain.kernel_height}x{plain.kernel_width}"
    return found._replace(file=NARROW_FILE, size=size, blocks=-(-found.blocks // each))


def in_tiles(
    tile: Tile,
    terms: int,
    plain: Convolution,
    bytes_of: Callable[[Tile, int, int, int], int],
    patch: int | None = None,
    parts: int = 1,
    taps: float | None = None,
) -> Choice:
    """A convolution computed in such tiles.

    Parameters
    ----------
    tile : Tile
    terms : int
        Of a step.
    plain : Convolution
        But for its patch and slices.
    bytes_of : callable
        (tile, terms, pixels of a patch, slices) → bytes of shared memory.
    patch : int, optional
        `patch_pixels`, where these are not those of `plain`.
    parts : int, default 1
        See `minicnn.backends.cupy.tensor_strides`.
    taps : float, optional
        Of a part, on average.
    """
    patch, slices = patch or patch_pixels(plain, tile.rows), -(-plain.channels // terms)
    geometry, taps = plain._replace(patch=patch, slices=slices), taps or plain.kernel_height * plain.kernel_width
    rows = tile.rows // 4 if geometry.pool else tile.rows
    blocks = parts * -(-geometry.rows // rows) * -(-geometry.filters // tile.columns)
    shared = bytes_of(tile, terms, patch, slices)
    steps = slices * (taps * (1 if terms == 32 else SHORT_STEP) + LOADING)
    size = f"{tile.rows}x{tile.columns}x{tile.warps_down}x{tile.warps_across}x{tile.blocks}x{terms}"
    threads = 32 * tile.warps_down * tile.warps_across
    return Choice(size, geometry, threads, blocks, shared, OVERHEAD + microseconds(tile, blocks, steps, shared))


@lru_cache(1024)
def with_taps_turned(choice: Choice) -> Choice:
    """For the gradient of an input: from the last tap of the kernel to the first one."""
    g = choice.geometry
    last = g.kernel_height * g.kernel_width - 1
    return choice._replace(geometry=g._replace(first_tap=last, tap_row=-g.kernel_width, tap_column=-1))


def microseconds(tile, blocks, steps, shared):
    """Of so many blocks of so many steps: as many as fit at a time, then those that are left."""
    at_once = max(1, min(tile.blocks, SHARED // (shared + 1024)))

    def step(resident):
        return tile.alone + (tile.together - tile.alone) * (resident - 1) / max(1, tile.blocks - 1)

    full, left = divmod(blocks, MULTIPROCESSORS * at_once)
    return (steps + tile.start) * (full * step(at_once) + (step(-(-left // MULTIPROCESSORS)) if left else 0))


def shared_bytes(tile: Tile, terms: int, patch: int, slices: int) -> int:
    """Of a block of ``convolve``, whichever way its weights lie: their stages, a row of zeros, one patch or two."""
    weights = max(tile.columns * (terms * 4 + 16), terms * (tile.columns * 4 + 32))
    return STAGES * weights + (terms * 4 + 16) * (1 + min(slices, 2) * patch)


def hopper_shared_bytes(columns: int, patch: int, products: int) -> int:
    """Of the kernel for Hopper: weights without gaps, maybe what rounding leaves; barriers, two patches, scales."""
    weights, scales = columns * hopper_weight_bytes(products), 2 * patch * 4 if products == HALVES else 0
    return HOPPER_STAGES * (weights + 8) + (HOPPER_TERMS * 4 + 16) * (1 + 2 * patch) + scales


def hopper_weight_bytes(products: int) -> int:
    """Of a column's weights in a step: halves, bfloat16 or TF32; maybe what rounding leaves over."""
    return HOPPER_TERMS * {BFLOAT16: 2, HALVES: 4, 1: 4, 3: 8}[products]


def magic(divisor: int) -> tuple[int, int]:
    """(magic, shift) with which ``divide`` of tensor_cores.cu divides; magic as the int32 of the same bits.

    Granlund, Montgomery: "Division by invariant integers using multiplication", 1994.
    """
    shift = (divisor - 1).bit_length()
    number = (1 << (31 + shift)) // divisor + 1
    return (number - 2**32 if number >= 2**31 else number), shift


def patch_pixels(g: Convolution, tile_rows: int) -> int:
    """The most pixels of the source that any tile sees, from the first to the last one, as ``convolve`` counts them."""
    size, cells = (2, tile_rows // 4) if g.pool else (1, tile_rows)
    first = np.arange(0, g.rows, cells)
    image, y, x = place_of(first, g.row_height, g.row_width)
    top, left = y * size * g.stride_y - g.pad_top, x * size * g.stride_x - g.pad_left
    low = (image * g.height + np.maximum(top, 0)) * g.width + np.where(
        (top >= 0) & (top < g.height), np.maximum(left, 0), 0
    )
    image, y, x = place_of(np.minimum(first + cells, g.rows) - 1, g.row_height, g.row_width)
    bottom = (y * size + size - 1) * g.stride_y - g.pad_top + g.kernel_height - 1
    right = (x * size + size - 1) * g.stride_x - g.pad_left + g.kernel_width - 1
    column = np.where(bottom < g.height, np.minimum(right, g.width - 1), g.width - 1)
    high = (image * g.height + np.minimum(bottom, g.height - 1)) * g.width + column
    return int((high - low).max()) + 1


def place_of(position, height, width):
    """(image, row, column)."""
    return position // (height * width), position // width % height, position % width
