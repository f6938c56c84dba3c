"""What is measured on photos whose classes are known."""

from __future__ import annotations

from typing import Any

import numpy as np


def measures_of(counts: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Accuracy, and by class precision, recall, F1 and support, as plain values.

    Parameters
    ----------
    counts : array (C, C) of int
        Confusion matrix; a row is a true class. What is divided by 0 is 0.
    names : list of str
    """
    correct, called, there = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    precision, recall = correct / np.maximum(called, 1), correct / np.maximum(there, 1)
    f1 = 2 * correct / np.maximum(called + there, 1)
    rows = zip(names, precision, recall, f1, there, strict=True)
    classes = {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in rows
    }
    accuracy = float(correct.sum() / counts.sum())
    return {"accuracy": accuracy, "photos": int(counts.sum()), "classes": classes, "confusion": counts.tolist()}
