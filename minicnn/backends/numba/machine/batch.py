"""A batch cut into chunks: which images a chunk has, images in frames of padding, and what chunks have summed up.

How many chunks there are depends on the shapes alone, and what they sum up is added in their order: results are the
same bits for any number of threads.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.memory import add, copy, fill, filled, part_of, scratch
from minicnn.backends.numba.machine.offsets import Frame, flat, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel

_MOST_CHUNKS = 32  # keeps as many cores busy, and a chunk's scratch memory serves several images
_MOST_CHUNKS_WITH_SUMS = 8  # where each keeps a sum as large as the kernel, which has to be added up
_MOST_PARTIAL_BYTES = 16 << 20  # of all the chunks' sums together: they should fit into the last cache
_IMAGES_PER_SUM = 8  # fewer are not worth a sum of their own, which has to be added up
_ADDED_TOGETHER = 1024  # numbers added up by one task
_LEAST_PARALLEL_SUM = 1 << 17  # numbers of all chunks together; adding up fewer takes no longer than starting threads
_FEW_IMAGES = 8  # fewer are cut into parts, so that there are about as many chunks, if each has enough to do
_NANOSECONDS_OF_A_PART = 15_000


class Chunks(NamedTuple):
    """How a batch is cut."""

    images: int
    count: int
    parts: int = 1  # of every image; if it is more than one, a chunk is a part of a single image


@table_cache
def chunks_of(images: int, most: int = _MOST_CHUNKS) -> Chunks:
    """As many chunks as there are images, up to `most`."""
    return Chunks(images, min(images, most, _MOST_CHUNKS))


def parts_of_images(images: int, blocks: int, nanoseconds: int, most: int = _MOST_CHUNKS) -> Chunks:
    """The same; few images in parts of about 15 µs or more of a core's work.

    Parameters
    ----------
    images : int
    blocks : int
        Of rows of each image, see `rows_of`: a part has one of them at least.
    nanoseconds : int
        About what all images together take one core.
    most : int
        See `chunks_of`.
    """
    if not 0 < images < _FEW_IMAGES:
        return chunks_of(images, most)
    parts = min(blocks, _FEW_IMAGES // images, nanoseconds // (images * _NANOSECONDS_OF_A_PART))
    return Chunks(images, images * parts, parts) if parts > 1 else chunks_of(images, most)


@table_cache
def chunks_with_sums(images: int, sum_bytes: int) -> Chunks:
    """Chunks that each keep a sum of so many bytes: two at least, unless these are very large."""
    wanted = max(2, min(_MOST_CHUNKS_WITH_SUMS, images // _IMAGES_PER_SUM))
    return Chunks(images, max(1, min(wanted, images, _MOST_PARTIAL_BYTES // sum_bytes)))


@inline
def images_of(chunks: Chunks, chunk: int) -> tuple[int, int]:
    """First and last image of a chunk."""
    share, shares = chunk // chunks.parts, chunks.count // chunks.parts
    return share * chunks.images // shares, (share + 1) * chunks.images // shares


@inline
def rows_of(chunks: Chunks, chunk: int, count: int, height: int) -> tuple[int, int]:
    """First and last of the `count` rows of an image, in blocks of `height`, that are a chunk's part."""
    part, blocks = chunk % chunks.parts, (count + height - 1) // height
    return part * blocks // chunks.parts * height, min((part + 1) * blocks // chunks.parts * height, count)


# -------------------------------------------------------------------------------------------- images in frames


@inline
def is_framed(frame: Frame) -> bool:
    """Whether there is any padding around the image."""
    return frame.size != frame.rows * frame.row_size


@inline
def frame_scratch(frame: Frame, value: float, like: np.ndarray) -> np.ndarray:
    """Memory for one padded image, filled with the padding; nothing if there is none."""
    return filled(frame.size if is_framed(frame) else 0, value, like)


@inline
def part_scratch(frame: Frame, reach: tuple[int, int], like: np.ndarray) -> np.ndarray:
    """`frame_scratch` with zeros as padding, of which only the elements of the range `reach` will be used."""
    size = frame.size if is_framed(frame) else 0
    padded = scratch(size, like)
    fill(padded, min(reach[0], size), min(reach[1], size) - min(reach[0], size), 0)
    return padded


@inline
def framed_part(
    frame: Frame, x: np.ndarray, image: int, padded: np.ndarray, reach: tuple[int, int]
) -> tuple[np.ndarray, int]:
    """`framed_image`, of which only the elements of the range `reach` will be used."""
    start = image * frame.rows * frame.row_size
    if not is_framed(frame):
        return x, start
    begin = max(0, (reach[0] - frame.first) // frame.padded_row)
    end = min(frame.rows, (reach[1] - 1 - frame.first) // frame.padded_row + 1)
    _copy_rows(frame, x, start, padded, begin, end)
    return padded, 0


@inline
def copy_in(frame: Frame, x: np.ndarray, start: int, padded: np.ndarray) -> None:
    """Copy an image, which starts at element `start` of x, into its frame."""
    _copy_rows(frame, x, start, padded, 0, frame.rows)


@inline
def _copy_rows(frame, x, start, padded, begin, end):
    for row in range(begin, end):
        copy(x, start + row * frame.row_size, frame.row_size, padded, frame.first + row * frame.padded_row)


@inline
def copy_out(frame: Frame, padded: np.ndarray, x: np.ndarray, start: int) -> None:
    """Copy an image out of its frame."""
    for row in range(frame.rows):
        copy(padded, frame.first + row * frame.padded_row, frame.row_size, x, start + row * frame.row_size)


@inline
def framed_image(frame: Frame, x: np.ndarray, image: int, padded: np.ndarray) -> tuple[np.ndarray, int]:
    """(array, start) of an image of the batch x with its padding."""
    start = image * frame.rows * frame.row_size
    if not is_framed(frame):
        return x, start
    copy_in(frame, x, start, padded)
    return padded, 0


# ------------------------------------------------------------------------------------------------ partial sums


class Gradients(NamedTuple):
    """Gradients that a kernel writes, each with one axis; empty where nobody wants it."""

    dx: np.ndarray
    dkernel: np.ndarray
    dbias: np.ndarray


def wanted(dx: np.ndarray | None, dkernel: np.ndarray | None, dbias: np.ndarray | None, dtype: DTypeLike) -> Gradients:
    """The `Gradients` for arrays or None."""
    return Gradients(flat(dx, dtype), flat(dkernel, dtype), flat(dbias, dtype))


@inline
def sums_for(chunks: Chunks, dx: np.ndarray, kernel_size: int, filters: int, like: np.ndarray) -> Gradients:
    """dx, and memory for every chunk's sums: (chunks, kernel_size), undefined, and (chunks, filters), zero; flat."""
    return Gradients(dx, scratch(chunks.count * kernel_size, like), filled(chunks.count * filters, 0, like))


@inline
def sums_of(sums: Gradients, chunks: Chunks, chunk: int) -> Gradients:
    """A chunk's own rows of the sums, and the same dx: chunks write different images of it."""
    size, filters = len(sums.dkernel) // chunks.count, len(sums.dbias) // chunks.count
    dkernel, dbias = part_of(sums.dkernel, chunk * size, size), part_of(sums.dbias, chunk * filters, filters)
    return Gradients(sums.dx, dkernel, dbias)


@inline
def _add_some(task, sums, count, total):
    first, last = task * _ADDED_TOGETHER, min((task + 1) * _ADDED_TOGETHER, len(total))
    copy(sums, first, last - first, total, first)
    for chunk in range(1, count):
        add(sums, chunk * len(total) + first, last - first, total, first)


@inline
def add_up(pool: int, sums: np.ndarray, count: int, total: np.ndarray) -> None:
    """total = the sum of `count` chunks' rows of sums (count, size), added in their order; nothing if it is empty."""
    tasks = (len(total) + _ADDED_TOGETHER - 1) // _ADDED_TOGETHER
    in_parallel(pool if len(sums) >= _LEAST_PARALLEL_SUM else 0, tasks, _add_some, (sums, count, total))
