"""Arrays that users hand over, as a model needs them, or the error that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minicnn.checks import check_number, for_outputs, real_array
from minicnn.errors import DataError, ShapeError
from minicnn.layers.open_sizes import fits
from minicnn.losses.targets import received
from minicnn.training.data_advice import shape_advice
from minicnn.training.lazy import LazyArray, as_lazy, checked_rows, shape_of

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
        A data set in a file stays there, as a `LazyArray`.
    tensors : tuple of Tensor
        The model's inputs.

    Raises
    ------
    ShapeError, TypeError, DataError
        Naming the input, what was expected, what was received, and how to fix it.
    """
    arrays = [as_lazy(a) for a in _split(x, tensors, model_name)]
    arrays = [
        _match_shape(a if isinstance(a, LazyArray) else real_array(a, f"the input '{t.name}'"), t, model_name)
        for a, t in zip(arrays, tensors, strict=True)
    ]
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
        return [x[0] if _is_wrapped(x, tensors[0].shape[1:]) else x]
    if not isinstance(x, list | tuple) or len(x) != len(tensors):
        received = f"{len(x)} arrays" if isinstance(x, list | tuple) else type(x).__name__
        raise ValueError(
            f"model '{model_name}' has {len(tensors)} inputs: give a list of {len(tensors)} arrays, or a dict by name "
            f"{[t.name for t in tensors]}. Received: {received}"
        )
    return list(x)


def _is_wrapped(x, expected):
    """Whether `x` is a list with the samples in it, and not a list of one sample."""
    if not isinstance(x, list | tuple) or len(x) != 1:
        return False
    shape = shape_of(x[0])
    return len(shape) == 1 + len(expected) or fits((*shape[1:], 1), expected) or fits(shape[1:], (*expected, 1))


def _match_shape(array, tensor, model_name):
    """The array in the input's shape; as in Keras, a last axis of size 1 may be missing or too many."""
    expected = tensor.shape[1:]
    if fits(array.shape[1:], expected) and array.ndim > 0:
        return array
    if expected[-1:] == (1,) and fits(array.shape[1:], expected[:-1]) and array.ndim == len(expected):
        return array[..., None]
    if fits(array.shape[1:], (*expected, 1)) and expected[-1:] != (1,):
        return array[..., 0]
    raise ShapeError(
        f"model '{model_name}' expected data of shape {tensor.shape} for its input '{tensor.name}'. "
        f"Received: shape {array.shape}{shape_advice(array.shape, expected)}"
    )


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
        Saying what was expected; of a data set in a file, with several numbers for each sample, when these are read.
    """
    count = len(outputs)
    if y is None:
        raise ValueError(f"training and evaluation need targets: {argument} is missing. Received: {argument}=None")
    if count > 1 and not isinstance(y, list | tuple | dict):
        raise ValueError(f"{argument} needs one array for each of {count} outputs. Received: {type(y).__name__}")
    if count > 1 or isinstance(y, dict):
        y = for_outputs(argument, y, count, list(outputs))
    elif not _holds_batch(y, samples, next(iter(outputs.values())).ndim):
        y = [y]
    arrays = [a if isinstance(a, LazyArray) else real_array(a, argument) for a in map(as_lazy, y)]
    for array in arrays:
        if array.ndim == 0:
            raise ValueError(f"{argument} needs one entry for each sample. Received: a single number, {array}")
    check_lengths(samples, arrays, [argument] * count)
    checks = [
        partial(loss.check_target, output_shape=o.shape[1:]) for loss, o in zip(losses, outputs.values(), strict=True)
    ]
    return [checked_rows(array, check) for array, check in zip(arrays, checks, strict=True)]


def _holds_batch(y, samples, ndim):
    """Whether `y` is a list with the targets in it, for an output of `ndim` axes, and not a list of samples."""
    if not isinstance(y, list | tuple) or len(y) != 1 or not shape_of(y[0]):
        return False
    return samples > 1 or (len(shape_of(y[0])) >= ndim - 1 and len(y[0]) == 1)  # of one sample, both have one entry


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
    check_lengths(samples, [weights], ["sample_weight"])
    if not np.isfinite(weights).all():
        raise ValueError(f"sample_weight must be finite. {received(weights, ~np.isfinite(weights))}")
    return weights


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
