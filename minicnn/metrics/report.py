"""Precision, recall and F1 of every class: what an accuracy does not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int
from minicnn.metrics.confusion import confusion_matrix

__all__ = ["classification_report"]

_COLUMNS = "precision", "recall", "f1-score", "support"


def classification_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    class_names: Sequence[str] | None = None,
    output_dict: bool = False,
    digits: int = 2,
) -> str | dict[str, float | dict[str, float]]:
    """Precision, recall, F1 and support of each class, and their averages, as scikit-learn writes them.

    Of a class, precision is the share of its predictions that are right, recall the share of its samples that are
    found, F1 = 2PR / (P + R) (van Rijsbergen, 1979), support the number of its samples; a share of nothing is 0. "macro
    avg" is the mean over classes, "weighted avg" that over samples.

    Parameters
    ----------
    y_true : array (N,) or (N, 1) of class numbers, or one-hot rows (N, C)
    y_pred : array like `y_true`, or of probabilities (N, C)
        What ``model.predict`` returns.
    class_names : sequence of str, optional
        One for each class; all of them have a row then. Default: numbers, of the classes that occur.
    output_dict : bool, default False
        Whether the numbers come as a dict instead of a text.
    digits : int, default 2
        Decimals in the text.

    Returns
    -------
    str, or dict
        Class → {"precision", "recall", "f1-score", "support"}, and likewise "macro avg" and "weighted avg"; "accuracy"
        → float.

    Raises
    ------
    ValueError
        If lengths differ, there is no sample, a class has no name, or, with `output_dict`, that of another entry.
    """
    check_positive_int("digits", digits, minimum=0)
    names = None if class_names is None else [str(name) for name in class_names]
    counts = confusion_matrix(y_true, y_pred)
    if names is not None and len(names) < len(counts):
        raise ValueError(f"class_names needs a name for each of {len(counts)} classes. Received: {len(names)} names")
    if names is None:
        occurring = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
        counts, names = counts[np.ix_(occurring, occurring)], [str(number) for number in occurring]
    if len(set(names)) < len(names):
        raise ValueError(f"class_names needs different names. Received: {names}")
    counts = np.pad(counts, (0, len(names) - len(counts)))  # classes of which there is nothing
    right, support = counts.diagonal(), counts.sum(axis=1)  # (C,)
    precision, recall = _shares(right, counts.sum(axis=0)), _shares(right, support)
    table = np.stack([precision, recall, _shares(2 * right, counts.sum(axis=0) + support)])  # (3, C)
    rows = {name: (*table[:, i], support[i]) for i, name in enumerate(names)}
    total = support.sum()
    by_sample = [np.average(row, weights=support) for row in table]  # to the bit scikit-learn's: halves are rounded
    averages = {"macro avg": (*table.mean(axis=1), total), "weighted avg": (*by_sample, total)}
    accuracy = float(right.sum() / total)
    if output_dict:
        if taken := sorted({"accuracy", *averages}.intersection(rows)):
            raise ValueError(
                f"{taken[0]!r} is an entry of the report itself: give this class another name. Received: {names}"
            )
        data = {name: _entry(row) for name, row in (rows | averages).items()}
        return {**{n: data[n] for n in rows}, "accuracy": accuracy, **{n: data[n] for n in averages}}
    return _text(rows, averages, accuracy, total, digits)


def _shares(part, whole):
    """part / whole, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _entry(row):
    """A row of the table by name, in Python's numbers."""
    return {name: (int if name == "support" else float)(value) for name, value in zip(_COLUMNS, row, strict=True)}


def _text(rows, averages, accuracy, total, digits):
    """The table."""
    width = max(*map(len, rows), len("weighted avg"), digits)

    def line(name, *shares, support):
        cells = [f"{share:>9.{digits}f}" if share is not None else " " * 9 for share in shares]
        return f"{name:>{width}} " + "".join(f" {cell}" for cell in (*cells, f"{support:>9}"))

    lines = [f"{'':>{width}} " + "".join(f" {column:>9}" for column in _COLUMNS), ""]
    lines += [line(name, *row[:3], support=row[3]) for name, row in rows.items()]
    lines += ["", line("accuracy", None, None, accuracy, support=total)]
    lines += [line(name, *row[:3], support=row[3]) for name, row in averages.items()]
    return "\n".join(lines) + "\n"
