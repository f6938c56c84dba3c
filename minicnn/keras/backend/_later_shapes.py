"""The shape of what is computed when a function gets arrays: it is computed once of zeros, and once more of others."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras._deferred import Deferred, SizesOf
from minicnn.layers.added_loss import BatchScalar


class _Zeros:
    """Zeros instead of the values of a function's call.

    Parameters
    ----------
    open_size : int
        How many samples there are, and how long every other axis is that is open.
    """

    def __init__(self, open_size: int) -> None:
        self._open_size = open_size

    def of(self, part: Any) -> Any:
        """Zeros of the shape that the value has; a number, or an array, as it is."""
        if isinstance(part, Deferred):
            return part.compute(self)  # type: ignore[attr-defined]
        if isinstance(part, Tensor):
            sizes = [self._open_size if size is None else size for size in part.shape]
            return np.broadcast_to(np.float32(0), sizes)  # which takes no memory
        return np.float32(0) if isinstance(part, BatchScalar) else part

    def gradient(self, loss: Any, variable: Any) -> Any:
        """Zeros of the variable's shape, which its gradient has."""
        return self.of(variable) if isinstance(variable, Tensor) else np.zeros(variable.shape, np.float32)


def shape_of(later: Any) -> SizesOf:
    """The shape; None where it goes by how many samples there are, or by a size that is open.

    Parameters
    ----------
    later : Later
    """
    for samples in (4, 64, 1024):
        try:
            with np.errstate(all="ignore"):
                found = [np.shape(_Zeros(n).of(later)) for n in (samples, samples + 1)]
        except IndexError:  # x[5] of fewer samples
            continue
        return SizesOf(a if a == b else None for a, b in zip(*found, strict=True))
    raise ValueError(
        "the shape of a part of more than 1024 samples is not known before a function of keras.backend.function gets "
        f"them. Received: {later!r}"
    )
