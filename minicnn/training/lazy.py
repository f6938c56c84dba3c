"""Data sets that lie in a file, read batch by batch: h5py, zarr and all that look like them; sparse matrices too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.foreign import check_open


def as_lazy(value: Any) -> Any:
    """`value` as a `LazyArray` if reading it is left to whoever needs a part; else `value` itself."""
    check_open(value)
    in_memory = isinstance(value, np.ndarray | np.generic | LazyArray) or any(
        hasattr(value, name) for name in ("__dlpack__", "__array_interface__", "to_numpy", "detach", "numpy")
    )
    value = value.tocsr() if hasattr(value, "tocsr") else value  # sparse, in a form that has rows
    if in_memory or not all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return value
    try:
        is_real = np.dtype(value.dtype).kind in "biuf"
    except TypeError:  # of another library
        return value
    has_rows = len(value.shape) > 0 and value.shape[0] is not None  # a symbolic tensor has none
    return LazyArray(value, 0, value.shape[0], tuple(value.shape[1:])) if is_real and has_rows else value


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of something array-like, of which nothing is read if it lies in a file; () if it has none."""
    try:
        return tuple(np.shape(as_lazy(value)))
    except ValueError:  # lists of unequal lengths
        return ()


def checked_rows(value: Any, check: Callable[[np.ndarray], np.ndarray]) -> Any:
    """``check(value)``; of a `LazyArray` with several numbers a row, one whose rows are checked when they are read."""
    if not isinstance(value, LazyArray):
        return check(value)
    if math.prod(value.shape[1:]) == 1:  # say class numbers: they are few, and better checked before the training
        return check(np.asarray(value))
    first = check(np.asarray(value[:1]))
    return LazyArray(_Checked(value, check, first.dtype), 0, len(value), first.shape[1:])


class _Checked:
    """What a `LazyArray` reads from: another one, whose rows are checked."""

    def __init__(self, rows, check, dtype):
        self._rows, self._check, self.dtype = rows, check, dtype

    def __getitem__(self, part):
        return self._check(np.asarray(self._rows[part]))


class LazyArray:
    """Rows of a data set that are read when they are needed.

    Parameters
    ----------
    source : object
        With ``shape``, ``dtype`` and slices of the first axis.
    start, stop : int
        The rows.
    row_shape : tuple of int
        Shape of each, which need not be the source's.
    """

    def __init__(self, source: Any, start: int, stop: int, row_shape: tuple[int, ...]) -> None:
        self._source, self._start = source, start
        self.shape: tuple[int, ...] = (stop - start, *row_shape)
        self.dtype: np.dtype = np.dtype(source.dtype)
        self.ndim: int = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> LazyArray | np.ndarray:
        """A slice of the rows, or ``[..., None]``, ``[..., 0]``: lazy. Indices of rows: an array."""
        if isinstance(key, tuple):  # another last axis
            row_shape = (*self.shape[1:], 1) if key[-1] is None else self.shape[1:-1]
            return LazyArray(self._source, self._start, self._start + len(self), row_shape)
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return LazyArray(self._source, self._start + start, self._start + max(start, stop), self.shape[1:])
        return self._rows(np.asarray(key))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._read(0, len(self)), dtype)

    def _rows(self, indices):
        """Rows in any order, read in that of the file, neighbours together."""
        order = np.argsort(indices, kind="stable")
        ordered = indices[order]
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        starts = np.flatnonzero(np.diff(ordered, prepend=-2) != 1)
        for first, last in zip(starts, [*starts[1:], len(indices)], strict=True):
            out[order[first:last]] = self._read(int(ordered[first]), int(ordered[first]) + int(last - first))
        return out

    def _read(self, start, stop):
        part = self._source[self._start + start : self._start + stop]
        part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        return part.reshape(stop - start, *self.shape[1:])
