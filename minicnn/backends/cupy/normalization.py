"""Batch normalization."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import THREADS, Array, Maybe, blocks_for, launch, launch_over
from minicnn.backends.cupy.partial_sums import add_parts, grid_for_parts, sum_columns
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages


def batch_norm(
    x: Array,
    y: Array,
    affine: Affine,
    moments: Moments,
    moving: MovingAverages,
    epsilon: float,
    training: bool,
    added: Maybe = None,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm`."""
    channels = np.int32(x.shape[-1])
    if training:
        _take_moments(x.reshape(-1, channels), moments, moving, epsilon)
    else:
        arguments = moving.mean, moving.variance, channels, x.dtype.type(epsilon), *moments
        launch("normalization", "use_moving", x.dtype, (blocks_for(channels),), THREADS, *arguments)
    scale = *moments, affine.gamma, affine.beta
    arguments = x, *scale, added, y, np.int32(affine.relu), np.int64(x.size), channels
    launch_over(x.size, "normalization", "normalize", x.dtype, *arguments)


def _take_moments(rows, moments, moving, epsilon):
    """The batch's moments, which the moving averages follow."""
    real = rows.dtype.type
    follow = real(1 - moving.momentum)
    (parts,) = sum_columns("partial_sums", "column_sums", rows, rows)
    _finish("finish_mean", parts, len(rows), follow, moments.mean, moving.mean)
    (parts,) = sum_columns("normalization", "column_sums_of_squares", rows, rows, moments.mean)
    _finish("finish_variance", parts, len(rows), follow, real(epsilon), moments.inverse_std, moving.variance)


def _finish(name, parts, rows, *arguments):
    """Launch a kernel that adds up the parts (parts, C) of the sums over so many rows."""
    count, channels = parts.shape
    arguments = parts, np.int32(count), np.int32(channels), np.int64(rows), *arguments
    launch("normalization", name, parts.dtype, *grid_for_parts(count, channels), *arguments)


def batch_norm_backward(
    x: Array,
    y: Maybe,
    dy: Array,
    affine: Affine,
    moments: Moments,
    dx: Maybe,
    dadded: Maybe,
    dgamma: Maybe,
    dbeta: Maybe,
    training: bool,
) -> None:
    """See `minicnn.backends.reference.normalization.batch_norm_backward`."""
    rows = x.reshape(-1, x.shape[-1])
    if affine.relu or dadded is not None:
        masked = cupy.empty_like(dy) if dadded is None else dadded
        arguments = x, *moments, affine.gamma, affine.beta, y, dy, masked, np.int32(affine.relu)
        launch_over(
            x.size, "normalization", "mask_gradient", x.dtype, *arguments, np.int64(x.size), np.int32(rows.shape[1])
        )
        dy = masked
    sums = None, None  # of dy, and of dy · normalized x
    if dgamma is not None or dbeta is not None or (dx is not None and training):
        parts = sum_columns("normalization", "norm_gradient_sums", rows, x, dy, *moments, outputs=2)
        sums = [cupy.empty_like(moments.mean) if out is None else out for out in (dbeta, dgamma)]
        for part, out in zip(parts, sums, strict=True):
            add_parts(part, out)
    if dx is not None:
        used = sums if training else (None, None)
        arguments = x, dy, *moments, affine.gamma, *used, dx, np.int64(len(rows)), np.int32(rows.shape[1])
        launch_over(x.size, "normalization", "normalize_gradient", x.dtype, *arguments)
