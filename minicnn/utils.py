"""Small helpers around data, random numbers and settings."""

import random as standard_random

import numpy as np

from minicnn import random
from minicnn.errors import check_positive_int
from minicnn.layers.base import reset_names
from minicnn.settings import floatx, set_floatx

__all__ = [
    "Sequence",
    "clear_session",
    "floatx",
    "normalize",
    "normalize_images",
    "one_hot",
    "set_floatx",
    "set_random_seed",
    "to_categorical",
]


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


def to_categorical(y, num_classes=None):
    """Class numbers as one-hot rows.

    Parameters
    ----------
    y : array of integers, (N,) or (N, 1)
    num_classes : int, optional
        Default: the largest number plus one.

    Returns
    -------
    array (N, num_classes), float32

    Raises
    ------
    ValueError
        If a number is negative, not integral, or not below `num_classes`.
    """
    y = np.asarray(y)
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y[..., 0]
    if y.size == 0 or y.dtype.kind not in "biuf" or not np.array_equal(y, np.floor(y)):
        raise ValueError(f"class numbers are integers from 0 on. Received: dtype {y.dtype}, {y.size} values")
    y = y.astype(np.int64)
    classes = int(y.max()) + 1 if num_classes is None else check_positive_int("num_classes", num_classes)
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"class numbers must lie in 0 … {classes - 1}. Received: {y.min()} … {y.max()}")
    return np.eye(classes, dtype=np.float32)[y]


def one_hot(vector, number_classes):
    """`to_categorical` under its textbook name."""
    return to_categorical(vector, number_classes)


def normalize(x, axis=-1, order=2):
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
    x = np.asarray(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm).astype(norm.dtype)


def normalize_images(images):
    """Pixels from 0 … 255 to 0 … 1.

    Parameters
    ----------
    images : array of any shape

    Returns
    -------
    array of the same shape, float32
    """
    return np.asarray(images).astype(np.float32) / np.float32(255)


class Sequence:
    """Base class for data that comes in batches: write ``__len__`` (batches) and ``__getitem__`` (an (x, y) batch)."""

    def __len__(self):
        raise NotImplementedError

    def __getitem__(self, index):
        raise NotImplementedError

    def on_epoch_end(self) -> None:
        """Called after each pass."""
