"""Arrays of a device for functions that are differentiated as they run, which is done with NumPy's arrays alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def on_host(array: Any) -> Any:
    """The array itself, or a copy of a device's in the processor's memory.

    A device is waited for, which nothing may do while a graph is captured: such an iteration runs kernel by kernel.
    """
    return array.get() if hasattr(array, "get") and hasattr(array, "dtype") else array


def assign(target: Any, value: ArrayLike) -> None:
    """target[...] = value, wherever the target is.

    Parameters
    ----------
    target : array
        C-contiguous, if it is on a device.
    value : array_like
        Of the processor; of the target's shape, or one that can be broadcast to it.
    """
    if isinstance(target, np.ndarray):
        target[...] = value
    else:
        spread = np.broadcast_to(np.asarray(value, target.dtype), target.shape)
        target.set(np.ascontiguousarray(spread).reshape(target.shape))  # one number became a vector
