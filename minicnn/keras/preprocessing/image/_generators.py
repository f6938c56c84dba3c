"""Generators of one's own: subclasses of `ImageDataGenerator` with other changes, and objects that stand for one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from inspect import signature
from typing import Any

import numpy as np

from minicnn import images as core
from minicnn.errors import DataError
from minicnn.images import folders
from minicnn.images.iterators import OPTIONS
from minicnn.keras._data_format import or_current
from minicnn.keras._translation import renamed
from minicnn.user_warnings import warn_user

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff")  # Keras's generators read no others
_LEFT_OUT = tuple(sorted({*folders.EXTENSIONS} - {*EXTENSIONS}))
_OPTIONS = ("target_size", "color_mode", "classes", "class_mode", "batch_size", "shuffle", "seed")
_OPTIONS += ("save_to_dir", "save_prefix", "save_format")
_OF_DIRECTORY = ("directory", *_OPTIONS, "follow_links", "subset", "interpolation", "keep_aspect_ratio")
_OF_DATAFRAME = ("dataframe", "directory", "x_col", "y_col", "weight_col", *_OPTIONS)
_OF_DATAFRAME += ("subset", "interpolation", "validate_filenames")
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
    with _seeded(numbers):
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


def _named(function, args, names, options):
    """The options, and `args` among them: Keras's order is another one."""
    given = dict(zip(names, args, strict=False))
    if twice := sorted(given.keys() & options.keys()):
        raise TypeError(f"{function} takes each argument once. Received: {twice} twice")
    if len(args) > len(names):
        raise TypeError(f"{function} takes up to {len(names)} arguments without names. Received: {len(args)}")
    return given | options


def flow_from_directory(generator: Any, *args: Any, **options: Any) -> Any:
    """As `minicnn.images.ImageDataGenerator.flow_from_directory`, with Keras's order of arguments.

    Parameters
    ----------
    generator : ImageDataGenerator
    *args, **options
        As there.
    """
    given = _named("flow_from_directory", args, _OF_DIRECTORY, options)
    return core.ImageDataGenerator.flow_from_directory(generator, **given)


def flow_from_dataframe(generator: Any, *args: Any, **options: Any) -> Any:
    """As `minicnn.images.ImageDataGenerator.flow_from_dataframe`; what it does not know changes nothing, as in Keras.

    Parameters
    ----------
    generator : ImageDataGenerator
    *args, **options
        As there, in Keras's order.
    """
    own = core.ImageDataGenerator.flow_from_dataframe
    options = _named("flow_from_dataframe", args, _OF_DATAFRAME, options)
    known = {*signature(own).parameters, *OPTIONS}
    if ignored := sorted(options.keys() - known - {"has_ext", "sort", "drop_duplicates"}):
        warn_user(
            f"flow_from_dataframe has no {', '.join(f'{name}=' for name in ignored)}, which changes nothing, as in "
            f"Keras: changes of pictures are for ImageDataGenerator(…). Known are {sorted(known - {'self', 'options'})}"
        )
    return own(generator, **{name: value for name, value in options.items() if name in known})


@contextmanager
def _seeded(numbers):
    """As in Keras, a batch's changes go by NumPy's own random numbers, which go by the seed of `flow`."""
    before = np.random.get_state()
    np.random.seed(int(numbers.integers(2**32)))
    try:
        yield
    finally:
        np.random.set_state(before)


class _StandsFor:
    """An object with ``random_transform`` and ``standardize``, as an iterator asks a generator."""

    def __init__(self, generator: Any, data_format: str) -> None:
        self._generator, self.data_format = generator, data_format

    def augmented(self, images: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
        return augmented(self._generator, images, numbers)


class NumpyArrayIterator(core.NumpyArrayIterator):
    """Batches of an array of images, with Keras's arguments.

    Parameters
    ----------
    x : array (N, H, W, C)
    y : array (N, …) or None
    image_data_generator : ImageDataGenerator, or an object with ``random_transform`` and ``standardize``
    batch_size, shuffle, sample_weight, seed, save_to_dir, save_prefix, save_format : optional
        As for `ImageDataGenerator.flow`.
    data_format : {"channels_last", "channels_first"}, optional
        That of the images; `dim_ordering` in Keras 1.
    **options
        Keras's further arguments, which change nothing.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        image_data_generator: Any,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        **options: Any,
    ) -> None:
        options = renamed("NumpyArrayIterator", options, {"dim_ordering": "data_format"})
        data_format = or_current(options.get("data_format", data_format))
        if not isinstance(image_data_generator, core.ImageDataGenerator):
            image_data_generator = _StandsFor(image_data_generator, data_format)
        save = (save_to_dir, save_prefix, options.get("save_format", "png"))
        super().__init__(x, y, image_data_generator, batch_size, shuffle, sample_weight, seed, save)
