"""``tf.data``: `minicnn.data`, and TensorFlow's files of records."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn.data
from minicnn.checks import check_choice
from minicnn.keras._names import lookup
from minicnn.keras.tensorflow._records import TFRecordDataset

__all__ = ["Options", "TFRecordDataset", "TextLineDataset", *minicnn.data.__all__]

if TYPE_CHECKING:  # for checkers, which do not see what is found at run time
    from minicnn.data import *  # noqa: F403


class Options:
    """Settings of a data set, which change nothing: any attribute may be read and set."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        inner = self.__dict__[name] = Options()
        return inner


def TextLineDataset(filenames: Any, compression_type: str | None = None, **options: Any) -> minicnn.data.Dataset:
    """The lines of text files, one after the other, without the ends of lines; as lists of labels in .csv files.

    Parameters
    ----------
    filenames : str, path, or sequence of such
    compression_type : {"GZIP"}, optional
    **options
        buffer_size, num_parallel_reads and name change nothing.
    """
    check_choice("compression_type", compression_type or "", ("", "GZIP"))
    given = [filenames] if isinstance(filenames, str | bytes | os.PathLike) else list(np.ravel(np.asarray(filenames)))
    paths = [os.fsdecode(each) for each in given]

    def lines() -> Iterator[np.ndarray]:
        for path in paths:
            with gzip.open(path, "rt", encoding="utf-8") if compression_type else open(path, encoding="utf-8") as file:
                yield from (np.asarray(line.rstrip("\r\n")) for line in file)

    return minicnn.data.Dataset(lines)


__getattr__ = lookup(__name__, sources=("minicnn.data",))
