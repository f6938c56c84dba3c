"""Iterators over pictures with Keras's constructors, of which scripts make subclasses that read or change batches."""

from __future__ import annotations

from collections.abc import Iterator as Generator
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import numpy as np

from minicnn import images as core
from minicnn.images.iterators import OPTIONS, BatchIterator
from minicnn.keras._data_format import or_current
from minicnn.keras._translation import renamed
from minicnn.keras.preprocessing.image._generators import EXTENSIONS, augmented, seeded
from minicnn.user_warnings import warn_user

_OPTIONS = ("target_size", "color_mode", "classes", "class_mode", "batch_size", "shuffle", "seed")
_OPTIONS += ("save_to_dir", "save_prefix", "save_format")
_OF_DIRECTORY = ("directory", *_OPTIONS, "follow_links", "subset", "interpolation", "keep_aspect_ratio")
_OF_DATAFRAME = ("dataframe", "directory", "x_col", "y_col", "weight_col", *_OPTIONS)
_OF_DATAFRAME += ("subset", "interpolation", "validate_filenames")
_WITH_FORMAT = (*_OPTIONS[:7], "data_format", *_OPTIONS[7:])
_BY_DIRECTORY = (*_WITH_FORMAT, "follow_links", "subset", "interpolation", "keep_aspect_ratio", "dtype")
_BY_DATAFRAME = ("x_col", "y_col", "weight_col", *_WITH_FORMAT)
_BY_DATAFRAME += ("subset", "interpolation", "keep_aspect_ratio", "dtype", "validate_filenames")
_KEPT = {"save_to_dir": None, "save_prefix": "", "save_format": "png", "interpolation": "nearest"}
_KEPT |= {"keep_aspect_ratio": False, "subset": None}


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

    Returns
    -------
    DirectoryIterator
    """
    given = _named("flow_from_directory", args, _OF_DIRECTORY, options)
    return DirectoryIterator(given.pop("directory", None), generator, **given)


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
    known_options = {name: value for name, value in options.items() if name in known}
    return DataFrameIterator(image_data_generator=generator, **known_options)


class _StandsFor:
    """An object with ``random_transform`` and ``standardize``, as an iterator asks a generator."""

    def __init__(self, generator: Any, data_format: str) -> None:
        self._generator, self.data_format = generator, data_format

    def augmented(self, images: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
        return augmented(self._generator, images, numbers)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_generator"], name)


class _Hooked:
    """What Keras's iterators have for subclasses: one of them may say how a batch is made, or what ``next`` gives."""

    batch_index: int
    lock: AbstractContextManager[None] = nullcontext()  # for ``with self.lock:``; nothing waits for it

    def _batch(self, indices, generator):
        if type(self)._get_batches_of_transformed_samples is _Hooked._get_batches_of_transformed_samples:
            return super()._batch(indices, generator)
        with seeded(generator):
            return self._get_batches_of_transformed_samples(indices)

    def _get_batches_of_transformed_samples(self, index_array):
        return super()._batch(np.asarray(index_array), np.random.default_rng(np.random.randint(2**31)))

    def __next__(self) -> Any:
        return self.next()

    @property
    def index_generator(self) -> Generator[np.ndarray]:
        """The places of the next batch's pictures, again and again."""
        while True:
            at, count = self.batch_index, self.batch_size
            chosen = self.index_array[at * count : (at + 1) * count]
            self.batch_index = (at + 1) % len(self)
            if self.batch_index == 0:
                self.on_epoch_end()
            yield chosen


class Iterator(_Hooked, BatchIterator):
    """Batches of anything: a subclass gives them by ``_get_batches_of_transformed_samples(index_array)``.

    Parameters
    ----------
    n : int
        How many pictures there are.
    batch_size : int
    shuffle : bool
    seed : int or None
    """

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: int | None) -> None:
        super().__init__(n, batch_size, shuffle, seed)


def _asked(generator, data_format):
    """The generator, or what asks an object with its methods."""
    return generator if isinstance(generator, core.ImageDataGenerator) else _StandsFor(generator, data_format)


class _OfFiles(_Hooked, core.FileIterator):
    """Takes over what a method of `ImageDataGenerator` has found."""

    def _take(self, method, generator, options):
        given = options.pop("data_format", None)
        data_format = getattr(generator, "data_format", or_current(given))
        if given not in (None, data_format):
            raise ValueError(
                f"data_format is that of the ImageDataGenerator, {data_format!r}: tell it there. Received: {given!r}"
            )
        dtype = options.pop("dtype", None) or getattr(generator, "dtype", "float32")
        asked = _asked(generator, data_format)
        finder = generator if asked is generator else _plain(data_format)
        made = getattr(core.ImageDataGenerator, method)(finder, **options)
        vars(self).update(vars(made), image_data_generator=asked, data_format=data_format, dtype=dtype)
        vars(self).update({name: options.get(name, default) for name, default in _KEPT.items()})


def _plain(data_format):
    made = core.ImageDataGenerator(data_format=data_format)
    made._extensions = EXTENSIONS
    return made


class DirectoryIterator(_OfFiles):
    """Batches of the pictures in a folder, with one folder for each class, by Keras's arguments.

    Parameters
    ----------
    directory : str or path-like
    image_data_generator : ImageDataGenerator, or an object with ``random_transform`` and ``standardize``
    *args, **options
        Those of `ImageDataGenerator.flow_from_directory`, and behind the seed `data_format`, that of the generator.
    """

    def __init__(self, directory: Any, image_data_generator: Any, *args: Any, **options: Any) -> None:
        given = _named("DirectoryIterator", args, _BY_DIRECTORY, options)
        self._take("flow_from_directory", image_data_generator, given | {"directory": directory})


class DataFrameIterator(_OfFiles):
    """Batches of the pictures that a table names, by Keras's arguments.

    Parameters
    ----------
    dataframe : pandas.DataFrame
    directory : str or path-like, optional
    image_data_generator : ImageDataGenerator, or an object with ``random_transform`` and ``standardize``, optional
        Default: one without changes.
    *args, **options
        Those of `ImageDataGenerator.flow_from_dataframe`, and behind the seed `data_format`, that of the generator.
    """

    def __init__(
        self, dataframe: Any, directory: Any = None, image_data_generator: Any = None, *args: Any, **options: Any
    ) -> None:
        given = _named("DataFrameIterator", args, _BY_DATAFRAME, options)
        generator = _plain(or_current(None)) if image_data_generator is None else image_data_generator
        self._take("flow_from_dataframe", generator, given | {"dataframe": dataframe, "directory": directory})


class NumpyArrayIterator(_Hooked, core.NumpyArrayIterator):
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
        image_data_generator = _asked(image_data_generator, data_format)
        save = (save_to_dir, save_prefix, options.get("save_format", "png"))
        super().__init__(x, y, image_data_generator, batch_size, shuffle, sample_weight, seed, save)
