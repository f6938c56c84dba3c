"""Convolution of a few groups: each is a convolution of its own, of channels and filters that are copied side by side.

Copying costs as much as reading the images twice; in return every group is served by the algorithm that suits it.
"""

from collections.abc import Callable, Iterator

import numpy as np

from minicnn.backends import memory
from minicnn.backends.numba.machine.recording import not_whole
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
    """`minicnn.backends.reference.convolution.conv2d`, by `one_group`, which is the same for one group."""
    not_whole()  # parts are copied, by NumPy
    out = _like(y, y.shape[-1] // groups)
    for channels, filters in _slices(x, kernel, groups):
        own_bias = None if bias is None else _part(bias, filters)
        one_group(_part(x, channels), _part(kernel, filters), own_bias, out, window, relu=relu)
        y[..., filters] = out


def conv2d_backward(
    one_group: Callable[..., None],
    inputs: tuple[np.ndarray | None, ...],
    gradients: tuple[np.ndarray | None, ...],
    window: Window,
    groups: int,
    relu: bool,
) -> None:
    """`minicnn.backends.reference.convolution.conv2d_backward` of (x, kernel, y, dy) to (dx, dkernel, dbias)."""
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
