"""Tables that name pictures, with their classes, targets and weights, as `ImageDataGenerator` takes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.errors import DataError
from minicnn.user_warnings import warn_user

Chosen = Callable[[list[int]], Any]


def pictures_in_table(
    table: Any, column: str, directory: str, extensions: tuple[str, ...] | None
) -> tuple[list[str], list[str], list[int]]:
    """(names in the table, their paths, rows whose files are there and are pictures by their names).

    Parameters
    ----------
    table : pandas.DataFrame, or anything with columns
    column : str
    directory : str
        Where names begin that are not absolute.
    extensions : tuple of str, optional
        Ends of names of pictures, in small letters; None: all rows are taken as they are.

    Raises
    ------
    DataError
        If no row is left.
    """
    names = [
        os.fspath(name) if isinstance(name, os.PathLike) else str(name) for name in column_of(table, column, "x_col")
    ]
    paths = [os.path.join(directory, name) for name in names]
    keep = [
        i
        for i, path in enumerate(paths)
        if extensions is None or (path.lower().endswith(extensions) and os.path.isfile(path))
    ]
    if len(keep) < len(paths):
        warn_user(
            f"{len(paths) - len(keep)} of the table's {len(paths)} files do not exist, or are no pictures by their "
            f"names ({', '.join(extensions or ())}), and are left out"
        )
    if not keep:
        raise DataError(f"none of the table's files exists. Received: {paths[:2]} …")
    return names, paths, keep


def column_of(table: Any, name: Any, argument: str) -> Any:
    """A column of a table.

    Parameters
    ----------
    table : pandas.DataFrame, or anything with columns
    name : str
    argument : str
        Which names it, for the message.

    Raises
    ------
    ValueError
        If the table has none of this name.
    """
    try:
        return table[name]
    except KeyError:
        known = list(getattr(table, "columns", table))
        raise ValueError(
            f"{argument} names a column of the table, one of {known}. Received: {argument}={name!r}"
        ) from None


def check_classes_of_parts(labels: np.ndarray, count: int) -> None:
    """That the first `count` labels and the others have the same classes.

    Parameters
    ----------
    labels : array (N, …)
    count : int

    Raises
    ------
    ValueError
        If not.
    """
    if not count:
        raise ValueError(
            "subset= needs a part of the data for validation: ImageDataGenerator(validation_split=0.2). Received: "
            f"{len(labels)} samples, none of them for validation"
        )
    parts = [np.unique(labels[:count]), np.unique(labels[count:])]
    if not np.array_equal(*parts):
        raise ValueError(
            "the parts for training and validation have the same classes: shuffle x and y first, or write "
            f"ignore_class_split=True. Received: y with {len(parts[0])} kinds of values in the first {count}, and "
            f"{len(parts[1])} in the others"
        )


def weights_in_table(table: Any, column: str) -> np.ndarray:
    """The numbers (N,) of a column, which are weights; TypeError if they are none."""
    weights = np.asarray(column_of(table, column, "weight_col"))
    if weights.dtype.kind not in "iufb":
        raise TypeError(f"weight_col names a column of numbers. Received: {column!r}, with {weights[:1]}")
    return weights


def targets_in_table(
    table: Any, y_col: str | Sequence[str], class_mode: str | None, classes: Sequence[str] | None, keep: list[int]
) -> tuple[list[int], Chosen, dict[str, int]]:
    """(rows, their targets, class name → number) of a table's rows `keep`, as `flow_from_dataframe` takes them.

    The targets are a function of rows: some of those that are given.
    """
    if class_mode in ("input", None):
        return keep, lambda rows: None, {}
    if class_mode == "multi_output":
        if isinstance(y_col, str):
            raise TypeError(f"for class_mode='multi_output', y_col is a list of columns. Received: {y_col=}")
        columns = [
            np.array(list(column_of(table, c, "y_col"))) for c in y_col
        ]  # (N, …) each, of a column of lists, too
        return keep, lambda rows: [column[rows] for column in columns], {}
    if class_mode not in ("categorical", "binary", "sparse"):
        names = [y_col] if isinstance(y_col, str) else list(y_col)
        targets = np.stack([np.asarray(column_of(table, c, "y_col")) for c in names], axis=1)  # (N, columns)
        targets = targets[:, 0] if isinstance(y_col, str) else targets
        return keep, lambda rows: targets[rows], {}
    if not isinstance(y_col, str):
        raise ValueError(
            f"for {class_mode=}, y_col is one column; several of 0 and 1 go with class_mode='raw'. Received: {y_col=}"
        )
    return _classes_in_column(list(column_of(table, y_col, "y_col")), y_col, class_mode, classes, keep)


def _classes_in_column(values, y_col, class_mode, classes, keep):
    """The same for one column of classes: names, numbers, or lists of them."""
    is_several = [isinstance(v, list | tuple) for v in values]
    lists = [list(v) if several else [v] for v, several in zip(values, is_several, strict=True)]
    if missing := [i for i in keep for v in lists[i] if v is None or v != v]:
        raise TypeError(f"a column of classes has one in each row. Received: {values[missing[0]]} in {y_col!r}")
    if class_mode != "categorical" and any(is_several):
        raise ValueError(f"several classes of a picture need class_mode='categorical'. Received: {class_mode=}")
    found = {v for i in keep for v in lists[i]}
    is_numbers = all(isinstance(v, int | float | np.number) for v in found)
    given = [] if classes is None else list(classes)
    order = given or sorted(found, key=None if is_numbers else str)  # 2 comes before 10
    names = {name: number for number, name in enumerate(dict.fromkeys(map(str, order)))}  # 1 and "1" are one
    if class_mode == "binary" and len(names) != 2:
        raise ValueError(f"class_mode='binary' is for two classes. Received: {len(names)} in {y_col!r}")
    numbers = [[names[name] for v in of_row if (name := _name(v, names)) in names] for of_row in lists]
    keep = [i for i in keep if numbers[i]]
    if not keep:
        raise DataError(
            f"none of the pictures is of one of the classes: expected {sorted(names)[:5]} in {y_col!r}. Received: "
            f"{sorted(map(repr, found))[:5]}"
        )
    if any(is_several):
        return keep, lambda rows: [numbers[i] for i in rows], names
    return keep, lambda rows: np.array([numbers[i][0] for i in rows], np.int64), names


def _name(value, names):
    """The name of a class: of 1.0, "1" where classes are called so and not "1.0", as frames make floats of them."""
    name = str(value)
    is_whole = name not in names and isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if is_whole else name
