"""What scripts of TensorFlow 2.0 to 2.3 take from ``tf.data.experimental``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from minicnn.data.dataset import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset
from minicnn.data.elements import EagerCount

__all__ = ["AUTOTUNE", "INFINITE_CARDINALITY", "UNKNOWN_CARDINALITY", "Counter", "cardinality", "map_and_batch"]
__all__ += ["AutoShardPolicy", "RandomDataset", "assert_cardinality", "choose_from_datasets", "copy_to_device"]
__all__ += [
    "enumerate_dataset",
    "get_single_element",
    "group_by_window",
    "ignore_errors",
    "load",
    "parallel_interleave",
]
__all__ += [
    "prefetch_to_device",
    "sample_from_datasets",
    "save",
    "scan",
    "shuffle_and_repeat",
    "snapshot",
    "take_while",
]
__all__ += ["unbatch", "unique"]


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


_Applying: TypeAlias = Callable[..., Callable[[Dataset], Any]]


def _applying(method: str, name: str = "") -> _Applying:
    """For ``dataset.apply(…)``: what the method does, under its name unless told another one."""

    def transformation(*args: Any, **options: Any) -> Callable[[Dataset], Any]:
        return lambda dataset: getattr(dataset, method)(*args, **options)

    transformation.__name__ = name or method
    transformation.__doc__ = f"For ``dataset.apply(…)``: ``dataset.{method}(…)``."
    return transformation


enumerate_dataset: _Applying = _applying("enumerate", "enumerate_dataset")
group_by_window: _Applying = _applying("group_by_window")
ignore_errors: _Applying = _applying("ignore_errors")
scan: _Applying = _applying("scan")
snapshot: _Applying = _applying("snapshot")
take_while: _Applying = _applying("take_while")
unbatch: _Applying = _applying("unbatch")
unique: _Applying = _applying("unique")


def parallel_interleave(
    map_func: Callable[..., Dataset], cycle_length: int = 1, block_length: int = 1, **options: Any
) -> Callable[[Dataset], Dataset]:
    """For ``dataset.apply(…)``: ``interleave(map_func, cycle_length, block_length)``.

    Parameters
    ----------
    map_func : callable
    cycle_length, block_length : int, default 1
    **options
        Change nothing.
    """
    return lambda dataset: dataset.interleave(map_func, cycle_length, block_length)


def prefetch_to_device(device: str, buffer_size: int | None = None) -> Callable[[Dataset], Dataset]:
    """For ``dataset.apply(…)``: ``prefetch``; models take data to their device by themselves.

    Parameters
    ----------
    device : str
        Changes nothing.
    buffer_size : int, optional
    """
    return lambda dataset: dataset.prefetch(AUTOTUNE if buffer_size is None else buffer_size)


def copy_to_device(target_device: str, source_device: str = "/cpu:0") -> Callable[[Dataset], Dataset]:
    """For ``dataset.apply(…)``: the data set, as models take data to their device by themselves.

    Parameters
    ----------
    target_device, source_device : str
        Change nothing.
    """
    return lambda dataset: dataset


def get_single_element(dataset: Dataset) -> Any:
    """``dataset.get_single_element()``.

    Parameters
    ----------
    dataset : Dataset
    """
    return dataset.get_single_element()


sample_from_datasets: Callable[..., Dataset] = Dataset.sample_from_datasets
choose_from_datasets: Callable[..., Dataset] = Dataset.choose_from_datasets
load: Callable[..., Dataset] = Dataset.load


def save(dataset: Dataset, path: Any, **options: Any) -> None:
    """``dataset.save(path)``.

    Parameters
    ----------
    dataset : Dataset
    path : str or path-like
    **options
        As of `Dataset.save`.
    """
    dataset.save(path, **options)


def RandomDataset(seed: int | None = None) -> Dataset:
    """``Dataset.random(seed)``.

    Parameters
    ----------
    seed : int, optional
    """
    return Dataset.random(seed)


class AutoShardPolicy:
    """How several workers share a data set; it changes nothing here."""

    OFF, AUTO, FILE, DATA, HINT = -1, 0, 1, 2, 3
