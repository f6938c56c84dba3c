"""Parts of kernels: images inside a `tables.Frame` of padding, and what parts of a batch have summed up."""

from minicnn.backends.numba.machine.launch import MOST_PARTS_WITH_SUMS, part
from minicnn.backends.numba.machine.matrix import copy, fill, scratch
from minicnn.backends.numba.machine.vectors import lanes_of, mask_pixels, spread_winners

_SUM_BLOCK = 1024  # numbers added up by one task
_MOST_PARTIAL_BYTES = 16 << 20  # of all the parts' sums together: they should fit into the last cache
_IMAGES_PER_SUM = 8  # fewer are not worth a sum of their own, which has to be added up
_LEAST_PARALLEL_SUM = 1 << 17  # numbers of all parts together; adding up fewer takes no longer than starting threads


def parts_with_sums(images, sum_bytes):
    """Parts of a batch that each keep a sum of so many bytes: two at least, unless these are very large."""
    wanted = max(2, min(MOST_PARTS_WITH_SUMS, images // _IMAGES_PER_SUM))
    return max(1, min(wanted, images, _MOST_PARTIAL_BYTES // sum_bytes))


@part
def is_framed(frame):
    """Whether there is any padding around the image."""
    return frame.size != frame.rows * frame.row_size


@part
def frame_scratch(frame, value, like):
    """Memory for one padded image, filled with the padding; nothing if there is none."""
    size = frame.size if is_framed(frame) else 0
    padded = scratch(size, like)
    fill(padded, 0, size, value)
    return padded


@part
def copy_in(frame, x, x_start, padded):
    """Copy an image into its frame."""
    for row in range(frame.rows):
        source, place = x_start + row * frame.row_size, frame.first + row * frame.padded_row
        copy(x, source, frame.row_size, padded, place)


@part
def copy_out(frame, padded, x, x_start):
    """Copy an image out of its frame."""
    for row in range(frame.rows):
        source, place = frame.first + row * frame.padded_row, x_start + row * frame.row_size
        copy(padded, source, frame.row_size, x, place)


@part
def framed_image(frame, x, image, padded):
    """(array, start) of image number `image` with its padding."""
    start = image * frame.rows * frame.row_size
    if not is_framed(frame):
        return x, start
    copy_in(frame, x, start, padded)
    return padded, 0


@part
def masked_image(frame, y, dy, start, framed, filters, bias_sum):
    """Copy dy, where y is positive if there is a y, into its frame, and add it up over the pixels."""
    for row in range(frame.rows):
        source, place = start + row * frame.row_size, frame.first + row * frame.padded_row
        for column in range(0, filters, lanes_of(dy)):
            mask_pixels(
                y, len(y) > 0, dy, source + column, framed, place + column, frame.row_size // filters, filters,
                bias_sum, column, filters - column,
            )  # fmt: skip


@part
def spread_cells(dy, winner, place, cells, taps, filters, target, bias_sum):
    """target[pixel] = dy where the pixel is its cell's winner, else 0, for all of an image's cells; and their sum.

    Writes whole vectors of filters.
    """
    for cell in cells:
        for column in range(0, filters, lanes_of(dy)):
            spread_winners(
                dy, winner, place + column, target, cell + column, taps, len(taps),
                bias_sum, column, filters - column,
            )  # fmt: skip
        place += filters


@part
def range_of(number, parts, images):
    """First and last image of part number `number` of a batch."""
    return number * images // parts, (number + 1) * images // parts


@part
def row_of(sums, number, size):
    """What part number `number` adds up: its row of sums (parts, size)."""
    return sums[number * size : (number + 1) * size]


@part
def add_parts(sums, parts, total):
    """total = the sum of all parts' rows of sums (parts, size), added in their order."""
    for block in range(sum_blocks(len(total))):
        add_block(sums, parts, total, block)


@part
def wants_threads(sums):
    """Whether `add_parts` takes so long that its blocks should be added up by several threads."""
    return len(sums) >= _LEAST_PARALLEL_SUM


@part
def sum_blocks(size):
    """Blocks of so many numbers."""
    return (size + _SUM_BLOCK - 1) // _SUM_BLOCK


@part
def add_block(sums, parts, total, block):
    """One block of `add_parts`."""
    first, last = block * _SUM_BLOCK, min((block + 1) * _SUM_BLOCK, len(total))
    own = total[first:last]
    copy(sums, first, last - first, total, first)
    for number in range(1, parts):
        start = number * len(total)
        others = sums[start + first : start + last]
        for i in range(last - first):
            own[i] += others[i]
