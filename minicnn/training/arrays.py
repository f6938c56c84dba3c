"""Arrays that users hand over, as a model needs them, or the error that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.checks import check_number, for_outputs, is_integer, real_array
from minicnn.errors import DataError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from minicnn.graph import Tensor
    from minicnn.losses import Loss

    Arrays = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]


def match_inputs(x: Arrays, tensors: Sequence[Tensor], model_name: str) -> list[np.ndarray]:
    """The arrays for a model's inputs, checked, each of shape (N, *its input's shape).

    Parameters
    ----------
    x : array, list of arrays or dict of arrays by input name
    tensors : tuple of Tensor
        The model's inputs.

    Raises
    ------
    ShapeError, TypeError, DataError
        Naming the input, what was expected, what was received, and how to fix it.
    """
    arrays = [
        real_array(a, f"the input '{t.name}'") for a, t in zip(_split(x, tensors, model_name), tensors, strict=True)
    ]
    arrays = [_match_shape(a, t, model_name) for a, t in zip(arrays, tensors, strict=True)]
    if len({len(a) for a in arrays}) != 1:
        raise DataError(f"all inputs need the same number of samples. Received: {[len(a) for a in arrays]}")
    if len(arrays[0]) == 0:
        raise DataError("the data is empty: expected at least one sample. Received: 0 samples")
    return arrays


def _split(x, tensors, model_name):
    """One entry for each input."""
    if isinstance(x, dict):
        missing = [t.name for t in tensors if t.name not in x]
        if missing:
            raise ValueError(f"model '{model_name}' needs inputs named {missing}. Received: {sorted(x)}")
        return [x[t.name] for t in tensors]
    if len(tensors) == 1:
        is_wrapped = isinstance(x, list | tuple) and len(x) == 1 and np.ndim(x[0]) == tensors[0].ndim
        return [x[0] if is_wrapped else x]
    if not isinstance(x, list | tuple) or len(x) != len(tensors):
        received = f"{len(x)} arrays" if isinstance(x, list | tuple) else type(x).__name__
        raise ValueError(
            f"model '{model_name}' has {len(tensors)} inputs: give a list of {len(tensors)} arrays, or a dict by name "
            f"{[t.name for t in tensors]}. Received: {received}"
        )
    return list(x)


def _match_shape(array, tensor, model_name):
    """The array in the input's shape; as in Keras, a last axis of size 1 may be missing or too many."""
    expected = tensor.shape[1:]
    if array.shape[1:] == expected and array.ndim > 0:
        return array
    if expected[-1:] == (1,) and array.shape[1:] == expected[:-1] and array.ndim == len(expected):
        return array[..., None]
    if array.shape[1:] == (*expected, 1) and expected[-1:] != (1,):
        return array[..., 0]
    raise ShapeError(
        f"model '{model_name}' expected data of shape {tensor.shape} for its input '{tensor.name}'. "
        f"Received: shape {array.shape}{_shape_advice(array.shape, expected)}"
    )


def _shape_advice(shape, expected) -> str:
    """How to fix an input's shape, where that can be guessed."""
    if shape == expected:
        return "; a single sample needs a batch axis: x[None]"
    if len(shape) == 4 and len(expected) == 3 and (shape[2], shape[3], shape[1]) == expected:
        return "; the channels seem to come first: use numpy.moveaxis(x, 1, -1)"
    if np.prod(shape[1:]) == np.prod(expected):
        return f"; use x.reshape({(-1, *expected)})"
    return ""


def check_targets(
    y: Arrays | None, samples: int, outputs: Mapping[str, Tensor], losses: Sequence[Loss], argument: str = "y"
) -> list[np.ndarray]:
    """The targets for each output, checked by its loss.

    Parameters
    ----------
    y : array, list of arrays or dict of arrays by output name
    samples : int
        How many there must be.
    outputs : dict
        Name → output of the model.
    losses : list of Loss
        One for each output.
    argument : str
        What the user calls `y`.

    Raises
    ------
    ValueError, DataError, TypeError
        Saying what was expected.
    """
    count = len(outputs)
    if y is None:
        raise ValueError(f"training and evaluation need targets: {argument} is missing. Received: {argument}=None")
    if count > 1 and not isinstance(y, list | tuple | dict):
        raise ValueError(f"{argument} needs one array for each of {count} outputs. Received: {type(y).__name__}")
    is_wrapped = count == 1 and isinstance(y, list | tuple) and len(y) == 1 and np.ndim(y[0]) > 0
    arrays = for_outputs(argument, y, count, list(outputs)) if count > 1 or isinstance(y, dict) else [y]
    arrays = [real_array(array, argument) for array in (y if is_wrapped and samples > 1 else arrays)]
    for array in arrays:
        if array.ndim == 0:
            raise ValueError(f"{argument} needs one entry for each sample. Received: a single number, {array}")
    check_lengths(samples, arrays, [argument] * count)
    checked = zip(losses, arrays, outputs.values(), strict=True)
    return [loss.check_target(array, output.shape[1:]) for loss, array, output in checked]


def check_lengths(samples: int, arrays: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Raise `DataError` unless every array has `samples` entries."""
    for array, name in zip(arrays, names, strict=True):
        if len(array) != samples:
            raise DataError(f"x and {name} need the same number of samples. Received: {samples} and {len(array)}")


def sample_weights(weights: ArrayLike | None, samples: int) -> np.ndarray | None:
    """The weight of each sample (N,) float64 from Keras's argument `sample_weight`; None if there is none.

    Raises
    ------
    ValueError
        If their number is another one, or one is not finite.
    """
    if weights is None:
        return None
    weights = real_array(weights, "sample_weight").reshape(-1).astype(np.float64)
    if len(weights) != samples or not np.isfinite(weights).all():
        raise ValueError(
            f"sample_weight needs one finite number for each of {samples} samples. Received: {len(weights)}"
        )
    return weights


def with_class_weight(
    weights: np.ndarray | None, class_weight: Mapping[int, float] | None, targets: Sequence[np.ndarray]
) -> np.ndarray | None:
    """What `sample_weights` returned, times the weight of each sample's class (Keras's argument `class_weight`).

    Raises
    ------
    ValueError, TypeError
        If `class_weight` is no dict from class numbers to weights, or the targets are not one class for each sample.
    """
    if class_weight is None:
        return weights
    if len(targets) != 1:
        raise ValueError("class_weight needs a model with one output; use sample_weight. Received: several outputs")
    target = targets[0]
    if target.ndim > 2:
        raise ValueError(f"class_weight needs one class for each sample; use sample_weight. Received: y {target.shape}")
    is_one_hot = target.ndim == 2 and target.shape[1] > 1
    classes = target.argmax(axis=1) if is_one_hot else target.reshape(-1)  # (N,)
    result = np.ones(len(target))  # a class without an entry weighs 1
    for label, factor in _checked_class_weight(class_weight).items():
        result[classes == label] = factor
    return result if weights is None else weights * result


def _checked_class_weight(class_weight) -> dict:
    """`class_weight`, if it is a dict from class numbers to weights."""
    if not isinstance(class_weight, dict):
        raise TypeError(
            f"class_weight is a dict from class numbers to weights. Received: class_weight={class_weight!r}"
        )
    for label, factor in class_weight.items():
        if not is_integer(label) or label < 0:
            raise ValueError(f"the keys of class_weight are class numbers from 0 on. Received: {label!r}")
        check_number(f"class_weight[{label}]", factor)
    return class_weight


def split_validation(
    arrays: Sequence[np.ndarray | None], fraction: float
) -> tuple[list[np.ndarray | None], list[np.ndarray | None]]:
    """(training part, validation part) of every array: the validation part is the last one, before any shuffling.

    Raises
    ------
    ValueError
        If a side would be empty.
    """
    check_number("validation_split", fraction, below=1)
    samples = len(arrays[0])
    split = int(np.floor(samples * (1 - fraction)))
    if not 0 < split < samples:
        raise ValueError(
            f"validation_split={fraction} of {samples} samples leaves {split} for training and {samples - split} for "
            "validation; both need at least one"
        )
    return [None if a is None else a[:split] for a in arrays], [None if a is None else a[split:] for a in arrays]
