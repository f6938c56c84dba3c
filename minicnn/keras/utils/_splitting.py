"""``keras.utils.split_dataset``."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.data import Dataset
from minicnn.data.elements import Element, stacked


def split_dataset(
    dataset: Any,
    left_size: float | int | None = None,
    right_size: float | int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: Any = None,
) -> tuple[Dataset, Dataset]:
    """Two data sets from one, or from arrays: its begin and its end, in Keras's order.

    Parameters
    ----------
    dataset : Dataset, array, or list or tuple of arrays
        The samples of one whose last step is `batch` are divided, and are in such batches again.
    left_size, right_size : float between 0 and 1, or int
        Parts, or numbers of samples; one may be None.
    shuffle : bool, default False
    seed : int, optional
        Default: drawn by Python's `random`.
    preferred_backend : optional
        Not used.

    Returns
    -------
    (Dataset, Dataset)

    Raises
    ------
    ValueError
        If there are no such parts.
    """
    batch_size = getattr(dataset, "_batch_size", None)
    if not isinstance(dataset, Dataset):
        dataset = Dataset.from_tensor_slices(_of_python(dataset))
    samples = list(dataset if batch_size is None else dataset.unbatch())
    if shuffle:
        random.Random(random.randint(0, 10**6) if seed is None else seed).shuffle(samples)
    left, right = _sizes(left_size, right_size, len(samples))
    parts = _of(samples[:left]), _of(samples[len(samples) - right :])  # what is left over lies between them
    return parts if batch_size is None else (parts[0].batch(batch_size), parts[1].batch(batch_size))


def _of_python(arrays):
    """A tuple of arrays; the numbers of a single (N,) become what TensorFlow makes of Python's."""
    if isinstance(arrays, list | tuple):
        return tuple(arrays)
    is_row = isinstance(arrays, np.ndarray) and arrays.ndim == 1 and arrays.dtype.kind in "iu"
    return arrays.tolist() if is_row else arrays


def _sizes(left_size, right_size, count):
    """How many of the samples each part has."""
    left, right = _count_of("left_size", left_size, count), _count_of("right_size", right_size, count)
    left = count - right if left is None and right is not None else left
    right = count - left if right is None and left is not None else right
    over = all(isinstance(size, float) for size in (left_size, right_size)) and left_size + right_size > 1
    if left is None or left < 1 or right < 1 or left + right > count or over:
        raise ValueError(
            f"left_size and right_size are parts of {count} samples, as 0.8 or 100, one of which may be left out. "
            f"Received: left_size={left_size}, right_size={right_size}"
        )
    return left, right


def _count_of(name, size, count):
    """A number of samples from a part."""
    is_part = isinstance(size, float | np.floating)
    return size if size is None else round(float(size) * count) if is_part else check_positive_int(name, size)


def _of(samples: list[Element]) -> Dataset:
    """A data set of samples that are there."""
    return Dataset.from_tensor_slices(stacked(samples))
