"""Gathering the samples of a batch."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, launch_over


def gather(source: np.ndarray | Array, indices: np.ndarray | Array, out: Array) -> None:
    """See `minicnn.backends.reference.gather.gather`."""
    if isinstance(source, cupy.ndarray):
        gather_rows(source, indices, None, out)
    else:  # a user's array, in the computer's memory
        out.set(np.ascontiguousarray(source[indices], out.dtype))


def gather_rows(source: Array, order: Maybe, start: Maybe, out: Array) -> None:
    """out[i] = source[order[start + i]], cast to the dtype of `out`.

    Parameters
    ----------
    source : device array (N, …)
        C-contiguous; of any integer or bool type, float32 or float64.
    order : device array of int64, or None
        None: the rows in their own order.
    start : device array of one int64, or None
        None: 0.
    out : device array (n, …), written
        float32, float64, or int64 where `source` is.
    """
    if source.dtype == out.dtype == np.int64:
        name, dtype = "gather_labels", np.dtype(np.float32)
    else:
        name, dtype = f"gather_{source.dtype.kind}{source.dtype.itemsize}", out.dtype
    rows = len(out)
    width = out.size // rows
    numbers = np.int64(rows), np.int64(width)
    launch_over(out.size, "gather", name, dtype, source, order, start, out, *numbers)
