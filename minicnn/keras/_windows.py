"""Convolutions and poolings as functions, with their gradients: what ``keras.ops`` and ``tf.nn`` have of them.

Images are (N, H, W, C). The formulas are the reference backend's, so that nothing is compiled for a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.backends.reference import convolution, pooling
from minicnn.checks import check_choice
from minicnn.differentiation import Recorded, value_of
from minicnn.errors import ShapeError
from minicnn.geometry import Window, make_window
from minicnn.settings import floatx

Pair = tuple[int, int]


def _recorded(made: np.ndarray, parents: list[tuple[Any, Callable[..., Any]]]) -> Any:
    """The array, recorded where one of what it was computed of is."""
    kept = [(x, back) for x, back in parents if isinstance(x, Recorded)]
    return Recorded(made, kept) if kept else made


def _floats(x: Any) -> np.ndarray:
    value = np.asarray(value_of(x))
    return value if value.dtype.kind == "f" else value.astype(floatx())


def _images(x: Any) -> np.ndarray:
    images = _floats(x)
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
    weights = _floats(kernel).astype(images.dtype, copy=False)
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
    made = _outputs(images, window, weights.shape[3])
    if len(images):
        convolution.conv2d(images, weights, None, made, window, groups)

    def back(like: np.ndarray, at: int) -> Callable[..., np.ndarray]:
        def gradient(g: np.ndarray) -> np.ndarray:
            into: list[Any] = [None, None]
            into[at] = np.zeros_like(like)
            g = np.ascontiguousarray(g, images.dtype)
            if len(images):
                convolution.conv2d_backward(images, weights, None, g, into[0], into[1], None, window, groups)
            return into[at]

        return gradient

    return _recorded(_as_whole(made, x, kernel), [(x, back(images, 0)), (kernel, back(weights, 1))])


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
    weights = _floats(kernel).astype(given.dtype, copy=False)
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
    made = np.empty((len(given), *size, weights.shape[2]), given.dtype)
    if len(given):
        convolution.conv2d_backward(made, weights, None, given, made, None, None, window)

    def by_images(g: np.ndarray) -> np.ndarray:
        into = np.empty_like(given)
        if len(given):
            convolution.conv2d(np.ascontiguousarray(g, given.dtype), weights, None, into, window)
        return into

    def by_kernel(g: np.ndarray) -> np.ndarray:
        into = np.zeros_like(weights)
        g = np.ascontiguousarray(g, given.dtype)
        if len(given):
            convolution.conv2d_backward(g, weights, None, given, None, into, None, window)
        return into

    return _recorded(_as_whole(made, x, kernel), [(x, by_images), (kernel, by_kernel)])


def maximum_of(x: Any, size: Pair, strides: Pair, padding: str) -> Any:
    """The maximum of each window of images (N, H, W, C); padding never wins, the first of equal numbers does."""
    images = _images(x)
    window = window_of(images.shape[1:3], size, strides, padding)
    made = _outputs(images, window, images.shape[3])
    winner = np.empty(made.shape, np.int32)
    pooling.max_pool2d(images, made, winner, window)

    def back(g: np.ndarray) -> np.ndarray:
        into = np.empty_like(images)
        pooling.max_pool2d_backward(np.ascontiguousarray(g, images.dtype), winner, into, window)
        return into

    return _recorded(_as_whole(made, x), [(x, back)])


def mean_of(x: Any, size: Pair, strides: Pair, padding: str) -> Any:
    """The mean of each window of images (N, H, W, C); padding does not count."""
    images = _images(x)
    window = window_of(images.shape[1:3], size, strides, padding)
    made = _outputs(images, window, images.shape[3])
    pooling.avg_pool2d(images, made, window)

    def back(g: np.ndarray) -> np.ndarray:
        into = np.empty_like(images)
        pooling.avg_pool2d_backward(np.ascontiguousarray(g, images.dtype), into, window)
        return into

    return _recorded(made, [(x, back)])


def with_channels_last(function: Callable[..., Any], x: Any, is_channels_first: bool, *args: Any) -> Any:
    """``function(x, *args)`` of images or rows whose channels may stand behind the batch; rows are images of one row.

    Parameters
    ----------
    function : callable
        Of images (N, H, W, C).
    x : array (N, H, W, C) or (N, W, C), or with the channels first
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
