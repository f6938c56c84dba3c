"""What kernels on tiles are asked for, and of which arrays."""

from collections.abc import Callable

import numpy as np

from minicnn.backends.memory import Maybe
from minicnn.backends.numba.machine.recording import not_whole
from minicnn.backends.numba.tiles.path import NONE, VECTORS, path
from minicnn.bfloat16 import BFLOAT16, bits, round_to_bfloat16, rounded, widen
from minicnn.precision import get_float32_precision

PIECES: dict[str | None, int] = {None: 0, "bfloat16": 1, "medium": 1, "high": 2, "highest": 3}
"""Into how many numbers of bfloat16 a factor is split, by what `precision_of` says."""


def by_vectors() -> bool:
    """Whether vectors compute the products of tiles: twice as fast as float32, not sixteen times."""
    return path() == VECTORS


def is_bfloat16(*arrays: Maybe) -> bool:
    """Whether any of some arrays, or None, is kept as bfloat16."""
    return any(array is not None and array.dtype == BFLOAT16 for array in arrays)


def takes_bfloat16(*pairs: tuple[Maybe, Maybe]) -> bool:
    """Whether tiles serve these arrays: some bfloat16, some float32, alike in each pair."""
    alike = all(a is None or b is None or a.dtype == b.dtype for a, b in pairs)
    return path() != NONE and alike and any(is_bfloat16(*pair) for pair in pairs)


def precision_of(*arrays: np.ndarray) -> str | None:
    """How exactly products of these arrays are wanted: a key of `PIECES`.

    None where this process has no tiles, and for float64; by vectors also above "medium", since products of two pieces
    take longer than those of float32.
    """
    if path() == NONE:
        return None
    if is_bfloat16(*arrays):
        return "bfloat16"
    precision = get_float32_precision() if arrays[0].dtype == np.float32 else None
    return None if by_vectors() and precision != "medium" else precision


def plain(*arrays: Maybe) -> tuple[Maybe, ...]:
    """The same arrays as kernels take them: bfloat16 as uint16."""
    return tuple([bits(array) if is_bfloat16(array) else array for array in arrays])


def in_float32(op: Callable[..., None], x: np.ndarray, kernel: np.ndarray, *others: object) -> None:
    """Call an op on the same arrays as float32, with its kernel rounded, and round what it has written.

    For what is not finite. An array that the op only reads gets the same bits back, but for NaN, which are quiet then.
    """
    not_whole()
    arguments = [x, rounded(kernel), *others]
    own = [widen(a) if isinstance(a, np.ndarray) and is_bfloat16(a) else a for a in arguments]
    op(*own)
    for array, wide in zip(arguments, own, strict=True):
        if array is not wide:
            bits(array)[...] = round_to_bfloat16(wide)
