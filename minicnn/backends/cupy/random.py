"""Random numbers, and dropout."""

import numpy as np

from minicnn.backends.cupy.launch import launch_over


def uniform(numbers, seed, stream, step):
    """numbers = `minicnn.random.uniform(seed, stream, step, numbers.size)`; float32."""
    key = np.uint64(seed), np.uint32(stream)
    arguments = numbers, np.int64(numbers.size), *key, *step_arguments(step)
    launch_over(-(-numbers.size // 4), "augmentation", "uniform", numbers.dtype, *arguments)


def dropout(x, y, rate, seed, stream, step):
    numbers = np.float32(rate), x.dtype.type(1 / (1 - rate)), np.uint64(seed), np.uint32(stream)
    arguments = x, y, np.int64(x.size), *numbers, *step_arguments(step)
    launch_over(-(-x.size // 4), "training", "dropout", x.dtype, *arguments)


def step_arguments(step):
    """A kernel's last arguments: the number of the step, and where it lies if a graph has to read it anew."""
    return (np.uint64(0), step.at) if hasattr(step, "at") else (np.uint64(step), None)
