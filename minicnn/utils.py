"""Small helpers around data, images, random numbers and settings."""

import random as standard_random
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn import random
from minicnn.checks import check_number, check_pair, check_positive_int, is_integer, is_real, real_array
from minicnn.errors import ShapeError
from minicnn.foreign import to_numpy
from minicnn.layers.names import reset_names
from minicnn.models.arguments import check_model
from minicnn.settings import floatx, set_floatx
from minicnn.visualization import plot_model

__all__ = [
    "Sequence",
    "clear_session",
    "floatx",
    "normalize",
    "normalize_images",
    "one_hot",
    "plot_model",
    "predict_views",
    "resize_images",
    "set_floatx",
    "set_random_seed",
    "to_categorical",
    "to_grayscale",
    "translate_images",
    "whitening_kernel",
]

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601
IMAGES_AT_ONCE = 256  # are resized together
MOST_CLASSES = 2**24  # a larger class number is a mistake: its row would take 64 MiB


def set_random_seed(seed: int) -> None:
    """Make everything that follows repeatable: initial weights, the order of samples, dropout.

    As in Keras, Python's `random` and `numpy.random` are seeded too, for the user's own draws: minicnn uses neither.

    Parameters
    ----------
    seed : int
        From 0 to 2**63 - 1; `numpy.random`, which takes 32 bits, gets it modulo 2**32.

    Raises
    ------
    ValueError
        If it is anything else; nothing is seeded then.
    """
    random.set_seed(seed)
    standard_random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)


def clear_session() -> None:
    """Number layer names from the beginning again: the next Conv2D is called conv2d."""
    reset_names()


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Class numbers as one-hot rows.

    Parameters
    ----------
    x : array of integers, (N,) or (N, 1)
    num_classes : int, optional
        Default: the largest number plus one.

    Returns
    -------
    array (N, num_classes), float32

    Raises
    ------
    ValueError
        If a number is negative, not integral, not below `num_classes`, or 2**24 or more.
    """
    x = to_numpy(x, "x")
    if x.ndim > 1 and x.shape[-1] == 1:
        x = x[..., 0]
    if x.size == 0 or not is_real(x) or (x.dtype.kind == "f" and not _are_integers(x)):
        is_text = x.dtype.kind in "US"
        names = "; names become numbers by: names, y = numpy.unique(y, return_inverse=True)" if is_text else ""
        raise ValueError(f"class numbers are integers from 0 on{names}. Received: dtype {x.dtype}, {x.size} values")
    lowest, highest = int(x.min()), int(x.max())
    classes = highest + 1 if num_classes is None else check_positive_int("num_classes", num_classes)
    if lowest < 0 or highest >= min(classes, MOST_CLASSES):
        limit = min(max(classes, 1), MOST_CLASSES) - 1
        raise ValueError(f"class numbers must lie in 0 … {limit}. Received: {lowest} … {highest}")
    rows = np.zeros((*x.shape, classes), np.float32)
    np.put_along_axis(rows, x[..., None].astype(np.int64), 1, axis=-1)
    return rows


def _are_integers(x) -> bool:
    return bool(np.isfinite(x).all() and (x == np.floor(x)).all())


def one_hot(vector: ArrayLike, number_classes: int | None) -> np.ndarray:
    """`to_categorical` under its textbook name.

    Parameters
    ----------
    vector : array of integers, (N,) or (N, 1)
    number_classes : int or None
        None: the largest number plus one.
    """
    return to_categorical(vector, number_classes)


def normalize(x: ArrayLike, axis: int = -1, order: float | str = 2) -> np.ndarray:
    """Divide by the norm along an axis, so that it becomes 1; what is zero all along stays so.

    Parameters
    ----------
    x : array of real numbers
    axis : int, default -1
    order : default 2
        Which norm, as in `numpy.linalg.norm`.

    Returns
    -------
    array of the same shape
        float64, or float32 where `x` is.
    """
    x = real_array(x, "x")
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm).astype(norm.dtype)


# ------------------------------------------------------------------------------------------------------------ images


def normalize_images(images: ArrayLike) -> np.ndarray:
    """Pixels from 0 … 255 to 0 … 1.

    Parameters
    ----------
    images : array of real numbers of any shape

    Returns
    -------
    array of the same shape, float32

    Raises
    ------
    TypeError
        If it holds no real numbers.
    """
    images = np.asarray(images)
    if not is_real(images):
        raise TypeError(f"images hold real numbers. Received: dtype {images.dtype}")
    scaled = images.astype(np.float32)
    scaled /= 255
    return scaled


def to_grayscale(images: ArrayLike) -> np.ndarray:
    """Red, green and blue to grey: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), in the range that the images have.

    Parameters
    ----------
    images : array (…, H, W, 3) of real numbers

    Returns
    -------
    array (…, H, W, 1), float32

    Raises
    ------
    ShapeError
        If the last axis is not of length 3.
    """
    images = np.asarray(images)
    if images.ndim < 3 or images.shape[-1] != 3 or not is_real(images):
        raise ShapeError(
            "to_grayscale takes colour images of real numbers, (N, H, W, 3) or (H, W, 3). "
            f"Received: shape {images.shape}, dtype {images.dtype}"
        )
    grey = np.zeros(images.shape[:-1], np.float32)
    for channel, weight in enumerate(GREY_WEIGHTS):
        grey += images[..., channel] * np.float32(weight)
    return grey[..., None]


def resize_images(images: ArrayLike, size: int | tuple[int, int]) -> np.ndarray:
    """Images of another size, by bilinear interpolation between pixel centres; edge pixels are repeated.

    As ``tf.image.resize(images, size)``: images are not smoothed before they are made smaller.

    Parameters
    ----------
    images : array (N, H, W) or (N, H, W, C) of real numbers
    size : int or (int, int)
        New height and width.

    Returns
    -------
    array (N, height, width) or (N, height, width, C), float32
        In the range that the images have.

    Raises
    ------
    ShapeError
        If the array has other axes, or an empty one, or is one image (H, W, 1) or (H, W, 3).
    """
    images = _image_batch("resize_images", images)
    height, width = check_pair("size", size)
    rows, columns = _bilinear_weights(images.shape[1], height), _bilinear_weights(images.shape[2], width)
    resized = np.empty((len(images), height, width, *images.shape[3:]), np.float32)
    for start in range(0, len(images), IMAGES_AT_ONCE):
        part = slice(start, start + IMAGES_AT_ONCE)
        block = images[part].astype(np.float32)  # (n, H, W[, C])
        resized[part] = np.einsum("yh,nhw...,xw->nyx...", rows, block, columns, optimize=True)
    return resized


def translate_images(images: ArrayLike, dx: int, dy: int, fill: float = 0) -> np.ndarray:
    """Images moved by whole pixels; what moves out is lost, what moves in is `fill`.

    Parameters
    ----------
    images : array (N, H, W) or (N, H, W, C)
    dx, dy : int
        Pixels to the right and down; negative: to the left and up.
    fill : number, default 0
        Value of the pixels that come in.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ShapeError
        If the array has other axes, or an empty one, or is one image (H, W, 1) or (H, W, 3).
    ValueError
        If `dx` or `dy` is not an integer, or the images' dtype cannot hold `fill`.
    """
    images = _image_batch("translate_images", images)
    for name, pixels in (("dx", dx), ("dy", dy)):
        if not is_integer(pixels):
            raise ValueError(f"`{name}` is a whole number of pixels. Received: {name}={pixels!r}")
    with np.errstate(all="ignore"):
        value = np.float64(check_number("fill", fill, minimum=-np.inf)).astype(images.dtype)
        if images.dtype.kind != "f" and value != fill:
            raise ValueError(f"`fill` must be a value that {images.dtype} pixels can have. Received: fill={fill!r}")
    moved = np.full(images.shape, fill, images.dtype)
    (to_rows, from_rows), (to_columns, from_columns) = (
        _overlap(size, offset) for size, offset in zip(images.shape[1:3], (dy, dx), strict=True)
    )
    moved[:, to_rows, to_columns] = images[:, from_rows, from_columns]
    return moved


def whitening_kernel(images: ArrayLike, kernel_size: int | tuple[int, int] = 2, epsilon: float = 5e-4) -> np.ndarray:
    """The kernel of a first convolution whose outputs do not correlate, and whose patches all count alike.

    The eigenvectors of the patches' second moments, each divided by √(its eigenvalue + epsilon), and their negatives,
    which a ReLU or GELU behind it sees apart. (Coates and Ng: "Learning feature representations with k-means", 2012;
    Page: "How to train your ResNet 8", 2019; Jordan: "94% on CIFAR-10 in 3.29 seconds", 2024.)

    Parameters
    ----------
    images : array (N, H, W, C)
        As the convolution sees them, standardized for example; a few thousand are enough.
    kernel_size : int or (int, int), default 2
    epsilon : float above 0, default 5e-4

    Returns
    -------
    float32 array (kh, kw, C, 2 · kh · kw · C)

    Raises
    ------
    ShapeError
        If the images have other axes, or are smaller than the kernel.

    Examples
    --------
    >>> import minicnn as mc
    >>> images = np.random.default_rng(0).normal(size=(10, 8, 8, 3))
    >>> kernel = mc.utils.whitening_kernel(images)
    >>> layer = mc.layers.Conv2D(24, 2, kernel_initializer=kernel, name="whiten")

    ``learning_rate_multipliers={"whiten/kernel": 0}`` in the optimizer leaves it as it is, while the bias is trained.
    """
    images, (rows, columns) = np.asarray(images), check_pair("kernel_size", kernel_size)
    if images.ndim != 4 or images.shape[1] < rows or images.shape[2] < columns:
        raise ShapeError(
            f"whitening_kernel takes images (N, H, W, C) of {rows} × {columns} pixels at least. "
            f"Received: shape {images.shape}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(images, (rows, columns), axis=(1, 2))  # (N, OH, OW, C, kh, kw)
    patches = np.moveaxis(windows, 3, -1).reshape(-1, rows * columns * images.shape[-1]).astype(np.float64)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    filters = vectors / np.sqrt(np.maximum(values, 0) + check_number("epsilon", epsilon, above=0))  # (kh·kw·C, filters)
    kernel = np.concatenate([filters, -filters], axis=1)
    return kernel.reshape(rows, columns, images.shape[-1], -1).astype(np.float32)


def predict_views(
    model: Any,
    x: ArrayLike,
    flip: bool = True,
    shift: int = 0,
    fraction: float = 1.0,
    batch_size: int | None = None,
) -> np.ndarray:
    """Test-time augmentation: the mean of the outputs for an image, its mirror image and moved ones.

    (Krizhevsky, Sutskever, Hinton: "ImageNet classification with deep convolutional neural networks", 2012.)

    Parameters
    ----------
    model : Model
        With one input (N, H, W, C) and one output (N, classes).
    x : array (N, H, W, C)
    flip : bool, default True
        Whether to look at mirror images.
    shift : int, default 0
        Pixels by which images are moved too, up left and down right; the edges are reflected.
    fraction : float from 0 to 1, default 1
        The part of the images that are looked at again: those whose two best outputs lie closest together.
    batch_size : int, optional
        See `Model.predict`.

    Returns
    -------
    array (N, classes)
    """
    check_model(model, "predict_views")
    x, outputs = np.asarray(x), np.array(model.predict(x, batch_size=batch_size, verbose=0))
    if check_number("fraction", fraction) > 1:
        raise ValueError(f"`fraction` is from 0 to 1. Received: fraction={fraction}")
    best = np.sort(outputs, axis=1)[:, -2:]  # (N, 2)
    unsure = np.argsort(best[:, -1] - best[:, 0], kind="stable")[: round(fraction * len(x))]
    views = _views(x[unsure], flip, check_positive_int("shift", shift, minimum=0))
    if len(unsure) and views:
        further = [np.asarray(model.predict(view, batch_size=batch_size, verbose=0)) for view in views]
        outputs[unsure] = np.mean([outputs[unsure], *further], axis=0)
    return outputs


def _views(images, flip, shift):
    """The other views of images."""
    padded = np.pad(images, [(0, 0), (shift, shift), (shift, shift), (0, 0)], mode="reflect")
    height, width = images.shape[1:3]
    places = (0, 2 * shift) if shift else ()
    views = [padded[:, start : start + height, start : start + width] for start in places]
    return [*views, *(view[:, :, ::-1] for view in (images, *views) if flip)]


def _image_batch(caller, images):
    """`images` as an array (N, H, W) or (N, H, W, C) of real numbers; (…, …, 1 or 3) is one image, not a batch."""
    images = np.asarray(images)
    fits = images.ndim == 4 or (images.ndim == 3 and images.shape[-1] not in (1, 3))
    if not fits or 0 in images.shape[1:] or not is_real(images):
        raise ShapeError(
            f"{caller} takes images of real numbers, (N, H, W) or (N, H, W, C); write image[None] for one. "
            "A last axis of 1 or 3 is read as channels: write images[..., None] where it is a width. "
            f"Received: shape {images.shape}, dtype {images.dtype}"
        )
    return images


def _bilinear_weights(size, new_size):
    """Matrix (new_size, size) that interpolates linearly between pixel centres, float32."""
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    centres = np.clip(centres, 0, size - 1)
    distance = np.abs(centres[:, None] - np.arange(size))  # (new_size, size)
    return np.maximum(0, 1 - distance).astype(np.float32)


def _overlap(size, offset):
    """(where pixels go, where they come from) along one axis, as slices."""
    offset = int(np.clip(offset, -size, size))
    return slice(max(offset, 0), size + min(offset, 0)), slice(max(-offset, 0), size - max(offset, 0))


# -------------------------------------------------------------------------------------------------------------- data


class Sequence:
    """Base class for data that comes in batches: write ``__len__`` (batches) and ``__getitem__`` (an (x, y) batch).

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size : optional
        Keras's; kept, and not used.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers: int = workers
        self.use_multiprocessing: bool = use_multiprocessing
        self.max_queue_size: int = max_queue_size

    def __len__(self) -> int:
        raise self._unwritten("__len__(self), the number of batches")

    def __getitem__(self, index: int) -> Any:
        raise self._unwritten("__getitem__(self, index), the batch of that number, (x, y)")

    def _unwritten(self, method):
        return NotImplementedError(
            f"{type(self).__name__} gives batches by __len__ and __getitem__: write {method}. Received: a class without"
        )

    def on_epoch_begin(self) -> None:
        """Called before each epoch, and before an evaluation or prediction; then the length is asked."""

    def on_epoch_end(self) -> None:
        """Called after each of them, unless it was stopped."""
