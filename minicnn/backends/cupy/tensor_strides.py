"""The gradient of a strided convolution's input on tensor cores: which convolutions of stride 1 it is, in which tiles.

Pixels whose rows and columns, divided by the strides, leave the same remainders meet the same taps: every other one
down and across for strides of 2. For them the gradient is a convolution of stride 1 with these taps; there are as many
such parts as pairs of remainders, all in one launch, and no tap is multiplied by a zero between positions.
"""

from functools import lru_cache

from minicnn.backends.cupy.structures import Convolution
from minicnn.backends.cupy.tensor_choice import (
    MOST_ELEMENTS,
    TILES,
    Choice,
    Device,
    choose_convolution,
    in_tiles,
    is_servable,
    magic,
    patch_pixels,
    plain_microseconds,
    shared_bytes,
)
from minicnn.backends.cupy.tensor_choice import candidates as convolution_candidates
from minicnn.geometry import Window


def choose_input_gradient(images: int, window: Window, filters: int, channels: int, device: Device) -> Choice | None:
    """How to compute the gradient of a convolution's input; None if other kernels are better, or the only ones.

    `window`: of the convolution.
    """
    if window.stride_y * window.stride_x == 1:  # the same way as any convolution of this geometry
        return choose_convolution(images, window.turned_around, filters, channels, None, False, device)
    return _choose_strided(images, window, filters, channels, device)


@lru_cache(1024)
def _choose_strided(images, window, filters, channels, device):
    products = images * window.in_height * window.in_width * window.taps * channels * filters  # by zeros, too
    found = candidates(images, window, filters, channels, device)
    fit = [choice for choice in found if choice.shared <= device.shared]
    best = min(fit, key=lambda choice: choice.microseconds, default=None)
    return best if best and best.microseconds < plain_microseconds(products, False) else None


def candidates(images: int, window: Window, filters: int, channels: int, device: Device) -> list[Choice]:
    """A `Choice` for every tile; see `choose_input_gradient`."""
    if window.stride_y * window.stride_x == 1:
        return convolution_candidates(images, window.turned_around, filters, channels, None, False, device)
    height, width = -(-window.in_height // window.stride_y), -(-window.in_width // window.stride_x)
    rows = images * height * width
    most = max(images * window.in_height * window.in_width, images * window.out_height * window.out_width)
    most = max(most * max(filters, channels), window.taps * filters * channels)
    if not is_servable(window, filters, channels, device) or not rows or most > MOST_ELEMENTS:
        return []
    plain = Convolution(
        *(images, window.out_height, window.out_width, filters, channels, window.kernel_height, window.kernel_width),
        *(window.pad_top, window.pad_left, 0, 0, 0, 0),
        *(rows, height, width, *magic(width), *magic(height * width)),
        *(1, 1, 0, window.kernel_width, 1, window.in_height, window.in_width, window.stride_y, window.stride_x, 0, 0),
    )
    found = parts(plain)
    # The first position of a tile sees the first pixel of the tile, where none is further than one behind a row.
    within = all(height - 1 - g.pad_top <= g.height and width - 1 - g.pad_left <= g.width for g in found)
    terms = 16 if 0 < filters % 32 <= 16 else 32
    tiles = [tile for tile in TILES if tile.suits(channels, channels)] if within else []
    return [_in_parts(tile, terms, plain, found) for tile in tiles]


def _in_parts(tile, terms, plain, found):
    patch = max(patch_pixels(g, tile.rows) for g in found if g.slices)
    taps = sum(g.kernel_height * g.kernel_width for g in found)
    return in_tiles(tile, terms, plain, shared_bytes, patch, len(found), taps / len(found))


def parts(g: Convolution) -> list[Convolution]:
    """What ``part_of`` makes of it, one by one, as far as places are concerned; `slices`: whether there are taps."""
    return [_part(g, p, q) for p in range(g.divide_y) for q in range(g.divide_x)]


def _part(g, p, q):
    """The part of the pixels whose first tap that they meet is in row p and column q."""
    down, across = -(-(g.kernel_height - p) // g.divide_y), -(-(g.kernel_width - q) // g.divide_x)
    rest_y, rest_x = (p - g.pad_top) % g.divide_y, (q - g.pad_left) % g.divide_x
    return g._replace(
        kernel_height=down,
        kernel_width=across,
        pad_top=down - 1 - (rest_y + g.pad_top - p) // g.divide_y,
        pad_left=across - 1 - (rest_x + g.pad_left - q) // g.divide_x,
        rest_y=rest_y,
        rest_x=rest_x,
        slices=int(down * across > 0),
    )
