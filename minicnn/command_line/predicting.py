"""``minicnn predict MODEL FILE…``: what photos show."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from minicnn.command_line.model_files import open_classifier, probabilities_of
from minicnn.command_line.photos import read_each
from minicnn.command_line.problems import Problem, tell
from minicnn.console import say
from minicnn.images.files import EXTENSIONS, pillow
from minicnn.images.folders import list_pictures
from minicnn.models.pictures import names_of_classes

AT_ONCE = 64  # photos in memory
RUNNERS_UP = 2  # classes that the table shows besides


def predict(options: argparse.Namespace) -> int:
    """Print a line for each photo; those that cannot be read are named on stderr, with --json in their lines."""
    pillow()
    model = open_classifier(options.model)
    paths = [path for given in options.files for path in _pictures(given)]
    names, width, count = names_of_classes(model), max(map(len, paths)), 0
    for path, found in _predictions(model, paths):
        if isinstance(found, str):
            tell(f"minicnn: left out {path}: {found}")
            if options.json:
                say(json.dumps({"file": path, "error": found}, ensure_ascii=False))
            continue
        count += 1
        order = np.argsort(-found, kind="stable")
        say(_as_json(path, found, names, order) if options.json else _as_row(path, found, names, order, width))
    if not count:
        raise Problem("none of the files can be read as a picture")
    return 0


def _pictures(path: Path) -> list[str]:
    """The pictures that an argument means.

    Raises
    ------
    Problem
        If there are none.
    """
    if not path.exists():
        raise Problem(f"there is no file or folder '{path}'")
    if not path.is_dir():
        return [str(path)]
    found = list_pictures(path)
    if not found:
        raise Problem(f"the folder '{path}' has no picture ({', '.join(EXTENSIONS)})")
    return found


def _predictions(model, paths) -> Iterator[tuple[str, np.ndarray | str]]:
    """(path, probabilities (classes,), or why there are none) of each file, in order."""
    shape = model.inputs[0].shape[1:]
    results = read_each(paths, model.preprocessing.for_shape(shape))
    while some := list(islice(results, AT_ONCE if None not in shape else 1)):
        pictures = [picture for _, picture in some if not isinstance(picture, str)]
        batch = np.stack(pictures).reshape(len(pictures), *pictures[0].shape[: len(shape)]) if pictures else None
        rows = iter(() if batch is None else probabilities_of(model, batch))
        for index, picture in some:
            yield paths[index], picture if isinstance(picture, str) else next(rows)


def _as_json(path, found, names, order) -> str:
    probabilities = {names[i]: round(float(found[i]), 6) for i in order}
    best = names[order[0]]
    line = {"file": path, "class_name": best, "probability": probabilities[best], "probabilities": probabilities}
    return json.dumps(line, ensure_ascii=False)


def _as_row(path, found, names, order, width) -> str:
    others = ", ".join(f"{names[i]} {found[i]:.1%}" for i in order[1 : 1 + RUNNERS_UP])
    longest = max(map(len, names))
    return f"{path:<{width}}  {names[order[0]]:<{longest}}  {found[order[0]]:6.1%}  ({others})"
