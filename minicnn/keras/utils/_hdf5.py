"""``keras.utils.HDF5Matrix`` of Keras 1 and 2: rows of an array in an HDF5 file, read when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.keras._warning import warn_once


class HDF5Matrix:
    """Some rows of an array in an HDF5 file.

    Parameters
    ----------
    datapath : str
        The file.
    dataset : str
        The array's name in it.
    start : int, default 0
    end : int, optional
        Rows from `start` to before `end`; all by default.
    normalizer : callable, optional
        Takes and gives rows that were read.
    """

    def __init__(
        self,
        datapath: str,
        dataset: str,
        start: int = 0,
        end: int | None = None,
        normalizer: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        import h5py

        warn_once("HDF5Matrix is a class of Keras 1 and 2: today fit takes h5py.File(path)[name]")
        self.data: Any = h5py.File(datapath, "r")[dataset]
        self.normalizer: Callable[[np.ndarray], np.ndarray] | None = normalizer
        self.start, self.end, _ = slice(start, end).indices(len(self.data))

    def __len__(self) -> int:
        return max(0, self.end - self.start)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the rows, as they come out of `normalizer`."""
        return (len(self), *self[:1].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the rows, as they come out of `normalizer`."""
        return self[:1].dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> Any:
        """Rows: of a slice, of a number, or of a list of numbers in any order."""
        if isinstance(key, slice):
            first, last, step = key.indices(len(self))
            rows = self.data[self.start + first : self.start + max(first, last)][::step] if step > 0 else None
            rows = self[np.arange(first, last, step)] if rows is None else self._normalized(rows)
            return rows
        if isinstance(key, tuple):
            raise TypeError(f"HDF5Matrix has an index for rows alone: matrix[rows][:, …]. Received: {key}")
        rows = np.asarray(key)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp, copy=False)
        numbers, back = np.unique(rows, return_inverse=True)  # h5py reads them in order, each once
        if len(numbers) and (numbers[0] < -len(self) or numbers[-1] >= len(self)):
            raise IndexError(f"there are {len(self)} rows. Received: {key}")
        places = np.where(numbers < 0, numbers + len(self), numbers) + self.start
        order = np.argsort(places)
        found = np.empty((len(places), *self.data.shape[1:]), self.data.dtype)
        if len(places):
            found[order] = self.data[places[order]]
        return self._normalized(found[back.reshape(rows.shape)])

    def _normalized(self, rows):
        return rows if self.normalizer is None else np.asarray(self.normalizer(rows))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return np.asarray(self[:], *args, **kwargs)
