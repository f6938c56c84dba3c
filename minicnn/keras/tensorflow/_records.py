"""TFRecord files: records of bytes, one after the other.

A record is its length (8 bytes), the checksum of these (4), its bytes, and their checksum (4), the smallest byte first.
Checksums are CRC-32C (Castagnoli, 1993), turned by 15 bits, plus a constant, as TensorFlow's "record_writer" has them.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from minicnn.checks import check_choice
from minicnn.data import Dataset
from minicnn.errors import FileFormatError
from minicnn.keras.tensorflow._checksums import checksum
from minicnn.keras.tensorflow._examples import as_bytes, text_of

__all__ = ["TFRecordDataset", "TFRecordOptions", "TFRecordWriter"]

_KINDS = ("", "GZIP", "ZLIB")
_PIECE = 1 << 20  # bytes that are read or checked at once


def _compression(kind: Any) -> str:
    return check_choice("compression_type", str(kind or ""), _KINDS)


class TFRecordOptions:
    """How a file is compressed.

    Parameters
    ----------
    compression_type : {"", "GZIP", "ZLIB"}, optional
    """

    def __init__(self, compression_type: str | None = None, **options: Any) -> None:
        self.compression_type: str = _compression(compression_type)


class TFRecordWriter:
    """Writes a file of records, which is whole once it is closed.

    Parameters
    ----------
    path : str or path-like
        Its folder is made.
    options : TFRecordOptions or {"", "GZIP", "ZLIB"}, optional
    """

    def __init__(self, path: Any, options: Any = None) -> None:
        self._path = Path(path)
        self._kind = _compression(getattr(options, "compression_type", options))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        opened = gzip.open if self._kind == "GZIP" else open
        self._file: Any = opened(self._path, "wb")
        self._packer = zlib.compressobj() if self._kind == "ZLIB" else None

    def write(self, record: bytes) -> None:
        """Add a record, such as ``example.SerializeToString()``.

        Raises
        ------
        TypeError
            For text.
        """
        if isinstance(record, str):
            raise TypeError(f"a record is bytes: text.encode() makes them. Received: {record[:40]!r}")
        record = as_bytes(record)
        length = struct.pack("<Q", len(record))
        data = b"".join((length, checksum(length), record, checksum(record)))
        self._file.write(data if self._packer is None else self._packer.compress(data))

    def flush(self) -> None:
        """Have what was written in the file."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        if not self._file.closed:
            self._file.write(b"" if self._packer is None else self._packer.flush())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def TFRecordDataset(
    filenames: Any,
    compression_type: str | None = None,
    buffer_size: int | None = None,
    num_parallel_reads: int | None = None,
    name: str | None = None,
) -> Dataset:
    """The records of files, one file after the other; the elements are bytes.

    Parameters
    ----------
    filenames : str, path-like, or sequence or data set of them
    compression_type : {"", "GZIP", "ZLIB"}, optional
    buffer_size, num_parallel_reads : optional
        Change nothing.

    Raises
    ------
    FileFormatError
        While it is read: if a file holds no records, ends within one, or is not what was written.
    """
    kind = _compression(compression_type)

    def records() -> Iterator[Any]:
        for path in _paths(filenames):
            yield from map(text_of, _records(path, kind))

    return Dataset.from_generator(records)


def _paths(filenames: Any) -> Iterator[str]:
    if isinstance(filenames, str | bytes | os.PathLike):
        yield os.fsdecode(filenames)
        return
    for each in filenames if isinstance(filenames, Dataset | list | tuple) else np.ravel(filenames):
        yield os.fsdecode(each if isinstance(each, str | bytes | os.PathLike) else np.asarray(each).item())


def _records(path: str, compression: str) -> Iterator[bytes]:
    """The records, of which one at a time is in memory."""
    with open(path, "rb") as file:
        read = _Reader(path, _unpacked(path, file, compression))
        while length := read(8, "length"):
            if read(4, "checksum") != checksum(length):
                raise FileFormatError(
                    f"expected a TFRecord file{' of ' + compression if compression else ''}: say how it is compressed "
                    f"by compression_type. Received: {path}, which holds bytes of another form"
                )
            record = read(struct.unpack("<Q", length)[0], "record")
            if read(4, "checksum") != checksum(record):
                raise FileFormatError(f"expected the bytes that were written. Received: {path}, which is damaged")
            yield record


class _Reader:
    """Reads so many bytes; none at the end of a file, and never fewer in between."""

    def __init__(self, path: str, pieces: Iterator[bytes]) -> None:
        self._path, self._pieces, self._held = path, pieces, bytearray()

    def __call__(self, size: int, what: str) -> bytes:
        while len(self._held) < size and (piece := next(self._pieces, b"")):
            self._held += piece
        if len(self._held) < size and (self._held or what != "length"):
            raise FileFormatError(f"expected a whole TFRecord file. Received: {self._path}, which ends within a {what}")
        made = bytes(self._held[:size])
        del self._held[:size]
        return made


def _unpacked(path: str, file: Any, compression: str) -> Iterator[bytes]:
    """The bytes of a file, a piece at a time."""
    unpack: Any = zlib.decompressobj() if compression == "ZLIB" else None
    opened = gzip.GzipFile(fileobj=file) if compression == "GZIP" else file
    try:
        while piece := opened.read(_PIECE):
            while unpack is not None and piece:
                yield from filter(None, [unpack.decompress(piece, _PIECE)])
                piece = unpack.unconsumed_tail
            if unpack is None:
                yield piece
        if unpack is not None:
            yield from filter(None, [unpack.flush()])
    except (zlib.error, gzip.BadGzipFile, EOFError) as problem:
        raise FileFormatError(
            f"expected a TFRecord file of {compression}. Received: {path}, of which it is said: {problem}"
        ) from None
    if unpack is not None and not unpack.eof:
        raise FileFormatError(f"expected a whole file of ZLIB. Received: {path}, which ends too early")
