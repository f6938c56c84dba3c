"""The cross-entropy loss, dropout, random numbers, and gathering the samples of a batch."""

import math

import numpy as np
from numba import prange

from minicnn.backends import reference
from minicnn.backends.numba.launch import parallel_kernel, part, serial_kernel
from minicnn.backends.numba.tables import flat_or_absent

_BLOCKS_PER_TASK = 1024  # Philox blocks of four numbers
_DROPOUT_NANOSECONDS = 3  # per number
_GATHER_NANOSECONDS = 0.5  # per number
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def softmax_cross_entropy(logits, target, weight, loss, dlogits):
    """See `minicnn.backends.reference.softmax_cross_entropy`."""
    classes = logits.shape[1]
    target = np.ascontiguousarray(target)  # a user's array: reshape would keep the strides of a view
    flat = logits.reshape(-1), target.reshape(-1), weight, loss, flat_or_absent(dlogits, logits.dtype), classes
    if target.ndim == 2:
        _cross_entropy_of_probabilities(*flat)
    elif not _cross_entropy_of_labels(*flat):
        reference.softmax_cross_entropy(logits, target, weight, loss, dlogits)  # which complains as NumPy does


@part
def _softmax_row(logits, first, last, exponentials):
    """exponentials = exp(logits - their maximum); returns the maximum and the sum of the exponentials."""
    highest = logits[first]
    for i in range(first + 1, last):
        if not logits[i] <= highest:
            highest = logits[i]  # a NaN need not stay: it is in the total
    total = logits.dtype.type(0)
    for i in range(first, last):
        exponentials[i - first] = math.exp(logits[i] - highest)
        total += exponentials[i - first]
    return highest, total


@serial_kernel(typed=2)
def _cross_entropy_of_labels(logits, target, weight, loss, dlogits, classes):
    """Returns False if a label is no class number."""
    exponentials = np.empty(classes, logits.dtype)
    for n in range(len(target)):
        if target[n] < 0 or target[n] >= classes:
            return False
        first, chosen = n * classes, n * classes + target[n]
        highest, total = _softmax_row(logits, first, first + classes, exponentials)
        loss[n] = math.log(total) - (logits[chosen] - highest)
        if len(dlogits) > 0:
            for j in range(classes):
                dlogits[first + j] = exponentials[j] / total * weight[n]
            dlogits[chosen] = (exponentials[target[n]] / total - logits.dtype.type(1)) * weight[n]
    return True


@serial_kernel(typed=2)
def _cross_entropy_of_probabilities(logits, target, weight, loss, dlogits, classes):
    exponentials = np.empty(classes, logits.dtype)
    for n in range(len(weight)):
        first = n * classes
        highest, total = _softmax_row(logits, first, first + classes, exponentials)
        log_total = math.log(total)
        target_sum = value = logits.dtype.type(0)
        for i in range(first, first + classes):
            target_sum += target[i]
            value += target[i] * (log_total - (logits[i] - highest))
        loss[n] = value
        if len(dlogits) > 0:
            for j in range(classes):
                dlogits[first + j] = (exponentials[j] / total * target_sum - target[first + j]) * weight[n]


# ---------------------------------------------------------------------------------------------------- dropout


def dropout(x, y, rate, seed, stream, step):
    """See `minicnn.backends.reference.dropout`."""
    _dropout.run(
        _DROPOUT_NANOSECONDS * x.size,
        x.reshape(-1), y.reshape(-1), float(np.float32(rate)), 1 / (1 - rate), _key(seed, stream, step),
    )  # fmt: skip


def uniform(numbers, seed, stream, step):
    """See `minicnn.backends.reference.uniform`."""
    _uniform(numbers.reshape(-1), _key(seed, stream, step))


def _key(seed, stream, step):
    """Counter and key of the generator but for the number of the block, in 32-bit words."""
    return np.array([number & 0xFFFFFFFF for number in (stream, step, step >> 32, seed, seed >> 32)], np.uint64)


@part
def _philox4x32(c0, c1, c2, c3, k0, k1):
    """Four random words, as `minicnn.random.philox4x32` defines them."""
    for _ in range(10):
        product_0, product_1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (product_1 >> _HALF) ^ c1 ^ k0,
            product_1 & _LOW,
            (product_0 >> _HALF) ^ c3 ^ k1,
            product_0 & _LOW,
        )
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
    return c0, c1, c2, c3


@part
def _kept(word, threshold, scale):
    """`scale` if the number that the word stands for is at least the rate, else 0."""
    return scale if (word >> np.uint64(8)) >= threshold else scale * 0


@parallel_kernel
def _dropout(x, y, rate, factor, key):
    stream, step_low, step_high, seed_low, seed_high = key
    scale = x.dtype.type(factor)
    threshold = np.uint64(math.ceil(rate * 2.0**24))  # number·2**-24 >= rate, in whole numbers
    blocks = len(x) // 4
    for task in prange((blocks + _BLOCKS_PER_TASK) // _BLOCKS_PER_TASK):
        for block in range(task * _BLOCKS_PER_TASK, min((task + 1) * _BLOCKS_PER_TASK, blocks)):
            words = _philox4x32(np.uint64(block), stream, step_low, step_high, seed_low, seed_high)
            for i in range(4):
                y[4 * block + i] = x[4 * block + i] * _kept(words[i], threshold, scale)
    words = _philox4x32(np.uint64(blocks), stream, step_low, step_high, seed_low, seed_high)
    for i in range(len(x) - 4 * blocks):
        y[4 * blocks + i] = x[4 * blocks + i] * _kept(words[i], threshold, scale)


@serial_kernel
def _uniform(numbers, key):
    stream, step_low, step_high, seed_low, seed_high = key
    for start in range(0, len(numbers), 4):
        words = _philox4x32(np.uint64(start // 4), stream, step_low, step_high, seed_low, seed_high)
        for i in range(min(4, len(numbers) - start)):
            numbers[start + i] = (words[i] >> np.uint64(8)) * 2.0**-24


# ----------------------------------------------------------------------------------------------------- gather


def gather(source, indices, out):
    """See `minicnn.backends.reference.gather`."""
    is_done = _is_plain(source, indices, out) and _gather.run(
        _GATHER_NANOSECONDS * out.size, source.reshape(-1), indices, out.reshape(-1), len(source)
    )
    if not is_done:  # another layout or dtype; or an index that NumPy counts from the end, or complains about
        reference.gather(source, indices, out)


def _is_plain(source, indices, out):
    return (
        isinstance(source, np.ndarray)
        and source.dtype in (np.uint8, np.float32, np.float64)
        and source.dtype.isnative
        and source.flags.c_contiguous
        and source.flags.aligned
        and isinstance(indices, np.ndarray)
        and indices.dtype == np.int64
        and indices.ndim == 1
        and indices.flags.c_contiguous
        and out.flags.c_contiguous
        and out.shape == (len(indices), *source.shape[1:])
    )


@parallel_kernel(typed=3)
def _gather(source, indices, out, samples):
    """Copy rows; returns False, with nothing written, if an index is not plain."""
    if len(indices) == 0:
        return True
    size = len(out) // len(indices)
    for index in indices:
        if index < 0 or index >= samples:
            return False
    for i in prange(len(indices)):
        _copy_row(source[indices[i] * size : (indices[i] + 1) * size], out[i * size : (i + 1) * size])
    return True


@part
def _copy_row(source, target):
    for j in range(len(target)):
        target[j] = source[j]
