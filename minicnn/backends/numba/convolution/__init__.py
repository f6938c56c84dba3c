"""Convolution, alone and fused with ReLU and max pooling, and its gradients: which algorithm computes it.

Every algorithm is a file; `choice.py` says which one serves what, and why.
"""

import numpy as np

from minicnn.backends.numba.convolution import (
    again,
    choice,
    columns,
    depthwise,
    direct,
    few_filters,
    gradients,
    grouped,
    on_tiles,
    panels,
    pooled,
    sparse,
    winograd,
    winograd_gradient,
    winograd_rounds,
)
from minicnn.backends.numba.machine.batch import wanted
from minicnn.backends.numba.machine.recording import call, reference
from minicnn.backends.numba.pooling import pooled as outputs
from minicnn.backends.numba.tiles.serving import in_float32, is_bfloat16, takes_bfloat16
from minicnn.geometry import Window


def conv2d(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    window: Window,
    groups: int = 1,
    relu: bool = False,
) -> None:
    """See `minicnn.backends.reference.convolution.conv2d`."""
    if groups == 1 and on_tiles.conv2d(x, kernel, bias, (y, None), window, None, relu):
        return None
    if is_bfloat16(x, y):
        return in_float32(conv2d, x, kernel, bias, y, window, groups, relu)
    geometry = window, *kernel.shape[-2:], x.itemsize
    if groups > 1 and groups == x.shape[-1]:
        if not depthwise.conv2d(x, kernel, bias, y, window, relu):
            again.conv2d(x, kernel, bias, y, window, groups, relu)
    elif groups > 1:
        grouped.conv2d(conv2d, x, kernel, bias, y, window, groups, relu)
    elif choice.few_filters_are_best(*geometry) and _may_leave_out_padding(kernel, window):
        few_filters.conv2d(x, kernel, bias, y, window, relu)
    elif choice.winograd_is_best(*geometry) and choice.has_tiles_enough(len(x), *geometry):
        for image in winograd.conv2d(x, kernel, bias, y, window, relu):
            again.conv2d(x[image], kernel, bias, y[image], window, relu=relu)
    elif choice.panels_are_best(*kernel.shape[-2:], window.taps, x.itemsize):
        panels.conv2d(x, kernel, bias, y, window, relu)
    else:
        direct.conv2d(x, kernel, bias, y, window, relu)


def conv2d_backward(
    x: np.ndarray,
    kernel: np.ndarray,
    y: np.ndarray | None,
    dy: np.ndarray,
    dx: np.ndarray | None,
    dkernel: np.ndarray | None,
    dbias: np.ndarray | None,
    window: Window,
    groups: int = 1,
    relu: bool = False,
) -> None:
    """See `minicnn.backends.reference.convolution.conv2d_backward`."""
    active, out = y if relu else None, (dx, dkernel, dbias)
    if groups == 1 and on_tiles.conv2d_backward(x, kernel, (dy, active, None), out, window, None):
        return None
    if is_bfloat16(x, dy):
        return in_float32(conv2d_backward, x, kernel, y, dy, *out, window, groups, relu)
    if groups > 1:
        return _backward_in_groups((x, kernel, y, dy), out, window, groups, relu)
    incoming = gradients.masked(dy, active)
    if choice.columns_are_best(window):
        return columns.conv2d_backward(x, kernel, incoming, wanted(dx, dkernel, dbias, x.dtype), window)
    if dx is not None and _special_input_gradient((x, kernel, y, dy), incoming, dx, window, relu):
        dx = None
    if dkernel is not None and _special_kernel_gradient(x, incoming, (dkernel, dbias), kernel, window):
        dkernel, dbias = (None, None) if call(_all_finite, dkernel) else (dkernel, dbias)
    if dx is dkernel is dbias is None:
        return
    if not gradients.conv2d_backward(x, kernel, incoming, wanted(dx, dkernel, dbias, x.dtype), window):
        again.backward(again.conv2d_backward, x, kernel, y, dy, (dx, None, None), window, 1, relu)


def _backward_in_groups(arrays, out, window, groups, relu):
    x, kernel, y, dy = arrays
    if groups < x.shape[-1]:
        is_right = grouped.conv2d_backward(conv2d_backward, arrays, out, window, groups, relu)
    else:
        incoming = gradients.masked(dy, y if relu else None)
        is_right = depthwise.conv2d_backward(x, kernel, incoming, wanted(*out, x.dtype), window)
    if not is_right:
        again.backward(again.conv2d_backward, *arrays, (out[0], None, None), window, groups, relu)


def _may_leave_out_padding(kernel, window):
    """Whether padding meets no weight that is not finite; a single tap meets none, and needs nothing of Python's."""
    return window.taps == 1 or call(_all_finite, kernel)


def _all_finite(array):
    return bool(np.isfinite(array).all())


def _special_input_gradient(arrays, incoming, dx, window, relu):
    """Returns whether one of the algorithms for special cases has computed it."""
    x, kernel, y, dy = arrays
    channels, filters = kernel.shape[2:]
    if choice.input_columns_are_best(window, channels, filters, x.itemsize):
        columns.conv2d_backward(x, kernel, incoming, wanted(dx, None, None, x.dtype), window)
        return True
    if not choice.winograd_is_best(window.turned_around, filters, channels, x.itemsize):
        return False
    for image in winograd.input_gradient(kernel, y if relu else None, dy, dx, window):
        own = x[image], kernel, again.part(y, image), dy[image], dx[image]
        again.conv2d_backward(*own, None, None, window, relu=relu)
    return True


def _special_kernel_gradient(x, incoming, out, kernel, window):
    """Returns whether one of the algorithms for special cases has computed it: where not all is finite, wrongly."""
    geometry = window, *kernel.shape[2:], x.itemsize
    if choice.few_filters_gradient_is_best(*geometry):
        few_filters.kernel_gradient(x, incoming, *out, window)
    elif choice.winograd_kernel_gradient_is_best(*geometry):
        in_rounds = len(x) > 0 and choice.winograd_works_in_rounds(*geometry)
        algorithm = winograd_rounds if in_rounds else winograd_gradient
        algorithm.kernel_gradient(x, incoming, wanted(None, *out, x.dtype), kernel, window)
    else:
        return False
    return True


def conv2d_pool(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    winner: np.ndarray | None,
    window: Window,
    pool: Window,
    relu: bool = False,
) -> None:
    """See `minicnn.backends.reference.convolution.conv2d_pool`."""
    if choice.is_left_to_reference(pool):
        return reference.conv2d_pool(x, kernel, bias, y, winner, window, pool, relu)
    if on_tiles.conv2d(x, kernel, bias, (y, winner), window, pool, relu):
        return None
    if is_bfloat16(x, y):
        return in_float32(conv2d_pool, x, kernel, bias, y, winner, window, pool, relu)
    out = outputs(y, winner)
    if choice.pooled_winograd_is_best(window, pool, *kernel.shape[2:], x.itemsize):
        bad_images = winograd.conv2d_pool(x, kernel, bias, out, window, relu)
    else:
        bad_images = pooled.conv2d_pool(x, kernel, bias, out, window, pool, relu)
    for image in bad_images:
        own = y[image], again.part(winner, image)
        again.conv2d_pool(x[image], kernel, bias, *own, window, pool, relu)


def conv2d_pool_backward(
    x: np.ndarray,
    kernel: np.ndarray,
    winner: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray | None,
    dkernel: np.ndarray | None,
    dbias: np.ndarray | None,
    window: Window,
    pool: Window,
    relu: bool = True,
) -> None:
    """See `minicnn.backends.reference.convolution.conv2d_pool_backward`."""
    if choice.is_left_to_reference(pool):
        return reference.conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window, pool)
    if on_tiles.conv2d_backward(x, kernel, (dy, None, winner), (dx, dkernel, dbias), window, pool):
        return None
    if is_bfloat16(x, dy):
        return in_float32(conv2d_pool_backward, x, kernel, winner, dy, dx, dkernel, dbias, window, pool, relu)
    channels, filters = kernel.shape[2:]
    if dx is not None and choice.winograd_gradient_is_best(window, pool, channels, filters, x.itemsize, relu):
        for image in winograd.pool_input_gradient(kernel, winner, dy, dx, window):
            own = x[image], kernel, winner[image], dy[image], dx[image]
            again.conv2d_pool_backward(*own, None, None, window, pool)
        dx = None
    if dx is dkernel is dbias is None:
        return
    arrays, sums, is_right = (x, kernel, pooled.winners(dy, winner)), (dkernel, dbias), True
    # By the same algorithm whether dx is wanted or not.
    if any(array is not None for array in sums) and choice.spread_is_best(window, pool, channels, filters, x.itemsize):
        is_right = pooled.kernel_gradient(*arrays, wanted(None, *sums, x.dtype), window, pool)
        sums = None, None
    if any(array is not None for array in (dx, *sums)):
        is_right = sparse.conv2d_pool_backward(*arrays, wanted(dx, *sums, x.dtype), window, pool) and is_right
    if not is_right:
        own = x, kernel, winner, dy, (dx, dkernel, dbias)
        again.backward(again.conv2d_pool_backward, *own, window, pool)


def _takes_conv2d(x, kernel, bias, y, window, groups=1, relu=False):
    return groups == 1 and takes_bfloat16((x, x), (y, y)) and on_tiles.takes(kernel, window, None)


def _takes_conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window, groups=1, relu=False):
    return groups == 1 and takes_bfloat16((x, dx), (dy, y)) and on_tiles.takes(kernel, window, None, is_gradient=True)


def _takes_conv2d_pool(x, kernel, bias, y, winner, window, pool, relu=False):
    serves = not choice.is_left_to_reference(pool) and takes_bfloat16((x, x), (y, y))
    return serves and on_tiles.takes(kernel, window, pool)


def _takes_conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window, pool, relu=True):
    serves = not choice.is_left_to_reference(pool) and takes_bfloat16((x, dx), (dy, dy))
    return serves and on_tiles.takes(kernel, window, pool, is_gradient=True)


conv2d.takes_bfloat16 = _takes_conv2d
conv2d_backward.takes_bfloat16 = _takes_conv2d_backward
conv2d_pool.takes_bfloat16 = _takes_conv2d_pool
conv2d_pool_backward.takes_bfloat16 = _takes_conv2d_pool_backward
