"""Images of another size, row by row and column by column; its own adjoint."""

import numpy as np

from minicnn.backends.memory import Array
from minicnn.resampling import Taps

__all__ = ["resample"]


def resample(x: Array, y: Array, rows: Taps, columns: Taps) -> None:
    """y[n,i,j,c] = Σ over taps a, b of weights rows[a,i] · columns[b,j] · x[n, row a of i, column b of j, c].

    Its gradient is the same with the transposed taps.

    Parameters
    ----------
    x : (N, H, W, C)
    y : (N, OH, OW, C), written
    rows, columns : Taps
        Arrays of the backend, weights of the dtype of x.
    """
    tall = np.empty_like(y, shape=(len(y), y.shape[1], *x.shape[2:]))  # (N, OH, W, C)
    _gather(x, tall, rows, 1)
    _gather(tall, y, columns, 2)


def _gather(x, y, taps, axis):
    """Along one axis."""
    shape = (-1, *[1] * (x.ndim - axis - 1))
    for k, index in enumerate(taps.index):
        part = x[(*[slice(None)] * axis, index)]
        if taps.weight is not None:
            part *= taps.weight[k].reshape(shape)
        if k == 0:
            y[...] = part
        else:
            y += part
