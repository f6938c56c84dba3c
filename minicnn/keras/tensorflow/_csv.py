"""``tf.io.decode_csv`` and ``CsvDataset``: lines of tables, such as those of names of pictures and their labels."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.data import Dataset
from minicnn.data.elements import EagerArray, as_array
from minicnn.keras._dtypes import TextDtype
from minicnn.keras.tensorflow._functions import as_tensor
from minicnn.keras.tensorflow._numerals import number_of
from minicnn.settings import floatx

__all__ = ["CsvDataset", "decode_csv"]


def decode_csv(
    records: Any,
    record_defaults: Sequence[Any],
    field_delim: str = ",",
    use_quote_delim: bool = True,
    na_value: str = "",
    select_cols: Sequence[int] | None = None,
    name: str | None = None,
) -> list[Any]:
    """The columns of lines of a table: a list of arrays, each of the shape of `records`.

    Parameters
    ----------
    records : text, or array of such
    record_defaults : sequence of number, text, list of one, or dtype
        For each column what stands for an empty entry, whose dtype the column has; a dtype, or an empty array: there
        are no empty ones.
    field_delim : str, default ","
    use_quote_delim : bool, default True
        Whether what is in double quotes is one entry.
    na_value : str, default ""
        What stands for an empty entry in the lines, too.
    select_cols : sequence of int, optional
        The numbers of the columns, in order; default: all.

    Raises
    ------
    ValueError
        For a line of another number of entries, an entry that is empty or no number where it must be.
    """
    given = as_array(records)
    lines = [each.decode() if isinstance(each, bytes) else str(each) for each in given.ravel().tolist()]
    quoting = csv.QUOTE_MINIMAL if use_quote_delim else csv.QUOTE_NONE
    rows = [next(csv.reader([line], delimiter=field_delim, quoting=quoting), [""]) for line in lines]
    columns = _columns(rows, record_defaults, na_value, select_cols)
    return [column.reshape(given.shape).view(EagerArray) for column in columns]


def CsvDataset(
    filenames: Any,
    record_defaults: Sequence[Any],
    compression_type: str | None = None,
    buffer_size: int | None = None,
    header: bool = False,
    field_delim: str = ",",
    use_quote_delim: bool = True,
    na_value: str = "",
    select_cols: Sequence[int] | None = None,
    exclude_cols: Sequence[int] | None = None,
) -> Dataset:
    """The lines of tables, one after the other, as tuples of their columns.

    Parameters
    ----------
    filenames : str, path, or sequence of such
    record_defaults, field_delim, use_quote_delim, na_value, select_cols
        As of `decode_csv`.
    compression_type : {"GZIP"}, optional
    buffer_size : optional
        Not used.
    header : bool, default False
        Whether the first line of a file is left out.
    exclude_cols : sequence of int, optional
        The numbers of columns that are left out, instead of `select_cols`.
    """
    check_choice("compression_type", compression_type or "", ("", "GZIP"))
    given = [filenames] if isinstance(filenames, str | bytes | os.PathLike) else np.ravel(as_array(filenames)).tolist()
    quoting = csv.QUOTE_MINIMAL if use_quote_delim else csv.QUOTE_NONE

    def elements() -> Iterator[tuple[Any, ...]]:
        for path in map(os.fsdecode, given):
            with (gzip.open if compression_type else open)(path, "rt", encoding="utf-8", newline="") as file:
                rows = csv.reader(file, delimiter=field_delim, quoting=quoting)
                if header:
                    next(rows, None)
                for row in filter(None, rows):
                    left = exclude_cols and [n for n in range(len(row)) if n not in exclude_cols]
                    columns = _columns([row], record_defaults, na_value, left or select_cols)
                    yield tuple(column.reshape(()).view(EagerArray) for column in columns)

    return Dataset(elements)


def _columns(rows, record_defaults, na_value, select_cols):
    """An array of each column of rows of text."""
    rows = rows if select_cols is None else [[row[n] for n in select_cols if n < len(row)] for row in rows]
    if wrong := [row for row in rows if len(row) != len(record_defaults)]:
        raise ValueError(
            f"expected {len(record_defaults)} entries in a line, as many as record_defaults. Received: {wrong[0]}"
        )
    columns = zip(*rows, strict=True) if rows else [()] * len(record_defaults)
    return [_column(n, each, *_default(record_defaults[n]), na_value) for n, each in enumerate(columns)]


def _default(given):
    """(the dtype of a column, None for text; what stands for an empty entry, None where there is none)."""
    if isinstance(given, type | np.dtype | TextDtype):
        kind = np.dtype(given)
        return (None if kind.kind in "SUO" else kind), None
    entry = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    if type(entry) in (int, float, str):  # there may be a thousand columns, as of a picture's pixels
        return {int: np.dtype("int32"), float: np.dtype(floatx()), str: None}[type(entry)], entry
    array = np.ravel(np.asarray(as_tensor(given)))
    value = array[0] if array.size else None
    return (None, value) if array.dtype.kind in "SUO" else (array.dtype, value)


def _column(number, entries, kind, default, na_value):
    is_empty = [entry in ("", na_value) for entry in entries]
    if default is None and any(is_empty):
        raise ValueError(f"column {number} has no default in record_defaults. Received: an empty entry")
    made = [default if empty else entry for entry, empty in zip(entries, is_empty, strict=True)]
    if kind is None:
        return np.array([each.encode() if isinstance(each, str) else each for each in made], object)
    try:
        return np.array([number_of(each, kind) for each in made], kind)
    except (OverflowError, ValueError) as error:
        shown = ", ".join(map(repr, made[:3]))
        raise ValueError(f"column {number} holds numbers of {kind}. Received: {shown}") from error
