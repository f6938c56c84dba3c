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

from minicnn.data import Dataset
from minicnn.errors import FileFormatError
from minicnn.keras.tensorflow._examples import text_of

__all__ = ["TFRecordDataset", "TFRecordOptions", "TFRecordWriter"]

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, its bits reversed
_MASK = 0xA282EAD8


def _table() -> list[int]:
    entries = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        entries.append(byte)
    return entries


_TABLE = _table()


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


class TFRecordOptions:
    """How a file is compressed.

    Parameters
    ----------
    compression_type : {"", "GZIP", "ZLIB"}, optional
    """

    def __init__(self, compression_type: str | None = None, **options: Any) -> None:
        self.compression_type = compression_type or ""


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
        self._kind = str(getattr(options, "compression_type", options) or "")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        opened = gzip.open if self._kind == "GZIP" else open
        self._file: Any = opened(self._path, "wb")
        self._packer = zlib.compressobj() if self._kind == "ZLIB" else None

    def write(self, record: bytes) -> None:
        """Add a record, such as ``example.SerializeToString()``."""
        length = struct.pack("<Q", len(record))
        data = b"".join((length, _checksum(length), bytes(record), _checksum(record)))
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
        While it is read: if a file holds no records, or ends within one.
    """

    def records() -> Iterator[Any]:
        for path in _paths(filenames):
            yield from map(text_of, _records(path, compression_type or ""))

    return Dataset.from_generator(records)


def _paths(filenames: Any) -> Iterator[str]:
    if isinstance(filenames, str | bytes | os.PathLike):
        yield os.fsdecode(filenames)
        return
    for each in filenames if isinstance(filenames, Dataset | list | tuple) else np.ravel(filenames):
        yield os.fsdecode(each if isinstance(each, str | bytes | os.PathLike) else np.asarray(each).item())


def _records(path: str, compression: str) -> Iterator[bytes]:
    if compression == "ZLIB":
        data = zlib.decompress(Path(path).read_bytes())
    else:
        with gzip.open(path) if compression == "GZIP" else open(path, "rb") as file:
            data = file.read()
    at = 0
    while at < len(data):
        length = data[at : at + 8]
        if data[at + 8 : at + 12] != _checksum(length):
            raise FileFormatError(
                f"expected a TFRecord file{' of ' + compression if compression else ''}: say how it is compressed by "
                f"compression_type. Received: {path}, whose bytes from {at} on are none"
            )
        size = struct.unpack("<Q", length)[0]
        if at + 16 + size > len(data):
            raise FileFormatError(f"expected a whole TFRecord file. Received: {path}, which ends within a record")
        yield data[at + 12 : at + 12 + size]
        at += 16 + size
