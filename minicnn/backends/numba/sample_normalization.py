"""Normalization of each sample by itself. A sample is read three times, and stays in a cache as a rule."""

import math
from typing import NamedTuple

import numpy as np

from minicnn.backends.memory import Array, Maybe
from minicnn.backends.numba.machine.batch import Chunks, chunks_of, images_of
from minicnn.backends.numba.machine.compiled import borrowing, inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.memory import fill, scratch
from minicnn.backends.numba.machine.offsets import flat, table_cache
from minicnn.backends.numba.machine.parallel import in_parallel

_NANOSECONDS = 0.8  # that one core needs for a number, about


def standardize(
    x: Array, y: Array, gamma: Maybe, beta: Maybe, mean: Array, inverse_std: Array, epsilon: float, centred: bool = True
) -> None:
    """See `minicnn.backends.reference.sample_normalization.standardize`."""
    s = _sizes(x.shape, mean.shape[1])
    affine = _Affine(flat(gamma, x.dtype), flat(beta, x.dtype))
    moments = _Moments(mean.reshape(-1), inverse_std.reshape(-1))
    arrays = x.reshape(-1), y.reshape(-1), affine, moments
    _standardize.launch(_NANOSECONDS * x.size, *arrays, float(epsilon), bool(centred), s, chunks=s.chunks.count)


def standardize_backward(
    x: Array,
    dy: Array,
    gamma: Maybe,
    mean: Array,
    inverse_std: Array,
    dx: Maybe,
    dgamma: Maybe,
    dbeta: Maybe,
    centred: bool = True,
) -> None:
    """See `minicnn.backends.reference.sample_normalization.standardize_backward`."""
    s = _sizes(x.shape, mean.shape[1])
    moments = _Moments(mean.reshape(-1), inverse_std.reshape(-1))
    out = _Gradients(flat(dx, x.dtype), flat(dgamma, x.dtype), flat(dbeta, x.dtype))
    arrays = x.reshape(-1), dy.reshape(-1), flat(gamma, x.dtype), moments, out
    _standardize_backward.launch(_NANOSECONDS * x.size, *arrays, bool(centred), s, chunks=s.chunks.count)


class _Sizes(NamedTuple):
    pixels: int
    channels: int
    groups: int
    chunks: Chunks  # of samples


@table_cache
def _sizes(shape, groups):
    return _Sizes(shape[1], shape[2], groups, chunks_of(shape[0]))


class _Affine(NamedTuple):
    """Empty where there is none."""

    gamma: Array
    beta: Array


class _Moments(NamedTuple):
    mean: Array
    inverse_std: Array


class _Gradients(NamedTuple):
    """Empty where nobody wants it."""

    dx: Array
    dgamma: Array
    dbeta: Array


@inline
def _spread(numbers, first, s, target):
    """The groups' numbers from index `first` on, for every channel."""
    size = s.channels // s.groups
    for group in range(s.groups):
        fill(target, group * size, size, numbers[first + group])


@inline
def _of_group(sums, group, s):
    """The sum of a group's channels."""
    size, total = s.channels // s.groups, 0.0
    own = sums[group * size : (group + 1) * size]
    for c in range(size):
        total += own[c]
    return total


@inline
def _add_powers(x, centre, squared, s, sums):
    """sums = Σ over the pixels of x - centre, or of its square, for every channel."""
    fill(sums, 0, s.channels, 0)
    for pixel in range(s.pixels):
        row = x[pixel * s.channels : (pixel + 1) * s.channels]
        if squared:
            for c in range(s.channels):
                value = np.float64(row[c] - centre[c])
                sums[c] += value * value
        else:
            for c in range(s.channels):
                sums[c] += np.float64(row[c])


@inline
def _take_moments(x, sample, moments, epsilon, centred, s, centre, sums):
    """The moments of a sample; the mean of its group for every channel in `centre`."""
    first, share = sample * s.groups, s.groups / (s.pixels * s.channels)
    fill(centre, 0, s.channels, 0)
    if centred:
        _add_powers(x, centre, False, s, sums)
    for group in range(s.groups):
        moments.mean[first + group] = _of_group(sums, group, s) * share if centred else 0
    _spread(moments.mean, first, s, centre)
    _add_powers(x, centre, True, s, sums)
    for group in range(s.groups):
        moments.inverse_std[first + group] = 1 / math.sqrt(_of_group(sums, group, s) * share + epsilon)


@borrowing
def _standardize_row(x, sample, affine, moments, epsilon, centred, y):
    """A sample of one pixel and one group."""
    total, squares, zero = 0.0, 0.0, x.dtype.type(0)
    for c in range(len(x)):
        total += np.float64(x[c])
    mean = x.dtype.type(total / len(x)) if centred else zero
    for c in range(len(x)):
        value = np.float64(x[c] - mean)
        squares += value * value
    inverse = x.dtype.type(1 / math.sqrt(squares / len(x) + epsilon))
    moments.mean[sample], moments.inverse_std[sample] = mean, inverse
    for c in range(len(x)):
        y[c] = (x[c] - mean) * inverse
    for c in range(len(affine.gamma)):
        y[c] *= affine.gamma[c]
    for c in range(len(affine.beta)):
        y[c] += affine.beta[c]


@borrowing
def _standardize_rows(first, last, x, y, affine, moments, epsilon, centred, s):
    """Samples of one pixel and one group: nothing is kept for the channels, and no references to rows are counted."""
    for sample in range(first, last):
        start, end = sample * s.channels, (sample + 1) * s.channels
        _standardize_row(x[start:end], sample, affine, moments, epsilon, centred, y[start:end])


@inline
def _standardize_chunk(chunk, x, y, affine, moments, epsilon, centred, s):
    centre, scale, size = scratch(s.channels, x), scratch(s.channels, x), s.pixels * s.channels
    sums = np.empty(s.channels, np.float64)
    first, last = images_of(s.chunks, chunk)
    if s.pixels == 1 and s.groups == 1:
        _standardize_rows(first, last, x, y, affine, moments, epsilon, centred, s)
        return
    for sample in range(first, last):
        own, result = x[sample * size : (sample + 1) * size], y[sample * size : (sample + 1) * size]
        _take_moments(own, sample, moments, epsilon, centred, s, centre, sums)
        _spread(moments.inverse_std, sample * s.groups, s, scale)
        for c in range(len(affine.gamma)):
            scale[c] *= affine.gamma[c]
        for pixel in range(s.pixels):
            row = own[pixel * s.channels : (pixel + 1) * s.channels]
            target = result[pixel * s.channels : (pixel + 1) * s.channels]
            if len(affine.beta) > 0:
                for c in range(s.channels):
                    target[c] = (row[c] - centre[c]) * scale[c] + affine.beta[c]
            else:
                for c in range(s.channels):
                    target[c] = (row[c] - centre[c]) * scale[c]


@parallel_kernel
def _standardize(pool, x, y, affine, moments, epsilon, centred, s):
    in_parallel(pool, s.chunks.count, _standardize_chunk, (x, y, affine, moments, epsilon, centred, s))


@inline
def _add_products(x, dy, centre, s, sums, products):
    """For every channel: Σ over the pixels of dy, and of dy · (x - centre)."""
    fill(sums, 0, s.channels, 0)
    fill(products, 0, s.channels, 0)
    for pixel in range(s.pixels):
        row = x[pixel * s.channels : (pixel + 1) * s.channels]
        gradient = dy[pixel * s.channels : (pixel + 1) * s.channels]
        for c in range(s.channels):
            sums[c] += np.float64(gradient[c])
            products[c] += np.float64(gradient[c]) * np.float64(row[c] - centre[c])


@inline
def _weighted(numbers, gamma, group, s):
    """The sum of gamma · numbers over a group's channels."""
    size, total = s.channels // s.groups, 0.0
    for c in range(group * size, (group + 1) * size):
        total += numbers[c] * gamma[c] if len(gamma) > 0 else numbers[c]
    return total


@inline
def _input_gradient(x, dy, centre, scale, slope, shift, s, dx):
    """dx = dy · scale - (x - centre) · slope - shift."""
    for pixel in range(s.pixels):
        row = x[pixel * s.channels : (pixel + 1) * s.channels]
        gradient = dy[pixel * s.channels : (pixel + 1) * s.channels]
        target = dx[pixel * s.channels : (pixel + 1) * s.channels]
        for c in range(s.channels):
            target[c] = gradient[c] * scale[c] - (row[c] - centre[c]) * slope[c] - shift[c]


@borrowing
def _row_gradient(x, dy, gamma, mean, inverse, centred, dx, sums, products):
    """`dx` of a sample of one pixel and one group, if it is wanted; what it adds to the sums of dbeta and dgamma."""
    total, along = 0.0, 0.0
    for c in range(len(x)):
        sums[c] += np.float64(dy[c])
        products[c] += np.float64(dy[c]) * np.float64((x[c] - mean) * inverse)
    if len(dx) == 0:
        return
    for c in range(len(x)):
        dx[c] = dy[c]
    for c in range(len(gamma)):
        dx[c] *= gamma[c]
    for c in range(len(x)):
        total += np.float64(dx[c])
        along += np.float64(dx[c]) * np.float64((x[c] - mean) * inverse)
    shift = x.dtype.type(total / len(x) if centred else 0.0)
    slope = x.dtype.type(along / len(x))
    for c in range(len(x)):
        dx[c] = (dx[c] - shift - (x[c] - mean) * inverse * slope) * inverse


@borrowing
def _row_gradients(first, last, x, dy, gamma, moments, out, own, centred, s):
    """`_row_gradient` of some samples."""
    for sample in range(first, last):
        start, end = sample * s.channels, (sample + 1) * s.channels
        row, dbeta, dgamma = (x[start:end], dy[start:end], gamma), own[: s.channels], own[s.channels :]
        mean, inverse, dx = moments.mean[sample], moments.inverse_std[sample], out.dx[start:end]
        _row_gradient(*row, mean, inverse, centred, dx, dbeta, dgamma)


@inline
def _backward_chunk(chunk, x, dy, gamma, moments, out, totals, centred, s):
    centre, scale, slope, shift = (
        scratch(s.channels, x),
        scratch(s.channels, x),
        scratch(s.channels, x),
        scratch(s.channels, x),
    )
    sums, products = np.empty(s.channels, np.float64), np.empty(s.channels, np.float64)
    own = totals[2 * chunk * s.channels : 2 * (chunk + 1) * s.channels]
    fill(own, 0, len(own), 0)
    size, share = s.pixels * s.channels, s.groups / (s.pixels * s.channels)
    first, last = images_of(s.chunks, chunk)
    if s.pixels == 1 and s.groups == 1:
        _row_gradients(first, last, x, dy, gamma, moments, out, own, centred, s)
        return
    for sample in range(first, last):
        start, end, index = sample * size, (sample + 1) * size, sample * s.groups
        _spread(moments.mean, index, s, centre)
        _spread(moments.inverse_std, index, s, scale)
        _add_products(x[start:end], dy[start:end], centre, s, sums, products)
        for c in range(s.channels):
            own[c] += sums[c]
            own[s.channels + c] += products[c] * scale[c]
        if len(out.dx) == 0:
            continue
        for group in range(s.groups):
            inverse, width = np.float64(moments.inverse_std[index + group]), s.channels // s.groups
            along = _weighted(products, gamma, group, s) * share * inverse * inverse * inverse
            fill(slope, group * width, width, along)
            fill(shift, group * width, width, _weighted(sums, gamma, group, s) * share * inverse if centred else 0.0)
        for c in range(len(gamma)):
            scale[c] *= gamma[c]
        _input_gradient(x[start:end], dy[start:end], centre, scale, slope, shift, s, out.dx[start:end])


@parallel_kernel
def _standardize_backward(pool, x, dy, gamma, moments, out, centred, s):
    totals = np.empty(2 * s.chunks.count * s.channels, np.float64)
    in_parallel(pool, s.chunks.count, _backward_chunk, (x, dy, gamma, moments, out, totals, centred, s))
    for c in range(s.channels):
        dbeta, dgamma = 0.0, 0.0
        for chunk in range(s.chunks.count):
            dbeta += totals[2 * chunk * s.channels + c]
            dgamma += totals[(2 * chunk + 1) * s.channels + c]
        if len(out.dbeta) > 0:
            out.dbeta[c] = dbeta
        if len(out.dgamma) > 0:
            out.dgamma[c] = dgamma
