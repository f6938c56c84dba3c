"""Generators of one's own: subclasses of `ImageDataGenerator` with other changes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn import images as core
from minicnn.errors import DataError
from minicnn.images import folders
from minicnn.user_warnings import warn_user

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff")  # Keras's generators read no others
_LEFT_OUT = tuple(sorted({*folders.EXTENSIONS} - {*EXTENSIONS}))
_CHANGES = ("random_transform", "get_random_transform", "apply_transform")


def augmented(generator: Any, images: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    """Images changed at random and standardized, one by one where a class has written its own changes.

    Parameters
    ----------
    generator : ImageDataGenerator, or an object with its methods
    images : array (N, H, W, C)
    numbers : numpy.random.Generator
        For the changes of the library.

    Returns
    -------
    array (N, H, W, C), float32
    """
    own = core.ImageDataGenerator
    if isinstance(generator, own) and all(getattr(type(generator), n) is getattr(own, n) for n in _CHANGES):
        return own.augmented(generator, images, numbers)
    with seeded(numbers):
        made = [np.asarray(generator.standardize(generator.random_transform(np.array(x, np.float32)))) for x in images]
    return np.stack([image.reshape(image.shape[-3:]) for image in made]).astype(np.float32, copy=False)


def is_fitted(generator: Any, value: np.ndarray | None) -> bool:
    """Whether what is learned of data is known; if not, it is warned of once, and nothing is done with it, as in Keras.

    Parameters
    ----------
    generator : ImageDataGenerator
    value : array or None
    """
    if value is None and not vars(generator).get("_has_warned"):
        vars(generator)["_has_warned"] = True
        warn_user(
            "this ImageDataGenerator specifies featurewise_center, featurewise_std_normalization or zca_whitening, but "
            "has not been fit on data, so that these are left out: call fit(x_train) first"
        )
    return value is not None


def list_classes(
    directory: Any, class_names: Any, follow_links: bool, extensions: tuple[str, ...] = folders.EXTENSIONS
) -> folders.Listing:
    """As `minicnn.images.folders.list_classes`; a folder without folders of classes, or pictures, is one without any.

    Parameters
    ----------
    directory, class_names, follow_links, extensions
        As there.

    Raises
    ------
    DataError
        If the folder, or that of a class, is not there.
    """
    try:
        found = folders.list_classes(directory, class_names, follow_links, (*extensions, *_LEFT_OUT))
        keep = [i for i, path in enumerate(found.paths) if path.lower().endswith(extensions)]
        if len(keep) < len(found.paths):
            warn_user(
                f"{len(found.paths) - len(keep)} pictures are left out, as Keras's generators read no {_LEFT_OUT}: "
                f"image_dataset_from_directory does. Received: directory={os.fspath(directory)!r}"
            )
        return folders.Listing([found.paths[i] for i in keep], found.labels[keep], found.class_names)
    except DataError:
        if not os.path.isdir(directory):
            raise
        with os.scandir(directory) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        names = found if class_names is None else [str(name) for name in class_names]
        if not set(names) <= set(found):
            raise
    warn_user(
        "flow_from_directory takes pictures that lie in one folder for each class, and there is none: unless the "
        f"iterator is given its filenames, drawing from it is an error. Received: directory={os.fspath(directory)!r}"
    )
    return folders.Listing([], np.empty(0, np.int32), names)


@contextmanager
def seeded(numbers):
    """As in Keras, a batch's changes go by NumPy's own random numbers, which go by the seed of `flow`."""
    before = np.random.get_state()
    np.random.seed(int(numbers.integers(2**32)))
    try:
        yield
    finally:
        np.random.set_state(before)
