"""What an HDF5 file holds: groups, and datasets that have not been read yet."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import FileFormatError

MAX_FILE = 2**32  # bytes


@dataclass
class Group:
    """A group and all that is in it.

    Attributes
    ----------
    path : str
    attributes : dict
        Name → a number array, a str, or a list of str.
    members : dict
        Name → Group or Dataset.
    """

    path: str
    attributes: dict[str, Any] = field(default_factory=dict)
    members: dict[str, Group | Dataset] = field(default_factory=dict)

    def find(self, path: str) -> Group | Dataset | None:
        """The member at "a/b/c", or, behind `with_slashes`, "a\\b\\c"; or None."""
        found = self
        for name in path.split("/"):
            is_member = isinstance(found, Group) and name in found.members
            for part in [name] if is_member else name.split("\\"):
                if part:
                    found = found.members.get(part) if isinstance(found, Group) else None
        return found


@dataclass
class Dataset:
    """An array that has not been read yet.

    Attributes
    ----------
    path : str
    shape : tuple of int
    dtype : numpy dtype
        Of integers or floating-point numbers.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    _bytes: memoryview

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    def read(self) -> np.ndarray:
        """The array, a copy in the machine's byte order."""
        array = np.frombuffer(self._bytes, self.dtype).reshape(self.shape)
        return array.astype(self.dtype.newbyteorder("="), copy=True)


def with_slashes(group: Group) -> Group:
    """The group with "a\\b", as Keras on Windows has called groups, as b in a."""
    for name in [name for name in group.members if "\\" in name.strip("\\")]:
        inner, member = group, group.members.pop(name)
        *parents, last = [part for part in name.split("\\") if part]
        for parent in parents:
            inner = inner.members.setdefault(parent, Group(f"{inner.path}/{parent}".strip("/")))
            if isinstance(inner, Dataset):
                raise FileFormatError(f"the HDF5 group '{name}' lies in an array")
        known = inner.members.setdefault(last, member)
        if known is not member:
            if (
                not isinstance(known, Group)
                or not isinstance(member, Group)
                or known.members.keys() & member.members.keys()
            ):
                raise FileFormatError(f"the HDF5 data names '{name}' twice")
            known.members |= member.members
            known.attributes |= member.attributes
    for member in group.members.values():
        if isinstance(member, Group):
            with_slashes(member)
    return group


def file_content(path: str | Path) -> bytes:
    """A file of at most `MAX_FILE` bytes as a whole.

    Raises
    ------
    FileFormatError
        If it is larger.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE:
            raise FileFormatError(f"files of at most {MAX_FILE} bytes are read. Received: {size} bytes")
        return file.read(size)


def datasets(group: Group) -> Iterator[Dataset]:
    """All datasets in a group and in the groups in it."""
    for member in group.members.values():
        if isinstance(member, Dataset):
            yield member
        else:
            yield from datasets(member)


def count_numbers(group: Group) -> int:
    """How many numbers the datasets in a group hold."""
    return sum(math.prod(dataset.shape) for dataset in datasets(group))


def read_finite(dataset: Dataset) -> np.ndarray:
    """A dataset's array of numbers, none of which may be NaN or infinite; integers are counts and state of layers."""
    array = dataset.read()
    if not np.isfinite(array).all():
        raise FileFormatError(f"weights are finite. Received: NaN or infinite values in {dataset.path}")
    return array
