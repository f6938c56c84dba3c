"""Convolutions of few channels, one image a block: where launches and waiting cost more than the arithmetic."""

import cupy
import numpy as np

from minicnn.backends.cupy.gather import gathers
from minicnn.backends.cupy.gradient_parts import Parts, give
from minicnn.backends.cupy.launch import Array, Maybe, launch, most_shared_memory
from minicnn.backends.cupy.pooling import is_2x2
from minicnn.backends.cupy.structures import Few
from minicnn.geometry import Window

KERNEL_SIZES = 3, 5  # of squares; a warp's lanes are the taps
MOST_CHANNELS = 8
MOST_FILTERS = 64  # backward: a warp walks through the cells of a filter
MOST_THREADS = 512
MOST_PIXELS = 24  # under a row of taps, for which a thread has registers for four filters
MOST_SUMS = 60  # of a thread, where a block has MOST_THREADS, or where it has all taps; as in few_channels.cu
MOST_BYTES_OF_PARTS = 2**26  # of a kernel's gradient, of which each image has a part
BLOCKS_WANTED = 128  # the images are cut into blocks of filters, or of cells, until there are so many


def serves(x: Array, kernel: Array, window: Window, groups: int, pool: Window | None) -> bool:
    """Whether `forward` computes such a convolution."""
    size, channels = kernel.shape[0], kernel.shape[2]
    is_plain = (window.stride_y, window.stride_x, window.dilation_y, window.dilation_x, groups) == (1, 1, 1, 1, 1)
    if x.dtype != np.float32 or not is_plain or size != kernel.shape[1] or size not in KERNEL_SIZES:
        return False
    if channels > MOST_CHANNELS or not (pool is None or is_2x2(pool)):
        return False
    return _shared_forward(_few(kernel, window, pool, False, kernel.shape[3])) <= most_shared_memory()


def _few(kernel, window, pool, relu, own, parts=1):
    """The geometry; without pooling, cells may hang over the edge."""
    height, width = window.out_height, window.out_width
    cells = (-(-height // 2), -(-width // 2)) if pool is None else (pool.out_height, pool.out_width)
    tile = [2 * count + kernel.shape[0] - 1 for count in cells]
    sizes = window.in_height, window.in_width, *kernel.shape[2:], height, width, *cells, *tile
    return Few(*sizes, window.pad_top, window.pad_left, int(pool is not None), int(relu), own, parts)


def _tile_floats(few):
    return -(-few.tile_height * few.tile_width * few.channels // 4) * 4


def _shared_forward(few):
    taps = (few.tile_height - 2 * few.cells_height + 1) ** 2
    return 4 * (_tile_floats(few) + taps * few.channels * few.own)


def forward(x: Array, kernel: Array, bias: Maybe, y: Array, winner: Maybe, window: Window, pool, relu: bool) -> None:
    """Convolution, bias, ReLU, and pooling if there is a `pool`; gathers the batch into `x` if that was put off.

    Arrays and windows are those of `minicnn.backends.reference.convolution.conv2d_pool`; see `serves`.
    """
    few = _few(kernel, window, pool, relu, kernel.shape[3])
    cells, filters = few.cells_height * few.cells_width, few.filters
    own = filters
    while len(x) * (filters // own) < BLOCKS_WANTED and own % 4 == 0:
        own //= 2
    group = next(n for n in (4, 2, 1) if own % n == 0 and (n < 4 or cells * own // n >= MOST_THREADS // 2))
    items = cells * own // group
    share = 2 if few.channels >= 4 and items <= MOST_THREADS // 2 else 1
    few = few._replace(own=own)
    threads = min(-(-items * share // 32) * 32, MOST_THREADS)
    size = len(kernel)
    arguments = *gathers.taken_for(x), kernel, bias, y, winner, few
    where = f"few_channels/{size}x{size}x{group}x{share}", "forward", x.dtype, (len(x), filters // own), threads
    launch(*where, *arguments, shared=_shared_forward(few))


def serves_backward(x: Array, kernel: Array, dx: Maybe, dkernel: Maybe, window: Window, pool: Window) -> bool:
    """Whether `backward` computes the gradients."""
    fits = dkernel is not None and kernel.shape[3] <= MOST_FILTERS and serves(x, kernel, window, 1, pool)
    return fits and _plan_backward(x, kernel, dx, window, pool)[-1] <= most_shared_memory()


def _plan_backward(x, kernel, dx, window, pool):
    """(geometry, shares of the cells, threads, bytes of shared memory)."""
    taps, filters = kernel.shape[0] ** 2, kernel.shape[3]
    shares = 1 if dx is not None else max(1, min(-(-BLOCKS_WANTED // len(x)), pool.out_height * pool.out_width))
    of_a_warp = 1 if dx is not None else 32 // taps
    few = _few(kernel, window, pool, True, filters, of_a_warp * max(1, 24 // filters))
    live = 2 * -(-few.cells_height * few.cells_width // shares) * filters
    sums = -(-few.parts * (taps * few.channels * (filters + 1) + filters) // 4) * 4
    copies = 0 if dx is None else few.tile_height * few.tile_width * few.channels * MOST_THREADS // 32
    return few, shares, MOST_THREADS, 4 * (_tile_floats(few) + live + sums + copies)


def backward(x, kernel, winner, dy, dx, dkernel, dbias, window: Window, pool: Window) -> None:
    """The gradients of `forward` with a pool, as `minicnn.backends.reference.convolution.conv2d_pool_backward`."""
    few, shares, threads, shared = _plan_backward(x, kernel, dx, window, pool)
    stride = kernel.size + few.filters
    parts = cupy.empty(len(x) * shares * stride, x.dtype)
    arrays = (x, dy, winner, parts) if dx is None else (x, kernel, dy, winner, dx, parts)
    file = f"few_channels/{len(kernel)}x{len(kernel)}x{few.channels}"
    name = "backward" if dx is None else "backward_dx"
    launch(file, name, x.dtype, (len(x), shares), threads, *arrays, few, shared=shared)
    _give_both(dkernel, dbias, parts, len(x) * shares, stride)


def serves_kernel_gradient(x: Array, kernel: Array, dkernel: Maybe, window: Window, groups: int) -> bool:
    """Whether `kernel_gradient` computes the gradient of a convolution without pooling."""
    fits = dkernel is not None and kernel.shape[3] <= MOST_FILTERS and serves(x, kernel, window, groups, None)
    if not fits or 4 * len(x) * (kernel.size + kernel.shape[3]) > MOST_BYTES_OF_PARTS:
        return False
    return _plan_kernel_gradient(x, kernel, window)[-1] <= most_shared_memory()


def _plan_kernel_gradient(x, kernel, window):
    """(geometry, shares of the rows, filters of a thread, most threads, threads, bytes of shared memory)."""
    size, _, channels, filters = kernel.shape
    group = next(n for n in (4, 2, 1) if filters % n == 0 and (n < 4 or size * channels <= MOST_PIXELS))
    most = MOST_THREADS if size * channels * group <= MOST_SUMS else MOST_THREADS // 2
    shares = max(1, min(-(-BLOCKS_WANTED // len(x)), window.out_height))
    rows = -(-window.out_height // shares)
    line = filters // group * (1 if size * size * channels * group <= MOST_SUMS else size)  # threads
    lines = min(rows, most // line)
    lines = -(-rows // -(-rows // lines))  # as many rows for each
    few = _few(kernel, window, None, True, filters, lines)
    sums = lines * (kernel.size + filters)
    return few, shares, group, most, -(-lines * line // 32) * 32, 4 * max(_tile_floats(few), sums)


def kernel_gradient(x, kernel, mask, dy, dkernel, dbias, window: Window) -> None:
    """dkernel and dbias (or None) of a convolution; `mask`: its output, if what is not above 0 there passes nothing."""
    few, shares, group, most, threads, shared = _plan_kernel_gradient(x, kernel, window)
    stride = kernel.size + few.filters
    parts = cupy.empty(len(x) * shares * stride, x.dtype)
    file = f"few_channels/{len(kernel)}x{len(kernel)}x{few.channels}x{group}x{most}"
    arguments = x, dy, mask, parts, few
    launch(file, "kernel_gradient", x.dtype, (len(x), shares), threads, *arguments, shared=shared)
    _give_both(dkernel, dbias, parts, len(x) * shares, stride)


def _give_both(dkernel, dbias, parts, count, stride):
    give(dkernel, Parts(parts, count, stride))
    if dbias is not None:
        give(dbias, Parts(parts[dkernel.size :], count, stride))
