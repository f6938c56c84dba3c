"""Batches of augmented pictures: of arrays, of folders, of tables that name files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import random
from minicnn.checks import check_choice, check_pair, check_positive_int, real_array
from minicnn.data.reading import mapped
from minicnn.errors import DataError, ShapeError
from minicnn.images.files import CHANNELS, array_to_img, img_to_array, load_img
from minicnn.processors import default_threads

if TYPE_CHECKING:
    from minicnn.images.augmented import ImageDataGenerator


class BatchIterator:
    """Endless batches with ``next``, and as a Sequence: ``len()`` is the batches of a pass, ``[i]`` gives one.

    Attributes
    ----------
    n, samples : int
        How many pictures there are.
    batch_size : int
    """

    def __init__(self, samples: int, batch_size: int, shuffle: bool, seed: int | None) -> None:
        self.n: int = samples
        self.samples: int = samples
        self.batch_size: int = check_positive_int("batch_size", batch_size)
        self.shuffle: bool = shuffle
        self.seed: int = random.next_seed() if seed is None else abs(int(seed))
        self.batch_index: int = 0
        self.total_batches_seen: int = 0
        self._pass = 0
        self._draw_order()

    def _draw_order(self):
        generator = random.generator(self.seed, "order", self._pass)
        self.index_array: np.ndarray | None = generator.permutation(self.n) if self.shuffle else np.arange(self.n)

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if self.n == 0:
            raise DataError("there are no pictures. Received: an empty data set")
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches. Received: index {index}")
        self.total_batches_seen += 1
        if self.index_array is None or (len(self.index_array) == 0 < self.n):  # a user changed `shuffle`, or `n` from 0
            self._draw_order()
        chosen = self.index_array[index * self.batch_size : (index + 1) * self.batch_size]
        return self._batch(chosen, random.generator(self.seed, "transform", self._pass, index))

    def _set_index_array(self) -> None:
        """Draw the order again, as Keras's users do after a change of `n`."""
        self._draw_order()

    def on_epoch_end(self) -> None:
        """Draw the order of the next pass."""
        self._pass += 1
        self._draw_order()

    def reset(self) -> None:
        """Begin with the first batch again."""
        self.batch_index = 0

    def __iter__(self) -> BatchIterator:
        return self

    def __next__(self) -> Any:
        batch = self[self.batch_index]
        self.batch_index += 1
        if self.batch_index == len(self):
            self.batch_index = 0
            self.on_epoch_end()
        return batch

    next = __next__

    def _batch(self, indices: np.ndarray, generator: np.random.Generator) -> Any:
        """The pictures of these indices, and what belongs to them."""
        raise NotImplementedError


class _Saving:
    """Writes the pictures of each batch to a folder, for looking at them."""

    def __init__(self, directory, prefix, file_format, data_format):
        self._directory, self._prefix, self._format, self._order = directory, prefix, file_format, data_format
        if directory is not None:
            os.makedirs(directory, exist_ok=True)

    def __call__(self, images, indices):
        for image, index in zip(images, indices, strict=True) if self._directory is not None else ():
            name = f"{self._prefix}_{index}_{np.random.default_rng().integers(10**7)}.{self._format}"
            array_to_img(image, self._order).save(os.path.join(self._directory, name))


class NumpyArrayIterator(BatchIterator):
    """Batches of an array of images; made by `ImageDataGenerator.flow`.

    Parameters
    ----------
    x : array (N, H, W, C)
    y : array (N, …) or None
        Targets.
    image_data_generator : ImageDataGenerator
        Its changes are made to each image.
    batch_size : int, default 32
    shuffle : bool, default False
    sample_weight : array (N,), optional
    seed : int, optional
    save : (str or None, str, str)
        Folder, prefix and format of files that the images are written to; None: no files.
    part : slice
        Which images count.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        image_data_generator: ImageDataGenerator,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: Any = None,
        seed: int | None = None,
        save: tuple[str | None, str, str] = (None, "", "png"),
        part: slice = slice(None),
    ) -> None:
        more = list(x[1:]) if isinstance(x, tuple | list) and len(x) == 2 and np.ndim(x[0]) == 4 else []
        x = x[0] if more else x
        self.x: np.ndarray = real_array(x, "x")[part]
        if self.x.ndim != 4:
            raise ShapeError(f"flow takes images (N, H, W, C); add the axis with x[..., None]. Received: {np.shape(x)}")
        self._more = [np.asarray(a)[part] for other in more for a in (other if isinstance(other, list) else [other])]
        self.y: np.ndarray | None = None if y is None else np.asarray(y)[part]
        self.sample_weight: np.ndarray | None = None if sample_weight is None else np.asarray(sample_weight)[part]
        for name, values in (("y", self.y), ("sample_weight", self.sample_weight)):
            if values is not None and len(values) != len(self.x):
                raise ValueError(f"x and {name} have one length. Received: {len(self.x)} and {len(values)}")
        self.image_data_generator: ImageDataGenerator = image_data_generator
        self._save = _Saving(*save, image_data_generator.data_format)
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def _batch(self, indices, generator):
        images = self.image_data_generator.augmented(self.x[indices], generator)
        self._save(images, indices)
        x = [images, *(a[indices] for a in self._more)] if self._more else images
        if self.y is None:
            return x
        weights = () if self.sample_weight is None else (self.sample_weight[indices],)
        return (x, self.y[indices], *weights)


class FileIterator(BatchIterator):
    """Batches of pictures in files; made by `flow_from_directory` and `flow_from_dataframe`.

    Parameters
    ----------
    directory : str
        The folder above `filepaths`.
    targets : array or None
        What goes with the pictures, where that is not their classes.
    image_data_generator : ImageDataGenerator
    class_mode : str or None
        In which form labels are given.
    options : dict
        The other arguments of `flow_from_directory`.

    Attributes
    ----------
    filepaths : list of str
    filenames : list of str
        Below the folder.
    classes, labels : array (N,)
        Class numbers.
    class_indices : dict
        Class name → number.
    num_classes : int
    image_shape : tuple of int
    """

    def __init__(
        self,
        filepaths: Sequence[str],
        directory: str,
        targets: np.ndarray | list[np.ndarray] | None,
        class_indices: dict[str, int],
        image_data_generator: ImageDataGenerator,
        class_mode: str | None,
        options: dict[str, Any],
    ) -> None:
        if unknown := sorted(options.keys() - OPTIONS):
            raise TypeError(f"unknown arguments. Known are {sorted(OPTIONS)}. Received: {unknown}")
        self.sample_weight: np.ndarray | None = None
        self.directory: str = directory
        self.filenames: list[str] = [os.path.relpath(path, directory or ".") for path in filepaths]
        self.filepaths: list[str] = list(filepaths)
        self.class_indices: dict[str, int] = class_indices
        self.num_classes: int = len(class_indices)
        self.classes: Any = targets
        self.class_mode: str | None = class_mode
        self.image_data_generator: ImageDataGenerator = image_data_generator
        self.target_size: tuple[int, int] = check_pair("target_size", options.get("target_size", (256, 256)))
        self.color_mode: str = check_choice("color_mode", options.get("color_mode", "rgb"), tuple(CHANNELS))
        channels = CHANNELS[self.color_mode]
        is_first = image_data_generator.data_format == "channels_first"
        size = self.target_size
        self.image_shape: tuple[int, ...] = (channels, *size) if is_first else (*size, channels)
        self._interpolation = options.get("interpolation", "nearest")
        self._keeps_ratio = options.get("keep_aspect_ratio", False)
        self._save = _Saving(*(options.get(n, d) for n, d in _SAVING.items()), image_data_generator.data_format)
        super().__init__(
            len(self.filepaths), options.get("batch_size", 32), options.get("shuffle", True), options.get("seed")
        )

    @property
    def labels(self) -> np.ndarray | list[np.ndarray] | None:
        """The class numbers, or targets, of several outputs a list: `classes`, which a user may replace."""
        return self.classes

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("filenames", "directory") and hasattr(self, "filepaths"):  # a user's, read from then on
            self.filepaths = [os.path.join(self.directory, file) for file in self.filenames]

    def _read(self, index):
        path = self.filepaths[index]
        image = load_img(path, self.color_mode, self.target_size, self._interpolation, self._keeps_ratio)
        return img_to_array(image, self.image_data_generator.data_format)

    def _batch(self, indices, generator):
        images = np.stack(list(mapped(self._read, indices, default_threads())))
        images = self.image_data_generator.augmented(images, generator)
        self._save(images, indices)
        make = _TARGETS[self.class_mode]
        weights = () if self.sample_weight is None else (self.sample_weight[indices],)
        return images if make is None else (images, make(self, images, indices), *weights)


_SAVING = {"save_to_dir": None, "save_prefix": "", "save_format": "png"}
OPTIONS = {"target_size", "color_mode", "batch_size", "shuffle", "seed", "interpolation", "keep_aspect_ratio"}
OPTIONS |= _SAVING.keys()


def _one_hot(iterator, images, indices):
    rows = np.zeros((len(indices), iterator.num_classes), np.float32)
    for row, index in zip(rows, indices, strict=True):
        row[iterator.classes[index]] = 1  # a number, or a list of them
    return rows


def _numbers(iterator, images, indices):
    return iterator.labels[indices].astype(np.float32)


def _raw(iterator, images, indices):
    return iterator.labels[indices]


def _of_each_output(iterator, images, indices):
    return [column[indices] for column in iterator.labels]


def _images_again(iterator, images, indices):
    return images.copy()


_TARGETS: dict[str | None, Callable[..., Any] | None] = {
    "categorical": _one_hot,
    "binary": _numbers,
    "sparse": _numbers,
    "raw": _raw,
    "other": _raw,
    "multi_output": _of_each_output,
    "input": _images_again,
    None: None,
}
CLASS_MODES = tuple(_TARGETS)
MODES_OF_FOLDERS = tuple(mode for mode in CLASS_MODES if mode not in ("raw", "other", "multi_output"))
