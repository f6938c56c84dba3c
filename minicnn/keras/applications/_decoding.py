"""``decode_predictions``: the names of ImageNet's classes, from Keras's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.differentiation import met, value_of
from minicnn.keras.applications._published import class_names_file


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, Any]]]:
    """The most probable classes of each sample: (WordNet's number, name, probability), the most probable first.

    Parameters
    ----------
    preds : array (N, 1000)
    top : int, default 5

    Raises
    ------
    ValueError
        For another shape.
    DataError
        If the file of names is not where Keras keeps it, and cannot be downloaded.
    """
    rows = np.asarray(value_of(met(preds)))
    if rows.ndim != 2 or rows.shape[1] != 1000:
        raise ValueError(f"expected the probabilities of ImageNet's classes, (N, 1000). Received: shape {rows.shape}")
    names = json.loads(Path(class_names_file()).read_text(encoding="utf-8"))
    best = np.argsort(-rows, axis=1, kind="stable")[:, : int(top)]
    return [[(*names[str(at)], row[at]) for at in places] for row, places in zip(rows, best, strict=True)]
