"""Gathering the samples of a batch."""

import numpy as np

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.offsets import strides
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import reference

_GATHER_NANOSECONDS = 0.5  # per number
_LEAST_SHARED = 1 << 15  # numbers that several threads copy, rather than NumPy


def gather(source: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See `minicnn.backends.reference.gather.gather`."""
    is_done = _is_plain(source, indices, out) and _gather.launch(
        _GATHER_NANOSECONDS * out.size, source.reshape(-1), indices, out.reshape(-1), len(source)
    )
    if not is_done:  # another layout or dtype; or an index that NumPy counts from the end, or complains about
        reference.gather(source, indices, out)


def copy_samples(source: object, out: np.ndarray) -> bool:
    """Copy as many samples as there are, on several threads; returns False, with nothing copied, where NumPy does it.

    Parameters
    ----------
    source : array-like
    out : array, written
    """
    is_large = out.size >= _LEAST_SHARED and out.dtype in (np.float32, np.float64)
    is_array = isinstance(source, np.ndarray) and source.shape == out.shape and source.dtype in (np.uint8, out.dtype)
    if not (is_large and is_array):
        return False
    indices = strides(len(source), 1)
    is_plain = _is_plain(source, indices, out)
    if is_plain:
        _gather.launch(_GATHER_NANOSECONDS * out.size, source.reshape(-1), indices, out.reshape(-1), len(source))
    return is_plain


def _is_plain(source, indices, out):
    return (
        isinstance(source, np.ndarray)
        and source.dtype in (np.uint8, np.float32, np.float64)
        and source.dtype.isnative
        and source.flags.c_contiguous
        and source.flags.aligned
        and isinstance(indices, np.ndarray)
        and indices.dtype == np.int64
        and indices.ndim == 1
        and indices.flags.c_contiguous
        and out.flags.c_contiguous
        and out.shape == (len(indices), *source.shape[1:])
    )


@inline
def _copy_row(i, source, indices, out, size):
    row, target = source[indices[i] * size : (indices[i] + 1) * size], out[i * size : (i + 1) * size]
    for j in range(size):
        target[j] = row[j]


@parallel_kernel(typed=3)
def _gather(pool, source, indices, out, samples):
    """Copy rows; returns False, with nothing written, if an index is not plain."""
    if len(indices) == 0:
        return True
    size = len(out) // len(indices)
    for index in indices:
        if index < 0 or index >= samples:
            return False
    in_parallel(pool, len(indices), _copy_row, (source, indices, out, size))
    return True
