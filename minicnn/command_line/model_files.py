"""Models for commands: from files of every format."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicnn.command_line.problems import Problem
from minicnn.images.files import EXTENSIONS
from minicnn.models import load_model
from minicnn.nested import leaves
from minicnn.saving import formats

if TYPE_CHECKING:
    from minicnn.models import Model


def open_model(path: Path) -> Model:
    """The model of a file, .onnx included.

    Raises
    ------
    Problem
        If it is not there, or is no model's.
    """
    if path.is_dir():
        raise Problem(f"expected a model's file, and '{path}' is a folder")
    if path.suffix.lower() in EXTENSIONS:
        raise Problem(f"expected a model's file first, and '{path}' is a picture: minicnn predict MODEL {path.name}")
    if not path.exists():
        raise Problem(f"there is no file '{path}'{_nearest(path)}")
    if path.suffix.lower() in (".html", ".htm"):
        raise Problem(f"a page cannot be read back: give the file it was exported from; received '{path}'")
    if path.suffix.lower() == ".onnx":
        from minicnn.onnx import import_onnx

        return import_onnx(path)
    return load_model(path, compile=False)


def open_classifier(path: Path) -> Model:
    """A model for pictures; `Problem` if it does not say what becomes of one."""
    model = open_model(path)
    if model.preprocessing is None:
        raise Problem(
            f"'{path}' does not say how a photo becomes its input, as models of 'minicnn train' do: in Python, set "
            "model.preprocessing and model.class_names, and save it again"
        )
    return model


def _nearest(path):
    folder = path.parent
    names = [e.name for e in folder.iterdir() if e.suffix in (*formats(), ".onnx")] if folder.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f": did you mean '{folder / close[0]}'?" if close else ""


def probabilities_of(model: Model, images: np.ndarray) -> np.ndarray:
    """A probability for each class of images as the model takes them, (N, classes)."""
    from minicnn.models.pictures import class_probabilities

    return class_probabilities(model, leaves(model.predict(images))[0])
