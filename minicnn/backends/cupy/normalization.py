"""Batch normalization."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import THREADS, Array, Maybe, blocks_for, launch, launch_over
from minicnn.backends.cupy.partial_sums import grid_for_parts, sum_columns
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
    real, channels = rows.dtype.type, rows.shape[1]
    parts = sum_columns("normalization", "moments_of_parts", rows, rows, outputs=2)
    numbers = np.int32(len(parts[0])), np.int32(channels), np.int64(len(rows)), real(1 - moving.momentum), real(epsilon)
    arguments = *parts, *numbers, *moments, moving.mean, moving.variance
    launch("normalization", "finish_moments", rows.dtype, *grid_for_parts(len(parts[0]), channels), *arguments)


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
    rows, channels = x.reshape(-1, x.shape[-1]), x.shape[-1]
    weights = *moments, affine.gamma, affine.beta
    passed, relu = (y, dy), np.int32(affine.relu)
    sums = None, None  # of dy, and of dy · normalized x
    if dgamma is not None or dbeta is not None or (dx is not None and training):
        arrays = x, *weights, *passed, relu, dadded
        parts = sum_columns("normalization", "norm_gradient_sums", rows, *arrays, outputs=2)
        sums = [cupy.empty_like(moments.mean) if out is None else out for out in (dbeta, dgamma)]
        arguments = *parts, np.int32(len(parts[0])), np.int32(channels), *sums
        grid = grid_for_parts(len(parts[0]), channels)
        launch("normalization", "finish_gradient_sums", x.dtype, *grid, *arguments)
    elif dadded is not None:
        arguments = x, *weights, *passed, relu, dadded, np.int64(x.size), np.int32(channels)
        launch_over(x.size, "normalization", "mask_gradient", x.dtype, *arguments)
    if dx is not None:
        if dadded is not None:  # is masked already
            passed, relu = (None, dadded), np.int32(0)
        used = sums if training else (None, None)
        arguments = x, *weights, *passed, relu, *used, dx, np.int64(len(rows)), np.int32(channels)
        launch_over(x.size, "normalization", "normalize_gradient", x.dtype, *arguments)
