"""Convolutions and poolings of volumes (N, D, H, W, C) as functions, with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicnn.backends.reference import ops as reference
from minicnn.checks import check_choice
from minicnn.differentiation import Recorded, value_of
from minicnn.errors import ShapeError
from minicnn.geometry import Window
from minicnn.keras import _windows
from minicnn.keras._multilinear import RESULT, Run, multilinear
from minicnn.layers.volume_passes import VolumePasses
from minicnn.layers.volumes import volume_windows

Three = tuple[int, int, int]


def convolution_of(x: Any, kernel: Any, strides: Three, padding: str, dilation: Three = (1, 1, 1)) -> Any:
    """The cross-correlation of volumes with a kernel.

    Parameters
    ----------
    x : array (N, D, H, W, C)
    kernel : array (KD, KH, KW, C / groups, F)
        Its fourth axis says how many groups there are.
    strides, dilation : (int, int, int)
    padding : {"valid", "same"}

    Returns
    -------
    array (N, OD, OH, OW, F), recorded where `x` or `kernel` is

    Raises
    ------
    ShapeError
        If the channels do not fit.
    """
    volumes = _windows.floats_of(x)
    weights = _windows.floats_of(kernel).astype(volumes.dtype, copy=False)
    channels = volumes.shape[4]
    if weights.ndim != 5 or not weights.shape[3] or channels % weights.shape[3]:
        raise ShapeError(
            f"volumes with {channels} channel(s) need a kernel (KD, KH, KW, {channels}, filters). "
            f"Received: kernel of shape {weights.shape}"
        )
    groups = channels // weights.shape[3]
    if weights.shape[4] % groups:
        raise ShapeError(f"{groups} groups have as many filters each. Received: kernel of shape {weights.shape}")
    windows = volume_windows(volumes.shape[1:4], weights.shape[:3], strides, _name(padding), dilation)
    run = _run(volumes.shape, weights.shape, volumes.dtype, windows, groups)
    return multilinear(run, RESULT, {"x": _own(x, volumes), "kernel": _own(kernel, weights)})


def transposed_convolution_of(
    x: Any, kernel: Any, size: Three, strides: Three, padding: str, dilation: Three = (1, 1, 1)
) -> Any:
    """The gradient of a convolution by its volumes, as a function of its own.

    Parameters
    ----------
    x : array (N, D, H, W, C)
    kernel : array (KD, KH, KW, F, C)
    size : (int, int, int)
        Depth, height and width of what is made.
    strides, dilation : (int, int, int)
    padding : {"valid", "same"}

    Returns
    -------
    array (N, *size, F), recorded where `x` or `kernel` is

    Raises
    ------
    ShapeError
        If a convolution of such volumes does not have the size of `x`, or the channels do not fit.
    """
    given = _windows.floats_of(x)
    weights = _windows.floats_of(kernel).astype(given.dtype, copy=False)
    if weights.ndim != 5 or weights.shape[4] != given.shape[4]:
        raise ShapeError(
            f"volumes with {given.shape[4]} channel(s) need a kernel (KD, KH, KW, filters, {given.shape[4]}). "
            f"Received: kernel of shape {weights.shape}"
        )
    depth, window = volume_windows(size, weights.shape[:3], strides, _name(padding), dilation)
    made = depth.out_height, window.out_height, window.out_width
    if made != given.shape[1:4]:
        raise ShapeError(
            f"a convolution with strides {strides} makes {made} of {size}. Received: volumes of {given.shape[1:4]}"
        )
    run = _run((len(given), *size, weights.shape[3]), weights.shape, given.dtype, (depth, window))
    return multilinear(run, "x", {RESULT: _own(x, given), "kernel": _own(kernel, weights)})


def maximum_of(x: Any, size: Three, strides: Three, padding: str) -> Any:
    """The maximum of each window of volumes (N, D, H, W, C); padding never wins, the first of equal numbers does."""
    return _pooled(_windows.maximum_of, x, size, strides, padding)


def mean_of(x: Any, size: Three, strides: Three, padding: str) -> Any:
    """The mean of each window of volumes (N, D, H, W, C); padding does not count."""
    return _pooled(_windows.mean_of, x, size, strides, padding)


def _pooled(function: Callable[..., Any], x: Any, size: Three, strides: Three, padding: str) -> Any:
    """Slices, then along the depth, as the layers of three dimensions do it."""
    count, depth, height, width, channels = np.shape(value_of(x))
    slices = function(np.reshape(x, (-1, height, width, channels)), size[1:], strides[1:], padding)
    height, width = np.shape(value_of(slices))[1:3]
    upright = np.reshape(slices, (count, depth, height * width, channels))
    made = function(upright, (size[0], 1), (strides[0], 1), padding)
    return np.reshape(made, (count, np.shape(value_of(made))[1], height, width, channels))


def _name(padding: Any) -> str:
    """Either way of padding, by any of its spellings."""
    return check_choice("padding", padding.lower() if isinstance(padding, str) else padding, ("valid", "same"))


def _own(given: Any, value: np.ndarray) -> Any:
    return given if isinstance(given, Recorded) else value


def _run(volumes: Any, weights: Any, dtype: np.dtype, windows: tuple[Window, Window], groups: int = 1) -> Run:
    """A convolution, and its derivatives, for arrays of these shapes; see `multilinear`."""
    depth, window = windows
    size = depth.out_height, window.out_height, window.out_width
    shapes = {"x": volumes, "kernel": weights, RESULT: (volumes[0], *size, weights[4])}
    passes = VolumePasses(reference, depth, window, groups)

    def run(role: str, of: Mapping[str, np.ndarray]) -> np.ndarray:
        made = np.zeros(shapes[role], dtype)
        x, kernel, y = (
            np.ascontiguousarray(of[name], dtype) if name in of else np.zeros(shapes[name], dtype) for name in shapes
        )
        if role == RESULT:
            passes.forward(x, kernel, None, made)
        else:
            into = [made if role == name else None for name in ("x", "kernel")]
            passes.backward(x, kernel, None, y, *into, None)
        return made

    return run
