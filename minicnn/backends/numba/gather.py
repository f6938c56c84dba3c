"""Gathering the samples of a batch."""

import numpy as np

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.recording import reference

_GATHER_NANOSECONDS = 0.5  # per number


def gather(source: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See `minicnn.backends.reference.gather.gather`."""
    is_done = _is_plain(source, indices, out) and _gather.launch(
        _GATHER_NANOSECONDS * out.size, source.reshape(-1), indices, out.reshape(-1), len(source)
    )
    if not is_done:  # another layout or dtype; or an index that NumPy counts from the end, or complains about
        reference.gather(source, indices, out)


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
