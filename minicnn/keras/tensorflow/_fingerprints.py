"""FarmHash's fingerprints of texts, by which TensorFlow puts them into buckets: the same number for all times.

References
----------
FarmHash, by Geoff Pike, https://github.com/google/farmhash: ``Fingerprint64``.
"""

from __future__ import annotations

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_ALL = (1 << 64) - 1


def fingerprint(text: bytes) -> int:
    """The fingerprint of 64 bits.

    Parameters
    ----------
    text : bytes
    """
    size = len(text)
    if size <= 16:
        return _of_16(text, size)
    if size <= 32:
        return _of_32(text, size)
    return _of_64(text, size) if size <= 64 else _of_more(text, size)


def _number(text, start, size=8):
    return int.from_bytes(text[start : start + size], "little")


def _turned(number, bits):
    number &= _ALL
    return (number >> bits | number << (64 - bits)) & _ALL


def _mixed(number):
    number &= _ALL
    return number ^ number >> 47


def _of_two(u, v, factor):
    a = _mixed((u ^ v) * factor)
    return _mixed((v ^ a) * factor) * factor & _ALL


def _of_16(text, size):
    factor = _K2 + size * 2
    if size >= 8:
        a, b = _number(text, 0) + _K2 & _ALL, _number(text, size - 8)
        c, d = _turned(b, 37) * factor + a & _ALL, (_turned(a, 25) + b) * factor & _ALL
        return _of_two(c, d, factor)
    if size >= 4:
        return _of_two(size + (_number(text, 0, 4) << 3), _number(text, size - 4, 4), factor)
    if not size:
        return _K2
    y, z = text[0] + (text[size >> 1] << 8), size + (text[-1] << 2)
    return _mixed((y * _K2 ^ z * _K0) & _ALL) * _K2 & _ALL


def _ends(text, size, first_factor):
    """What the first and the last 16 bytes come down to."""
    factor = _K2 + size * 2
    a, b = _number(text, 0) * first_factor & _ALL, _number(text, 8)
    c, d = _number(text, size - 8) * factor & _ALL, _number(text, size - 16) * _K2 & _ALL
    y = _turned(a + b, 43) + _turned(c, 30) + d & _ALL
    return factor, a, y, a + _turned(b + _K2, 18) + c & _ALL


def _of_32(text, size):
    factor, _, y, z = _ends(text, size, _K1)
    return _of_two(y, z, factor)


def _of_64(text, size):
    factor, a, y, z = _ends(text, size, _K2)
    z = _of_two(y, z, factor)
    e, f = _number(text, 16) * factor & _ALL, _number(text, 24)
    g, h = (y + _number(text, size - 32)) * factor & _ALL, (z + _number(text, size - 24)) * factor & _ALL
    return _of_two(_turned(e + f, 43) + _turned(g, 30) + h & _ALL, e + _turned(f + a, 18) + g & _ALL, factor)


def _of_32_and(text, start, a, b):
    """Two numbers of 32 bytes and of two other numbers."""
    w, x, y, z = (_number(text, start + n) for n in (0, 8, 16, 24))
    a = a + w & _ALL
    b = _turned(b + a + z, 21)
    first = a + x + y & _ALL
    return first + z & _ALL, b + _turned(first, 44) + a & _ALL


def _round(text, start, state, factor, weight):
    """The state after 64 bytes more."""
    x, y, z, v, w = state
    x = _turned(x + y + v[0] + _number(text, start + 8), 37) * factor & _ALL
    y = _turned(y + v[1] + _number(text, start + 48), 42) * factor & _ALL
    x ^= w[1] * weight & _ALL
    y = y + v[0] * weight + _number(text, start + 40) & _ALL
    z = _turned(z + w[0], 33) * factor & _ALL
    v = _of_32_and(text, start, v[1] * factor, x + w[0])
    w = _of_32_and(text, start + 32, z + w[1], y + _number(text, start + 16))
    return z, y, x, v, w


def _of_more(text, size):
    y = 81 * _K1 + 113 & _ALL
    state = 81 * _K2 + _number(text, 0) & _ALL, y, _mixed(y * _K2 + 113) * _K2 & _ALL, (0, 0), (0, 0)
    for start in range(0, size - 1 & ~63, 64):
        state = _round(text, start, state, _K1, 1)
    x, y, z, v, w = state
    factor = _K1 + ((z & 0xFF) << 1)
    first = w[0] + (size - 1 & 63)
    v = v[0] + first & _ALL, v[1]
    w = first + v[0] & _ALL, w[1]
    x, y, z, v, w = _round(text, size - 64, (x, y, z, v, w), factor, 9)
    first = _of_two(v[0], w[0], factor) + _mixed(y) * _K0 + z & _ALL
    return _of_two(first, _of_two(v[1], w[1], factor) + x & _ALL, factor)
