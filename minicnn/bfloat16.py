"""bfloat16: the upper half of a float32, 8 bits of exponent and 7 of fraction; NumPy has no such numbers.

An array of them has the dtype `BFLOAT16`, a record of one uint16, so that it is never taken for an array of integers,
and so that arithmetic on it fails instead of being wrong. ``bits(array)`` is what kernels work on.
"""

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
"""The dtype of arrays that hold bfloat16."""

_HALF, _QUIET = np.uint32(0x7FFF), np.uint16(0x0040)


def bits(array: np.ndarray) -> np.ndarray:
    """The same memory as uint16.

    Parameters
    ----------
    array : array of BFLOAT16

    Returns
    -------
    array of uint16
    """
    return array.view(np.uint16)


def round_to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of each number, of two equally near ones the even.

    Numbers from 3.3961776e38 on, half a step beyond the largest bfloat16, become infinite. Denormal numbers are rounded
    like others. NaN stays NaN, with its sign and the upper bits of its payload, and becomes a quiet one.

    Parameters
    ----------
    array : array of float32

    Returns
    -------
    array of uint16, of the same shape
        The bits.
    """
    word = np.ascontiguousarray(array, np.float32).reshape(np.shape(array)).view(np.uint32)
    upper = (word >> 16).astype(np.uint16)
    rounded = ((word + (_HALF + (upper & 1))) >> 16).astype(np.uint16)
    return np.where(np.isnan(array), upper | _QUIET, rounded)


def widen(bits: np.ndarray) -> np.ndarray:
    """The same numbers as float32, exactly.

    Parameters
    ----------
    bits : array of uint16 or of BFLOAT16

    Returns
    -------
    array of float32, of the same shape
    """
    return (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def numbers(array: np.ndarray) -> np.ndarray:
    """An array of any kind as one that can be computed with: of BFLOAT16, `widen`; others as they are."""
    return widen(array) if array.dtype == BFLOAT16 else array


def rounded(array: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of each number, as float32.

    Parameters
    ----------
    array : array of float32

    Returns
    -------
    array of float32, of the same shape
    """
    return widen(round_to_bfloat16(array))
