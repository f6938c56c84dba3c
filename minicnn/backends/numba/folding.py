"""A normalization folded into the kernel and the bias before it."""

import math

import numpy as np

from minicnn.backends.memory import Array, Maybe
from minicnn.backends.numba.machine.launch import serial_kernel
from minicnn.backends.numba.machine.offsets import flat


def fold_normalization(
    kernel: Array,
    bias: Maybe,
    gamma: Maybe,
    beta: Maybe,
    mean: Array,
    variance: Array,
    epsilon: float,
    folded_kernel: Array,
    folded_bias: Array,
) -> None:
    """See `minicnn.backends.reference.normalization.fold_normalization`."""
    options = [flat(array, kernel.dtype) for array in (bias, gamma, beta)]
    _fold(kernel.reshape(-1), *options, mean, variance, float(epsilon), folded_kernel.reshape(-1), folded_bias)


@serial_kernel
def _fold(kernel, bias, gamma, beta, mean, variance, epsilon, folded_kernel, folded_bias):
    filters, number = len(mean), kernel.dtype.type
    scale = np.empty(filters, kernel.dtype)
    for f in range(filters):
        scale[f] = number(1) / math.sqrt(variance[f] + number(epsilon))
        if len(gamma) > 0:
            scale[f] *= gamma[f]
        folded_bias[f] = ((bias[f] if len(bias) > 0 else number(0)) - mean[f]) * scale[f]
        if len(beta) > 0:
            folded_bias[f] += beta[f]
    for start in range(0, len(kernel), filters):
        row, folded_row = kernel[start : start + filters], folded_kernel[start : start + filters]
        for f in range(filters):  # no index can be negative here, so this becomes vector code
            folded_row[f] = row[f] * scale[f]
