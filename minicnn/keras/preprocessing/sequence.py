"""``keras.preprocessing.sequence``: rows of words or times for one-dimensional convolutions."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minicnn import utils
from minicnn.checks import check_choice, check_positive_int
from minicnn.foreign import shown
from minicnn.keras._names import lookup
from minicnn.random import generator, next_seed

__getattr__ = lookup(__name__)
__all__ = ["TimeseriesGenerator", "pad_sequences"]

_SIDES = ("pre", "post")


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: Literal["pre", "post"] = "pre",
    truncating: Literal["pre", "post"] = "pre",
    value: float | str = 0.0,
) -> np.ndarray:
    """Sequences of different lengths as one array.

    Parameters
    ----------
    sequences : sequence of sequences
        Each of numbers, or of arrays of one shape.
    maxlen : int, optional
        The length of all. Default: that of the longest.
    dtype : default "int32"
        Whole numbers drop what follows the point. ``object`` for texts.
    padding : {"pre", "post"}, default "pre"
        Whether the values that are added stand before or after a sequence.
    truncating : {"pre", "post"}, default "pre"
        Whether what is too long loses its begin or its end.
    value : default 0
        What is added.

    Returns
    -------
    ndarray (N, maxlen), or (N, maxlen, …) for sequences of arrays

    Raises
    ------
    ValueError
        If an argument is something else, or the entries of sequences have different shapes.
    TypeError
        If there are no sequences, but a generator.

    Examples
    --------
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    """
    check_choice("padding", padding, _SIDES)
    check_choice("truncating", truncating, _SIDES)
    _check_value(value, dtype)
    lengths = [_length_of(sequence, i) for i, sequence in enumerate(_listed(sequences))]
    length = max(lengths, default=0) if maxlen is None else check_positive_int("maxlen", maxlen, 0)
    shape = next((np.shape(s)[1:] for s, count in zip(sequences, lengths, strict=True) if count), ())
    padded = np.full((len(lengths), length, *shape), value, dtype)  # (N, length, …)
    for i, (row, sequence) in enumerate(zip(padded, sequences, strict=True)):
        if not (count := min(lengths[i], length)):
            continue
        kept = np.asarray(sequence[lengths[i] - count :] if truncating == "pre" else sequence[:count], dtype)
        if kept.shape[1:] != shape:
            raise ValueError(
                f"all sequences must have entries of one shape, {shape} as the first has. Received: entries of shape "
                f"{kept.shape[1:]} in sequences[{i}]"
            )
        row[slice(length - count, None) if padding == "pre" else slice(count)] = kept
    return padded


def _listed(sequences):
    if hasattr(sequences, "__len__") and not isinstance(sequences, str | bytes):
        return sequences
    raise TypeError(
        "pad_sequences takes a list of sequences, as [[1, 2], [3]]; list(…) makes one of a generator. Received: "
        f"{shown(sequences)}"
    )


def _length_of(sequence, i):
    if not hasattr(sequence, "__len__") or isinstance(sequence, str | bytes):
        raise ValueError(
            f"pad_sequences takes a list of sequences, as [[1, 2], [3]]. Received: sequences[{i}]={shown(sequence)}"
        )
    return len(sequence)


def _check_value(value, dtype):
    """A text among numbers is a mistake; an array of texts cuts all of them to one length."""
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(f"`value` must be a number for dtype {dtype}; dtype=object takes texts. Received: {value!r}")


class TimeseriesGenerator(utils.Sequence):
    """Batches of windows of a series, each with the target that follows it, as Keras 2 has them.

    Parameters
    ----------
    data : array-like (steps, …)
    targets : array-like (steps, …)
        targets[i + length] is of the window that begins at i.
    length : int
        Steps of a window.
    sampling_rate : int, default 1
        From one of its steps to the next that is taken.
    stride : int, default 1
        From the begin of a window to that of the next.
    start_index : int, default 0
    end_index : int, optional
        The first and the last step that are used. Default: all.
    shuffle : bool, default False
        Draw windows at random, with repetitions as in Keras.
    reverse : bool, default False
        Turn the steps of each window around.
    batch_size : int, default 128

    Raises
    ------
    ValueError
        If data and targets are not equally long, or too short for a window.
    """

    def __init__(
        self,
        data: ArrayLike,
        targets: ArrayLike,
        length: int,
        sampling_rate: int = 1,
        stride: int = 1,
        start_index: int = 0,
        end_index: int | None = None,
        shuffle: bool = False,
        reverse: bool = False,
        batch_size: int = 128,
    ) -> None:
        super().__init__()
        self.data: np.ndarray = np.asarray(data)
        self.targets: np.ndarray = np.asarray(targets)
        if len(self.data) != len(self.targets):
            raise ValueError(
                f"data and targets must have as many steps. Received: {len(self.data)} and {len(self.targets)}"
            )
        self.length: int = check_positive_int("length", length)
        self.sampling_rate: int = check_positive_int("sampling_rate", sampling_rate)
        self.stride: int = check_positive_int("stride", stride)
        self.batch_size: int = check_positive_int("batch_size", batch_size)
        self.start_index: int = operator.index(start_index) + self.length
        self.end_index: int = len(self.data) - 1 if end_index is None else operator.index(end_index)
        self.shuffle: bool = shuffle
        self.reverse: bool = reverse
        self._random = generator(next_seed(), "windows")
        if not self.length <= self.start_index <= self.end_index < len(self.data):
            raise ValueError(
                f"a window of {self.length} steps and the target after it must lie between start_index, 0 or more, and "
                "end_index, the last step that is used. "
                f"Received: start_index={start_index}, end_index={self.end_index}, {len(self.data)} steps"
            )

    def __len__(self) -> int:
        return -(-(self.end_index - self.start_index + 1) // (self.batch_size * self.stride))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch `index`: windows (N, length, …) and targets (N, …).

        Raises
        ------
        IndexError
            For another one, so that a loop over the batches ends.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches. Received: index {index}")
        if self.shuffle:
            ends = self._random.integers(self.start_index, self.end_index + 1, self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            last = min(first + self.batch_size * self.stride, self.end_index + 1)
            ends = np.arange(first, last, self.stride)
        steps = np.arange(-self.length, 0, self.sampling_rate)
        windows = self.data[ends[:, None] + (steps[::-1] if self.reverse else steps)]  # (N, length, …)
        return windows, self.targets[ends]
