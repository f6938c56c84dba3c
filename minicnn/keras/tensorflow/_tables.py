"""``tf.data.experimental.make_csv_dataset``: batches of the columns of tables, by their names."""

from __future__ import annotations

import csv
import glob
import gzip
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.data import Dataset
from minicnn.data.elements import as_array
from minicnn.keras.tensorflow._csv import CsvDataset
from minicnn.settings import floatx

__all__ = ["make_csv_dataset"]


def make_csv_dataset(
    file_pattern: Any,
    batch_size: int,
    column_names: Sequence[str] | None = None,
    column_defaults: Sequence[Any] | None = None,
    label_name: str | None = None,
    select_columns: Sequence[Any] | None = None,
    *further: Any,
    **options: Any,
) -> Dataset:
    """Batches of tables: a dict of columns, or with `label_name` a pair of such a dict and the labels.

    Parameters
    ----------
    file_pattern : text, or sequence of such
        Files, or patterns of their names.
    batch_size : int
    column_names : sequence of str, optional
        Default: those in the first line.
    column_defaults : sequence, optional
        As `record_defaults` of `CsvDataset`; default: found in the first `num_rows_for_inference` lines, and 0 or an
        empty text for empty entries.
    label_name : str, optional
        The column of the labels.
    select_columns : sequence of int or str, optional
        Those that are read; default: all.
    *further, **options
        TensorFlow's further arguments: `field_delim`, `use_quote_delim`, `na_value` and `header` as of `CsvDataset`
        (`header` is true here), `num_epochs` (None: without end, in full batches), `shuffle` (True),
        `shuffle_buffer_size` (10000), `shuffle_seed`, `num_rows_for_inference` (100; None: all lines) and
        `compression_type` ("GZIP"); others change nothing, but for ``ignore_errors=True``, which is refused.

    Raises
    ------
    ValueError
        For columns that are not there, or twice.
    TypeError
        For arguments that TensorFlow does not have.
    """
    told = _told(dict(zip(_DEFAULTS, further, strict=False)) | options)
    paths, header = _paths(file_pattern), told["header"]
    names = _names(column_names, paths, told)
    chosen = _chosen(select_columns, names)
    if column_defaults is None:
        lines = itertools.chain.from_iterable(_rows(path, told, header) for path in paths)
        rows = _of_size(itertools.islice(lines, told["num_rows_for_inference"]), len(names))
        column_defaults = _defaults(rows, chosen, told["na_value"])
    kept = [names[n] for n in chosen]
    if label_name is not None and label_name not in kept:
        raise ValueError(f"label_name is one of the columns {kept}. Received: label_name={label_name!r}")
    reading = {name: told[name] for name in ("header", "field_delim", "use_quote_delim", "na_value")}
    rows = CsvDataset(paths, column_defaults, told["compression_type"], select_cols=chosen, **reading)
    rows = rows.shuffle(told["shuffle_buffer_size"], told["shuffle_seed"]) if told["shuffle"] else rows
    rows = rows if told["num_epochs"] == 1 else rows.repeat(told["num_epochs"])

    def by_name(*columns: Any) -> Any:
        features = dict(zip(kept, columns, strict=True))
        return features if label_name is None else (features, features.pop(label_name))

    return rows.batch(batch_size, drop_remainder=told["num_epochs"] is None).map(by_name)


_DEFAULTS = {
    **{"field_delim": ",", "use_quote_delim": True, "na_value": "", "header": True, "num_epochs": None},
    **{"shuffle": True, "shuffle_buffer_size": 10000, "shuffle_seed": None, "prefetch_buffer_size": None},
    **{"num_parallel_reads": None, "sloppy": False, "num_rows_for_inference": 100, "compression_type": None},
    **{"ignore_errors": False, "encoding": "utf-8"},
}  # in TensorFlow's order


def _told(options):
    """All further arguments."""
    if unknown := set(options) - set(_DEFAULTS):
        raise TypeError(f"make_csv_dataset takes {', '.join(_DEFAULTS)} besides. Received: {', '.join(unknown)}")
    told = {**_DEFAULTS, **options}
    check_choice("ignore_errors", told["ignore_errors"], (False,))
    check_choice("compression_type", told["compression_type"] or "", ("", "GZIP"))
    return told


def _paths(pattern):
    """The files of patterns, in order."""
    given = [pattern] if isinstance(pattern, str | bytes | os.PathLike) else np.ravel(as_array(pattern)).tolist()
    paths = sorted(path for each in map(os.fsdecode, given) for path in glob.glob(each))
    if not paths:
        raise ValueError(f"expected files, or a pattern of their names. Received: {pattern!r}, which is no file's name")
    return paths


def _rows(path: str, told: dict[str, Any], header: bool) -> Iterator[list[str]]:
    """The lines of a file in parts, without the first one if that is a header."""
    quoting = csv.QUOTE_MINIMAL if told["use_quote_delim"] else csv.QUOTE_NONE
    opened = gzip.open if told["compression_type"] else open
    with opened(path, "rt", encoding=told["encoding"], newline="") as file:
        yield from itertools.islice(csv.reader(file, delimiter=told["field_delim"], quoting=quoting), int(header), None)


def _names(column_names, paths, told):
    """The names of the columns, which all files have."""
    if column_names is None and not told["header"]:
        raise ValueError("expected column_names=[…] of a table without a header. Received: column_names=None")
    headers = [next(_rows(path, told, False), []) for path in paths] if column_names is None else [list(column_names)]
    names = headers[0]
    if other := [each for each in headers if each != names]:
        raise ValueError(f"expected files of the same columns {names}. Received: one with {other[0]}")
    if len(set(names)) < len(names):
        raise ValueError(f"expected names of columns that differ. Received: {names}")
    return names


def _of_size(rows, size):
    """The rows, each of which has so many entries."""
    for row in rows:
        if len(row) != size:
            raise ValueError(f"expected {size} entries in each line. Received: {row}")
        yield row


def _chosen(select_columns, names):
    """The numbers of the columns that are read, in order."""
    if select_columns is None:
        return list(range(len(names)))
    if wrong := [each for each in select_columns if each not in names and each not in range(len(names))]:
        raise ValueError(f"select_columns has names of {names}, or their numbers from 0 on. Received: {wrong[0]!r}")
    return sorted({each if isinstance(each, int) else names.index(each) for each in select_columns})


def _defaults(rows, chosen, na_value):
    """What stands for an empty entry of each column: a zero of the narrowest dtype that all its entries fit in."""
    found = [0] * len(chosen)  # of `_KINDS`
    is_empty = [True] * len(chosen)
    for row in rows:
        for place, number in enumerate(chosen):
            if (entry := row[number]) not in ("", na_value):
                found[place] = max(found[place], _kind(entry))
                is_empty[place] = False
    numbers = [np.zeros(1, kind) for kind in ("int32", "int64", floatx(), "float64")]
    return [
        "" if nothing or kind == len(numbers) else numbers[kind] for kind, nothing in zip(found, is_empty, strict=True)
    ]


def _kind(entry):
    """The first of int32, int64, float32, float64 and text, by its number, that writes an entry."""
    try:
        whole = int(entry)
        return 0 if -(2**31) <= whole < 2**31 else 1 if -(2**63) <= whole < 2**63 else 2
    except ValueError:
        pass
    try:
        number = float(entry)
    except ValueError:
        return 4
    with np.errstate(over="ignore"):
        return 2 if np.float32(number) < np.inf else 3 if number < np.inf else 4
