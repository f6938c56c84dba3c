"""``minicnn evaluate MODEL FOLDER``: how good a model is on photos whose classes are known."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn.command_line.measures import measures_of
from minicnn.command_line.model_files import open_classifier, probabilities_of
from minicnn.command_line.photos import Photos, listed, read
from minicnn.command_line.problems import Problem
from minicnn.console import say
from minicnn.metrics import classification_report, confusion_matrix
from minicnn.models.pictures import names_of_classes

MOST_LINES = 10  # of what is taken for what


def evaluate(options: argparse.Namespace) -> int:
    """Print accuracy, each class's measures, and what is taken for what."""
    model = open_classifier(options.model)
    names = names_of_classes(model)
    photos = labelled(options.folder, model, names)
    predicted = probabilities_of(model, _as_input(model, photos.pixels)).argmax(axis=1)
    if options.json:
        measures = measures_of(photos.labels, predicted, names) | {"skipped": photos.skipped}
        say(json.dumps(measures, ensure_ascii=False))
    else:
        say(f"accuracy {np.mean(predicted == photos.labels):.1%} of {len(predicted)} photos\n")
        say(classification_report(photos.labels, predicted, names))
        for line in _mistaken(np.asarray(confusion_matrix(photos.labels, predicted, len(names))), names):
            say(line)
    return 0


def labelled(folder: Path, model, names: list[str]) -> Photos:
    """The photos of a folder, numbered as the model's classes are.

    Raises
    ------
    Problem
        If the folder has a class that the model does not know.
    """
    paths, labels, found = listed(folder, names)
    if unknown := [name for name in found if name not in names]:
        raise Problem(
            f"'{folder}' has a class '{unknown[0]}' that the model does not know; it knows {', '.join(names)}"
        )
    preprocessing = model.preprocessing.for_shape(model.inputs[0].shape[1:])
    if preprocessing.image_size is None:
        raise Problem("the model takes photos of any size: give its preprocessing an image_size to evaluate it here")
    photos = read(paths, labels, found, replace(preprocessing, rescale=1.0))  # as bytes: `_as_input` scales them
    numbers = np.array([names.index(name) for name in found])
    return Photos(photos.pixels, numbers[photos.labels], photos.paths, names, photos.skipped)


def _as_input(model, pixels):
    """Bytes as what the model takes."""
    pixels = pixels[..., 0] if len(model.inputs[0].shape) == 3 else pixels
    rescale = model.preprocessing.rescale
    return pixels if rescale == 1 else pixels * np.float32(rescale)


def _mistaken(counts, names):
    """A line for what is most often taken for something else; counts (C, C), rows: the true class."""
    wrong = [(int(counts[i, j]), i, j) for i, j in np.argwhere(counts) if i != j]
    for count, true, taken in sorted(wrong, key=lambda entry: -entry[0])[:MOST_LINES]:
        yield f"{count} of '{names[true]}' taken for '{names[taken]}'"
