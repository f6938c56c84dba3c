"""How many elements a data set has."""

import math

import numpy as np

from minicnn.checks import is_integer, plain

INFINITE_CARDINALITY = -1
UNKNOWN_CARDINALITY = -2


def counted(count: object) -> int:
    """A user's number of elements; a float of NumPy's, as ``np.floor`` gives it, is cut off, as in TensorFlow.

    Raises
    ------
    TypeError
        If it is no integer.
    """
    number = plain(count)  # maybe an element of another data set
    if isinstance(count, np.ndarray | np.floating) and isinstance(number, float) and math.isfinite(number):
        return int(number)
    if not is_integer(number):
        raise TypeError(f"expected an integer. Received: {count!r}")
    return int(number)


def no_length(cardinality: int) -> str:
    """What to say to whoever asks for a number of elements that there is none of."""
    kind = "infinite" if cardinality == INFINITE_CARDINALITY else "not known"
    return f"the number of elements is {kind}; say how many to use with take(n) or steps_per_epoch=n"


def at_most(count: int, cardinality: int) -> int:
    """The number of elements where only the first `count` are taken."""
    return cardinality if cardinality == UNKNOWN_CARDINALITY else count if cardinality < 0 else min(count, cardinality)


def together(counts: list[int]) -> int:
    """The number of elements of all of several data sets."""
    if INFINITE_CARDINALITY in counts:
        return INFINITE_CARDINALITY
    return UNKNOWN_CARDINALITY if UNKNOWN_CARDINALITY in counts else sum(counts)


def shortest(counts: list[int]) -> int:
    """The number of elements of the shortest of several data sets."""
    finite = [count for count in counts if count != INFINITE_CARDINALITY]
    if not finite:
        return INFINITE_CARDINALITY
    return UNKNOWN_CARDINALITY if UNKNOWN_CARDINALITY in finite else min(finite)
