"""Keras's own data sets in files of NumPy: rows of words, and of numbers about houses."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from minicnn.errors import DataError
from minicnn.hints import FilePath
from minicnn.keras.utils._downloads import get_file

_ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_IS_2 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
_OF_ARRAYS = {  # all that a pickled array of lists may name
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


def published(name: str, digits: str, path: FilePath | None = None) -> str:
    """The path of one of Keras's files, as `get_file`; it may be kept under another name."""
    return get_file(path or name, _ADDRESS + name, file_hash=digits)


class _Arrays(pickle.Unpickler):
    """Unpickles arrays, and runs nothing."""

    def find_class(self, module, name):
        if (module, name) not in _OF_ARRAYS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core") if _IS_2 else module, name)


def read_arrays(path: FilePath, *names: str) -> list[np.ndarray]:
    """Arrays of an ``.npz`` file, also of lists.

    Raises
    ------
    DataError
        If it is damaged, or would run code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [_read(archive.open(f"{name}.npy")) for name in names]
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError, zlib.error, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path} is damaged or is not the right file: delete it to download it again. Received: "
            f"{type(error).__name__}: {error}"
        ) from None


def _read(file: IO[bytes]) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read_header: Callable[..., Any] = np.lib.format.read_array_header_1_0
    shape, _, dtype = (read_header if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    if dtype.hasobject:
        found = _Arrays(file).load()
        if not (isinstance(found, np.ndarray) and found.dtype == dtype and found.shape == shape):
            raise ValueError("its array is not what its header says")
        return found
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def shuffled(stream: np.random.RandomState, *arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays (N, …) in one new order, that of Keras for the stream of a seed."""
    order = np.arange(len(arrays[0]))
    stream.shuffle(order)
    return [array[order] for array in arrays]


def split(test_split: float, *arrays: np.ndarray) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The begins of arrays (N, …) for training, and their ends.

    Raises
    ------
    ValueError
        Unless the part of the ends is 0 or more, and less than 1.
    """
    if not 0 <= test_split < 1:
        raise ValueError(f"`test_split` is a part, 0 or more and less than 1. Received: test_split={test_split!r}")
    count = int(len(arrays[0]) * (1 - test_split))
    return tuple(np.array(array[:count]) for array in arrays), tuple(np.array(array[count:]) for array in arrays)


def houses(
    name: str, digits: str, path: FilePath, test_split: float, seed: int, count: int | None = None
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Numbers about houses, and their prices: the first `count` of a file, in a new order, `split`."""
    arrays = [array[:count] for array in read_arrays(published(name, digits, path), "x", "y")]
    return split(test_split, *shuffled(np.random.RandomState(seed), *arrays))
