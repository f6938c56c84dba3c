"""Random numbers, and dropout."""

import math

import numpy as np
from numba import prange

from minicnn.backends.numba.machine.launch import parallel_kernel, part, serial_kernel

_BLOCKS_PER_TASK = 1024  # Philox blocks of four numbers


_DROPOUT_NANOSECONDS = 3  # per number


_LOW = np.uint64(0xFFFFFFFF)


_HALF = np.uint64(32)


def dropout(x, y, rate, seed, stream, iteration):
    """See `minicnn.backends.reference.dropout`."""
    _dropout.run(
        _DROPOUT_NANOSECONDS * x.size,
        x.reshape(-1), y.reshape(-1), float(np.float32(rate)), 1 / (1 - rate), _key(seed, stream, iteration),
    )  # fmt: skip


def uniform(numbers, seed, stream, iteration):
    """See `minicnn.backends.reference.uniform`."""
    _uniform(numbers.reshape(-1), _key(seed, stream, iteration))


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
