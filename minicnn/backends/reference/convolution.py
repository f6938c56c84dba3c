"""Convolution, alone and with max pooling, and its gradients."""

import numpy as np

from minicnn.backends.memory import Array, Maybe
from minicnn.backends.reference.pooling import max_pool2d, max_pool2d_backward
from minicnn.backends.reference.windows import col2im, im2col
from minicnn.geometry import RELU_OFF, Window

__all__ = ["conv2d", "conv2d_backward", "conv2d_pool", "conv2d_pool_backward"]


def conv2d(x: Array, kernel: Array, bias: Maybe, y: Array, window: Window, groups: int = 1, relu: bool = False) -> None:
    """y[n,i,j,f] = bias[f] + sum over taps t and channels c of x[n, window(i,j), t, c] · kernel[t, c, f].

    Parameters
    ----------
    x : (N, H, W, C)
    kernel : (KH, KW, C / groups, F)
    bias : (F,) or None
    y : (N, OH, OW, F), written
    window : Window
    groups : int, default 1
        Input channels and filters are cut into so many groups, each a convolution of its own.
    relu : bool, default False
    """
    columns = im2col(x, window)  # (N, OH, OW, T, C)
    for channels, filters in _group_slices(x.shape[-1], kernel.shape[-1], groups):
        rows = columns[..., channels].reshape(-1, window.taps * kernel.shape[2])  # (N·OH·OW, T·C)
        weights = kernel[..., filters].reshape(rows.shape[1], -1)  # (T·C, F)
        y[..., filters] = (rows @ weights).reshape(y[..., filters].shape)
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)


def conv2d_backward(
    x: Array,
    kernel: Array,
    y: Maybe,
    dy: Array,
    dx: Maybe,
    dkernel: Maybe,
    dbias: Maybe,
    window: Window,
    groups: int = 1,
    relu: bool = False,
) -> None:
    """Gradients of `conv2d`: dkernel = columnsᵀ · dy, dbias = sum of dy, dx = col2im(dy · kernelᵀ).

    Parameters
    ----------
    x : (N, H, W, C)
    kernel : (KH, KW, C / groups, F)
    y : (N, OH, OW, F) or None
        Read only with ``relu=True``.
    dy : (N, OH, OW, F)
    dx, dkernel, dbias : like x, kernel and bias, or None, written
    window, groups, relu
        As `conv2d` got them.
    """
    if relu:
        dy = np.where(y <= 0, dy.dtype.type(0), dy)
    if dbias is not None:
        dbias[...] = dy.sum(axis=(0, 1, 2))
    columns = im2col(x, window) if dkernel is not None else None  # (N, OH, OW, T, C)
    dcolumns = np.empty_like(x, shape=(*dy.shape[:3], window.taps, x.shape[-1])) if dx is not None else None
    for channels, filters in _group_slices(x.shape[-1], kernel.shape[-1], groups):
        dy_rows = dy[..., filters].reshape(-1, kernel.shape[-1] // groups)  # (N·OH·OW, F)
        if dkernel is not None:
            rows = columns[..., channels].reshape(len(dy_rows), window.taps * kernel.shape[2])  # (N·OH·OW, T·C)
            dkernel[..., filters] = (rows.T @ dy_rows).reshape(*kernel.shape[:3], -1)
        if dx is not None:
            weights = kernel[..., filters].reshape(-1, dy_rows.shape[1])  # (T·C, F)
            dcolumns[..., channels] = (dy_rows @ weights.T).reshape(dcolumns[..., channels].shape)
    if dx is not None:
        col2im(dcolumns, window, dx)


def _group_slices(channels, filters, groups):
    """Input channels and filters of every group."""
    c, f = channels // groups, filters // groups
    return [(slice(g * c, g * c + c), slice(g * f, g * f + f)) for g in range(groups)]


def conv2d_pool(
    x: Array, kernel: Array, bias: Maybe, y: Array, winner: Maybe, window: Window, pool: Window, relu: bool = False
) -> None:
    """Convolution, ReLU if asked for, and max pooling in one: y = max_pool2d(relu(conv2d(x))).

    Parameters
    ----------
    x, kernel, bias, window, relu
        As for `conv2d`.
    y : (N, PH, PW, F), written
    winner : (N, PH, PW, F) uint8 or None, written
        Tap of the pooling window that holds the (first) maximum, `RELU_OFF` where ReLU blocked the maximum.
    pool : Window
        Over the convolution's output.
    """
    full = _before_pooling(x, kernel, window)
    conv2d(x, kernel, bias, full, window)
    max_pool2d(full, y, winner, pool)
    if relu:
        if winner is not None:
            winner[y <= 0] = RELU_OFF
        np.maximum(y, 0, out=y)


def conv2d_pool_backward(
    x: Array,
    kernel: Array,
    winner: Array,
    dy: Array,
    dx: Maybe,
    dkernel: Maybe,
    dbias: Maybe,
    window: Window,
    pool: Window,
    relu: bool = True,
) -> None:
    """Gradients of `conv2d_pool`; `winner` says all that is needed about its output.

    Parameters
    ----------
    x, kernel, window, pool, relu
        As `conv2d_pool` got them. Without ReLU no winner is `RELU_OFF`, which another algorithm may be faster for.
    winner : (N, PH, PW, F) uint8
        As `conv2d_pool` has written it.
    dy : (N, PH, PW, F)
    dx, dkernel, dbias : like x, kernel and bias, or None, written
    """
    full = _before_pooling(x, kernel, window)
    max_pool2d_backward(dy, winner, full, pool)
    conv2d_backward(x, kernel, None, full, dx, dkernel, dbias, window)


def _before_pooling(x, kernel, window):
    """A new array (N, OH, OW, F) for what is pooled, or its gradient."""
    return np.empty_like(x, shape=(len(x), window.out_height, window.out_width, kernel.shape[-1]))
