"""Which classes are taken for which: class numbers, and the confusion matrix."""

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int, is_real
from minicnn.foreign import LABELS_ADVICE, to_numpy

__all__ = ["class_numbers", "confusion_matrix"]


def class_numbers(values: ArrayLike, argument: str = "values") -> np.ndarray:
    """Classes from numbers, one-hot rows or probabilities.

    Parameters
    ----------
    values : array (N,) or (N, 1) of integers, or (N, C) of one-hot rows or probabilities
        Of a row, the first largest entry counts.
    argument : str
        The name that messages use.

    Returns
    -------
    array (N,), int64

    Raises
    ------
    ValueError
        If it is none of these, or a number is negative.
    """
    values = to_numpy(values, argument)
    if is_real(values) and values.ndim == 2 and values.shape[1] > 1 and not np.isnan(values).any():
        return values.argmax(axis=1)
    column = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if column.ndim != 1 or not is_real(column) or not ((column >= 0) & (column == np.floor(column))).all():
        advice = "; for one sigmoid output p, write (p > 0.5).astype(int)" if is_real(values) else f". {LABELS_ADVICE}"
        raise ValueError(
            f"{argument} holds class numbers from 0 on, (N,) or (N, 1), or a row of probabilities for each sample, "
            f"(N, C){advice}. "
            f"Received: shape {values.shape}, dtype {values.dtype}{_range(values)}"
        )
    return column.astype(np.int64)


def _range(values) -> str:
    """The values of an array of numbers, for a message."""
    return f", values from {values.min()} to {values.max()}" if is_real(values) and values.size else ""


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: int | None = None) -> np.ndarray:
    """How many samples of each class were taken for which class.

    Parameters
    ----------
    y_true : array (N,) or (N, 1) of class numbers, or one-hot rows (N, C)
    y_pred : array like `y_true`, or of probabilities (N, C)
        What ``model.predict`` returns.
    classes : int, optional
        How many classes there are; default: the largest number plus one, or the C of `y_pred` or `y_true`.

    Returns
    -------
    array (classes, classes), int64
        Entry [t, p] counts the samples of class t that were predicted as p.

    Raises
    ------
    ValueError
        If lengths differ, there is no sample, or a number is not below `classes`.
    """
    true, predicted = class_numbers(y_true, "y_true"), class_numbers(y_pred, "y_pred")
    if len(true) != len(predicted) or not len(true):
        raise ValueError(
            "confusion_matrix needs a prediction for each of one or more samples. "
            f"Received: {len(true)} in y_true, {len(predicted)} in y_pred"
        )
    highest = max(true.max(), predicted.max())
    if classes is None:
        columns = (np.shape(values)[1] if np.ndim(values) == 2 else 0 for values in (y_true, y_pred))
        classes = max(int(highest) + 1, *columns)
    elif highest >= check_positive_int("classes", classes):
        raise ValueError(f"class numbers must lie in 0 … {classes - 1}. Received: {highest}")
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)
