"""The IDX format of MNIST: a big-endian header (type, number of axes, sizes), then one byte a value."""

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from minicnn.datasets._files import bad_file, open_stream
from minicnn.hints import FilePath

UNSIGNED_BYTE = 0x08


def read_idx(path: FilePath, item_shape: tuple[int, ...], max_items: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip-compressed or not.

    Parameters
    ----------
    path : str or path-like
        The file.
    item_shape : tuple of int
        Shape of one item: (28, 28) for images, () for labels.
    max_items : int
        Most items that the file may have. Fewer are accepted: small files in this format are handy for experiments.

    Returns
    -------
    ndarray of uint8, shape (items, *item_shape)

    Raises
    ------
    DataError
        The header is not the expected one, or its sizes do not match the number of bytes.
    """
    try:
        with open_stream(path) as stream:
            items = _read_header(stream, path, item_shape, max_items)
            return _read_values(stream, path, (items, *item_shape))
    except (EOFError, OSError, zlib.error) as error:
        raise bad_file(path, "a complete IDX file", f"{type(error).__name__}: {error}") from error


def _read_header(stream, path, item_shape, max_items) -> int:
    """Check the header; returns the number of items."""
    axes = 1 + len(item_shape)
    _expect(path, "IDX header", bytes([0, 0, UNSIGNED_BYTE, axes]).hex(" "), stream.read(4).hex(" "))
    sizes = stream.read(4 * axes)
    if len(sizes) != 4 * axes:
        raise bad_file(path, f"{4 * axes} bytes of sizes", f"{len(sizes)} bytes")
    items, *shape = struct.unpack(f">{axes}I", sizes)
    _expect(path, "items of shape", tuple(item_shape), tuple(shape))
    if not 1 <= items <= max_items:
        raise bad_file(path, f"1 to {max_items} items", f"a header that announces {items}")
    return items


def _read_values(stream, path, shape) -> np.ndarray:
    # One byte more than announced is enough to notice a file that is too long, however far it would unpack;
    # reading to the end also makes gzip compare its checksum.
    expected = math.prod(shape)
    values = stream.read(expected + 1)
    if len(values) != expected:
        received = "more" if len(values) > expected else f"{len(values)} bytes"
        raise bad_file(path, f"{expected} bytes after the header", received)
    return np.frombuffer(values, np.uint8).reshape(shape).copy()  # the copy is writable


def _expect(path, what, expected, received):
    if expected != received:
        raise bad_file(path, f"{what} {expected}", received)
