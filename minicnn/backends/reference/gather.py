"""Gathering the samples of a batch."""

from minicnn.backends.memory import Array

__all__ = ["gather"]


def gather(source: Array, indices: Array, out: Array) -> None:
    """out[i] = source[indices[i]], cast to the dtype of `out`.

    Parameters
    ----------
    source : (N, …)
        A user's array of any dtype and layout.
    indices : (n,) int64
    out : (n, …), written
    """
    out[...] = source[indices]
