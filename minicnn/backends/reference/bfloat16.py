"""Between float32 and bfloat16."""

import numpy as np

from minicnn.backends.memory import Array
from minicnn.bfloat16 import bits, round_to_bfloat16, rounded, widen

__all__ = ["add_bfloat16", "from_bfloat16", "through_bfloat16", "to_bfloat16"]


def to_bfloat16(x: Array, y: Array) -> None:
    """y = the nearest bfloat16 of each number, see `minicnn.bfloat16.round_to_bfloat16`.

    Parameters
    ----------
    x : array of float32
    y : array of BFLOAT16, of the same shape, written
    """
    bits(y)[...] = round_to_bfloat16(x)


def from_bfloat16(x: Array, y: Array) -> None:
    """y = x, exactly.

    Parameters
    ----------
    x : array of BFLOAT16
    y : array of float32, of the same shape, written
    """
    y[...] = widen(x)


def through_bfloat16(x: Array, y: Array) -> None:
    """y = the nearest bfloat16 of each number, as float32.

    Parameters
    ----------
    x : array of float32
    y : array of float32, of the same shape, written
        May be x itself.
    """
    np.copyto(y, rounded(x))


def add_bfloat16(total: Array, term: Array) -> None:
    """total += term, added as float32 and rounded.

    Parameters
    ----------
    total : array of BFLOAT16, written
    term : array of BFLOAT16, of the same shape
    """
    to_bfloat16(widen(total) + widen(term), total)
