"""Convolutions and poolings as functions, with their gradients: what ``keras.ops`` and ``tf.nn`` have of them.

Images are (N, H, W, C). The formulas are the reference backend's, so that nothing is compiled for a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicnn.backends.reference import convolution, pooling
from minicnn.checks import check_choice
from minicnn.differentiation import Recorded, flat, value_of
from minicnn.errors import ShapeError
from minicnn.geometry import Window, make_window
from minicnn.keras._multilinear import RESULT, Run, multilinear
from minicnn.settings import floatx

Pair = tuple[int, int]


def floats_of(x: Any) -> np.ndarray:
    """An array, or what a recorded one holds, as floats."""
    value = np.asarray(value_of(x))
    return value if value.dtype.kind == "f" else value.astype(floatx())


def _images(x: Any) -> np.ndarray:
    images = floats_of(x)
    if images.ndim != 4:
        raise ShapeError(f"expected images (N, H, W, C). Received: shape {images.shape}")
    return images


def window_of(in_size: Any, size: Any, strides: Any, padding: str, dilation: Any = (1, 1)) -> Window:
    """`minicnn.geometry.make_window`, which takes two ways of padding, by any of their spellings.

    Raises
    ------
    ValueError
        For another way, or a window that is larger than the images.
    """
    padding = padding.lower() if isinstance(padding, str) else padding
    return make_window(in_size, size, strides, check_choice("padding", padding, ("valid", "same")), dilation)


def _as_whole(made: np.ndarray, *given: Any) -> np.ndarray:
    """Whole numbers where all that was given are."""
    kinds = [np.asarray(value_of(x)).dtype for x in given]
    return np.rint(made).astype(kinds[0]) if all(kind.kind in "iu" for kind in kinds) else made


def convolution_of(x: Any, kernel: Any, strides: Pair, padding: str, dilation: Pair = (1, 1)) -> Any:
    """The cross-correlation of images with a kernel.

    Parameters
    ----------
    x : array (N, H, W, C)
    kernel : array (KH, KW, C / groups, F)
        Its third axis says how many groups there are.
    strides, dilation : (int, int)
    padding : {"valid", "same"}

    Returns
    -------
    array (N, OH, OW, F), recorded where `x` or `kernel` is

    Raises
    ------
    ShapeError
        If the channels do not fit.
    """
    images = _images(x)
    weights = floats_of(kernel).astype(images.dtype, copy=False)
    channels = images.shape[3]
    if weights.ndim != 4 or not weights.shape[2] or channels % weights.shape[2]:
        raise ShapeError(
            f"images with {channels} channel(s) need a kernel (KH, KW, {channels}, filters). "
            f"Received: kernel of shape {weights.shape}"
        )
    groups = channels // weights.shape[2]
    if weights.shape[3] % groups:
        raise ShapeError(
            f"images with {channels} channel(s) and a kernel for {weights.shape[2]} make {groups} groups, each with as "
            f"many filters. Received: kernel of shape {weights.shape}"
        )
    window = window_of(images.shape[1:3], weights.shape[:2], strides, padding, dilation)
    parts = {
        "x": x if isinstance(x, Recorded) else images,
        "kernel": kernel if isinstance(kernel, Recorded) else weights,
    }
    run = _of_convolution(images.shape, weights.shape, images.dtype, window, groups)
    made = multilinear(run, RESULT, parts)
    return made if isinstance(made, Recorded) else _as_whole(made, x, kernel)


def _of_convolution(images: Any, weights: Any, dtype: np.dtype, window: Window, groups: int = 1) -> Run:
    """A convolution, and its derivatives, for arrays of these shapes; see `multilinear`."""
    shapes = {"x": images, "kernel": weights, RESULT: (images[0], window.out_height, window.out_width, weights[3])}

    def run(role: str, of: Mapping[str, np.ndarray]) -> np.ndarray:
        made = np.zeros(shapes[role], dtype)
        if not images[0]:
            return made
        given = {
            name: np.ascontiguousarray(of[name], dtype) if name in of else np.empty(shapes[name], dtype)
            for name in shapes
        }
        if role == RESULT:
            convolution.conv2d(given["x"], given["kernel"], None, made, window, groups)
        else:
            into = [made if role == name else None for name in ("x", "kernel")]
            arrays = given["x"], given["kernel"], None, given[RESULT], *into, None
            convolution.conv2d_backward(*arrays, window, groups)
        return made

    return run


def _outputs(images: np.ndarray, window: Window, filters: int) -> np.ndarray:
    return np.empty((len(images), window.out_height, window.out_width, filters), images.dtype)


def transposed_convolution_of(
    x: Any, kernel: Any, size: Pair, strides: Pair, padding: str, dilation: Pair = (1, 1)
) -> Any:
    """The gradient of a convolution by its images, as a function of its own.

    Parameters
    ----------
    x : array (N, H, W, C)
    kernel : array (KH, KW, F, C)
    size : (int, int)
        Height and width of what is made.
    strides, dilation : (int, int)
    padding : {"valid", "same"}

    Returns
    -------
    array (N, *size, F), recorded where `x` or `kernel` is

    Raises
    ------
    ShapeError
        If a convolution of such images does not have the size of `x`, or the channels do not fit.
    """
    given = _images(x)
    weights = floats_of(kernel).astype(given.dtype, copy=False)
    if weights.ndim != 4 or weights.shape[3] != given.shape[3]:
        raise ShapeError(
            f"images with {given.shape[3]} channel(s) need a kernel (KH, KW, filters, {given.shape[3]}). "
            f"Received: kernel of shape {weights.shape}"
        )
    window = window_of(size, weights.shape[:2], strides, padding, dilation)
    if (window.out_height, window.out_width) != given.shape[1:3]:
        raise ShapeError(
            f"a convolution with strides {strides} makes {(window.out_height, window.out_width)} of {size}. "
            f"Received: images of {given.shape[1:3]}"
        )
    parts = {
        RESULT: x if isinstance(x, Recorded) else given,
        "kernel": kernel if isinstance(kernel, Recorded) else weights,
    }
    run = _of_convolution((len(given), *size, weights.shape[2]), weights.shape, given.dtype, window)
    made = multilinear(run, "x", parts)
    return made if isinstance(made, Recorded) else _as_whole(made, x, kernel)


def maximum_of(x: Any, size: Pair, strides: Pair, padding: str) -> Any:
    """The maximum of each window of images (N, H, W, C); padding never wins, the first of equal numbers does."""
    return maximum_in(x, window_of(_images(x).shape[1:3], size, strides, padding))


def maximum_in(x: Any, window: Window) -> Any:
    """The same for a window that is known."""
    images = _images(x)
    made = _outputs(images, window, images.shape[3])
    winner = np.empty(made.shape, np.int32)
    pooling.max_pool2d(images, made, winner, window)

    def run(role: str, of: Mapping[str, np.ndarray]) -> np.ndarray:
        if role == RESULT:
            return of["x"][_places_of(winner, window)]
        into = np.empty_like(images)
        pooling.max_pool2d_backward(np.ascontiguousarray(of[RESULT], images.dtype), winner, into, window)
        return into

    def back(g: Any) -> Any:
        passed = multilinear(run, "x", {RESULT: g})
        return passed + flat(np.zeros_like(images), x) if isinstance(g, Recorded) else passed  # 0, as in TensorFlow

    return Recorded(made, [(x, back)]) if isinstance(x, Recorded) else _as_whole(made, x)


def _places_of(winner: np.ndarray, window: Window) -> tuple[np.ndarray, ...]:
    """Where in images the winners of their windows stand, (N, OH, OW, C) each."""
    n, i, j, c = np.indices(winner.shape, sparse=True)
    down, right = winner // window.kernel_width, winner % window.kernel_width
    rows = i * window.stride_y + down * window.dilation_y - window.pad_top
    return n, rows, j * window.stride_x + right * window.dilation_x - window.pad_left, c


def mean_of(x: Any, size: Pair, strides: Pair, padding: str) -> Any:
    """The mean of each window of images (N, H, W, C); padding does not count."""
    images = _images(x)
    window = window_of(images.shape[1:3], size, strides, padding)

    def run(role: str, of: Mapping[str, np.ndarray]) -> np.ndarray:
        if role == RESULT:
            made = _outputs(images, window, images.shape[3])
            pooling.avg_pool2d(np.ascontiguousarray(of["x"], images.dtype), made, window)
            return made
        into = np.empty_like(images)
        pooling.avg_pool2d_backward(np.ascontiguousarray(of[RESULT], images.dtype), into, window)
        return into

    return multilinear(run, RESULT, {"x": x if isinstance(x, Recorded) else images})


def with_channels_last(function: Callable[..., Any], x: Any, is_channels_first: bool, *args: Any) -> Any:
    """``function(x, *args)`` of arrays whose channels may stand behind the batch; rows are images of one row.

    Parameters
    ----------
    function : callable
        Of images (N, H, W, C), or of volumes (N, D, H, W, C).
    x : array (N, D, H, W, C), (N, H, W, C) or (N, W, C), or with the channels first
    is_channels_first : bool
    *args
        Further arguments.
    """
    x = np.moveaxis(x, 1, -1) if is_channels_first else x
    is_row = np.ndim(value_of(x)) == 3
    made = function(np.expand_dims(x, 1) if is_row else x, *args)
    made = np.squeeze(made, 1) if is_row else made
    return np.moveaxis(made, -1, 1) if is_channels_first else made


def blocks_to_channels(x: Any, block_size: int) -> Any:
    """Squares of pixels as channels: (N, H, W, C) → (N, H / block, W / block, C · block²)."""
    count, height, width, channels = np.shape(value_of(x))
    b = int(block_size)
    if height % b or width % b:
        raise ShapeError(
            f"squares of {b} × {b} pixels need a multiple of {b} rows and columns. Received: {height} × {width}"
        )
    cut = np.reshape(x, (count, height // b, b, width // b, b, channels))
    return np.reshape(np.transpose(cut, (0, 1, 3, 2, 4, 5)), (count, height // b, width // b, channels * b * b))


def channels_to_blocks(x: Any, block_size: int) -> Any:
    """Channels as squares of pixels: (N, H, W, C) → (N, H · block, W · block, C / block²); Shi et al., 2016."""
    count, height, width, channels = np.shape(value_of(x))
    b = int(block_size)
    if channels % (b * b):
        raise ShapeError(f"squares of {b} × {b} pixels need a multiple of {b * b} channels. Received: {channels}")
    cut = np.reshape(x, (count, height, width, b, b, channels // (b * b)))
    return np.reshape(np.transpose(cut, (0, 1, 3, 2, 4, 5)), (count, height * b, width * b, channels // (b * b)))
