"""Convolution, pooling and activations on plain arrays, for one-off use.

Images may be (H, W), (H, W, C) or (N, H, W, C); the result has as many axes. float32 and float64 stay what they are,
anything else becomes the current default (`minicnn.utils.floatx`). The reference backend computes unless another is
asked for, so that nothing has to be compiled for a single call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from minicnn import backends
from minicnn.backends.reference import windows
from minicnn.checks import check_choice, check_pair, real_array
from minicnn.errors import ShapeError
from minicnn.geometry import make_window
from minicnn.hints import Padding, Pair
from minicnn.layers import activations
from minicnn.layers.activations import stands_for
from minicnn.settings import floatx
from minicnn.step import Workspace
from minicnn.threads import compute_threads

__all__ = [
    "avg_pool2d",
    "col2im",
    "conv2d",
    "im2col",
    "leaky_relu",
    "linear",
    "max_pool2d",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


def conv2d(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    backend: str = "numpy",
) -> np.ndarray:
    """2-D convolution (cross-correlation).

    Parameters
    ----------
    x : array (H, W), (H, W, C) or (N, H, W, C)
    kernel : array (KH, KW) for one channel and one filter, or (KH, KW, C / groups, F)
    bias : array (F,) or number, optional
    strides, dilation : int or (int, int), default 1
    padding : {"valid", "same"}, default "valid"
    groups : int, default 1
    backend : {"numpy", "numba", "cupy"}, default "numpy"

    Returns
    -------
    array (OH, OW) for a 2-D image and a 2-D kernel, else (OH, OW, F) or (N, OH, OW, F)

    Raises
    ------
    ShapeError, ValueError, TypeError
    """
    engine = backends.get(backend)
    images, rank = _images(x, engine)
    kernel = real_array(kernel, "kernel").astype(images.dtype)
    planar = kernel.ndim == 2
    kernel = kernel[:, :, None, None] if planar else kernel
    if kernel.ndim != 4 or kernel.shape[2] * groups != images.shape[3] or kernel.shape[3] % groups:
        raise ShapeError(
            f"an image with {images.shape[3]} channel(s) needs a kernel (KH, KW, {images.shape[3] // groups}, filters) "
            f"for groups={groups}. Received: kernel of shape {kernel.shape[:2] if planar else kernel.shape}"
        )
    if bias is not None:
        bias = engine.asarray(_bias(bias, kernel.shape[3]), images.dtype)
    window = _window(images, kernel.shape[:2], strides, padding, dilation)
    y = _empty(images, window, kernel.shape[3], engine)
    with compute_threads(engine):
        engine.ops.conv2d(images, engine.asarray(kernel), bias, y, window, groups)
    return _like_input(engine.to_host(y), rank, planar)


def max_pool2d(
    x: ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid", backend: str = "numpy"
) -> np.ndarray:
    """The maximum of each window.

    Parameters
    ----------
    x : array (H, W), (H, W, C) or (N, H, W, C)
    pool_size : int or (int, int), default 2
    strides : int or (int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
        Padding never wins.
    backend : {"numpy", "numba", "cupy"}, default "numpy"
    """
    return _pool(lambda ops, x, y, window: ops.max_pool2d(x, y, None, window), x, pool_size, strides, padding, backend)


def avg_pool2d(
    x: ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid", backend: str = "numpy"
) -> np.ndarray:
    """The mean of each window; padding does not count. Arguments as for `max_pool2d`.

    Parameters
    ----------
    x : array (H, W), (H, W, C) or (N, H, W, C)
    pool_size : int or (int, int), default 2
    strides : int or (int, int), optional
        Default: the pool size.
    padding : {"valid", "same"}, default "valid"
    backend : {"numpy", "numba", "cupy"}, default "numpy"
    """
    return _pool(lambda ops, x, y, window: ops.avg_pool2d(x, y, window), x, pool_size, strides, padding, backend)


def _pool(compute, x, pool_size, strides, padding, backend):
    """What `compute` makes of the windows of x with a backend's ops."""
    engine = backends.get(backend)
    images, rank = _images(x, engine)
    window = _window(images, pool_size, pool_size if strides is None else strides, padding)
    y = _empty(images, window, images.shape[3], engine)
    with compute_threads(engine):
        compute(engine.ops, images, y, window)
    return _like_input(engine.to_host(y), rank, rank == 2)


def _bias(bias, filters):
    """A number for each filter, (F,)."""
    bias = real_array(bias, "bias")
    if bias.shape not in ((), (1,), (filters,)):
        raise ShapeError(
            f"a kernel of {filters} filter(s) needs a bias ({filters},). Received: bias of shape {bias.shape}"
        )
    return np.broadcast_to(bias, (filters,))


def im2col(
    x: ArrayLike, kernel_size: Pair, strides: Pair = 1, padding: Padding = "valid", dilation: Pair = 1
) -> np.ndarray:
    """Every window as a row, so that convolution becomes one matrix product.

    Parameters
    ----------
    x : array (N, H, W, C)
    kernel_size : int or (int, int)
    strides, dilation : int or (int, int), default 1
    padding : {"valid", "same"}, default "valid"

    Returns
    -------
    array (N · OH · OW, KH · KW · C)
        Taps in row-major order, channels last.
    """
    images, _ = _images(x, backends.get("numpy"))
    columns = windows.im2col(images, _window(images, kernel_size, strides, padding, dilation))
    return columns.reshape(-1, columns.shape[3] * columns.shape[4])


def col2im(
    columns: ArrayLike,
    input_shape: tuple[int, int, int, int],
    kernel_size: Pair,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
) -> np.ndarray:
    """The adjoint of `im2col`: add every window back to where it came from.

    Parameters
    ----------
    columns : array (N · OH · OW, KH · KW · C)
    input_shape : tuple
        (N, H, W, C).
    kernel_size : int or (int, int)
    strides, dilation : int or (int, int), default 1
    padding : {"valid", "same"}, default "valid"
        All as they were given to `im2col`.

    Returns
    -------
    array (N, H, W, C)
    """
    columns = real_array(columns, "columns")
    x = np.empty(input_shape, columns.dtype)
    window = _window(x, kernel_size, strides, padding, dilation)
    shape = (len(x), window.out_height, window.out_width, window.taps, input_shape[3])
    if columns.size != np.prod(shape):
        raise ShapeError(
            f"columns for an input of shape {tuple(input_shape)} reshape to {shape}. Received: {columns.shape}"
        )
    windows.col2im(columns.reshape(shape), window, x)
    return x


def relu(
    x: ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> np.ndarray:
    """max(x, 0), or with Keras's options: min(x, max_value) above `threshold`, else negative_slope · (x − threshold).

    Parameters
    ----------
    x : array-like of any shape
    negative_slope : float, default 0
    max_value : float, optional
    threshold : float, default 0
    """
    return _activate(activations.ReLU(max_value, negative_slope, threshold, name="relu"), x)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.2) -> np.ndarray:
    """x where x > 0, else negative_slope · x.

    Parameters
    ----------
    x : array of real numbers, of any shape
    negative_slope : float, default 0.2
    """
    return relu(x, negative_slope)


def sigmoid(x: ArrayLike) -> np.ndarray:
    """1 / (1 + exp(-x)).

    Parameters
    ----------
    x : array of real numbers, of any shape
    """
    return _activate("sigmoid", x)


def tanh(x: ArrayLike) -> np.ndarray:
    """The hyperbolic tangent.

    Parameters
    ----------
    x : array of real numbers, of any shape
    """
    return _activate("tanh", x)


def softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    """exp(x) / Σ exp(x) over an axis, or over several together.

    Parameters
    ----------
    x : array of real numbers, of any shape
    axis : int or tuple of int, default -1
    """
    x = _real(x)
    if x.ndim and axis in (-1, x.ndim - 1):
        return _activate("softmax", x)
    axis = tuple(axis) if isinstance(axis, list | tuple) else axis
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def linear(x: ArrayLike) -> np.ndarray:
    """x itself.

    Parameters
    ----------
    x : array of real numbers, of any shape
    """
    return x


stands_for(leaky_relu, linear, relu, sigmoid, softmax, tanh)


@np.errstate(under="ignore")
def _activate(activation, x):
    """An activation layer's formula on an array of any shape."""
    x = _real(x)
    ws = Workspace(backends.get("numpy").ops, (x,), np.empty(x.shape, x.dtype))
    activations.get(activation).forward(ws.xs, ws)
    return ws.y


def _real(x):
    """`x` as float32 or float64."""
    x = real_array(x, "x")
    return x if x.dtype in (np.float32, np.float64) else x.astype(floatx())


def _images(x, engine):
    """(a copy of x as (N, H, W, C), aligned as the kernels of the backend `engine` need it; x's own number of axes)."""
    x = _real(x)
    if x.ndim not in (2, 3, 4):
        raise ShapeError(f"expected an image (H, W), (H, W, C) or images (N, H, W, C). Received: shape {x.shape}")
    images = x[None, :, :, None] if x.ndim == 2 else x[None] if x.ndim == 3 else x
    return engine.asarray(images), x.ndim


def _window(images, kernel_size, strides, padding, dilation=1):
    return make_window(
        images.shape[1:3],
        check_pair("kernel_size", tuple(kernel_size) if isinstance(kernel_size, list | tuple) else kernel_size),
        check_pair("strides", strides),
        check_choice("padding", padding, ("valid", "same")),
        check_pair("dilation", dilation),
    )


def _empty(images, window, channels, engine):
    return engine.empty((len(images), window.out_height, window.out_width, channels), images.dtype)


def _like_input(y, rank, planar):
    """`y` (N, OH, OW, C) with as many axes as the input had."""
    y = y[0] if rank < 4 else y
    return y[..., 0] if rank == 2 and planar else y
