"""Keras's argument `class_weight`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np

from minicnn.checks import check_number
from minicnn.foreign import shown
from minicnn.user_warnings import warn_user


def with_class_weight(
    weights: np.ndarray | None,
    class_weight: Mapping[int, float] | str | None,
    targets: Sequence[np.ndarray],
    shape: Sequence[int | None],
) -> np.ndarray | None:
    """`weights` times the weight of each sample's class; a class without an entry weighs 1.

    Parameters
    ----------
    weights : array (N,) or None
        Those of the samples.
    class_weight : dict, "balanced" or None
        Class number → weight; a number of any kind, if it is whole. "balanced", as in scikit-learn: N / (C · the number
        of the class's samples).
    targets : list of array
        Checked: class numbers, or rows with one column per class, of which the largest counts.
    shape : tuple
        Of the output, (None, …, C); with one class there are two.

    Returns
    -------
    array (N,) float64 or None

    Raises
    ------
    ValueError, TypeError
        If `class_weight` is no dict from class numbers to weights, or the targets are not one class for each sample.
    """
    if class_weight is None:
        return weights
    if len(targets) != 1:
        raise ValueError("class_weight needs a model with one output; use sample_weight. Received: several outputs")
    target = np.asarray(targets[0])
    if target.ndim > 2 or len(shape) > 2:
        raise ValueError(
            "class_weight needs one class for each sample; use sample_weight, with one weight for each row of the "
            f"output's last axis. Received: y {target.shape}, for an output {tuple(shape)}"
        )
    is_one_hot = target.ndim == 2 and target.shape[1] > 1
    numbers = target.argmax(axis=1) if is_one_hot else np.round(target.reshape(-1))  # (N,); Keras rounds, too
    if isinstance(class_weight, str) and class_weight == "balanced":
        class_weight = _balanced(numbers)
    result = np.ones(len(target))
    for label, factor in _checked(class_weight, max(shape[-1], 2)).items():
        result[numbers == label] = factor
    return result if weights is None else weights * result


def check_of_stream(class_weight: object) -> None:
    """Raise `ValueError` for what needs all samples at once."""
    if isinstance(class_weight, str):
        raise ValueError(
            "class_weight='balanced' counts the classes of all samples, and a generator or Sequence gives some at a "
            f"time: give a dict from class numbers to weights. Received: class_weight={shown(class_weight)}"
        )


def _balanced(numbers):
    """The weights with which every class that there is counts as much as any other (King, Zeng, 2001)."""
    labels, counts = np.unique(numbers, return_counts=True)
    return {int(label): len(numbers) / (len(labels) * count) for label, count in zip(labels, counts, strict=True)}


def _checked(class_weight, classes) -> dict[int, float]:
    """`class_weight`, if it is a dict from class numbers to weights."""
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "class_weight is a dict from class numbers to weights, or 'balanced'; of an array of weights, one for each "
            f"class, make dict(enumerate(weights)). Received: class_weight={shown(class_weight)}"
        )
    checked = {}
    for label, factor in class_weight.items():
        if not isinstance(label, Real | np.bool_) or not 0 <= label < np.inf or label != int(label):
            raise ValueError(f"the keys of class_weight are class numbers from 0 on. Received: {label!r}")
        checked[int(label)] = check_number(f"class_weight[{label}]", factor)
    unknown = sorted(label for label in checked if label >= classes)
    if unknown:
        warn_user(
            f"class_weight has weights for classes {unknown}, which do not exist: the model tells {classes} classes "
            f"apart, 0 to {classes - 1}. They are ignored, as in Keras"
        )
    return checked
