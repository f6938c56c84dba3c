"""What a model gets wrong, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int
from minicnn.metrics import class_numbers
from minicnn.visualization.figures import Names, checked_names, new_figure
from minicnn.visualization.images import show_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_mistakes(
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    class_names: Names | None = None,
    count: int = 20,
    columns: int = 5,
) -> Figure:
    """The images that are predicted wrongly, worst first, each with what it was taken for and what it is.

    Worst is where the true class got the lowest number: where the model was surest, and wrong. Of equal ones, and of
    class numbers without probabilities, the first comes first.

    Parameters
    ----------
    images : array (N, H, W), (N, H, W, 1) or (N, H, W, 3)
    labels : array (N,) or (N, 1) of class numbers, or one-hot rows (N, C)
        The true classes.
    predictions : array (N, C), or (N,) of class numbers
        What ``model.predict(images)`` gives; (N, 1), of one sigmoid, counts as class 1 above 0.5.
    class_names : sequence of str, optional
    count : int, default 20
        How many are shown at most.
    columns : int, default 5

    Returns
    -------
    matplotlib.figure.Figure
        Its title says how many mistakes there are; where there is none, that is all it says.

    Raises
    ------
    ValueError
        If lengths do not fit, or a class has no name.
    ImportError
        If matplotlib is not installed.
    """
    check_positive_int("count", count)
    class_names = checked_names(class_names, "class_names")
    actual, rows = class_numbers(labels, "labels"), _rows(predictions)
    predicted = class_numbers(rows, "predictions")
    images = np.asarray(images)
    if not len(images) == len(actual) == len(predicted):
        raise ValueError(
            "show_mistakes needs a label and a prediction for each image. "
            f"Received: {len(images)} images, {len(actual)} labels, {len(predicted)} predictions"
        )
    if rows.ndim == 2 and actual.max(initial=0) >= rows.shape[1]:
        raise ValueError(
            f"labels are of the {rows.shape[1]} classes that predictions have, 0 … {rows.shape[1] - 1}. "
            f"Received: labels with {actual.max()}"
        )
    wrong = np.flatnonzero(predicted != actual)
    if rows.ndim == 2:
        wrong = wrong[np.argsort(rows[wrong, actual[wrong]], kind="stable")]
    title = f"{len(wrong):,} of {len(actual):,} are wrong ({100 * len(wrong) / max(len(actual), 1):.2f} %)"
    if not len(wrong):
        figure = new_figure(4, 0.6)
        figure.suptitle(title, fontsize="medium")
        return figure
    worst = wrong[:count]
    figure = show_images(images[worst], actual[worst], class_names, rows[worst], columns=columns, page=1)
    figure.set_figheight(figure.get_figheight() + 0.35)
    shown = f"the worst {len(worst):,}" if len(worst) < len(wrong) else "all"
    figure.suptitle(f"{title}: {shown}, worst first", fontsize="medium")
    return figure


def _rows(predictions):
    """Probabilities (N, C), two of them for one sigmoid, or class numbers (N,)."""
    rows = np.asarray(predictions)
    if rows.ndim == 2 and rows.shape[1] == 1 and rows.dtype.kind == "f":
        return np.concatenate([1 - rows, rows], axis=1)
    return rows
