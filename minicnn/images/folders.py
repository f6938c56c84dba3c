"""Folders of pictures, one for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.checks import check_choice, check_number, check_pair, check_positive_int
from minicnn.console import say
from minicnn.data import Dataset
from minicnn.data.counting import UNKNOWN_CARDINALITY
from minicnn.data.making import Each
from minicnn.data.reading import mapped
from minicnn.errors import DataError
from minicnn.images.files import CHANNELS, EXTENSIONS, read_image
from minicnn.images.resizing import INTERPOLATIONS
from minicnn.processors import default_threads
from minicnn.user_warnings import warn_user

_AHEAD = 2  # batches
_LABEL_MODES = ("int", "categorical", "binary", None)


class Listing(NamedTuple):
    """Pictures of a folder, in the order of their names.

    Attributes
    ----------
    paths : list of str
    labels : array (N,), int32
    class_names : list of str
    """

    paths: list[str]
    labels: np.ndarray
    class_names: list[str]


def list_classes(
    directory: str | os.PathLike[str],
    class_names: Sequence[str] | None,
    follow_links: bool,
    extensions: tuple[str, ...] = EXTENSIONS,
) -> Listing:
    """The pictures in the folders below `directory`, whose names are the classes.

    Parameters
    ----------
    directory : str or path-like
    class_names : list of str, optional
        The classes in another order, or some of them.
    follow_links : bool
        Whether folders that are links are entered.
    extensions : tuple of str
        Ends of names of pictures, in small letters.

    Raises
    ------
    DataError
        If there is no such folder, no class, or not one picture.
    """
    root = Path(directory)
    if not root.is_dir():
        raise DataError(
            f"expected a folder with one folder of pictures for each class. Received: {os.fspath(directory)}"
        )
    found = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = found if class_names is None else [str(name) for name in class_names]
    if missing := [name for name in names if name not in found]:
        raise DataError(f"there is no folder for class {missing[0]!r} in {os.fspath(directory)}. Received: {found}")
    if not names:
        raise DataError(
            "expected one folder of pictures for each class; pictures without classes are read with labels=None. "
            f"Received: {os.fspath(directory)}, in which there is no folder"
        )
    paths, labels = [], []
    for label, name in enumerate(names):
        of_class = list_pictures(root / name, follow_links, extensions)
        paths += of_class
        labels += [label] * len(of_class)
    return Listing(_some(paths, directory), np.array(labels, np.int32), names)


def list_pictures(
    directory: str | os.PathLike[str], follow_links: bool = False, extensions: tuple[str, ...] = EXTENSIONS
) -> list[str]:
    """Paths of all pictures in a folder and below it; a link back to a folder above it is not followed.

    The folders are in the order of their paths, as in Keras: "a.b" stands before "a/b".
    """
    paths, walked = [], []
    for folder, folders, files in os.walk(directory, followlinks=follow_links):
        folders[:] = [name for name in folders if not _leads_back(folder, name)]
        walked.append((folder, files))
    for folder, files in sorted(walked):
        found = [os.path.join(folder, file) for file in sorted(files) if file.lower().endswith(extensions)]
        paths += [path for path in found if os.path.isfile(path) or not os.path.exists(path)]  # broken links are named
    return paths


def _leads_back(folder, name):
    """Whether an entry is a link to a folder that it stands in: its pictures would be found again and again."""
    path = Path(folder, name)
    return path.is_symlink() and Path(folder).resolve().is_relative_to(path.resolve())


def _some(paths, directory):
    if not paths:
        raise DataError(
            f"found no picture ({', '.join(EXTENSIONS)}) below the folder. Received: {os.fspath(directory)}"
        )
    return paths


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Sequence[int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    on_error: str = "raise",
) -> Dataset | tuple[Dataset, Dataset]:
    """A data set of the pictures in a folder, which are read while a model trains.

    Parameters
    ----------
    directory : str or path-like
        With one folder for each class; for labels that are not inferred, with pictures.
    labels : "inferred", list of int or None, default "inferred"
        The names of the folders, sorted, are classes 0, 1, …; or one label for each picture, in the order of their
        paths; None: there are none.
    label_mode : {"int", "categorical", "binary", None}, default "int"
        int32 numbers (N,), one-hot rows (N, classes), float32 numbers (N, 1) for two classes, or no labels: all
        pictures in the folder and below it, as with labels=None.
    class_names : list of str, optional
        The classes in another order, or some of them.
    color_mode : {"rgb", "rgba", "grayscale"}, default "rgb"
    batch_size : int or None, default 32
        None: single images.
    image_size : (int, int), default (256, 256)
        Height and width that pictures are resized to.
    shuffle : bool, default True
        Whether the split takes pictures at random, and each pass has an order of its own. A part for validation keeps
        one order, so that labels read in one pass stand beside the predictions of another.
    seed : int, optional
        Of the order and of the split, which takes the same files as Keras for the same seed.
    validation_split : float in (0, 1), optional
        The part that is held back for validation.
    subset : {"training", "validation", "both"}, optional
        Which part this is; "both": a pair of data sets.
    interpolation : {"bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"}, default "bilinear"
    follow_links : bool, default False
        Whether folders that are links are entered.
    crop_to_aspect_ratio, pad_to_aspect_ratio : bool, default False
        Whether pictures are cut, or get black margins, rather than being distorted.
    data_format : {"channels_last"}, optional
    verbose : bool, default True
        Whether to say how many pictures were found.
    on_error : {"raise", "skip"}, default "raise"
        What happens with a file that cannot be read: an error that names it; or it is left out, and a warning says how
        many were.

    Returns
    -------
    Dataset
        Of (images, labels), or of images; images are float32 from 0 to 255, (N, height, width, C). With the attributes
        `class_names` and `file_paths`.

    Raises
    ------
    DataError
        If there are no pictures; when somebody iterates, if one cannot be read.
    ValueError
        For arguments that are not among these, or do not go together.
    """
    check_choice("on_error", on_error, ("raise", "skip"))
    check_choice("data_format", data_format, (None, "channels_last"))
    size = check_pair("image_size", image_size)
    read = _Reader(size, color_mode, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio).checked()
    label_mode = None if labels is None else check_choice("label_mode", label_mode, _LABEL_MODES)
    listing = _listed(directory, None if label_mode is None else labels, class_names, follow_links)
    _check_labels(label_mode, listing, verbose)
    batch_size = None if batch_size is None else check_positive_int("batch_size", batch_size)
    order, parts = _parts(len(listing.paths), shuffle, seed, validation_split, subset, verbose)
    made = [
        _dataset(listing, order[part], read, batch_size, label_mode, shuffle and name != "validation", seed, on_error)
        for name, part in parts.items()
    ]
    return made[0] if len(made) == 1 else tuple(made)


def _check_labels(label_mode, listing, verbose):
    """Raise `ValueError` unless the mode fits what was found; says what that is."""
    if label_mode == "binary" and len(listing.class_names) != 2:
        raise ValueError(f"label_mode='binary' is for two classes. Received: {listing.class_names}")
    if verbose:
        classes = f" belonging to {len(listing.class_names)} classes" if listing.class_names else ""
        say(f"Found {len(listing.paths)} files{classes}.")


def _listed(directory, labels, class_names, follow_links):
    if isinstance(labels, str):
        if labels != "inferred":
            raise ValueError(f"labels is 'inferred', a list of class numbers, or None. Received: {labels!r}")
        return list_classes(directory, class_names, follow_links)
    paths = _some(list_pictures(directory, follow_links), directory)
    if labels is None:
        return Listing(paths, np.zeros(len(paths), np.int32), [])
    numbers = np.asarray(labels, np.int32)
    if len(numbers) != len(paths):
        raise ValueError(f"expected a label for each of {len(paths)} pictures. Received: {len(numbers)} labels")
    names = [str(n) for n in range(int(numbers.max()) + 1)] if class_names is None else list(class_names)
    return Listing(paths, numbers, names)


def _parts(count, shuffle, seed, fraction, subset, verbose):
    """(order of all pictures, the slices of it that are wanted, by name)."""
    order = np.arange(count)
    if fraction is None:
        if subset is not None:
            raise ValueError(f"subset needs validation_split=. Received: {subset=}")
        return order, {"all": slice(None)}
    check_choice("subset", subset, ("training", "validation", "both"))
    if not 0 < check_number("validation_split", fraction) < 1:
        raise ValueError(f"validation_split is between 0 and 1. Received: {fraction}")
    if shuffle and seed is None:
        raise ValueError("give a seed=, the same for both subsets, or they overlap; or shuffle=False")
    if shuffle:
        np.random.RandomState(seed).shuffle(order)  # as Keras, so that a part for validation is one there, too
    training = count - int(fraction * count)
    slices = {"training": slice(training), "validation": slice(training, None)}
    parts = slices if subset == "both" else {subset: slices[subset]}
    if not all(len(order[part]) for part in parts.values()):
        raise DataError(f"validation_split={fraction} of {count} pictures leaves none. Received: {subset=}")
    if verbose:
        for name, part in parts.items():
            say(f"Using {len(order[part])} files for {name}.")
    return order, parts


class _Reader(NamedTuple):
    """How pictures are read."""

    size: tuple[int, int]
    color_mode: str
    interpolation: str
    crop: bool
    pad: bool

    def checked(self):
        check_choice("color_mode", self.color_mode, tuple(CHANNELS))
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        if self.crop and self.pad:
            raise ValueError("crop_to_aspect_ratio or pad_to_aspect_ratio is True, not both. Received: both")
        return self

    def __call__(self, path):
        return read_image(path, self.color_mode, self.size, self.interpolation, self.crop, self.pad)


def _dataset(listing, order, read, batch_size, label_mode, shuffle, seed, on_error):
    """The pictures `order` of a listing as a data set that reads ahead in threads."""
    order = [int(i) for i in order]
    skipped = {}

    def attempt(index):
        try:
            return index, read(listing.paths[index])
        except DataError as error:
            skipped[listing.paths[index]] = str(error)
            return index, None

    def pictures(indices):
        before = len(skipped)
        for index, picture in mapped(attempt, indices, default_threads()):
            if picture is not None:
                yield picture if label_mode is None else (picture, _label(listing, index, label_mode))
        if len(skipped) > before:
            first = next(iter(skipped.values()))
            warn_user(f"{len(skipped)} of {len(order)} files were skipped, the first: {first}")

    def labelled(index):
        picture = read(listing.paths[index])
        return picture if label_mode is None else (picture, _label(listing, index, label_mode))

    indices = Dataset(lambda: iter(order), len(order))
    if shuffle:
        indices = indices.shuffle(len(order), seed=seed)
    if on_error == "raise":
        dataset = Dataset(indices.as_numpy_iterator, len(order), Each(labelled, default_threads()))
    else:  # how many there are shows when they are read
        dataset = Dataset(lambda: pictures(indices.as_numpy_iterator()), UNKNOWN_CARDINALITY)
    if batch_size is not None:
        dataset = dataset.batch(batch_size)
    made = dataset.prefetch(_AHEAD)
    made.class_names, made.file_paths = listing.class_names, [listing.paths[i] for i in order]
    return made


def _label(listing, index, label_mode):
    label = listing.labels[index]
    if label_mode == "int":
        return label
    if label_mode == "binary":
        return np.array([label], np.float32)
    return (np.arange(len(listing.class_names)) == label).astype(np.float32)
