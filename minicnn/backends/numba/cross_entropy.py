"""The cross-entropy loss."""

import math

import numpy as np

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.launch import serial_kernel
from minicnn.backends.numba.machine.offsets import flat
from minicnn.backends.numba.machine.recording import reference


def softmax_cross_entropy(
    logits: np.ndarray, target: np.ndarray, weight: np.ndarray, loss: np.ndarray, dlogits: np.ndarray | None
) -> None:
    """See `minicnn.backends.reference.cross_entropy.softmax_cross_entropy`."""
    classes = logits.shape[1]
    target = np.ascontiguousarray(target)  # a user's array: reshape would keep the strides of a view
    arguments = logits.reshape(-1), target.reshape(-1), weight, loss, flat(dlogits, logits.dtype), classes
    if target.ndim == 2:
        _cross_entropy_of_probabilities(*arguments)
    elif not _cross_entropy_of_labels(*arguments):
        reference.softmax_cross_entropy(logits, target, weight, loss, dlogits)  # which complains as NumPy does


@inline
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
