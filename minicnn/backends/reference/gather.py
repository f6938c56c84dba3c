"""Gathering the samples of a batch."""

import numpy as np

__all__ = ["gather"]


def gather(source: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """out[i] = source[indices[i]], cast to the dtype of `out`.

    Parameters
    ----------
    source : (N, …)
        A user's array of any dtype and layout.
    indices : (n,) int64
    out : (n, …), written
    """
    out[...] = source[indices]
