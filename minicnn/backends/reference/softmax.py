"""Softmax and its logarithm."""

import numpy as np

from minicnn.backends.memory import Array

__all__ = ["softmax", "softmax_backward"]


def softmax(x: Array, y: Array, axis: int | tuple[int, ...] = -1, log: bool = False) -> None:
    """y = exp(x) / Σ exp(x), or its logarithm; the maximum is subtracted first, so that nothing overflows.

    Parameters
    ----------
    x : any shape
    y : like x, written
    axis : int or tuple of int, default -1
        Over which the sum goes.
    log : bool, default False
    """
    np.subtract(x, x.max(axis=axis, keepdims=True), out=y)
    if log:
        y -= np.log(np.exp(y).sum(axis=axis, keepdims=True))
    else:
        np.exp(y, out=y)
        y /= y.sum(axis=axis, keepdims=True)


def softmax_backward(y: Array, dy: Array, dx: Array, axis: int | tuple[int, ...] = -1, log: bool = False) -> None:
    """dx = y · (dy - Σ dy · y); of the logarithm: dy - exp(y) · Σ dy.

    Parameters
    ----------
    y, dy : any shape
    dx : like y, written
    axis, log :
        As `softmax` got them.
    """
    if log:
        np.exp(y, out=dx)
        dx[...] = dy - dx * dy.sum(axis=axis, keepdims=True)
    else:
        np.multiply(dy - (dy * y).sum(axis=axis, keepdims=True), y, out=dx)
