"""Convolution, alone and fused with max pooling."""

import cupy
import numpy as np

from minicnn.backends.cupy import blas
from minicnn.backends.cupy.launch import launch_over
from minicnn.backends.cupy.pooling import max_pool, max_pool2d_backward
from minicnn.backends.cupy.products import correlation, product
from minicnn.backends.cupy.sums import column_sums, relu_gradient
from minicnn.geometry import Window


def conv2d(x, kernel, bias, y, window: Window, groups=1, relu=False):
    if blas.serves(y.size * kernel[..., 0].size):
        blas.conv2d(x, kernel, bias, y, window, groups, relu)
        return
    rows = len(x) * window.out_height * window.out_width
    positions = {"rows": rows, "row_height": window.out_height, "row_width": window.out_width}
    product(x, kernel, bias, y, None, _forward_fields(kernel, window, groups) | positions, groups, relu)


def _forward_fields(kernel, window, groups):
    """The members of ``Product`` that a convolution and a pooled one have in common."""
    channels, filters = kernel.shape[2], kernel.shape[3]
    return {
        "columns": filters // groups,
        "depth": window.taps * channels,
        "height": window.in_height,
        "width": window.in_width,
        "channels": channels * groups,
        "group_channels": channels,
        "kernel_width": window.kernel_width,
        "step_y": window.dilation_y,
        "step_x": window.dilation_x,
        "scale_y": window.stride_y,
        "scale_x": window.stride_x,
        "divide_y": 1,
        "divide_x": 1,
        "offset_y": -window.pad_top,
        "offset_x": -window.pad_left,
        "matrix_row": filters,
        "matrix_group": filters // groups,
        "out_channels": filters,
    }


def conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window: Window, groups=1, relu=False):
    if relu:
        dy = relu_gradient(dy, y)
    if dbias is not None:
        column_sums(dy.reshape(-1, dy.shape[-1]), dbias)
    if blas.serves(dy.size * kernel[..., 0].size):
        blas.conv2d_backward(x, kernel, dy, dx, dkernel, window, groups)
        return
    if dkernel is not None:
        _kernel_gradient(x, dy, dkernel, window, groups)
    if dx is not None:
        _input_gradient(kernel, dy, dx, window, groups)


def _kernel_gradient(x, dy, dkernel, window, groups):
    """dkernel[t, c, f] = sum over positions of x[position, t, c] · dy[position, f]."""
    channels, filters = dkernel.shape[2], dkernel.shape[3]
    fields = {
        "rows": window.taps * channels,
        "columns": filters // groups,
        "depth": len(x) * window.out_height * window.out_width,
        "out_height": window.out_height,
        "out_width": window.out_width,
        "height": window.in_height,
        "width": window.in_width,
        "channels": channels * groups,
        "group_channels": channels,
        "kernel_width": window.kernel_width,
        "stride_y": window.stride_y,
        "stride_x": window.stride_x,
        "dilation_y": window.dilation_y,
        "dilation_x": window.dilation_x,
        "pad_top": window.pad_top,
        "pad_left": window.pad_left,
        "out_channels": filters,
    }
    correlation(x, dy, dkernel, fields, groups)


def _input_gradient(kernel, dy, dx, window, groups):
    """dx[pixel, c] = sum over the taps t that meet the pixel, and f, of dy[position, f] · kernel[t, c, f]."""
    channels, filters = kernel.shape[2], kernel.shape[3] // groups
    transposed = cupy.empty((groups, window.taps, filters, channels), kernel.dtype)
    sizes = [np.int32(n) for n in (window.taps, channels, groups, filters)]
    launch_over(kernel.size, "convolution", "transpose_kernel", kernel.dtype, kernel, transposed, *sizes)
    fields = {
        "rows": len(dx) * window.in_height * window.in_width,
        "columns": channels,
        "depth": window.taps * filters,
        "row_height": window.in_height,
        "row_width": window.in_width,
        "height": window.out_height,
        "width": window.out_width,
        "channels": filters * groups,
        "group_channels": filters,
        "kernel_width": window.kernel_width,
        "step_y": -window.dilation_y,
        "step_x": -window.dilation_x,
        "scale_y": 1,
        "scale_x": 1,
        "divide_y": window.stride_y,
        "divide_x": window.stride_x,
        "offset_y": window.pad_top,
        "offset_x": window.pad_left,
        "matrix_row": channels,
        "matrix_group": window.taps * filters * channels,
        "out_channels": channels * groups,
    }
    product(dy, transposed, None, dx, None, fields, groups)


def conv2d_pool(x, kernel, bias, y, winner, window: Window, pool: Window, relu=False):
    if _pools_four_pixels(pool):
        cells = {
            "rows": 4 * len(x) * pool.out_height * pool.out_width,
            "row_height": window.out_height,
            "row_width": window.out_width,
            "pool_height": pool.out_height,
            "pool_width": pool.out_width,
            "pool_stride_y": pool.stride_y,
            "pool_stride_x": pool.stride_x,
        }
        product(x, kernel, bias, y, winner, _forward_fields(kernel, window, 1) | cells, 1, relu)
        return
    full = cupy.empty((len(x), window.out_height, window.out_width, kernel.shape[-1]), x.dtype)
    conv2d(x, kernel, bias, full, window)
    max_pool(full, y, winner, pool, relu)


def _pools_four_pixels(pool) -> bool:
    """Whether the windows are 2 × 2, apart, and inside the image: then one thread of the product holds each of them."""
    apart = pool.stride_y >= 2 and pool.stride_x >= 2
    return (pool.kernel_height, pool.kernel_width) == (2, 2) and apart and not pool.is_padded


def conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window: Window, pool: Window):
    full = cupy.empty((len(x), window.out_height, window.out_width, kernel.shape[-1]), x.dtype)
    max_pool2d_backward(dy, winner, full, pool)
    conv2d_backward(x, kernel, None, full, dx, dkernel, dbias, window)
