"""A folder of photos, read once: pixels as bytes, and by name what could not be read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.command_line.problems import Problem, sentence, tell
from minicnn.console import is_terminal
from minicnn.data.reading import mapped
from minicnn.errors import DataError
from minicnn.images.files import CHANNELS, EXTENSIONS, pillow
from minicnn.images.folders import list_classes
from minicnn.images.preprocessing import Preprocessing
from minicnn.processors import default_threads

LOOKED_AT = 300  # pictures, to choose a size and colours
SIZES = (64, 32)  # that are chosen, the largest that most pictures have
MOST_IN_MEMORY = 2**30  # bytes of pixels; more lie in a temporary file
MOST_NAMED = 20  # files that are named one by one


@dataclass
class Photos:
    """Photos of a folder.

    Attributes
    ----------
    pixels : array (N, H, W, C), uint8
    labels : array (N,), int32
    paths : list of str
    class_names : list of str
    skipped : dict
        Path → why it was left out.
    """

    pixels: np.ndarray
    labels: np.ndarray
    paths: list[str]
    class_names: list[str]
    skipped: dict[str, str]

    def counts(self) -> list[int]:
        """How many photos each class has."""
        return np.bincount(self.labels, minlength=len(self.class_names)).tolist()


def listed(folder: Path, class_names: Sequence[str] | None = None) -> tuple[list[str], np.ndarray, list[str]]:
    """(paths, class numbers, names of classes) of a folder.

    Raises
    ------
    Problem
        If it is no folder of classes; the sentence says what is wrong with it.
    """
    pillow()  # before anything is read
    if folder.is_file():
        raise Problem(f"expected a folder with one folder of pictures for each class, and '{folder}' is a file")
    if not folder.is_dir():
        raise Problem(f"there is no folder '{folder}'")
    _check_readable(folder)
    try:
        paths, labels, names = list_classes(folder, None, follow_links=True)
    except DataError as error:
        loose = any(entry.suffix.lower() in EXTENSIONS for entry in folder.iterdir())
        hint = "its pictures lie side by side: put those of each class into a folder of their own, in it"
        raise Problem(f"'{folder}' has no folders of classes; {hint}" if loose else sentence(error)) from None
    if unprintable := [name for name in names if not _is_text(name)]:
        raise Problem(f"the name of the folder {os.fsencode(unprintable[0])!r} in '{folder}' is not UTF-8: rename it")
    counts = np.bincount(labels, minlength=len(names))
    if empty := [name for name, count in zip(names, counts, strict=True) if not count]:
        raise Problem(
            f"the folder '{folder / empty[0]}' has no picture ({', '.join(EXTENSIONS)}): put some in, or remove it"
        )
    if class_names is None and len(names) == 1:
        raise Problem(
            f"'{folder}' has one class, '{names[0]}', and a network learns to tell two or more apart: add a folder "
            "with pictures of something else"
        )
    return paths, labels, names


def _is_text(name):
    """Whether a file's name, which is bytes, can be drawn and written."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_readable(folder):
    """The system's own error, for a folder that may not be read; walking a tree would leave it out."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_dir() and not entry.name.startswith("."):
            with os.scandir(entry.path):
                pass


def chosen(paths: Sequence[str]) -> tuple[int, str]:
    """(side in pixels, color_mode) for pictures: of some of them, the headers are read."""
    step = max(1, len(paths) // LOOKED_AT)
    sides, grey = [], []
    for path in paths[::step]:
        try:
            with pillow().open(path) as image:
                sides.append(min(image.size))
                grey.append(image.mode in ("1", "L", "LA", "I", "I;16", "F"))
        except Exception:  # it is read, and named, later
            continue
    middle = float(np.median(sides)) if sides else 0
    size = next((side for side in SIZES if middle >= side), SIZES[-1])
    return size, "grayscale" if grey and all(grey) else "rgb"


def read(paths: Sequence[str], labels: np.ndarray, names: list[str], preprocessing: Preprocessing) -> Photos:
    """All photos, in the size that `preprocessing` gives; those that cannot be read are named and left out.

    Raises
    ------
    Problem
        If a class is left with none.
    """
    height, width = preprocessing.image_size or (0, 0)
    shape = len(paths), height, width, CHANNELS[preprocessing.color_mode or "rgb"]
    pixels, kept, skipped = _room(shape), [], {}
    for index, picture in _with_progress(read_each(paths, preprocessing), len(paths)):
        if isinstance(picture, str):
            skipped[paths[index]] = picture
        else:
            pixels[len(kept)] = np.rint(picture)
            kept.append(index)
    tell_skipped(skipped)
    photos = Photos(pixels[: len(kept)], labels[kept], [paths[i] for i in kept], names, skipped)
    if empty := [name for name, count in zip(names, photos.counts(), strict=True) if not count]:
        raise Problem(f"no picture of class '{empty[0]}' can be read: put in good ones, or remove its folder")
    return photos


def read_each(paths: Sequence[str], preprocessing: Preprocessing) -> Iterator[tuple[int, np.ndarray | str]]:
    """(number, picture (H, W, C), or why there is none) of each file, in order, read by several threads."""

    def attempt(index):
        try:
            return index, preprocessing(paths[index])
        except (DataError, OSError) as error:
            return index, sentence(error).removesuffix(f" Received: {paths[index]}").removeprefix(f"{paths[index]}: ")

    return mapped(attempt, range(len(paths)), default_threads())


def tell_skipped(skipped: dict[str, str]) -> None:
    """Name the files that could not be read."""
    for path, reason in list(skipped.items())[:MOST_NAMED]:
        tell(f"minicnn: left out {path}: {reason}")
    if len(skipped) > MOST_NAMED:
        tell(f"minicnn: left out {len(skipped) - MOST_NAMED} more files that cannot be read")


def _room(shape) -> np.ndarray:
    """An array of bytes: in memory, or, where that would be much, in a file that is gone with the process."""
    if np.prod(shape, dtype=np.int64) <= MOST_IN_MEMORY:
        return np.empty(shape, np.uint8)
    return np.memmap(tempfile.TemporaryFile(), np.uint8, "w+", shape=shape)


def _with_progress(items: Iterator[Any], count: int) -> Iterator[Any]:
    """The items, with a bar on a terminal."""
    import sys

    if not is_terminal(sys.stderr):
        return items
    from tqdm import tqdm

    return iter(tqdm(items, "reading photos", count, leave=False))
