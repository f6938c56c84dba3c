"""Numbers that are written in texts, as TensorFlow reads them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["number_of"]


def number_of(entry: Any, kind: np.dtype) -> Any:
    """The number that a text writes, as int for a dtype of whole ones, else float.

    Parameters
    ----------
    entry : str, or a number, which is the answer
    kind : dtype

    Raises
    ------
    ValueError
        If it writes none, or one that is not whole where it must be.
    """
    if not isinstance(entry, str):
        return entry
    if "_" in entry:  # which Python skips, and TensorFlow does not
        raise ValueError(f"expected digits. Received: {entry!r}")
    return (int if kind.kind in "iu" else float)(entry)
