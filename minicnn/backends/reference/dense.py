"""Dense layers."""

import numpy as np

from minicnn.backends.memory import Array, Maybe

__all__ = ["dense", "dense_backward"]


def dense(x: Array, kernel: Array, bias: Maybe, y: Array, relu: bool = False) -> None:
    """y = x · kernel + bias.

    Parameters
    ----------
    x : (N, I)
    kernel : (I, O)
    bias : (O,) or None
    y : (N, O), written
    relu : bool, default False
    """
    np.matmul(x, kernel, out=y)
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)


def dense_backward(
    x: Array, kernel: Array, y: Maybe, dy: Array, dx: Maybe, dkernel: Maybe, dbias: Maybe, relu: bool = False
) -> None:
    """Gradients of `dense`: dkernel = xᵀ · dy, dbias = sum of dy, dx = dy · kernelᵀ.

    Parameters
    ----------
    x : (N, I)
    kernel : (I, O)
    y : (N, O) or None
        Read only with ``relu=True``.
    dy : (N, O)
    dx, dkernel, dbias : like x, kernel and bias, or None, written
    relu : bool, default False
        As `dense` got it.
    """
    if relu:
        dy = np.where(y <= 0, dy.dtype.type(0), dy)
    if dkernel is not None:
        np.matmul(x.T, dy, out=dkernel)
    if dbias is not None:
        np.sum(dy, axis=0, out=dbias)
    if dx is not None:
        np.matmul(dy, kernel.T, out=dx)
