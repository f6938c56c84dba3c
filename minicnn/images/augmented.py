"""Keras's `ImageDataGenerator`: pictures that are changed at random each time they are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import random
from minicnn.checks import check_choice, check_number, real_array, shown
from minicnn.console import say
from minicnn.errors import ShapeError
from minicnn.geometry import FILL_MODES
from minicnn.images.files import EXTENSIONS
from minicnn.images.folders import list_classes
from minicnn.images.iterators import CLASS_MODES, MODES_OF_FOLDERS, FileIterator, NumpyArrayIterator
from minicnn.images.tables import check_classes_of_parts, pictures_in_table, targets_in_table, weights_in_table
from minicnn.images.transforms import Transform, as_dtype_of, check_pair_of, one_image, shift, transformed, whitening
from minicnn.keywords import suggests_in_constructor
from minicnn.user_warnings import warn_user

Range = float | Sequence[float]


@suggests_in_constructor
@dataclass(eq=False)
class ImageDataGenerator:
    """Makes batches of images that are turned, moved, mirrored … at random, and brought to the scale of a network.

    Parameters
    ----------
    featurewise_center, featurewise_std_normalization : bool, default False
        Subtract the mean of the data, divide by its standard deviation (N, H, W → channels); `fit` first.
    samplewise_center, samplewise_std_normalization : bool, default False
        The same for each image on its own.
    zca_whitening : bool, default False
        Decorrelate the pixels (Krizhevsky: "Learning multiple layers of features from tiny images", 2009) instead of
        dividing by their deviation; `fit` first.
    zca_epsilon : float, default 1e-6
    rotation_range : float, default 0
        Degrees to either side.
    width_shift_range, height_shift_range : float, int or list, default 0
        Below 1 a fraction of the size, else pixels; a list: one of them.
    brightness_range : (float, float), optional
        Factors.
    shear_range : float, default 0
        Degrees.
    zoom_range : float or (float, float), default 0
        0.2 means (0.8, 1.2).
    channel_shift_range : float, default 0
        What is added to all pixels.
    fill_mode : {"nearest", "constant", "reflect", "wrap"}, default "nearest"
        What comes in from outside.
    cval : float, default 0
        For "constant".
    horizontal_flip, vertical_flip : bool, default False
    rescale : float or array (C,), optional
        Factor of all pixels, such as 1 / 255, or one for each channel; False and True change nothing.
    preprocessing_function : callable, optional
        Takes and gives an image (H, W, C), before it is rescaled.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        Of the images that come in and go out: (N, H, W, C) or (N, C, H, W).
    validation_split : float, default 0
        The part of the pictures that ``subset="validation"`` takes.
    interpolation_order : {0, 1}, default 1
        1 mixes four pixels.
    dtype : str, optional
        Of the images that come out; float32 by default.

    Raises
    ------
    ValueError
        For an argument outside its range.
    """

    featurewise_center: bool = False
    samplewise_center: bool = False
    featurewise_std_normalization: bool = False
    samplewise_std_normalization: bool = False
    zca_whitening: bool = False
    zca_epsilon: float = 1e-6
    rotation_range: float = 0
    width_shift_range: Range = 0.0
    height_shift_range: Range = 0.0
    brightness_range: Sequence[float] | None = None
    shear_range: float = 0.0
    zoom_range: Range = 0.0
    channel_shift_range: float = 0.0
    fill_mode: str = "nearest"
    cval: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    rescale: float | Sequence[float] | np.ndarray | None = None
    preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None
    data_format: str | None = None
    validation_split: float = 0.0
    interpolation_order: int = 1
    dtype: str | None = None
    _list_classes = staticmethod(list_classes)
    _extensions = (*EXTENSIONS, ".ppm", ".tif", ".tiff")

    def __post_init__(self) -> None:
        check_choice("fill_mode", self.fill_mode, FILL_MODES)
        for name in ("rotation_range", "shear_range", "channel_shift_range"):
            check_number(name, getattr(self, name), minimum=-np.inf)
        for name in ("rescale", "width_shift_range", "height_shift_range"):
            if not isinstance(given := getattr(self, name), bool | None):
                for number in np.ravel(given):  # rescale: (1,), or (C,): one for each channel
                    check_number(name, number, minimum=-np.inf)
        check_choice("data_format", self.data_format, (None, "channels_last", "channels_first"))
        check_number("validation_split", self.validation_split, below=1)
        check_choice("interpolation_order", self.interpolation_order, (0, 1))
        self.zoom_range = check_pair_of("zoom_range", self.zoom_range, around=1)
        if self.brightness_range is not None:
            self.brightness_range = check_pair_of("brightness_range", self.brightness_range)
        self.featurewise_center |= self.featurewise_std_normalization or self.zca_whitening
        if self.zca_whitening and self.featurewise_std_normalization:
            warn_user("zca_whitening=True takes the place of featurewise_std_normalization=True, which is left out")
            self.featurewise_std_normalization = False
        self.samplewise_center |= self.samplewise_std_normalization
        scales = np.any(self.rescale) or self.featurewise_center or self.samplewise_center
        if scales and np.dtype(self.dtype or np.float32).kind != "f":
            raise ValueError(f"images are scaled as floats: leave dtype= out. Received: dtype={self.dtype!r}")
        self.mean: np.ndarray | None = None
        self.std: np.ndarray | None = None
        self.zca_whitening_matrix: np.ndarray | None = None

    # --------------------------------------------------------------------------------------------------- sources

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> NumpyArrayIterator:
        """Batches of arrays: (images, labels), or images alone.

        Parameters
        ----------
        x : array (N, H, W, C)
            Or a pair (images, further inputs).
        y, sample_weight : array (N, …), optional
        batch_size : int, default 32
        shuffle : bool, default True
        seed : int, optional
        save_to_dir, save_prefix, save_format : str, optional
            Where the images are written, for looking at them.
        ignore_class_split : bool, default False
            Whether the parts may have different classes.
        subset : {"training", "validation"}, optional
            The last, or the first `validation_split` of the data.

        Raises
        ------
        ValueError
            If the two parts have different classes, as those of data that are sorted by class.
        """
        first = x[0] if isinstance(x, tuple | list) and len(x) else x
        if np.ndim(first) == 0:
            raise TypeError(f"flow takes an array of images, (N, H, W, C). Received: x={shown(x)}")
        save, part = (save_to_dir, save_prefix, save_format), self._part(len(first), subset)
        if subset is not None and y is not None and not ignore_class_split:
            check_classes_of_parts(np.asarray(y), int(len(first) * self.validation_split))
        return NumpyArrayIterator(x, y, self, batch_size, shuffle, sample_weight, seed, save, part)

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        target_size: Sequence[int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        subset: str | None = None,
        follow_links: bool = False,
        **options: Any,
    ) -> FileIterator:
        """Batches of the pictures in a folder, with one folder for each class.

        Parameters
        ----------
        directory : str or path-like
        target_size : (int, int), default (256, 256)
        color_mode : {"rgb", "rgba", "grayscale"}
        classes : list of str, optional
            Default: the names of all folders, sorted.
        class_mode : {"categorical", "binary", "sparse", "input", None}
            One-hot rows, numbers, the images themselves, or no targets.
        batch_size, shuffle, seed, subset
            As for `flow`.
        follow_links : bool, default False
        **options
            save_to_dir, save_prefix, save_format, interpolation, keep_aspect_ratio.

        Raises
        ------
        DataError
            If there is no such folder, no class or no picture.
        """
        check_choice("class_mode", class_mode, MODES_OF_FOLDERS)
        listing = self._list_classes(directory, classes, follow_links, self._extensions)
        chosen = self._part_of_classes(listing.labels, subset)
        say(f"Found {len(chosen)} images belonging to {len(listing.class_names)} classes.")
        names = {name: i for i, name in enumerate(listing.class_names)}
        options |= {"target_size": target_size, "color_mode": color_mode, "batch_size": batch_size}
        options |= {"shuffle": shuffle, "seed": seed}
        paths = [listing.paths[i] for i in chosen]
        return FileIterator(paths, os.fspath(directory), listing.labels[chosen], names, self, class_mode, options)

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: str | os.PathLike[str] | None = None,
        x_col: str = "filename",
        y_col: str | Sequence[str] = "class",
        class_mode: str | None = "categorical",
        classes: Sequence[str] | None = None,
        subset: str | None = None,
        validate_filenames: bool = True,
        weight_col: str | None = None,
        **options: Any,
    ) -> FileIterator:
        """Batches of the pictures that a table names.

        Parameters
        ----------
        dataframe : pandas.DataFrame, or anything with columns
        directory : str or path-like, optional
            Where the paths in the table begin.
        x_col, y_col : str, default "filename", "class"
            The columns of paths and of targets; a list for "raw", (N, columns), and "multi_output", a list of (N, …).
        class_mode : {"categorical", "binary", "sparse", "raw", "other", "multi_output", "input", None}
            With "categorical" a picture may have several classes, as a list.
        classes : list of str, optional
            Default: those of the files that are there, sorted.
        subset : {"training", "validation"}, optional
        validate_filenames : bool, default True
            Whether rows are left out that name no file, or one that is no picture by its name; a warning says how many
            were.
        weight_col : str, optional
            The column of the samples' weights.
        **options
            target_size, color_mode, batch_size, shuffle, seed and those of `flow_from_directory`.

        Raises
        ------
        DataError
            If none of the files exists.
        """
        check_choice("class_mode", class_mode, CLASS_MODES)
        root = "" if directory is None else os.fspath(directory)
        names, paths, keep = pictures_in_table(dataframe, x_col, root, self._extensions if validate_filenames else None)
        keep, targets, numbers = targets_in_table(dataframe, y_col, class_mode, classes, keep)
        keep = keep[self._part(len(keep), subset)]
        say(f"Found {len(keep)} validated image filenames{f' belonging to {len(numbers)} classes' if numbers else ''}.")
        made = FileIterator([paths[i] for i in keep], root, targets(keep), numbers, self, class_mode, options)
        made.filenames = [names[i] for i in keep]
        made.sample_weight = None if weight_col is None else weights_in_table(dataframe, weight_col)[keep]
        return made

    def _part(self, count, subset):
        """The slice of the data that `subset` is."""
        check_choice("subset", subset, (None, "training", "validation"))
        if subset == "validation" and not self.validation_split:
            raise ValueError("subset='validation' needs ImageDataGenerator(validation_split=0.2). Received: 0.0")
        first = int(count * self.validation_split)
        return {None: slice(None), "validation": slice(first), "training": slice(first, None)}[subset]

    def _part_of_classes(self, labels, subset):
        """Indices of the pictures of a subset: the same part of each class."""
        classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        return np.concatenate([np.arange(0), *(indices[self._part(len(indices), subset)] for indices in classes)])

    # ---------------------------------------------------------------------------------------------------- images

    def augmented(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Images changed at random and standardized.

        Parameters
        ----------
        images : array (N, H, W, C), or as `data_format` says
        generator : numpy.random.Generator

        Returns
        -------
        array like `images`, of `dtype`
        """
        transforms = [self._drawn(images.shape[1:], generator) for _ in images]
        images = self._transformed(images, transforms, self.interpolation_order)
        return np.stack([x[0] if np.ndim(x) == 4 else x for x in map(self.standardize, images)])

    def _transformed(self, images, transforms, order):
        """Images in `data_format`, each changed by its own transform."""
        axis = 1 if self.data_format == "channels_first" else -1
        images = transformed(np.moveaxis(images, axis, -1), transforms, self.fill_mode, self.cval, order)
        return np.moveaxis(images, -1, axis)

    def get_random_transform(self, img_shape: Sequence[int], seed: int | None = None) -> Transform:
        """Parameters of one random change, for `apply_transform`."""
        return self._drawn(img_shape, _generator(seed))

    def apply_transform(self, x: np.ndarray, transform_parameters: Transform) -> np.ndarray:
        """The image x (H, W, C), changed.

        Parameters
        ----------
        x : array (H, W, C)
        transform_parameters : mapping
            As `get_random_transform` gives it: theta and shear in degrees, tx and ty in pixels, zx, zy, …

        Returns
        -------
        array like `x`; float32 where its brightness was changed, or whole numbers were shifted
        """
        made = self._transformed(one_image(x), [transform_parameters], self.interpolation_order)[0]
        x, shifts = np.asarray(x), bool(transform_parameters.get("channel_shift_intensity"))
        is_float = transform_parameters.get("brightness") is not None or (shifts and x.dtype.kind in "iu")
        return made if is_float else as_dtype_of(x, made)

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """The image x (H, W, C), changed at random; without a seed by NumPy's own random numbers, as in Keras."""
        seed = int(np.random.randint(2**31)) if seed is None else seed
        return self.apply_transform(x, self.get_random_transform(np.shape(x), seed))

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Image x (H, W, C), or images, after `preprocessing_function`, `rescale` and normalization, of `dtype`."""
        if self.preprocessing_function is not None:
            x = self.preprocessing_function(x)
        x = np.array(x, self.dtype or np.float32)
        if np.any(self.rescale):
            x *= self.rescale
        if self.samplewise_center:
            x -= x.mean()
        if self.samplewise_std_normalization:
            x /= x.std() + 1e-6
        if self.featurewise_center and self._is_fitted(self.mean):
            x -= self.mean
        if self.featurewise_std_normalization and self._is_fitted(self.std):
            x /= self.std + 1e-6
        if self.zca_whitening and self._is_fitted(matrix := self.zca_whitening_matrix):
            x = (x.reshape(-1, len(matrix)) @ matrix).reshape(x.shape)
        return x

    def _is_fitted(self, value):
        if value is None:
            raise ValueError("this ImageDataGenerator normalizes by the data: call fit(x_train) first")
        return True

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Learn the mean and deviation of images, which `featurewise_center` and its like need.

        Parameters
        ----------
        x : array (N, H, W, C)
        augment : bool, default False
            Whether images, times `rescale`, are changed at random first.
        rounds : int, default 1
            How often, then.
        seed : int, optional

        Raises
        ------
        ShapeError
            If x is not images.
        """
        images = np.array(real_array(x, "x"), np.float32)
        if images.ndim != 4:
            raise ShapeError(f"fit takes images (N, H, W, C). Received: shape {images.shape}")
        if np.any(self.rescale):
            images *= self.rescale
        if augment:
            draw = _generator(seed)
            passes = [[self._drawn(images.shape[1:], draw) for _ in images] for _ in range(rounds)]
            images = np.concatenate([self._transformed(images, transforms, 1) for transforms in passes])
        axes = (0, 2, 3) if self.data_format == "channels_first" else (0, 1, 2)
        if self.featurewise_center:
            self.mean = images.mean(axes, keepdims=True)[0]  # (1, 1, C) or (C, 1, 1)
            images -= self.mean
        if self.featurewise_std_normalization:
            self.std = images.std(axes, keepdims=True)[0]
            images /= self.std + 1e-6
        if self.zca_whitening:
            self.zca_whitening_matrix = whitening(images.reshape(len(images), -1), self.zca_epsilon)

    def _drawn(self, shape, generator):
        """One random transform, in Keras's names."""
        height, width = shape[1:] if self.data_format == "channels_first" else shape[:2]
        channels = self.channel_shift_range
        return {
            "theta": generator.uniform(-self.rotation_range, self.rotation_range) if self.rotation_range else 0,
            "tx": shift(self.width_shift_range, width, generator),
            "ty": shift(self.height_shift_range, height, generator),
            "shear": generator.uniform(-self.shear_range, self.shear_range) if self.shear_range else 0,
            "zx": (zoom := self._zooms(generator))[0],
            "zy": zoom[1],
            "flip_horizontal": self.horizontal_flip and generator.random() < 0.5,
            "flip_vertical": self.vertical_flip and generator.random() < 0.5,
            "channel_shift_intensity": generator.uniform(-channels, channels) if channels else None,
            "brightness": None if self.brightness_range is None else generator.uniform(*self.brightness_range),
        }

    def _zooms(self, generator):
        return (1, 1) if self.zoom_range == (1, 1) else generator.uniform(*self.zoom_range, 2)


def _generator(seed):
    return random.generator(random.next_seed() if seed is None else abs(int(seed)), "transform")
