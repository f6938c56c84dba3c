"""Functions of ``keras.backend`` that compute otherwise than those of the same name in ``keras.ops``."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, value_of
from minicnn.keras import ops
from minicnn.keras._operations import is_symbolic
from minicnn.keras._sizes_of_data import OpenSizes, sizes_of
from minicnn.keras.backend._functions import learning_phase, set_phase

__all__ = ["clip", "get_uid", "learning_phase_scope", "reset_uids", "shape", "sqrt"]
_COUNTS: defaultdict[str, itertools.count] = defaultdict(lambda: itertools.count(1))


def sqrt(x: Any) -> Any:
    """√x, and 0 of negative numbers; of those, ``keras.ops.sqrt`` is NaN."""
    if isinstance(x, np.ndarray | Recorded):
        is_negative = value_of(x) < 0
        return ops.sqrt(np.where(is_negative, 0, x) if is_negative.any() else x)
    return ops.sqrt(ops.maximum(x, 0.0))


def clip(x: Any, min_value: Any, max_value: Any) -> Any:
    """x within two numbers, the second of which is the first where it is less; None is no limit."""
    if isinstance(min_value, int | float) and isinstance(max_value, int | float):
        return ops.clip(x, min_value, max(min_value, max_value))  # numbers of Python leave the dtype alone
    is_open = min_value is None or max_value is None
    return ops.clip(x, min_value, max_value if is_open else ops.maximum(min_value, max_value))


def shape(x: Any) -> Any:
    """The sizes, as an array to be computed with; of a model's tensor a tuple of them, with None for the batch."""
    sizes = ops.shape(x)
    if isinstance(found := sizes_of(x, sizes), OpenSizes):
        return found
    return sizes if is_symbolic(x) or None in sizes else np.asarray(sizes, "int32").view(EagerArray)


def get_uid(prefix: str = "") -> int:
    """How often it was asked for this prefix."""
    return next(_COUNTS[prefix])


def reset_uids() -> None:
    """Have `get_uid` begin with 1 again."""
    _COUNTS.clear()


@contextmanager
def learning_phase_scope(value: int) -> Iterator[None]:
    """Inside, functions of `function` compute as `set_learning_phase` says."""
    before = learning_phase()
    set_phase(value)
    try:
        yield
    finally:
        set_phase(before)
