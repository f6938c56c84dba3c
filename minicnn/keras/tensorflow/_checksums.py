"""CRC-32C, which TFRecord files have behind their bytes (Castagnoli, Bräuer and Herrmann, 1993).

A checksum without its first and last inversion is linear: it is the sum, by XOR, of what each byte adds, which its
distance from the end says. So a row of bytes is looked up at once; what came before a row goes into its first four.
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, its bits reversed
_MASK = 0xA282EAD8  # with which TensorFlow's files have them
_ROW = 1024  # bytes that are looked up together
_ROWS = 1024


@cache
def _table() -> np.ndarray:
    """What a byte of each value adds, that stands at each place of a row: (_ROW, 256) uint32."""
    entries = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        entries = entries >> 1 ^ np.where(entries & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    rows = [entries]
    while len(rows) < _ROW:
        rows.append(rows[-1] >> 8 ^ entries[rows[-1] & 255])
    return np.stack(rows[::-1])


@cache
def _first_four() -> list[list[int]]:
    return _table()[:4].tolist()


def crc32c(data: bytes) -> int:
    """The checksum of bytes, as RFC 3720 (appendix B.4) has it.

    Parameters
    ----------
    data : bytes
    """
    table, first = _table(), _first_four()
    if len(data) < 64:
        return _of_few(data)
    start = bytearray(data[:4])
    inverted = bytes(255 - byte for byte in start)  # the first inversion
    padding = -len(data) % _ROW  # zeros in front add nothing
    crc = 0
    for begin in range(0, padding + len(data), _ROW * _ROWS):
        first_piece = bytes(padding) + inverted + data[4 : _ROW * _ROWS - padding] if begin == 0 else None
        piece = first_piece or data[begin - padding : begin - padding + _ROW * _ROWS]
        rows = np.frombuffer(piece, np.uint8).reshape(-1, _ROW)
        each = np.bitwise_xor.reduce(table[np.arange(_ROW), rows], axis=1)  # (rows,)
        for own in each.tolist():
            before = first[0][crc & 255] ^ first[1][crc >> 8 & 255] ^ first[2][crc >> 16 & 255] ^ first[3][crc >> 24]
            crc = own ^ before
    return crc ^ 0xFFFFFFFF


def _of_few(data: bytes) -> int:
    crc, entries = 0xFFFFFFFF, _last_entries()
    for byte in data:
        crc = crc >> 8 ^ entries[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


@cache
def _last_entries() -> list[int]:
    return _table()[-1].tolist()


def checksum(data: bytes) -> bytes:
    """The checksum of bytes as it stands in a file of records: turned by 15 bits, plus a constant.

    Parameters
    ----------
    data : bytes
    """
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)
