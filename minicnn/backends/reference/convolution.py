"""Convolution, alone and with max pooling, and its gradients."""

import numpy as np

from minicnn.backends.reference.pooling import max_pool2d, max_pool2d_backward
from minicnn.backends.reference.windows import col2im, im2col
from minicnn.geometry import RELU_OFF, Window

__all__ = ["conv2d", "conv2d_backward", "conv2d_pool", "conv2d_pool_backward"]


def conv2d(x, kernel, bias, y, window: Window, groups=1, relu=False):
    """y[n,i,j,f] = bias[f] + sum over taps t and channels c of x[n, window(i,j), t, c] · kernel[t, c, f].

    Parameters
    ----------
    x : (N, H, W, C)
    kernel : (KH, KW, C / groups, F)
    bias : (F,) or None
    y : (N, OH, OW, F), written
    """
    columns = im2col(x, window)  # (N, OH, OW, T, C)
    for channels, filters in _group_slices(x.shape[-1], kernel.shape[-1], groups):
        rows = columns[..., channels].reshape(-1, window.taps * kernel.shape[2])  # (N·OH·OW, T·C)
        weights = kernel[..., filters].reshape(rows.shape[1], -1)  # (T·C, F)
        y[..., filters] = (rows @ weights).reshape(*y.shape[:3], -1)
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)


def conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window: Window, groups=1, relu=False):
    """Gradients of `conv2d`: dkernel = columnsᵀ · dy, dbias = sum of dy, dx = col2im(dy · kernelᵀ).

    `y` is read only with ``relu=True``.
    """
    if relu:
        dy = dy * (y > 0)
    if dbias is not None:
        dbias[...] = dy.sum(axis=(0, 1, 2))
    columns = im2col(x, window) if dkernel is not None else None  # (N, OH, OW, T, C)
    dcolumns = np.empty_like(x, shape=(*dy.shape[:3], window.taps, x.shape[-1])) if dx is not None else None
    for channels, filters in _group_slices(x.shape[-1], kernel.shape[-1], groups):
        dy_rows = dy[..., filters].reshape(-1, kernel.shape[-1] // groups)  # (N·OH·OW, F)
        if dkernel is not None:
            rows = columns[..., channels].reshape(len(dy_rows), -1)  # (N·OH·OW, T·C)
            dkernel[..., filters] = (rows.T @ dy_rows).reshape(*kernel.shape[:3], -1)
        if dx is not None:
            weights = kernel[..., filters].reshape(-1, dy_rows.shape[1])  # (T·C, F)
            dcolumns[..., channels] = (dy_rows @ weights.T).reshape(*dy.shape[:3], window.taps, -1)
    if dx is not None:
        col2im(dcolumns, window, dx)


def _group_slices(channels, filters, groups):
    """Input channels and filters of every group."""
    c, f = channels // groups, filters // groups
    return [(slice(g * c, g * c + c), slice(g * f, g * f + f)) for g in range(groups)]


def conv2d_pool(x, kernel, bias, y, winner, window: Window, pool: Window, relu=False):
    """Convolution, ReLU if asked for, and max pooling in one: y = max_pool2d(relu(conv2d(x))).

    Parameters
    ----------
    y : (N, PH, PW, F), written
    winner : (N, PH, PW, F) uint8 or None, written
        Tap of the pooling window that holds the (first) maximum, `RELU_OFF` where ReLU blocked the maximum.
    """
    full = np.empty_like(x, shape=(len(x), window.out_height, window.out_width, kernel.shape[-1]))
    conv2d(x, kernel, bias, full, window)
    max_pool2d(full, y, winner, pool)
    if relu:
        if winner is not None:
            winner[y <= 0] = RELU_OFF
        np.maximum(y, 0, out=y)


def conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window: Window, pool: Window):
    """Gradients of `conv2d_pool`; `winner` says all that is needed about its output."""
    full = np.empty_like(x, shape=(len(x), window.out_height, window.out_width, kernel.shape[-1]))
    max_pool2d_backward(dy, winner, full, pool)
    conv2d_backward(x, kernel, None, full, dx, dkernel, dbias, window)
