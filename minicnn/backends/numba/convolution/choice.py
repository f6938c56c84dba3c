"""The one table that says which kernel serves which convolution.

================  ================================================  ==============================================
kernel            serves                                            because
================  ================================================  ==============================================
reference         fused with dilated pooling, or of many taps       nobody has asked for these to be fast
tiles             bfloat16; float32 of lower precision than         sixteen times the multiply-adds of vectors, a
                  "highest", and at that convolutions with strides  third or a sixth of it in two or three pieces
tiles by vectors  bfloat16 and "medium" where the direct product    twice its multiply-adds, and less to read
                  would serve float32, with enough channels
Winograd          3 x 3 taps, strides of 1, any dilation, enough    a quarter of the multiplications; the
                  channels, filters, pixels; pooling by 2 x 2       transforms cost less than that saves
the same          5 x 5 taps; not the kernel's gradient             36 of 100 multiplications
direct, in pairs  few filters, strides of 1, pooling by 2 x 2       two pixels side by side fill a vector
direct            all other convolutions                            no copy of the input, any geometry
panels            many filters, whose rows lie badly in a cache     a kernel's columns are read once for a batch
columns           gradients where outputs are much fewer than       a convolution of the framed gradient would
                  inputs, or channels fewer than lanes              mostly multiply zeros, or leave lanes empty
sparse gradient   kernel gradient behind pooling, and the input     the gradient is zero at three of four pixels
                  gradient where Winograd does not pay
spread gradient   kernel gradient behind pooling for few channels,  strips too short for vectors: zeros and all
                  more filters
few filters       convolutions without pooling, strides of 1        lanes hold taps and filters, or channels,
                                                                    where filters would leave most of them empty
direct, grouped   fewer groups than channels                        a product for each group, without copies
Winograd of       the same, many channels and filters a group       saves more than copying each group's channels
copies                                                              and filters costs
depthwise         as many groups as channels                        vectors over the channels, without sums in them
================  ================================================  ==============================================

The estimates are in vector instructions of one core, for one image; their factors are fitted to timings;
`benchmarks/algorithms.py` forces each kernel in turn and shows whether the right one is chosen.
"""

from minicnn.backends.numba.convolution.winograd_transforms import TILE_KERNEL, TILE_NUMBERS, tile_outputs, tiles_along
from minicnn.backends.numba.machine.offsets import table_cache
from minicnn.backends.numba.machine.target import TARGET, VECTORS_PER_NANOSECOND, lanes, vectors
from minicnn.backends.numba.tiles.serving import PIECES
from minicnn.geometry import MAX_TAPS, Window

_TRANSFORM = 250  # of a tile of 36 vectors, either way, with loads and stores
_PRODUCT = 1.4  # a multiply-add of the 36 short products, measured in those of one long product
# By which Winograd must be better: the transform of the kernel is counted by `has_tiles_enough` alone. Than sums over
# winners, by whether ReLU is among what they are behind: then more of them may be dead than the estimate has.
_MARGIN, _SPARSE_MARGIN = 1.2, {True: 1.5, False: 1.0}
_TAPS = TILE_KERNEL, 5  # along an axis
# Of a vector of the kernel, in memory that is not in the first cache; what it must be of the tiles' work to be kept;
# how often a call computes it, about: always in training, where weights change, and once otherwise.
_KERNEL_TRANSFORM, _KEPT_SHARE, _MOST_KEPT_BYTES, _TRANSFORMED = 1200, 0.1, 4 << 20, 0.5
_MOST_NEAR_BYTES, _FAR = 16 << 20, 4  # transformed; how many times as long it takes to write more, beyond all caches
# For groups, whose channels and filters are copied side by side, and whose kernels are many: margin, tiles of a batch.
_COPIED_MARGIN, _LEAST_COPIED_TILES = 1.8, 64
# Bytes of the kernel gradient before it is transformed back: for each chunk of images; for all at once.
_MOST_CHUNK_SUM_BYTES, _MOST_SUM_BYTES = 1 << 20, 24 << 20  # what the C library keeps, for all at once
MOST_ROUND_BYTES = 3 << 20  # of the transformed x of a round, and of its dy: 6 and 12 MB are slower
_SPREAD = 3.5  # adding to memory, measured in multiply-adds
_FEW_OUTPUTS, _FEWER = 48, 1.5  # outputs of an image; how many times as many inputs there must be
_COLUMNS_MARGIN, _MOST_COLUMN_BYTES = 1.4, 3 << 20  # more than an estimate errs; columns of an image that caches hold
# Bytes: of the kernel's rows, which then lie in pages of their own, or all in the same few lines of a cache; of all.
_LONG_ROW, _LARGE_KERNEL = (512, 32 << 10) if TARGET.registers == 16 else (1024, 128 << 10)
_GATHER = 2  # a window's numbers of one tap, in multiply-adds
_MOST_BAND_BYTES = 4 << 20  # of pixels' columns that outputs gather from: more are slower than a direct product
_CROSSWISE = 3  # adding up the lanes of a pixel's products, in multiply-adds
_LIVE = 0.85  # winners that ReLU leaves alive, about
_COLLECT, _SUM = 10, 2.7  # listing a live winner; adding a vector of its window. In multiply-adds
_SPREAD_PIXEL = 15  # spreading the gradient over one pixel, in multiply-adds

_TILE_DEPTH = 32  # k of a tile: with fewer, tiles would hold mostly zeros
_MOST_EXACT_DEPTH, _MOST_EXACT_FILTERS = 128, 32  # from where on three pieces beat a direct product of float32
_SPARSE_PIXELS = 256  # outputs of an image: below, sums over live winners beat two pieces
# By vectors: numbers of a window, channels, filters; channels where pooling leaves one gradient in four.
_LEAST_DEPTH, _LEAST_CHANNELS, _LEAST_FILTERS, _LEAST_POOLED_CHANNELS = 64, 16, 16, 32


@table_cache
def pieces_on_tiles(
    precision: str | None, window: Window, pool: Window | None, channels: int, filters: int, is_gradient: bool = False
) -> int:
    """Into how many pieces tiles split the factors of a convolution, or 0 where another kernel serves it.

    Parameters
    ----------
    precision : str or None
        What is asked for and can be had, see `minicnn.backends.numba.tiles.serving.precision_of`.
    window, pool : Window
        None without pooling.
    channels, filters : int
    is_gradient : bool, default False
    """
    if precision is None or (pool is not None and is_gradient and not can_pool_by_rows(pool)):
        return 0
    depth, is_pooled_gradient = window.taps * channels, pool is not None and is_gradient
    serves = precision == "bfloat16" or depth >= _TILE_DEPTH
    if precision == "highest":  # three pieces do not beat Winograd, nor live winners
        serves = depth >= _MOST_EXACT_DEPTH and filters >= _MOST_EXACT_FILTERS and pool is None and not is_gradient
        serves = serves and not winograd_is_best(window, channels, filters, 4)
    if precision == "high" and is_pooled_gradient:
        serves = serves and window.out_height * window.out_width >= _SPARSE_PIXELS
    return PIECES[precision] if serves else 0


@table_cache
def gains_by_vectors(
    window: Window, pool: Window | None, channels: int, filters: int, is_gradient: bool = False
) -> bool:
    """Whether twice the multiply-adds are more than what float32 saves: not Winograd's three quarters, or 64 of 100.

    Of arrays kept as bfloat16, which float32 would have to convert.
    """
    size = channels, filters, 4
    if pool is None:
        is_direct = not winograd_is_best(window, *size)
    elif is_gradient:  # the kernel's is sums over live winners: no gain by itself, but after the forward pass
        is_direct = can_pool_by_rows(pool) and channels >= _LEAST_POOLED_CHANNELS
        is_direct = is_direct and not winograd_gradient_is_best(window, pool, *size)
    else:
        is_direct = not pooled_winograd_is_best(window, pool, *size)
    is_large = channels >= _LEAST_CHANNELS and filters >= _LEAST_FILTERS
    return is_direct and is_large and window.taps * channels >= _LEAST_DEPTH


@table_cache
def medium_gains_by_vectors(
    window: Window, pool: Window | None, channels: int, filters: int, is_gradient: bool = False
) -> bool:
    """The same for float32 at "medium": sums over live winners have nothing to convert there, and take less time."""
    is_pooled_gradient = pool is not None and is_gradient
    return not is_pooled_gradient and gains_by_vectors(window, pool, channels, filters, is_gradient)


@table_cache
def is_left_to_reference(pool: Window) -> bool:
    """Whether no kernel of ours serves this pooling behind a convolution."""
    return pool.taps > MAX_TAPS or pool.dilation_y > 1 or pool.dilation_x > 1


def winograd_serves(window: Window) -> bool:
    """Whether the geometry is Winograd's at all."""
    pads, taps = (window.pad_top, window.pad_bottom, window.pad_left, window.pad_right), window.kernel_height
    return (
        window.kernel_width == taps
        and taps in _TAPS
        and window.stride_y == window.stride_x == 1
        and min(pads) >= 0
        and max(pads[:2]) <= (taps - 1) * window.dilation_y
        and max(pads[2:]) <= (taps - 1) * window.dilation_x
    )


@table_cache
def winograd_is_best(window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether a convolution, or an input gradient without pooling, is a case for Winograd."""
    if not winograd_serves(window):
        return False
    direct = _direct(window, channels, filters, itemsize)
    winograd = _winograd(window.out_height, window.out_width, window, channels, filters, itemsize)
    return _MARGIN * winograd < direct


@table_cache
def has_tiles_enough(images: int, window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether a batch has so many of Winograd's tiles that they are worth the transform of the kernel."""
    size, kernel = _sum_bytes(channels, filters, itemsize), _KERNEL_TRANSFORM * channels * vectors(filters, itemsize)
    kernel *= _TRANSFORMED if size <= _MOST_KEPT_BYTES else _FAR if size > _MOST_NEAR_BYTES else 1
    winograd = _winograd(window.out_height, window.out_width, window, channels, filters, itemsize)
    return images * _MARGIN * winograd + kernel < images * _direct(window, channels, filters, itemsize)


@table_cache
def keeps_winograd_kernel(tiles: int, channels: int, filters: int, itemsize: int) -> bool:
    """Whether a batch has so few of Winograd's tiles that the transformed kernel is worth its memory."""
    kernel = _KERNEL_TRANSFORM * channels * vectors(filters, itemsize)
    return kernel > _KEPT_SHARE * tiles * _winograd_tile(channels, filters, itemsize) and (
        TILE_NUMBERS * channels * filters * itemsize <= _MOST_KEPT_BYTES
    )


@table_cache
def groups_are_copied(images: int, window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether groups of so many channels and filters each are cases for Winograd, which wants them side by side."""
    if not winograd_serves(window):
        return False
    tiles = tile_count(window.out_height, window.out_width, window)
    direct = _direct(window, channels, filters, itemsize)
    is_less = _COPIED_MARGIN * tiles * _winograd_tile(channels, filters, itemsize) < direct
    return is_less and images * tiles >= _LEAST_COPIED_TILES


def winograd_kernel_gradient_serves(window: Window) -> bool:
    """Whether the kernel's gradient has tiles: of 3 x 3 taps alone."""
    return winograd_serves(window) and window.kernel_height == TILE_KERNEL


@table_cache
def winograd_kernel_gradient_is_best(window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether the kernel gradient of a convolution without pooling is a case for Winograd.

    Not of 5 x 5 taps: its sums over all tiles of a large batch would err by more than a plain sum does.
    """
    if not winograd_kernel_gradient_serves(window):
        return False
    is_cheap = _sum_bytes(channels, filters, itemsize) <= _MOST_CHUNK_SUM_BYTES
    serves = is_cheap or winograd_works_in_rounds(window, channels, filters, itemsize)
    return serves and winograd_is_best(window, channels, filters, itemsize)


@table_cache
def winograd_works_in_rounds(window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether the sums of that gradient are too large for each chunk to have its own, but the images small enough."""
    slots = max(vectors(channels, itemsize), vectors(filters, itemsize)) * lanes(itemsize)
    is_round = (
        TILE_NUMBERS * tile_count(window.out_height, window.out_width, window) * slots * itemsize <= MOST_ROUND_BYTES
    )
    return is_round and _MOST_CHUNK_SUM_BYTES < _sum_bytes(channels, filters, itemsize) <= _MOST_SUM_BYTES


def _sum_bytes(channels, filters, itemsize):
    return TILE_NUMBERS * channels * filters * itemsize


def is_pooled_by_two(pool: Window) -> bool:
    """Whether cells are 2 x 2 pixels side by side."""
    return pool.kernel_height == pool.kernel_width == pool.stride_y == pool.stride_x == 2 and not pool.is_padded


@table_cache
def pooled_winograd_is_best(window: Window, pool: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether a convolution with pooling is a case for Winograd."""
    is_dilated = window.dilation_y > 1 or window.dilation_x > 1  # the pixels of a tile are no neighbours
    serves = is_pooled_by_two(pool) and not is_dilated
    return serves and winograd_is_best(window, channels, filters, itemsize)


@table_cache
def winograd_gradient_is_best(
    window: Window, pool: Window, channels: int, filters: int, itemsize: int, relu: bool = True
) -> bool:
    """Whether the input gradient behind pooling is a case for Winograd rather than for sums over live winners."""
    if not (winograd_serves(window) and is_pooled_by_two(pool)) or filters % lanes(itemsize):
        return False
    winners = pool.out_height * pool.out_width * filters * (_LIVE if relu else 1)
    sparse = winners * _SPREAD * window.taps * vectors(channels, itemsize)
    winograd = _winograd(window.in_height, window.in_width, window, filters, channels, itemsize)
    return _SPARSE_MARGIN[relu] * winograd < sparse


def can_pool_by_rows(pool: Window) -> bool:
    """Whether every convolution pixel belongs to at most one pooled cell, and none is padding."""
    return not pool.is_padded and not pool.overlaps


@table_cache
def spread_is_best(window: Window, pool: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether the kernel gradient behind pooling should multiply zeros too, rather than sum over live winners."""
    pixels, winners = window.out_height * window.out_width, pool.out_height * pool.out_width * filters * _LIVE
    if window.dilation_x == 1:
        strip_vectors = window.kernel_height * vectors(window.kernel_width * channels, itemsize)
    else:
        strip_vectors = window.taps * vectors(channels, itemsize)
    spread = pixels * vectors(filters, itemsize) * (_SPREAD_PIXEL + window.taps * channels)
    return can_pool_by_rows(pool) and spread < winners * (_COLLECT + _SUM * strip_vectors)


@table_cache
def panels_are_best(channels: int, filters: int, taps: int, itemsize: int) -> bool:
    """Whether some of a kernel's columns should be copied side by side, to serve all images."""
    return filters * itemsize >= _LONG_ROW and taps * channels * filters * itemsize >= _LARGE_KERNEL


@table_cache
def columns_are_best(window: Window) -> bool:
    """Whether the gradients of a convolution without pooling are a case for im2col's adjoint."""
    inputs = window.in_height * window.in_width / (window.stride_y * window.stride_x)
    outputs = window.out_height * window.out_width
    return outputs <= _FEW_OUTPUTS and inputs > _FEWER * outputs


@table_cache
def input_columns_are_best(window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether the input gradient alone is one: few channels leave most lanes of the other algorithms empty."""
    if window.out_height * window.out_width * window.taps * channels * itemsize > _MOST_COLUMN_BYTES:
        return False
    inputs = window.in_height * window.in_width / (window.stride_y * window.stride_x)
    direct = inputs * window.taps * filters * vectors(channels, itemsize)
    turned = window.turned_around if window.stride_y == window.stride_x == 1 else window
    other = _least(turned, direct, filters, channels, itemsize)
    return _COLUMNS_MARGIN * _columns(window, channels, filters, itemsize) < other


def _columns(window, channels, filters, itemsize):
    strips, strip = window.taps, channels
    if window.dilation_x == 1:
        strips, strip = window.kernel_height, window.kernel_width * channels
    product, added = filters * vectors(window.taps * channels, itemsize), strips * vectors(strip, itemsize)
    return window.out_height * window.out_width * (product + _SPREAD * added)


@table_cache
def few_filters_are_best(window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether a convolution should multiply its pixels by the whole kernel, taps and filters abreast."""
    if not _can_be_turned(window) or filters > lanes(itemsize) // 2:
        return False
    reach = (window.kernel_height - 1) * window.dilation_y
    line = (window.pad_left + window.in_width + window.pad_right) * window.taps * filters * itemsize  # bytes
    if min(max(3 * reach, reach + 1), window.out_height + reach) * line > _MOST_BAND_BYTES:  # see `few_filters.bands`
        return False
    pixels, outputs = window.in_height * window.in_width, window.out_height * window.out_width
    few = pixels * channels * vectors(window.taps * filters, itemsize) + outputs * window.taps * _GATHER
    if window.taps == 1:
        few = pixels * filters * (vectors(channels, itemsize) + _CROSSWISE)
    direct = _direct(window, channels, filters, itemsize)
    return _COLUMNS_MARGIN * few < _least(window, direct, channels, filters, itemsize)


@table_cache
def few_filters_gradient_is_best(window: Window, channels: int, filters: int, itemsize: int) -> bool:
    """Whether the kernel's gradient should have the channels in its lanes, not the filters."""
    direct = _direct(window, channels, filters, itemsize)
    few = window.in_height * window.in_width * window.taps * filters * vectors(channels, itemsize)
    return _can_be_turned(window) and _COLUMNS_MARGIN * few < _least(window, direct, channels, filters, itemsize)


def _can_be_turned(window):
    turned = window.turned_around
    pads = window.pad_top, window.pad_left, turned.pad_top, turned.pad_bottom, turned.pad_left, turned.pad_right
    return window.stride_y == window.stride_x == 1 and min(pads) >= 0


def _least(window, direct, channels, filters, itemsize):
    """What the better of the direct product and of Winograd's costs."""
    if not winograd_serves(window):
        return direct
    winograd = _winograd(window.out_height, window.out_width, window, channels, filters, itemsize)
    return winograd if _MARGIN * winograd < direct else direct


@table_cache
def pairs_are_best(window: Window, pool: Window, filters: int, itemsize: int) -> bool:
    """Whether a pooled convolution should compute two pixels in one vector."""
    fits = 2 * filters <= lanes(itemsize)
    return fits and window.stride_x == window.dilation_x == 1 and is_pooled_by_two(pool)


def _direct(window, channels, filters, itemsize):
    return window.out_height * window.out_width * window.taps * channels * vectors(filters, itemsize)


def _winograd(height, width, window, channels, filters, itemsize):
    return tile_count(height, width, window) * _winograd_tile(channels, filters, itemsize)


def _winograd_tile(channels, filters, itemsize):
    vectors_in, vectors_out = vectors(channels, itemsize), vectors(filters, itemsize)
    return _PRODUCT * TILE_NUMBERS * channels * vectors_out + _TRANSFORM * (vectors_in + vectors_out)


def winograd_nanoseconds(tiles: int, channels: int, filters: int, itemsize: int) -> int:
    """About how long one core needs for so many tiles."""
    return int(tiles * _winograd_tile(channels, filters, itemsize)) // VECTORS_PER_NANOSECOND


def tile_count(height: int, width: int, window: Window) -> int:
    """Winograd's tiles of an image of so many pixels, for the window's dilation."""
    outputs = tile_outputs(window.kernel_height)
    return len(tiles_along(height, window.dilation_y, outputs)) * len(tiles_along(width, window.dilation_x, outputs))
