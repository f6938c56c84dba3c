"""An array's methods on recorded values: each is NumPy's function of its name, differentiated or refused there."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

_IN_PLACE = {"partition", "put", "resize", "sort"}  # of arrays, where NumPy's functions give new ones
_METHODS = {
    name
    for name in set(dir(np.ndarray)) & set(dir(np)) - _IN_PLACE
    if name[0] != "_" and callable(getattr(np.ndarray, name))
}


def method(recorded: Any, name: str) -> Any:
    """A ``__getattr__``: the method, or what is to be written in its place.

    Raises
    ------
    AttributeError
        For names that no function of NumPy has, and what changes arrays in place.
    """
    if name in _METHODS:
        return partial(getattr(np, name), recorded)
    kind = type(recorded).__name__
    raise AttributeError(
        f"{kind!r} object has no attribute {name!r}: it is a value whose gradient is wanted, and takes operators and "
        "NumPy's functions; .numpy() gives its numbers, without a gradient"
    )
