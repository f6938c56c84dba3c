"""How much of each pixel TensorFlow's `tf.image.resize` takes, computed as it does, in float32, where no layer does.

Its "bicubic" looks the weights up in a table of 1024 steps from one pixel to the next (`resize_bicubic_op.cc`, with
half_pixel_centers); "gaussian" and "mitchellcubic" are kernels of its `ScaleAndTranslate`.
"""

from __future__ import annotations

import numpy as np

from minicnn.resampling import cubic

__all__ = ["BY_KERNELS", "kernel_weights", "table_weights"]

_STEPS = 1024  # of the table


def table_weights(count: int, size: int) -> np.ndarray:
    """How much of each of `count` pixels is in each of `size` ones by "bicubic": (count, size) float32.

    Keys's cubic (1981) with a = -1/2, at a distance that is rounded; pixels outside do not count.
    """
    half = np.float32(0.5)
    places = (np.arange(size, dtype=np.float32) + half) * np.float32(count / size) - half
    first = np.floor(places)
    part = np.rint((places - first) * np.float32(_STEPS)) / _STEPS
    index = first.astype(np.int64) + np.arange(-1, 3)[:, None]  # (4, size)
    return _matrix(index, cubic(np.abs(np.arange(-1, 3)[:, None] - part)), count)


def kernel_weights(count: int, size: int, method: str, antialias: bool) -> np.ndarray:
    """The same by one of `BY_KERNELS`; `antialias` makes the kernel wider where there are fewer pixels than before."""
    kernel, radius = BY_KERNELS[method]
    step = np.float32(1 / np.float32(size / count))
    wide = max(step, np.float32(1)) if antialias else np.float32(1)
    places = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * step
    first = np.ceil(places - radius * wide - np.float32(0.5)).astype(np.int64)
    index = first + np.arange(int(np.ceil(2 * radius * wide)) + 1)[:, None]  # (taps, size)
    distance = np.abs((index.astype(np.float32) + np.float32(0.5) - places) * (np.float32(1) / wide))
    return _matrix(index, kernel(distance), count)


def _matrix(index, weight, count):
    """(count, size), of the weights of taps (taps, size), whose sum becomes 1."""
    weight = np.where((index >= 0) & (index < count), weight, 0).astype(np.float32)
    made = np.zeros((count, index.shape[1]), np.float32)
    np.add.at(made, (np.clip(index, 0, count - 1), np.arange(index.shape[1])), weight / weight.sum(axis=0))
    return made


def _gaussian(distance):
    """Of radius 1.5 and deviation 1/2."""
    return np.where(distance < np.float32(1.5), np.exp(-2 * distance**2), 0)


def _mitchell(distance):
    """The cubic of Mitchell and Netravali ("Reconstruction filters in computer graphics", 1988) with B = C = 1/3."""
    near = (7 / 6 * distance - 2) * distance * distance + 8 / 9
    far = ((2 - 7 / 18 * distance) * distance - 10 / 3) * distance + 16 / 9
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


BY_KERNELS = {"gaussian": (_gaussian, np.float32(1.5)), "mitchellcubic": (_mitchell, np.float32(2))}
