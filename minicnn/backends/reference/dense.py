"""Dense layers."""

import numpy as np

__all__ = ["dense", "dense_backward"]


def dense(x, kernel, bias, y, relu=False):
    """y = x · kernel + bias; x (N, I), kernel (I, O), bias (O,) or None, y (N, O)."""
    np.matmul(x, kernel, out=y)
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)


def dense_backward(x, kernel, y, dy, dx, dkernel, dbias, relu=False):
    """Gradients of `dense`: dkernel = xᵀ · dy, dbias = sum of dy, dx = dy · kernelᵀ; `y` is read if `relu`."""
    if relu:
        dy = dy * (y > 0)
    if dkernel is not None:
        np.matmul(x.T, dy, out=dkernel)
    if dbias is not None:
        np.sum(dy, axis=0, out=dbias)
    if dx is not None:
        np.matmul(dy, kernel.T, out=dx)
