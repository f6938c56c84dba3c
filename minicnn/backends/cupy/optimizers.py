"""The optimizers' rules: one kernel over flat vectors."""

import numpy as np

from minicnn.backends.cupy.gradient_parts import Parts, take
from minicnn.backends.cupy.launch import THREADS, Array, Maybe, launch, launch_over
from minicnn.backends.cupy.structures import MOST_SEGMENTS, Segment, Segments

FEW_PARTS = 8  # this and WIDE: as in optimizers.cu
WIDE = 128
LEAST_WIDE = 2**13  # elements of a stretch from which on a block adds the parts of WIDE of them
NO_SEGMENT = Segment(0, 0, 0, 0, 0, 0, 0)
SGD, MOMENTUM, NESTEROV, ADAM, ADAGRAD, ADADELTA, RMSPROP = range(7)  # enum Rule in optimizers.cu


def sgd_update(
    theta: Array, grad: Array, velocity: Maybe, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """See `minicnn.backends.reference.optimizers.sgd_update`."""
    rule = SGD if velocity is None else NESTEROV if nesterov else MOMENTUM
    _update(rule, theta, grad, velocity, None, learning_rate, momentum)


def adam_update(
    theta: Array, grad: Array, m: Array, v: Array, alpha: float, beta_1: float, beta_2: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.adam_update`."""
    _update(ADAM, theta, grad, m, v, alpha, 1 - beta_1, 1 - beta_2, epsilon)


def adagrad_update(theta: Array, grad: Array, accumulator: Array, learning_rate: float, epsilon: float) -> None:
    """See `minicnn.backends.reference.optimizers.adagrad_update`."""
    _update(ADAGRAD, theta, grad, accumulator, None, learning_rate, epsilon=epsilon)


def adadelta_update(
    theta, grad, accumulated_grad, accumulated_delta, learning_rate: float, rho: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.adadelta_update`."""
    _update(ADADELTA, theta, grad, accumulated_grad, accumulated_delta, learning_rate, 1 - rho, epsilon=epsilon)


def rmsprop_update(
    theta: Array, grad: Array, mean_square: Array, learning_rate: float, rho: float, epsilon: float
) -> None:
    """See `minicnn.backends.reference.optimizers.rmsprop_update`."""
    _update(RMSPROP, theta, grad, mean_square, None, learning_rate, 1 - rho, epsilon=epsilon)


def _update(rule, theta, grad, first, second, rate, a=0.0, b=0.0, epsilon=0.0):
    """Launch the kernel; `rate` is a number, or a `DeviceNumber` (graph.py), which is read at each launch."""
    real = theta.dtype.type
    rate_at, bad = (rate.at, rate.bad) if hasattr(rate, "at") else (None, None)
    numbers = np.int32(rule), np.float64(0 if rate_at is not None else rate), rate_at, bad
    factors = real(a), real(b), real(epsilon)
    left = take(grad, MOST_SEGMENTS // 2 - 1)
    totals = rate.take_totals() if hasattr(rate, "at") else None
    if not left and totals is None:
        vectors = theta, grad, first, second, np.int64(theta.size)
        launch_over(theta.size, "optimizers", "optimize", theta.dtype, *vectors, *numbers, *factors)
        return
    blocks, segments = _segments(grad, left)
    totals = totals or (None, None, np.int32(0), np.int32(0), None)
    arguments = theta, grad, first, second, *numbers, *factors, *totals, segments
    launch("optimizers", "optimize_parts", theta.dtype, (blocks,), THREADS, *arguments)


def _segments(grad, left):
    """(number of blocks, `Segments`) of a vector of gradients of which some stretches lie in parts."""
    stretches, end = [], 0  # (first element, size, parts)
    for first, size, parts in [*left, (grad.size, 0, None)]:
        if first > end:
            stretches.append((end, first - end, Parts(grad[end:], 1, 0)))
        if parts is not None:
            stretches.append((first, size, parts))
        end = first + size
    segments, block = [], 0
    for first, size, parts in stretches:
        width = THREADS if parts.count <= FEW_PARTS else 32 if size < LEAST_WIDE else WIDE
        segments.append(Segment(parts.array.data.ptr, parts.stride, parts.count, first, size, block, width))
        block += -(-size // width)
    return block, Segments(len(segments), 0, (*segments, *[NO_SEGMENT] * (MOST_SEGMENTS - len(segments))))
