"""Gathering the samples of a batch."""

__all__ = ["gather"]


def gather(source, indices, out):
    """out[i] = source[indices[i]], cast to the dtype of `out`; `source` is a user's array of any layout."""
    out[...] = source[indices]
