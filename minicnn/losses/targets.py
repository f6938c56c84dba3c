"""Targets as they should be: their shapes, without the batch axis, and their values. Metrics use the shapes too."""

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import real_array
from minicnn.hints import Shape
from minicnn.losses.label_advice import labels_advice


def real_targets(array: ArrayLike, name: str = "targets") -> np.ndarray:
    """`array` as a NumPy array of real numbers with a batch axis.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If it is a single number, or lists of unequal lengths.
    """
    array = real_array(array, name, "must be real numbers. Received: an array of dtype {dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} need a first axis for the samples. Received: the single number {array}")
    return array


# ------------------------------------------------------------------------------------------------------------ shapes


def element_shapes(output_shape: Shape) -> tuple[Shape, ...]:
    """What a sample's target may look like that is compared with the output element by element: (…).

    A last axis of length 1 may be missing, and may be there where the output has none.
    """
    if output_shape[-1:] == (1,):
        return output_shape, output_shape[:-1]
    return (output_shape,) if output_shape else ((), (1,))


def label_shapes(output_shape: Shape) -> tuple[Shape, ...]:
    """What a sample's class numbers may look like for an output (…, C): (…) or (…, 1)."""
    return output_shape[:-1], (*output_shape[:-1], 1)


def with_batch(shape: Shape) -> str:
    """A shape with the batch axis, as text: '(N, 10)'."""
    return f"({', '.join(['N', *map(str, shape)])}{',' if not shape else ''})"


def class_shape(output_shape: Shape) -> Shape:
    """`output_shape` as a tuple, if it has an axis for the classes.

    Raises
    ------
    ValueError
        If it has none.
    """
    if not output_shape:
        raise ValueError("predictions need a last axis with one column per class. Received: the shape (N,)")
    return tuple(output_shape)


def flatten_hint(target: np.ndarray, output_shape: Shape, needed: int) -> str:
    """A guess at why an output (…, C) needs targets of `needed` axes where the user has fewer, for a message."""
    axes = target.ndim - (target.ndim == 2 and target.shape[-1] == 1)  # a column counts as a vector
    return " (is a Flatten missing before the last Dense?)" if len(output_shape) > 1 and axes < needed else ""


# ------------------------------------------------------------------------------------------------------------ values


def check_finite(target: np.ndarray) -> None:
    """Raise `ValueError` unless all targets are finite."""
    if target.dtype.kind == "f" and not np.isfinite(target).all():
        raise ValueError(f"targets must be finite. {received(target, ~np.isfinite(target))}")


def check_labels(target: np.ndarray, classes: int) -> None:
    """Raise `ValueError` unless all targets are whole numbers from 0 to classes − 1."""
    if target.dtype.kind == "f" and not np.array_equal(target, np.floor(target)):
        raise ValueError(f"class numbers must be whole. {received(target, target != np.floor(target))}")
    outside = (target < 0) | (target >= classes)
    if outside.any():
        raise ValueError(
            f"class numbers must be from 0 to {classes - 1}, since the output has {classes} column(s)"
            f"{labels_advice(target, classes)}. "
            f"{received(target, outside)}"
        )


def received(target: np.ndarray, wrong: np.ndarray) -> str:
    """The end of a message: the first target where the mask `wrong` is True, and its position."""
    position = tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))
    shown = position[0] if len(position) == 1 else position
    return f"Received: {target[position]} at position {shown}"
