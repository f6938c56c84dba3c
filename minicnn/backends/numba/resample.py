"""Images of another size: a row of the output at a time, first along the columns of pixels, then along the row."""

from typing import NamedTuple

from minicnn.backends.memory import Array
from minicnn.backends.numba.machine.batch import Chunks, chunks_of, images_of
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import copy, scratch
from minicnn.backends.numba.machine.offsets import flat
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.resampling import Taps

_NANOSECONDS = 0.3  # that one core needs for a number and a tap, about


def resample(x: Array, y: Array, rows: Taps, columns: Taps) -> None:
    """See `minicnn.backends.reference.resample.resample`."""
    chunks = chunks_of(len(y) * y.shape[1])
    sizes = _Sizes(x.shape[1], x.shape[2], *y.shape[1:], chunks)
    taps = [_Along(t.index.reshape(-1), flat(t.weight, x.dtype), len(t.index)) for t in (rows, columns)]
    time = _NANOSECONDS * y.size * (taps[0].taps + taps[1].taps)
    _resample.launch(time, x.reshape(-1), y.reshape(-1), *taps, sizes, chunks=chunks.count)


class _Along(NamedTuple):
    """`Taps`: arrays (taps, new size), flat; without weights, they are 1."""

    index: Array
    weight: Array
    taps: int


class _Sizes(NamedTuple):
    height: int
    width: int
    out_height: int
    out_width: int
    channels: int
    chunks: Chunks  # of all images' rows


@inline
def _is_like_the_one_before(rows, i, size):
    """Whether row i of an image is made of the same rows as the one above it."""
    if i == 0 or len(rows.weight) > 0:
        return False
    same = 0
    for tap in range(rows.taps):
        same += rows.index[tap * size + i] == rows.index[tap * size + i - 1]
    return same == rows.taps


@inline
def _add_part(source, weight, has_weight, is_first, target):
    """target = weight · source, or plus that."""
    if is_first and has_weight:
        for c in range(len(target)):
            target[c] = source[c] * weight
    elif is_first:
        for c in range(len(target)):
            target[c] = source[c]
    elif has_weight:
        for c in range(len(target)):
            target[c] += source[c] * weight
    else:
        for c in range(len(target)):
            target[c] += source[c]


@inline
def _parts(source, first, step, along, size, i, target):
    """target = Σ over taps of weight · the piece of `source` at first + step · index."""
    has_weight = len(along.weight) > 0
    for tap in range(along.taps):
        start = first + step * along.index[tap * size + i]
        weight = along.weight[tap * size + i] if has_weight else source.dtype.type(1)
        _add_part(source[start : start + len(target)], weight, has_weight, tap == 0, target)


@inline
def _resample_chunk(chunk, x, y, rows, columns, s):
    row_size, out_row = s.width * s.channels, s.out_width * s.channels
    tall = scratch(row_size, x)
    first, last = images_of(s.chunks, chunk)
    for row in range(first, last):
        image, i = row // s.out_height, row % s.out_height
        if row > first and _is_like_the_one_before(rows, i, s.out_height):
            copy(y, (row - 1) * out_row, out_row, y, row * out_row)
            continue
        _parts(x, image * s.height * row_size, row_size, rows, s.out_height, i, tall)
        for j in range(s.out_width):
            start = row * out_row + j * s.channels
            _parts(tall, 0, s.channels, columns, s.out_width, j, y[start : start + s.channels])


@parallel_kernel
def _resample(pool, x, y, rows, columns, s):
    in_parallel(pool, s.chunks.count, _resample_chunk, (x, y, rows, columns, s))
