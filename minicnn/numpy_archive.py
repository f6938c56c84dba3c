"""NumPy's archives of arrays (.npz) without trust: nothing is unpickled, no array is larger than the file allows."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.hints import FilePath

MAX_EXPANSION, LEAST = 20, 64 << 20  # how many times its size in the file an array may have; bytes that all may have
_MAX_HEADER = 4096  # bytes: NumPy writes some hundred
_KINDS = "biufcSU"  # of numbers and of text
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_ODD = (ValueError, TypeError, SyntaxError, OverflowError, MemoryError, KeyError, TokenError)  # about headers
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    MemoryError,  # of a size that is forged, or more than there is
)


@contextmanager
def opened(path: FilePath, failed: str) -> Iterator[zipfile.ZipFile]:
    """An archive, and errors of whatever reads it as `FileFormatError`.

    Parameters
    ----------
    path : str or path-like
    failed : str
        What cannot be done otherwise: messages begin with it.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except FileFormatError as error:
            raise FileFormatError(f"{failed}: {error}") from None
        except _DAMAGED as error:
            raise FileFormatError(
                f"{failed}: expected an archive that is whole. Received: {str(error)[:200] or type(error).__name__}"
            ) from None


def arrays_of(archive: zipfile.ZipFile, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Name → array, of an archive that `opened` gave.

    Parameters
    ----------
    archive : ZipFile
    names : sequence of str, optional
        Those that are wanted; default: all.

    Raises
    ------
    FileFormatError
        If one is missing, holds objects, or is another one than its header says; if all together are too large.
    """
    infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if missing := [name for name in names or () if name not in infos]:
        raise FileFormatError(f"expected the arrays {', '.join(names or ())}. Received: none called {missing[0]!r}")
    wanted = {name: infos[name] for name in names or infos}
    size, compressed = (sum(getattr(i, key) for i in wanted.values()) for key in ("file_size", "compress_size"))
    if len(infos) < len(archive.infolist()) or size > max(LEAST, MAX_EXPANSION * compressed):
        raise FileFormatError(f"two arrays of one name, or {size} bytes of arrays in {compressed} bytes of the file")
    return {name: read_array(archive, info.filename) for name, info in wanted.items()}


def opened_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> IO[bytes]:
    """A member of an archive, to be read from.

    Parameters
    ----------
    archive : ZipFile
    info : ZipInfo
        The member's entry.
    limit : int
        How many bytes it may say it has.

    Raises
    ------
    FileFormatError
        If it says more, or is compressed in a way that may grow without bound.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileFormatError(f"an archive's members are stored or deflated. Received: {info.filename}")
    if info.file_size > limit:
        raise FileFormatError(
            f"'{info.filename}' would have {info.file_size} bytes, too many for {info.compress_size} in the archive"
        )
    return archive.open(info)


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """A member of an archive; errors as of `arrays_of`."""
    info = archive.getinfo(name)
    most = max(LEAST, MAX_EXPANSION * info.compress_size)
    with opened_member(archive, info, most + 2 * _MAX_HEADER) as member:
        shape, is_fortran, dtype = _header(member, name)
        size = math.prod(shape) * dtype.itemsize
        if size > min(most, info.file_size):
            raise FileFormatError(f"{name} would have {size} bytes, and has {info.compress_size} in the file")
        content = bytearray(member.read(size))
        if len(content) < size or member.read(1):
            raise FileFormatError(f"{name} has other numbers than its header says. Received: shape {shape}, {dtype}")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)


def _header(member, name) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, whether the first axis runs fastest, and dtype."""
    try:
        read = _HEADERS[np.lib.format.read_magic(member)]
        shape, is_fortran, dtype = read(member, max_header_size=_MAX_HEADER)
    except _ODD as error:
        raise FileFormatError(f"{name} is no array of NumPy's: {str(error)[:200]}") from None
    if dtype.kind not in _KINDS or not dtype.itemsize or any(n < 0 for n in shape):
        raise FileFormatError(f"files hold arrays of numbers and text. Received: {name} of {dtype}, shape {shape}")
    return shape, is_fortran, dtype
