"""``keras.utils.timeseries_dataset_from_array``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice, check_positive_int
from minicnn.data import Dataset
from minicnn.foreign import to_numpy


def timeseries_dataset_from_array(
    data: ArrayLike,
    targets: ArrayLike | None,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> Dataset:
    """Windows of a series, and a target for each.

    Parameters
    ----------
    data : array-like (steps, …)
    targets : array-like (steps, …), or None
        targets[i] is of the window that begins at step i. None: there are windows alone.
    sequence_length : int
        Steps of a window.
    sequence_stride : int, default 1
        From the begin of a window to that of the next.
    sampling_rate : int, default 1
        From a step of a window to the next of it.
    batch_size : int or None, default 128
        Windows of a batch; None: each is an element.
    shuffle : bool, default False
        Another order in every pass, of all windows (Keras mixes only those of eight batches).
    seed : int, optional
        Of that order.
    start_index, end_index : int, optional
        The first step that is used, and that behind the last one. Default: all.
    format : {"tf", "grain"}, default "tf"
        Not used: the data set is minicnn's.

    Returns
    -------
    Dataset
        Of windows (N, sequence_length, …), or pairs of them and targets (N, …). No step is copied before a batch is
        made.

    Raises
    ------
    ValueError
        If an index is outside the series, or it is too short for a window.
    """
    check_choice("format", format, ("tf", "grain"))
    data = np.asarray(to_numpy(data, "data"))
    if not len(data):
        raise ValueError("a series has one step or more. Received: data without steps")
    first, last = _range_of(start_index, end_index, len(data))
    length, rate = check_positive_int("sequence_length", sequence_length), _step("sampling_rate", sampling_rate, data)
    stride, windows = _step("sequence_stride", sequence_stride, data), _windows(data[first:last], length, rate)
    parts: Any = windows[::stride]
    if targets is not None:
        own = _of_windows(np.asarray(to_numpy(targets, "targets")), first, last)
        count = min(len(windows), len(own))
        parts = windows[:count:stride], own[:count:stride]
    found = Dataset.from_tensor_slices(parts)
    if shuffle:
        found = found.shuffle(max(1, len(found)), seed=seed)
    return found if batch_size is None else found.batch(batch_size)


def _windows(steps, length, rate):
    """A view of all windows: (windows, length, …)."""
    reach = (length - 1) * rate + 1
    if len(steps) < reach:
        raise ValueError(
            f"a window of sequence_length={length} steps, each sampling_rate={rate} after the other, reaches over "
            f"{reach} steps of data. Received: {len(steps)} steps from start_index to end_index"
        )
    views = np.lib.stride_tricks.sliding_window_view(steps, reach, axis=0)  # (windows, …, reach)
    return np.moveaxis(views[..., ::rate], -1, 1)


def _of_windows(targets, first, last):
    """Those of the windows that begin at these steps."""
    if len(targets) <= first:
        raise ValueError(
            f"targets[i] is of the window that begins at step i. Received: {len(targets)} targets, and "
            f"start_index={first}"
        )
    return targets[first:last]


def _range_of(start, end, count):
    """The first of `count` steps, and that behind the last."""
    first, last = check_positive_int("start_index", start or 0, 0), count if end is None else end
    if not first < check_positive_int("end_index", last) <= count:
        raise ValueError(
            f"start_index must be lower than end_index, and end_index at most the {count} steps of data. Received: "
            f"start_index={start}, end_index={end}"
        )
    return first, last


def _step(name, value, data):
    if check_positive_int(name, value) >= len(data) > 1:
        raise ValueError(f"`{name}` must be lower than the {len(data)} steps of data. Received: {name}={value}")
    return value
