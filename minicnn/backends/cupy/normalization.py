"""Batch normalization."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import THREADS, blocks_for, launch, launch_over
from minicnn.backends.cupy.sums import finish, sum_parts


def batch_norm(x, y, gamma, beta, mean, inverse_std, moving_mean, moving_variance, momentum, epsilon, training):
    dtype, real, channels = x.dtype, x.dtype.type, x.shape[-1]
    if training:
        rows = x.reshape(-1, channels)
        count, follow = np.int64(len(rows)), real(1 - momentum)
        parts = sum_parts("column_sums", rows, x)
        finish("finish_mean", parts, count, follow, mean, moving_mean)
        parts = sum_parts("column_sums_of_squares", rows, x, mean)
        finish("finish_variance", parts, count, follow, real(epsilon), inverse_std, moving_variance)
    else:
        arguments = moving_mean, moving_variance, np.int32(channels), real(epsilon), mean, inverse_std
        launch("sums", "use_moving", dtype, (blocks_for(channels),), THREADS, *arguments)
    arguments = x, mean, inverse_std, gamma, beta, y, np.int64(x.size), np.int32(channels)
    launch_over(x.size, "sums", "normalize", dtype, *arguments)


def batch_norm_backward(x, dy, gamma, mean, inverse_std, dx, dgamma, dbeta, training):
    channels = x.shape[-1]
    rows = x.reshape(-1, channels)
    needs_sums = dgamma is not None or dbeta is not None or (dx is not None and training)
    if needs_sums:
        parts = sum_parts("norm_gradient_sums", rows, x, dy, mean, inverse_std, outputs=2)
        sum_dy = cupy.empty(channels, x.dtype) if dbeta is None else dbeta
        sum_x = cupy.empty(channels, x.dtype) if dgamma is None else dgamma
        finish("finish_sums", parts[0], sum_dy)
        finish("finish_sums", parts[1], sum_x)
    if dx is not None:
        sums = (sum_dy, sum_x) if training else (None, None)
        arguments = x, dy, mean, inverse_std, gamma, *sums, dx, np.int64(len(rows)), np.int32(channels)
        launch_over(x.size, "sums", "normalize_gradient", x.dtype, *arguments)
