"""The reference kernels in NumPy: complete, slow, and written to be read beside the formulas in ``docs/formulas.md``.

The contract of every kernel, here and in the faster backends (a test compares the signatures):

* arrays are NHWC, convolution kernels HWIO, dense kernels (inputs, outputs), all of one dtype, float32 or float64;
* results are written into the arrays given for them (``y``, ``dx``, ``dkernel``, ``dbias``): assigned, never added to;
  an output that is None is not computed; inputs are never modified;
* ``relu=True`` means that ReLU is applied to ``y``, and in a backward kernel that it was: ``dy`` counts only where ``y
  > 0``.

New arrays are made with NumPy's ``*_like`` functions, which follow the type of their argument: the same code serves
CuPy arrays.
"""

import numpy as np

from minicnn import random
from minicnn.geometry import Window

__all__ = [  # the kernels; everything else here helps them
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_pool",
    "conv2d_pool_backward",
    "dense",
    "dense_backward",
    "dropout",
    "gather",
    "max_pool2d",
    "max_pool2d_backward",
    "rmsprop_update",
    "sgd_update",
    "softmax_cross_entropy",
    "uniform",
    "warp",
    "warp_backward",
]

FILL_MODES = ("constant", "nearest", "reflect", "wrap")  # what lies beyond the edges of an image; see `warp`

# A winner is one byte: the tap that holds the maximum, or that ReLU blocked the cell and no pixel receives a gradient.
RELU_OFF = 255
MAX_TAPS = RELU_OFF  # of a pooling window whose winners are kept: taps 0 … 254


# ---------------------------------------------------------------------------------------------------- windows


def pad_images(x, window: Window, value=0.0):
    """Copy of `x` (N, H, W, C) with the window's rows and columns of `value` around each image."""
    pads = ((0, 0), (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right), (0, 0))
    return np.pad(x, pads, constant_values=value) if window.is_padded else x


def tap_slices(window: Window):
    """For every tap of the window, row by row: the slices of the padded image that it meets at all positions."""
    for p in range(window.kernel_height):
        for q in range(window.kernel_width):
            top, left = p * window.dilation_y, q * window.dilation_x
            rows = slice(top, top + (window.out_height - 1) * window.stride_y + 1, window.stride_y)
            columns = slice(left, left + (window.out_width - 1) * window.stride_x + 1, window.stride_x)
            yield rows, columns


def im2col(x, window: Window):
    """Every window of every image as a row.

    Returns
    -------
    array (N, OH, OW, taps, C)
        Taps in row-major order.
    """
    padded = pad_images(x, window)
    columns = np.empty_like(x, shape=(len(x), window.out_height, window.out_width, window.taps, x.shape[-1]))
    for t, (rows, cols) in enumerate(tap_slices(window)):
        columns[:, :, :, t] = padded[:, rows, cols]  # (N, OH, OW, C)
    return columns


def col2im(columns, window: Window, x):
    """The adjoint of `im2col`: add windows (N, OH, OW, taps, C) to their pixels, into `x` (N, H, W, C)."""
    height = window.in_height + window.pad_top + window.pad_bottom
    width = window.in_width + window.pad_left + window.pad_right
    padded = np.zeros_like(x, shape=(len(x), height, width, x.shape[-1]))
    for t, (rows, cols) in enumerate(tap_slices(window)):
        padded[:, rows, cols] += columns[:, :, :, t]
    x[...] = padded[:, window.pad_top : height - window.pad_bottom, window.pad_left : width - window.pad_right]


# ------------------------------------------------------------------------------------------------ convolution


def conv2d(x, kernel, bias, y, window: Window, groups=1, relu=False):
    """y[n,i,j,f] = bias[f] + sum over taps t and channels c of x[n, window(i,j), t, c] · kernel[t, c, f].

    Parameters
    ----------
    x : (N, H, W, C)
    kernel : (KH, KW, C / groups, F)
    bias : (F,) or None
    y : (N, OH, OW, F), written
    """
    columns = im2col(x, window)  # (N, OH, OW, T, C)
    for channels, filters in _group_slices(x.shape[-1], kernel.shape[-1], groups):
        rows = columns[..., channels].reshape(-1, window.taps * kernel.shape[2])  # (N·OH·OW, T·C)
        weights = kernel[..., filters].reshape(rows.shape[1], -1)  # (T·C, F)
        y[..., filters] = (rows @ weights).reshape(*y.shape[:3], -1)
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)


def conv2d_backward(x, kernel, y, dy, dx, dkernel, dbias, window: Window, groups=1, relu=False):
    """Gradients of `conv2d`: dkernel = columnsᵀ · dy, dbias = sum of dy, dx = col2im(dy · kernelᵀ).

    `y` is read only with ``relu=True``.
    """
    if relu:
        dy = dy * (y > 0)
    if dbias is not None:
        dbias[...] = dy.sum(axis=(0, 1, 2))
    columns = im2col(x, window) if dkernel is not None else None  # (N, OH, OW, T, C)
    dcolumns = np.empty_like(x, shape=(*dy.shape[:3], window.taps, x.shape[-1])) if dx is not None else None
    for channels, filters in _group_slices(x.shape[-1], kernel.shape[-1], groups):
        dy_rows = dy[..., filters].reshape(-1, kernel.shape[-1] // groups)  # (N·OH·OW, F)
        if dkernel is not None:
            rows = columns[..., channels].reshape(len(dy_rows), -1)  # (N·OH·OW, T·C)
            dkernel[..., filters] = (rows.T @ dy_rows).reshape(*kernel.shape[:3], -1)
        if dx is not None:
            weights = kernel[..., filters].reshape(-1, dy_rows.shape[1])  # (T·C, F)
            dcolumns[..., channels] = (dy_rows @ weights.T).reshape(*dy.shape[:3], window.taps, -1)
    if dx is not None:
        col2im(dcolumns, window, dx)


def _group_slices(channels, filters, groups):
    """Input channels and filters of every group."""
    c, f = channels // groups, filters // groups
    return [(slice(g * c, g * c + c), slice(g * f, g * f + f)) for g in range(groups)]


def conv2d_pool(x, kernel, bias, y, winner, window: Window, pool: Window, relu=False):
    """Convolution, ReLU if asked for, and max pooling in one: y = max_pool2d(relu(conv2d(x))).

    Parameters
    ----------
    y : (N, PH, PW, F), written
    winner : (N, PH, PW, F) uint8 or None, written
        Tap of the pooling window that holds the (first) maximum, `RELU_OFF` where ReLU blocked the maximum.
    """
    full = np.empty_like(x, shape=(len(x), window.out_height, window.out_width, kernel.shape[-1]))
    conv2d(x, kernel, bias, full, window)
    max_pool2d(full, y, winner, pool)
    if relu:
        if winner is not None:
            winner[y <= 0] = RELU_OFF
        np.maximum(y, 0, out=y)


def conv2d_pool_backward(x, kernel, winner, dy, dx, dkernel, dbias, window: Window, pool: Window):
    """Gradients of `conv2d_pool`; `winner` says all that is needed about its output."""
    full = np.empty_like(x, shape=(len(x), window.out_height, window.out_width, kernel.shape[-1]))
    max_pool2d_backward(dy, winner, full, pool)
    conv2d_backward(x, kernel, None, full, dx, dkernel, dbias, window)


# ---------------------------------------------------------------------------------------------------- pooling


def max_pool2d(x, y, winner, window: Window):
    """y = the maximum of each window; padding never wins.

    Parameters
    ----------
    x : (N, H, W, C)
    y : (N, OH, OW, C), written
    winner : (N, OH, OW, C) uint8 or None, written
        The tap that holds the maximum, the first of equal ones. Windows have at most `MAX_TAPS` taps.
    """
    padded = pad_images(x, window, -np.inf)
    y.fill(-np.inf)
    if winner is not None:
        winner.fill(0)
    for t, (rows, columns) in enumerate(tap_slices(window)):
        pixels = padded[:, rows, columns]  # (N, OH, OW, C)
        better = (pixels > y) | ((pixels != pixels) & (y == y))  # NaN beats every number: errors must surface
        np.copyto(y, pixels, where=better)
        if winner is not None:
            winner[better] = t


def max_pool2d_backward(dy, winner, dx, window: Window):
    """dx[the winner of each window] += dy[the window]; winners equal to `RELU_OFF` pass nothing."""
    columns = np.zeros_like(dy, shape=(*dy.shape[:3], window.taps, dy.shape[-1]))  # (N, OH, OW, T, C)
    for t in range(window.taps):
        np.copyto(columns[:, :, :, t], dy, where=winner == t)
    col2im(columns, window, dx)


def avg_pool2d(x, y, window: Window):
    """y = the mean of each window; pixels of the padding do not count.

    x is (N, H, W, C), y (N, OH, OW, C).
    """
    padded = pad_images(x, window)
    y.fill(0)
    for rows, columns in tap_slices(window):
        y += padded[:, rows, columns]
    y /= _pixels_per_window(window, x)


def avg_pool2d_backward(dy, dx, window: Window):
    """dx[each pixel of a window] += dy[the window] / pixels in the window."""
    share = dy / _pixels_per_window(window, dy)  # (N, OH, OW, C)
    col2im(np.broadcast_to(share[:, :, :, None], (*dy.shape[:3], window.taps, dy.shape[-1])), window, dx)


def _pixels_per_window(window: Window, like):
    """How many pixels of the image, not of its padding, each window holds: (OH, OW, 1)."""
    ones = pad_images(np.ones_like(like, shape=(1, window.in_height, window.in_width, 1)), window)
    return sum(ones[0, rows, columns] for rows, columns in tap_slices(window))


# ------------------------------------------------------------------------------------------------------ dense


def dense(x, kernel, bias, y, relu=False):
    """y = x · kernel + bias; x (N, I), kernel (I, O), bias (O,) or None, y (N, O)."""
    np.matmul(x, kernel, out=y)
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)


def dense_backward(x, kernel, y, dy, dx, dkernel, dbias, relu=False):
    """Gradients of `dense`: dkernel = xᵀ · dy, dbias = sum of dy, dx = dy · kernelᵀ; `y` is read if `relu`."""
    if relu:
        dy = dy * (y > 0)
    if dkernel is not None:
        np.matmul(x.T, dy, out=dkernel)
    if dbias is not None:
        np.sum(dy, axis=0, out=dbias)
    if dx is not None:
        np.matmul(dy, kernel.T, out=dx)


# ---------------------------------------------------------------------------------------- batch normalization


def batch_norm(x, y, gamma, beta, mean, inverse_std, moving_mean, moving_variance, momentum, epsilon, training):
    """y = gamma · (x - mean) / √(variance + epsilon) + beta, per channel.

    Parameters
    ----------
    x, y : (N, …, C)
    gamma, beta : (C,) or None
    mean, inverse_std : (C,), written
        What y was computed with; the backward pass reads them.
    moving_mean, moving_variance : (C,)
        In training: updated in place. Otherwise y is computed with them.
    """
    if training:
        axes = tuple(range(x.ndim - 1))
        mean[...] = x.mean(axis=axes)
        np.subtract(x, mean, out=y)
        variance = np.square(y).mean(axis=axes)
        moving_mean += (1 - momentum) * (mean - moving_mean)
        moving_variance += (1 - momentum) * (variance - moving_variance)
    else:
        mean[...] = moving_mean
        np.subtract(x, mean, out=y)
        variance = moving_variance
    inverse_std[...] = 1 / np.sqrt(variance + epsilon)
    y *= inverse_std if gamma is None else inverse_std * gamma
    if beta is not None:
        y += beta


def batch_norm_backward(x, dy, gamma, mean, inverse_std, dx, dgamma, dbeta, training):
    """Gradients of `batch_norm`; in training, mean and variance depend on x."""
    axes = tuple(range(dy.ndim - 1))
    normalized = (x - mean) * inverse_std  # (N, …, C)
    sum_dy, sum_dy_x = dy.sum(axis=axes), (dy * normalized).sum(axis=axes)  # (C,)
    if dbeta is not None:
        dbeta[...] = sum_dy
    if dgamma is not None:
        dgamma[...] = sum_dy_x
    if dx is None:
        return
    if training:
        dy = dy - (sum_dy + normalized * sum_dy_x) / (dy.size // dy.shape[-1])
    np.multiply(dy, inverse_std if gamma is None else inverse_std * gamma, out=dx)


# --------------------------------------------------------------------------------------- losses, random numbers


def softmax_cross_entropy(logits, target, weight, loss, dlogits):
    """Cross-entropy of softmax(logits), and its gradient softmax(logits) - target, in one pass over the rows.

    Parameters
    ----------
    logits : (N, C)
    target : (N,) int64 class numbers, or (N, C) probabilities of the dtype of `logits`
        Of any layout: it may be a view of a user's array.
    weight : (N,)
        Factor of each row of `dlogits` (sample weight / number of samples); `loss` is not weighted.
    loss : (N,), written
    dlogits : (N, C) or None, written
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(total)  # (N, C)
    if target.ndim == 1:
        target_sum = 1
        loss[...] = -np.take_along_axis(log_probabilities, target[:, None], axis=1)[:, 0]
    else:
        target_sum = target.sum(axis=1, keepdims=True)
        loss[...] = -(target * log_probabilities).sum(axis=1)
    if dlogits is None:
        return
    dlogits[...] = exponentials / total * target_sum
    if target.ndim == 1:
        np.put_along_axis(dlogits, target[:, None], np.take_along_axis(dlogits, target[:, None], axis=1) - 1, axis=1)
    else:
        dlogits -= target
    dlogits *= weight[:, None]


def dropout(x, y, rate, seed, stream, step):
    """y = x / (1 - rate) where the element's random number is at least `rate`, else 0.

    The numbers are `minicnn.random.uniform(seed, stream, step, x.size)`: nothing is stored, the backward pass calls
    this function again with dy for x.
    """
    keep = random.uniform(seed, stream, step, x.size).reshape(x.shape) >= rate
    np.multiply(x, np.asarray(keep / (1 - rate), x.dtype), out=y)


def uniform(numbers, seed, stream, step):
    """numbers = `minicnn.random.uniform(seed, stream, step, numbers.size)`; float32."""
    numbers[...] = random.uniform(seed, stream, step, numbers.size).reshape(numbers.shape)


# ------------------------------------------------------------------------------------------------------ warps

ONE = 1 << 32  # places in an image are whole multiples of 1/ONE: sums are exact, every backend reads the same pixels
FRACTION_BITS = 24  # of a place, which float32 holds exactly: an interpolation's weight
_LARGEST_ENTRY = 2.0**16  # of a matrix: places in images of 10,000 pixels do not overflow


def fixed_point(matrix):
    """The entries of a matrix as int64 multiples of 1/`ONE`."""
    return np.floor(np.clip(matrix, -_LARGEST_ENTRY, _LARGEST_ENTRY) * ONE + 0.5).astype("int64")


def warp(x, matrix, y, bilinear, fill_mode, fill_value):
    """y[n, i, j] = x[n] at the place matrix[n] · (j, i, 1) = (column, row), which lies between pixels.

    Parameters
    ----------
    x : (N, H, W, C)
    matrix : (N, 2, 3) float64
    y : (N, H, W, C), written
    bilinear : bool
        Whether the four pixels around the place are mixed; else the nearest counts, of two the one further from 0.
    fill_mode : {"constant", "nearest", "reflect", "wrap"}
        Which pixel stands for one outside: none but `fill_value`, the nearest of the edge, the image mirrored at its
        edges, the image repeated.
    fill_value : float
    """
    y.fill(0)
    images = np.arange(len(x), like=x)[:, None, None]
    for rows, columns, weight in _warp_taps(matrix, y, bilinear, fill_mode):
        pixels = x[images, rows, columns]  # (N, H, W, C)
        pixels[(rows < 0) | (columns < 0)] = fill_value
        y += weight * pixels


def warp_backward(dy, matrix, dx, bilinear, fill_mode):
    """dx[each pixel that is read] += its weight · dy[the pixel that reads it]."""
    dx.fill(0)
    images = np.broadcast_to(np.arange(len(dx), like=dx)[:, None, None], dy.shape[:3])
    for rows, columns, weight in _warp_taps(matrix, dy, bilinear, fill_mode):
        inside = (rows >= 0) & (columns >= 0)  # (N, H, W)
        np.add.at(dx, (images[inside], rows[inside], columns[inside]), (weight * dy)[inside])


def _warp_taps(matrix, like, bilinear, fill_mode):
    """What the pixels of `like` read: rows, columns (N, H, W), -1 for the fill value, and weights (N, H, W, 1)."""
    _, height, width, _ = like.shape
    i, j = np.arange(height, like=like)[:, None], np.arange(width, like=like)
    entries = fixed_point(matrix)[..., None, None]  # (N, 2, 3, 1, 1)
    x, y = (entries[:, axis, 0] * j + entries[:, axis, 1] * i + entries[:, axis, 2] for axis in (0, 1))  # (N, H, W)
    if not bilinear:
        rows, columns = (
            np.where(place < 0, -((ONE // 2 - place) // ONE), (place + ONE // 2) // ONE) for place in (y, x)
        )
        yield extended(rows, height, fill_mode), extended(columns, width, fill_mode), np.ones_like(like[..., :1])
        return
    for down, weight_y in enumerate(_tap_weights(y, like)):
        for right, weight_x in enumerate(_tap_weights(x, like)):
            rows, columns = extended(y // ONE + down, height, fill_mode), extended(x // ONE + right, width, fill_mode)
            yield rows, columns, (weight_y * weight_x)[..., None]


def _tap_weights(place, like):
    """Weights of the pixels before and after a place."""
    fraction = ((place % ONE) >> (32 - FRACTION_BITS)).astype(like.dtype) * like.dtype.type(2.0**-FRACTION_BITS)
    return 1 - fraction, fraction


def extended(index, size, fill_mode):
    """The pixel of a row of `size` that stands for pixel number `index`, inside or outside; -1 is the fill value."""
    if fill_mode == "constant":
        return np.where((index >= 0) & (index < size), index, -1)
    if fill_mode == "nearest":
        return np.clip(index, 0, size - 1)
    if fill_mode == "wrap":
        return index % size
    return np.minimum(index % (2 * size), 2 * size - 1 - index % (2 * size))


# ------------------------------------------------------------------------------------------------- optimizers
# theta, grad and the state are flat vectors; theta and the state are updated in place. Formulas: docs/formulas.md.


def sgd_update(theta, grad, velocity, learning_rate, momentum, nesterov):
    """SGD; `velocity` is None without momentum."""
    if velocity is None:
        theta -= learning_rate * grad
        return
    velocity *= momentum
    velocity -= learning_rate * grad
    theta += momentum * velocity - learning_rate * grad if nesterov else velocity


def adam_update(theta, grad, m, v, alpha, beta_1, beta_2, epsilon):
    """Adam; `alpha` holds the learning rate and the bias corrections."""
    m += (1 - beta_1) * (grad - m)
    v += (1 - beta_2) * (grad * grad - v)
    theta -= alpha * m / (np.sqrt(v) + epsilon)


def adagrad_update(theta, grad, accumulator, learning_rate, epsilon):
    """Adagrad."""
    accumulator += grad * grad
    theta -= learning_rate * grad / np.sqrt(accumulator + epsilon)


def adadelta_update(theta, grad, accumulated_grad, accumulated_delta, learning_rate, rho, epsilon):
    """Adadelta."""
    accumulated_grad += (1 - rho) * (grad * grad - accumulated_grad)
    delta = np.sqrt(accumulated_delta + epsilon) / np.sqrt(accumulated_grad + epsilon) * grad
    accumulated_delta += (1 - rho) * (delta * delta - accumulated_delta)
    theta -= learning_rate * delta


def rmsprop_update(theta, grad, mean_square, learning_rate, rho, epsilon):
    """RMSprop without momentum."""
    mean_square += (1 - rho) * (grad * grad - mean_square)
    theta -= learning_rate * grad / np.sqrt(mean_square + epsilon)


# ------------------------------------------------------------------------------------------------------- data


def gather(source, indices, out):
    """out[i] = source[indices[i]], cast to the dtype of `out`; `source` is a user's array of any layout."""
    out[...] = source[indices]
