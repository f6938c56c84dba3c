"""``tf.random``: ``keras.random``, with TensorFlow's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.keras import random as numbers
from minicnn.keras.tensorflow._functions import of_tensorflow
from minicnn.utils import set_random_seed as set_seed

__all__ = ["normal", "set_seed", "shuffle", "truncated_normal", "uniform"]

normal, truncated_normal = numbers.normal, numbers.truncated_normal


def uniform(
    shape: Sequence[int | None], minval: Any = 0, maxval: Any = None, dtype: Any = "float32", seed: int | None = None
) -> Any:
    """Numbers from `minval` to below `maxval`, 1 unless told; whole ones for a dtype of such.

    Raises
    ------
    ValueError
        If whole numbers are asked for without `maxval`.
    """
    if np.dtype(dtype).kind not in "iu":
        return numbers.uniform(shape, minval, 1 if maxval is None else maxval, dtype, seed)
    if maxval is None:
        raise ValueError("whole numbers need maxval, below which they lie. Received: maxval=None")
    return numbers.randint(shape, minval, maxval, dtype, seed)


def shuffle(value: Any, seed: int | None = None) -> Any:
    """The rows in a random order."""
    order = np.argsort(np.asarray(numbers.uniform((len(value),), seed=seed)))
    return of_tensorflow(np.asarray(value)[order])
