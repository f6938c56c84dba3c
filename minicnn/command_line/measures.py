"""What is measured on photos whose classes are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.metrics import classification_report, confusion_matrix


def measures_of(labels: np.ndarray, predicted: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Accuracy, number of photos, measures by class, confusion matrix (rows: true classes), as plain values.

    Parameters
    ----------
    labels, predicted : array (N,) of class numbers
    names : list of str
        Any: also a class called "accuracy", which a report would mistake for its own entry.
    """
    numbers = [str(number) for number in range(len(names))]
    report = classification_report(labels, predicted, numbers, output_dict=True)
    return {
        "accuracy": report["accuracy"],
        "photos": len(labels),
        "classes": {name: report[number] for name, number in zip(names, numbers, strict=True)},
        "confusion": confusion_matrix(labels, predicted, len(names)).tolist(),
    }
