"""Convolution of a few groups: each is a convolution of its own.

Winograd's algorithm gets copies of a group's channels and filters, side by side, which cost as much as reading the
images twice; all groups at once are a matter of tables for the direct product, of a kernel that is copied group by
group.
"""

from collections.abc import Callable, Iterator

import numpy as np

from minicnn.backends import memory
from minicnn.backends.numba.convolution import choice, direct, gradients
from minicnn.backends.numba.machine.batch import wanted
from minicnn.backends.numba.machine.recording import call, not_whole
from minicnn.geometry import Window


def conv2d(
    one_group: Callable[..., None],
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    window: Window,
    groups: int,
    relu: bool,
) -> None:
    """`minicnn.backends.reference.convolution.conv2d`; copies go to `one_group`, which is the same for one group."""
    if not choice.groups_are_copied(len(x), window, kernel.shape[2], kernel.shape[3] // groups, x.itemsize):
        return direct.conv2d(x, _by_group(kernel, groups), bias, y, window, relu)
    not_whole()  # parts are copied, by NumPy
    out = _like(y, y.shape[-1] // groups)
    for channels, filters in _slices(x, kernel, groups):
        own_bias = None if bias is None else _part(bias, filters)
        one_group(_part(x, channels), _part(kernel, filters), own_bias, out, window, relu=relu)
        y[..., filters] = out
    return None


def conv2d_backward(
    one_group: Callable[..., None],
    inputs: tuple[np.ndarray | None, ...],
    out: tuple[np.ndarray | None, ...],
    window: Window,
    groups: int,
    relu: bool,
) -> bool:
    """`minicnn.backends.reference.convolution.conv2d_backward` of (x, kernel, y, dy) to (dx, dkernel, dbias).

    Returns False if dx is another: the frame's zeros have met weights that are not finite.
    """
    (x, kernel, y, dy), (dx, dkernel, dbias) = inputs, out
    channels, filters = kernel.shape[2], kernel.shape[3] // groups
    geometry = len(x), window.turned_around, filters, channels, x.itemsize
    if dx is not None and choice.groups_are_copied(*geometry):
        _backward_of_copies(one_group, inputs, (dx, None, None), window, groups, relu)
        dx = None
    geometry = window, channels, filters, x.itemsize
    is_for_winograd = dkernel is not None and choice.winograd_kernel_gradient_is_best(*geometry)
    if is_for_winograd and choice.groups_are_copied(len(x), *geometry):
        _backward_of_copies(one_group, inputs, (None, dkernel, dbias), window, groups, relu)
        dkernel = dbias = None
    if dx is dkernel is dbias is None:
        return True
    parts = None if dkernel is None else _empty_by_group(kernel, groups)
    incoming, made = gradients.masked(dy, y if relu else None), wanted(dx, parts, dbias, x.dtype)
    is_right = gradients.conv2d_backward(x, _by_group(kernel, groups), incoming, made, window)
    if dkernel is not None:
        call(_put_side_by_side, parts, dkernel)
    return is_right


def _empty_by_group(kernel, groups):
    *shape, filters = kernel.shape
    return memory.empty((groups, *shape, filters // groups), kernel.dtype)


def _by_group(kernel, groups):
    """A kernel (KH, KW, C, groups · F) as (groups, KH, KW, C, F)."""
    parts = _empty_by_group(kernel, groups)
    call(_take_apart, kernel, parts)
    return parts


def _take_apart(kernel, parts):
    np.copyto(_matrices(parts), _matrices_within(kernel, len(parts)))


def _put_side_by_side(parts, kernel):
    np.copyto(_matrices_within(kernel, len(parts)), _matrices(parts))


def _matrices(parts):
    """A view: (groups, T·C, F)."""
    return parts.reshape(len(parts), -1, parts.shape[-1])


def _matrices_within(kernel, groups):
    """The same of a kernel (KH, KW, C, groups · F), whose few long axes NumPy copies faster."""
    return kernel.reshape(-1, groups, kernel.shape[-1] // groups).swapaxes(0, 1)


def _backward_of_copies(one_group, inputs, gradients, window, groups, relu):
    not_whole()
    x, kernel, y, dy = inputs
    own = [None if array is None else _like(array, array.shape[-1] // groups) for array in gradients]
    for channels, filters in _slices(x, kernel, groups):
        own_y = _part(y, filters) if relu else None
        one_group(_part(x, channels), _part(kernel, filters), own_y, _part(dy, filters), *own, window, relu=relu)
        for array, part, where in zip(gradients, own, (channels, filters, filters), strict=True):
            if array is not None:
                array[..., where] = part


def _slices(x, kernel, groups) -> Iterator[tuple[slice, slice]]:
    """Channels and filters of every group."""
    c, f = x.shape[-1] // groups, kernel.shape[-1] // groups
    return ((slice(g * c, g * c + c), slice(g * f, g * f + f)) for g in range(groups))


def _like(array, width):
    return memory.empty((*array.shape[:-1], width), array.dtype)


def _part(array, where):
    """A copy of some of the last axis."""
    part = _like(array, where.stop - where.start)
    part[...] = array[..., where]
    return part
