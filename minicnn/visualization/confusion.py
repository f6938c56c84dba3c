"""Which classes a model takes for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.metrics import class_numbers, confusion_matrix
from minicnn.visualization.figures import Names, as_text, checked_names, class_label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_INCHES = 0.62
SMALL_CELL_INCHES = 0.26
MOST_CELLS_WITH_NUMBERS = 20  # of more classes, the colours alone are drawn
MOST_INCHES = 40


def plot_confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, class_names: Names | None = None) -> Figure:
    """The confusion matrix as a picture: each cell's count and its share of its row, that is of the true class.

    Parameters
    ----------
    y_true : array (N,) or (N, 1) of class numbers, or one-hot rows (N, C)
    y_pred : array like `y_true`, or of probabilities (N, C)
        What ``model.predict`` returns.
    class_names : sequence of str, optional
        One for each class; default: numbers.

    Returns
    -------
    matplotlib.figure.Figure
        Larger for more classes; of many, the numbers are left out.

    Raises
    ------
    ValueError
        If lengths differ or a class has no name.
    TypeError
        If `class_names` is no sequence.
    ImportError
        If matplotlib is not installed.
    """
    class_names = checked_names(class_names, "class_names")
    classes = None if class_names is None else len(class_names)
    for values, argument in ((y_true, "y_true"), (y_pred, "y_pred")):
        highest = class_numbers(values, argument).max(initial=0)
        class_label(int(highest), class_names, argument)
    counts = confusion_matrix(y_true, y_pred, classes)  # (C, C)
    names = [as_text(class_label(n, class_names)) for n in range(len(counts))]
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)  # of each true class
    has_numbers = len(counts) <= MOST_CELLS_WITH_NUMBERS
    side = min(len(counts) * (CELL_INCHES if has_numbers else SMALL_CELL_INCHES), MOST_INCHES)
    margin = 1.2 + 0.075 * max(map(len, names))
    figure = new_figure(side + margin + 0.9, side + margin)
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(picture, ax=axes, shrink=0.7, aspect=30, label="share of the true class")
    bar.outline.set_visible(False)
    if has_numbers:
        _write_cells(axes, counts, shares)
    long = max(map(len, names)) > 3
    axes.set_xticks(range(len(names)), names, rotation=90 if long or not has_numbers else 0)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(f"accuracy {100 * counts.trace() / counts.sum():.2f} % of {counts.sum():,}")
    return figure


def _write_cells(axes, counts, shares):
    """Count and row percentage into every cell that is not empty."""
    for row, column in np.argwhere(counts):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}\n{100 * share:.1f} %",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if share > 0.55 else "black",
        )
