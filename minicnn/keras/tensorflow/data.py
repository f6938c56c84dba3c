"""``tf.data``: `minicnn.data`, and TensorFlow's files of records."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

import minicnn.data
from minicnn.checks import check_choice
from minicnn.data import experimental
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras._names import Lookup, NoAttribute, lookup
from minicnn.keras.tensorflow._csv import CsvDataset
from minicnn.keras.tensorflow._records import TFRecordDataset
from minicnn.keras.tensorflow._tables import make_csv_dataset

__all__ = ["Options", "TFRecordDataset", "TextLineDataset", "make_one_shot_iterator", *minicnn.data.__all__]

if TYPE_CHECKING:  # for checkers, which do not see what is found at run time
    from minicnn.data import *  # noqa: F403


class Options:
    """Settings of a data set, which change nothing: any attribute may be read and set."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        inner = self.__dict__[name] = Options()
        return inner

    def __call__(self) -> Options:
        """Others of the kind."""
        return Options()


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


_ONE_SHAPE = "batches are arrays of one shape: padded_batch fills elements up to the longest"
_ABSENT = {
    "bucket_by_sequence_length": _ONE_SHAPE,
    "dense_to_ragged_batch": _ONE_SHAPE,
    "dense_to_sparse_batch": _ONE_SHAPE,
    "ragged_batch": _ONE_SHAPE,
    "sparse_batch": _ONE_SHAPE,
    "rejection_resample": "filter, or sample_from_datasets with weights, changes how often classes come",
}


def _refusal(what: str, why: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotInMinicnn(f"{what}: {why}. Received: a call of it")

    return refuse


def _assert_cardinality(self: Any, expected_cardinality: int, name: str | None = None) -> minicnn.data.Dataset:
    """``dataset.apply(tf.data.experimental.assert_cardinality(expected_cardinality))``.

    Parameters
    ----------
    expected_cardinality : int
    """
    return self.apply(experimental.assert_cardinality(expected_cardinality))


def make_one_shot_iterator(dataset: minicnn.data.Dataset) -> Any:
    """TensorFlow 1's name of ``iter(dataset)``, whose ``get_next`` gives an element each time it is called.

    Parameters
    ----------
    dataset : Dataset
    """
    return iter(dataset)


minicnn.data.Dataset.make_one_shot_iterator = make_one_shot_iterator  # type: ignore[attr-defined]
minicnn.data.Dataset.options = lambda dataset: Options()  # type: ignore[attr-defined]
for _name, _why in _ABSENT.items():
    setattr(minicnn.data.Dataset, _name, _refusal(f"data sets have no {_name}", _why))
minicnn.data.Dataset.assert_cardinality = _assert_cardinality  # type: ignore[attr-defined]


experimental.CsvDataset, experimental.make_csv_dataset = CsvDataset, make_csv_dataset  # type: ignore[attr-defined]
experimental.SqlDataset = _refusal(  # type: ignore[attr-defined]
    "minicnn has no tf.data.experimental.SqlDataset",
    "pandas.read_sql reads the columns, of which Dataset.from_tensor_slices makes a data set",
)
for _name in ("AutoShardPolicy", "DistributeOptions", "OptimizationOptions", "ThreadingOptions"):
    setattr(experimental, _name, Options())  # settings, whose names scripts take from there


def _no_experiment(name: str) -> NoReturn:
    raise NoAttribute(
        f"minicnn has no tf.data.experimental.{name}: methods of data sets are what most of its names became",
        name=name,
    )


experimental.__getattr__ = _no_experiment  # type: ignore[attr-defined]
__getattr__: Lookup = lookup(__name__, sources=("minicnn.data",))
