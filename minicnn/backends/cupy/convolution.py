"""Convolution, alone and fused with max pooling: products of windows and kernels."""

import cupy

from minicnn.backends.cupy import blas, depthwise, few_channels, tensor_cores, tensor_gradient
from minicnn.backends.cupy.gather import gathers
from minicnn.backends.cupy.launch import Array, Maybe
from minicnn.backends.cupy.partial_sums import column_sums
from minicnn.backends.cupy.pointwise import over_plain
from minicnn.backends.cupy.pooling import max_pool, max_pool2d_backward
from minicnn.backends.cupy.products import Left, Out, Right, correlation, gradient, product
from minicnn.backends.cupy.structures import Matrix, Pool, Positions, Span, Taps, window_structure
from minicnn.geometry import Window


def conv2d(x: Array, kernel: Array, bias: Maybe, y: Array, window: Window, groups: int = 1, relu: bool = False) -> None:
    """See `minicnn.backends.reference.convolution.conv2d`."""
    if few_channels.serves(x, kernel, window, groups, None):
        few_channels.forward(x, kernel, bias, y, None, window, None, relu)
        return
    gathers.do()
    if depthwise.serves(kernel, window, groups):
        depthwise.forward(x, kernel, bias, y, window, relu)
        return
    if chosen := tensor_cores.choice(x, kernel, y, window, groups, None, relu):
        tensor_cores.convolve(chosen, x, kernel, bias, y, None)
        return
    if blas.serves(y.size * kernel[..., 0].size):
        blas.conv2d(x, kernel, bias, y, window, groups, relu)
        return
    _convolve(x, kernel, Out(y, bias, relu), len(x) * window.out_height * window.out_width, window, groups)


def _convolve(x, kernel, out, rows, window, groups):
    """The product of a convolution, whose rows are so many positions."""
    filters = kernel.shape[3]
    each = filters // groups
    left = Left(x, _windows(window, x.shape[3], groups))
    span = Span(groups, rows, each, window.taps * kernel.shape[2])
    product(left, Right(kernel, Matrix(row=filters, group=each)), out, span)


def _windows(window, channels, groups):
    """Row m: the position of a window; term k: a pixel's channel in it."""
    strides = window.stride_y, window.stride_x
    return _positions(window, channels, groups, _outputs(window), _inputs(window), 1, scale=strides)


def _meetings(window, filters, groups):
    """Row m: a pixel; term k: a filter at the position of the window whose tap meets the pixel, if there is one."""
    strides = window.stride_y, window.stride_x
    return _positions(window, filters, groups, _inputs(window), _outputs(window), -1, divide=strides)


def _positions(window, channels, groups, rows, image, direction, scale=(1, 1), divide=(1, 1)):
    """Rows and image: (height, width); direction: 1 from windows to their pixels, -1 back."""
    return Positions(
        row_height=rows[0],
        row_width=rows[1],
        height=image[0],
        width=image[1],
        channels=channels,
        group_channels=channels // groups,
        kernel_width=window.kernel_width,
        step_y=direction * window.dilation_y,
        step_x=direction * window.dilation_x,
        scale_y=scale[0],
        scale_x=scale[1],
        divide_y=divide[0],
        divide_x=divide[1],
        offset_y=-direction * window.pad_top,
        offset_x=-direction * window.pad_left,
    )


def _inputs(window):
    return window.in_height, window.in_width


def _outputs(window):
    return window.out_height, window.out_width


# Up to so many multiplications, ReLU's mask is read by both products, on the way, instead of written once: a launch
# less, and reading dy and y for each tap costs less than that. Tensor cores cannot read it.
MOST_PRODUCTS_WITH_MASK = 2**28


def conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window: Window, groups: int = 1, relu: bool = False) -> None:
    """See `minicnn.backends.reference.convolution.conv2d_backward`."""
    if few_channels.serves_kernel_gradient(x, kernel, dkernel, window, groups):
        few_channels.kernel_gradient(x, kernel, y if relu else None, dy, dkernel, dbias, window)
        dkernel = dbias = None
        if dx is None:
            return
    products = dy.size * kernel[..., 0].size
    is_blas = blas.serves(products)
    mask = y if relu else None
    if depthwise.serves(kernel, window, groups):
        _depthwise_backward(x, kernel, mask, dy, dx, dkernel, dbias, window, groups)
        return
    if mask is not None and (is_blas or products > MOST_PRODUCTS_WITH_MASK):
        dy, mask = _relu_gradient(dy, y), None
    if mask is None:
        if chosen := tensor_cores.choice_of_input_gradient(kernel, dy, dx, window, groups):
            tensor_cores.input_gradient(chosen, kernel, dy, dx)
            dx = None
        if tensor_gradient.serves(x, dy, dkernel, dbias, window, groups):
            tensor_gradient.compute(x, dy, dkernel, dbias, window)
            dkernel = dbias = None
    _plain_backward(x, kernel, mask, dy, dx, dkernel, dbias, window, groups, is_blas)


def _depthwise_backward(x, kernel, mask, dy, dx, dkernel, dbias, window, groups):
    """As `_plain_backward`, with kernels of their own."""
    if dkernel is not None:
        depthwise.kernel_gradient(x, mask, dy, dkernel, dbias, window)
        dbias = None
    if dx is not None:
        depthwise.input_gradient(kernel, mask, dy, dx, window)
    _plain_backward(x, kernel, mask, dy, None, None, dbias, window, groups, False)


def _plain_backward(x, kernel, mask, dy, dx, dkernel, dbias, window, groups, is_blas):
    """What tensor cores have left to do; `mask`: y, or None where dy is masked already, as it is for cuBLAS."""
    if dbias is not None and (is_blas or dkernel is None):
        column_sums((dy if mask is None else _relu_gradient(dy, mask)).reshape(-1, dy.shape[-1]), dbias)
        dbias = None
    if is_blas:
        blas.conv2d_backward(x, kernel, dy, dx, dkernel, window, groups)
        return
    if dkernel is not None:
        _kernel_gradient(x, mask, dy, dkernel, dbias, window, groups)
    if dx is not None:
        _input_gradient(kernel, mask, dy, dx, window, groups)


def _relu_gradient(dy, y):
    """dy where y > 0 or NaN, else 0."""
    out = cupy.empty_like(dy)
    over_plain("relu_gradient", out, y, dy)
    return out


def _kernel_gradient(x, mask, dy, dkernel, dbias, window, groups):
    """dkernel[t, c, f] = sum over positions of x[position, t, c] · dy[position, f]; dbias[f]: of dy[position, f]."""
    channels, filters = dkernel.shape[2], dkernel.shape[3]
    each = filters // groups
    left = Left(x, Taps(channels * groups, channels, window_structure(window)))
    span = Span(groups, window.taps * channels, each, len(x) * window.out_height * window.out_width)
    correlation(left, mask, Right(dy, Matrix(row=filters, group=each)), dkernel, dbias, span)


def _input_gradient(kernel, mask, dy, dx, window, groups):
    """dx[pixel, c] = sum over the taps t that meet the pixel, and f, of dy[position, f] · kernel[t, c, f]."""
    channels, filters = kernel.shape[2], kernel.shape[3]
    each = filters // groups
    span = Span(groups, len(dx) * window.in_height * window.in_width, channels, window.taps * each)
    left = Left(dy, _meetings(window, filters, groups))
    gradient(left, mask, Right(kernel, Matrix(row=filters, group=each)), Out(dx), span)


def conv2d_pool(
    x: Array, kernel: Array, bias: Maybe, y: Array, winner: Maybe, window: Window, pool: Window, relu: bool = False
) -> None:
    """See `minicnn.backends.reference.convolution.conv2d_pool`."""
    if few_channels.serves(x, kernel, window, 1, pool):
        few_channels.forward(x, kernel, bias, y, winner, window, pool, relu)
        return
    gathers.do()
    if chosen := tensor_cores.choice(x, kernel, y, window, 1, pool, relu):
        tensor_cores.convolve(chosen, x, kernel, bias, y, winner)
        return
    if _pools_four_pixels(pool):
        cells = Pool(pool.out_height, pool.out_width, pool.stride_y, pool.stride_x)
        rows = 4 * len(x) * pool.out_height * pool.out_width
        _convolve(x, kernel, Out(y, bias, relu, winner, cells), rows, window, 1)
        return
    full = _before_pooling(x, kernel, window)
    conv2d(x, kernel, bias, full, window)
    max_pool(full, y, winner, pool, relu)


def _pools_four_pixels(pool) -> bool:
    """Whether the windows are 2 × 2, apart, and inside the image: then one thread of the product holds each of them."""
    apart = pool.stride_y >= 2 and pool.stride_x >= 2
    return (pool.kernel_height, pool.kernel_width) == (2, 2) and apart and not pool.is_padded


def conv2d_pool_backward(
    x, kernel, winner, dy, dx, dkernel, dbias, window: Window, pool: Window, relu: bool = True
) -> None:
    """See `minicnn.backends.reference.convolution.conv2d_pool_backward`."""
    if few_channels.serves_backward(x, kernel, dx, dkernel, window, pool):
        few_channels.backward(x, kernel, winner, dy, dx, dkernel, dbias, window, pool)
        return
    full = _before_pooling(x, kernel, window)
    max_pool2d_backward(dy, winner, full, pool)
    conv2d_backward(x, kernel, None, full, dx, dkernel, dbias, window)


def _before_pooling(x, kernel, window):
    """A new array (N, OH, OW, F) for what is pooled, or its gradient."""
    return cupy.empty((len(x), window.out_height, window.out_width, kernel.shape[-1]), x.dtype)
