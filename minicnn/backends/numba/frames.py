"""Parts of kernels: images inside a frame of padding, and what parts of a batch have summed up.

A frame is a tuple of ints from `tables.frame`.
"""

from minicnn.backends.numba.launch import part
from minicnn.backends.numba.matrix import copy, fill, scratch

_SUM_BLOCK = 1024  # numbers added up by one task


@part
def is_framed(frame):
    """Whether there is any padding around the image."""
    rows, row_size, _, _, size = frame
    return size != rows * row_size


@part
def frame_scratch(frame, value, like):
    """Memory for one padded image, filled with the padding; nothing if there is none."""
    size = frame[4] if is_framed(frame) else 0
    padded = scratch(size, like)
    fill(padded, 0, size, value)
    return padded


@part
def copy_in(frame, x, x_start, padded):
    """Copy an image into its frame."""
    rows, row_size, padded_row, first, _ = frame
    for row in range(rows):
        source, place = x_start + row * row_size, first + row * padded_row
        copy(x, source, row_size, padded, place)


@part
def copy_out(frame, padded, x, x_start):
    """Copy an image out of its frame."""
    rows, row_size, padded_row, first, _ = frame
    for row in range(rows):
        source, place = first + row * padded_row, x_start + row * row_size
        copy(padded, source, row_size, x, place)


@part
def framed_image(frame, x, image, padded):
    """(array, start) of image number `image` with its padding."""
    start = image * frame[0] * frame[1]
    if not is_framed(frame):
        return x, start
    copy_in(frame, x, start, padded)
    return padded, 0


@part
def sum_block_count(size):
    """Tasks that `add_parts` needs for so many numbers."""
    return (size + _SUM_BLOCK - 1) // _SUM_BLOCK


@part
def add_parts(sums, parts, total, block):
    """total = the sum of all parts' rows of sums (parts, size), added in their order; one block of it."""
    first, last = block * _SUM_BLOCK, min((block + 1) * _SUM_BLOCK, len(total))
    for i in range(first, last):
        total[i] = sums[i]
    for number in range(1, parts):
        start = number * len(total)
        for i in range(first, last):
            total[i] += sums[start + i]
