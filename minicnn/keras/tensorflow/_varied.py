"""Arrays of rows of several lengths, filled up: what a `VarLenFeature` gives, with what a sparse tensor has."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray


class Varied(EagerArray):
    """A row (n,), or rows (N, n) filled up behind their ends, with ``.values``, ``.indices``, ``.dense_shape``."""

    lengths: np.ndarray | None = None  # of each row, (N,) or (); what is computed of the array has none

    def is_given(self) -> np.ndarray:
        """Where numbers stand that were given, bool, of the array's shape.

        Raises
        ------
        AttributeError
            Of what was made of such an array, whose lengths are not known.
        """
        if self.lengths is None:
            raise AttributeError(
                "which numbers were given is known of what parse_example has returned, not of what is made of it. "
                f"Received: an array of shape {self.shape}"
            )
        return np.arange(self.shape[-1]) < self.lengths[..., None]

    @property
    def values(self) -> Any:
        """The numbers that were given, row by row: (n,)."""
        return np.asarray(self)[self.is_given()].view(EagerArray)

    @property
    def indices(self) -> Any:
        """Where they stand: (n, axes), int64."""
        return np.argwhere(self.is_given()).view(EagerArray)

    @property
    def dense_shape(self) -> Any:
        """The array's shape, as an array."""
        return np.array(self.shape).view(EagerArray)


def filled(parts: list[np.ndarray]) -> Varied:
    """Rows of several lengths as one array, with zeros or empty text behind their ends."""
    longest = max(map(len, parts), default=0)
    rows = np.full((len(parts), longest), b"" if parts and parts[0].dtype == object else 0, parts[0].dtype)
    for row, part in zip(rows, parts, strict=True):
        row[: len(part)] = part
    made = rows.view(Varied)
    made.lengths = np.array([len(part) for part in parts])
    return made


def single(row: np.ndarray) -> Varied:
    """One row, all of which was given."""
    made = row.view(Varied)
    made.lengths = np.array(len(row))
    return made
