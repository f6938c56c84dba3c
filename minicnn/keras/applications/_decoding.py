"""``decode_predictions``: the names of ImageNet's classes, from the file that Keras has downloaded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minicnn.differentiation import met, value_of
from minicnn.keras.applications._networks import keras_home

_FILE = "imagenet_class_index.json"


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
    FileNotFoundError
        If the file of names is not where Keras keeps it.
    """
    rows = np.asarray(value_of(met(preds)))
    if rows.ndim != 2 or rows.shape[1] != 1000:
        raise ValueError(f"expected the probabilities of ImageNet's classes, (N, 1000). Received: shape {rows.shape}")
    path = keras_home() / "models" / _FILE
    if not path.exists():
        raise FileNotFoundError(
            f"expected the names of ImageNet's classes in {path}, where Keras's decode_predictions downloads them to; "
            "minicnn downloads nothing. Received: no such file"
        )
    names = json.loads(path.read_text(encoding="utf-8"))
    best = np.argsort(-rows, axis=1, kind="stable")[:, : int(top)]
    return [[(*names[str(at)], row[at]) for at in places] for row, places in zip(rows, best, strict=True)]
