"""What scripts of TensorFlow 2.0 to 2.3 take from ``tf.data.experimental``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from minicnn.data.dataset import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset
from minicnn.data.elements import EagerCount

__all__ = ["AUTOTUNE", "INFINITE_CARDINALITY", "UNKNOWN_CARDINALITY", "Counter", "cardinality", "map_and_batch"]
__all__ += ["assert_cardinality", "shuffle_and_repeat"]


def cardinality(dataset: Dataset) -> EagerCount:
    """``dataset.cardinality()``.

    Parameters
    ----------
    dataset : Dataset
    """
    return dataset.cardinality()


def Counter(start: int = 0, step: int = 1, dtype: Any = np.int64) -> Dataset:
    """Numbers from `start` on, without an end.

    Parameters
    ----------
    start, step : int
    dtype : dtype, default int64
    """
    return Dataset(lambda: (np.asarray(n, dtype) for n in count(start, step)), INFINITE_CARDINALITY)


def assert_cardinality(expected_cardinality: int) -> Callable[..., Dataset]:
    """For ``dataset.apply(…)``: says how many elements there are, where the data set does not know.

    Parameters
    ----------
    expected_cardinality : int
        Number of elements; it is believed, not counted.
    """
    return lambda dataset: Dataset(dataset._elements, int(expected_cardinality))


def shuffle_and_repeat(buffer_size: int, count: int | None = None, seed: int | None = None) -> Callable[..., Dataset]:
    """For ``dataset.apply(…)``: ``shuffle(buffer_size, seed).repeat(count)``.

    Parameters
    ----------
    buffer_size : int
    count : int, optional
        Default: without an end.
    seed : int, optional
    """
    return lambda dataset: dataset.shuffle(buffer_size, seed=seed).repeat(count)


def map_and_batch(
    map_func: Callable[..., Any],
    batch_size: int,
    num_parallel_batches: int | None = None,
    drop_remainder: bool = False,
    num_parallel_calls: int | None = None,
) -> Callable[..., Dataset]:
    """For ``dataset.apply(…)``: ``map(map_func, num_parallel_calls).batch(batch_size, drop_remainder)``.

    Parameters
    ----------
    map_func : callable
    batch_size : int
    num_parallel_batches : int, optional
        Changes nothing.
    drop_remainder : bool, default False
    num_parallel_calls : int, optional
    """
    return lambda dataset: dataset.map(map_func, num_parallel_calls).batch(batch_size, drop_remainder)
