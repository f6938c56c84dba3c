"""From what users hand over to batches: checks, and sources of batches."""

import itertools
from dataclasses import dataclass

import numpy as np

from minicnn.checks import check_number, is_integer, real_array
from minicnn.errors import DataError, ShapeError
from minicnn.training.compiled import for_outputs


def match_inputs(x, tensors, model_name):
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


def check_lengths(samples, arrays, names):
    """Raise `DataError` unless every array has `samples` entries."""
    for array, name in zip(arrays, names, strict=True):
        if len(array) != samples:
            raise DataError(f"x and {name} need the same number of samples. Received: {samples} and {len(array)}")


def sample_weights(weights, class_weight, targets, samples):
    """The weight of each sample (N,) float64 from Keras's two arguments; None if there is none.

    Raises
    ------
    ValueError
        If lengths differ or a class that occurs has no weight.
    """
    if weights is not None:
        weights = real_array(weights, "sample_weight").reshape(-1).astype(np.float64)
        if len(weights) != samples or not np.isfinite(weights).all():
            raise ValueError(
                f"sample_weight needs one finite number for each of {samples} samples. Received: {len(weights)}"
            )
    if class_weight is None:
        return weights
    if len(targets) != 1:
        raise ValueError("class_weight needs a model with one output; use sample_weight. Received: several outputs")
    target = targets[0]
    if target.ndim > 2:
        raise ValueError(f"class_weight needs one class for each sample; use sample_weight. Received: y {target.shape}")
    is_one_hot = target.ndim == 2 and target.shape[1] > 1
    classes = target.argmax(axis=1) if is_one_hot else target.reshape(-1)  # (N,)
    result = np.ones(samples)  # a class without an entry weighs 1
    for number, factor in _checked_class_weight(class_weight).items():
        result[classes == number] = factor
    return result if weights is None else weights * result


def _checked_class_weight(class_weight) -> dict:
    """`class_weight`, if it is a dict from class numbers to weights."""
    if not isinstance(class_weight, dict):
        raise TypeError(
            f"class_weight is a dict from class numbers to weights. Received: class_weight={class_weight!r}"
        )
    for number, factor in class_weight.items():
        if not is_integer(number) or number < 0:
            raise ValueError(f"the keys of class_weight are class numbers from 0 on. Received: {number!r}")
        check_number(f"class_weight[{number}]", factor)
    return class_weight


@dataclass
class Batch:
    """Some samples.

    Attributes
    ----------
    inputs, targets : list of array
        The samples themselves if `indices` is None, else whole data sets of which the samples are `indices`.
    weight : array (N,) or None
        As for `inputs`.
    indices : array of int64 or None
    count : int
    """

    inputs: list
    targets: list
    weight: object
    indices: object
    count: int

    def load_inputs(self, backend, arrays) -> None:
        """Copy the inputs, cast, into a plan's arrays."""
        for source, array in zip(self.inputs, arrays, strict=True):
            if self.indices is None:
                backend.load(array, source)
            else:
                backend.ops.gather(source, self.indices, array)

    def pick(self, array):
        """The batch's part of a data set of targets or weights."""
        return array if array is None or self.indices is None else array[self.indices]


class ArraySource:
    """Batches from arrays.

    Parameters
    ----------
    inputs, targets : list of array (N, …)
    weight : array (N,) or None
    batch_size : int
    steps : int, optional
        Batches to take in a pass; default: all.
    """

    def __init__(self, inputs, targets, weight, batch_size, steps=None):
        self.inputs, self.targets, self.weight, self.batch_size = inputs, targets, weight, batch_size
        self._available = len(inputs[0])
        self.samples = self._available if steps is None else min(steps * batch_size, self._available)
        self.steps = -(-self.samples // batch_size)

    taken = 0  # nothing is used up

    def skip(self, count) -> None:
        """As for `StreamSource`."""

    def batches(self, generator=None, first=0):
        """One pass over the samples: in an order drawn from `generator`, or in their own. The last is short.

        Parameters
        ----------
        generator : numpy.random.Generator, optional
        first : int
            The batch to begin with.
        """
        starts = range(first * self.batch_size, self.samples, self.batch_size)
        if generator is None:
            for start in starts:
                part = slice(start, min(start + self.batch_size, self.samples))
                weight = None if self.weight is None else self.weight[part]
                inputs = [a[part] for a in self.inputs]
                yield Batch(inputs, [a[part] for a in self.targets], weight, None, len(inputs[0]))
            return
        order = generator.permutation(self._available)[: self.samples]
        for start in starts:
            indices = order[start : start + self.batch_size]
            yield Batch(self.inputs, self.targets, self.weight, indices, len(indices))


class StreamSource:
    """Batches from a generator, an iterable, or a Sequence: an object with ``len()`` and ``[i]`` that gives batches.

    Parameters
    ----------
    stream : iterator or Sequence
        Of (x, y) or (x, y, sample_weight); of x or (x,) where no targets are needed.
    convert : callable
        Turns (x, y, sample_weight) into a checked `Batch`.
    steps : int or None
        Batches per pass; needed for a generator that never ends.

    Attributes
    ----------
    taken : int
        How many items were read.
    """

    def __init__(self, stream, convert, steps=None):
        self._stream, self._convert = stream, convert
        self._is_sequence = hasattr(stream, "__getitem__")
        self.steps = steps if steps is not None else (len(stream) if hasattr(stream, "__len__") else None)
        self.samples = None
        self.taken = 0

    def skip(self, count) -> None:
        """Read on until `count` items of an iterator have been taken, for a run that goes on."""
        if not self._is_sequence:
            for _ in itertools.islice(self._stream, max(0, count - self.taken)):
                self.taken += 1

    def batches(self, generator=None, first=0):
        """One pass; a Sequence's batches come in an order drawn from `generator`.

        Parameters
        ----------
        generator : numpy.random.Generator, optional
        first : int
            The batch to begin with; an iterator stands there already, see `skip`.
        """
        if self._is_sequence:
            order = range(self.steps) if generator is None else generator.permutation(len(self._stream))[: self.steps]
            items = (self._stream[int(i)] for i in order[first:])
        else:
            items = itertools.islice(self._stream, None if self.steps is None else self.steps - first)
        for item in items:
            self.taken += 1
            x, y, weight = (*item, None, None)[:3] if isinstance(item, tuple | list) else (item, None, None)
            yield self._convert(x, y, weight)
        if self._is_sequence and hasattr(self._stream, "on_epoch_end"):
            self._stream.on_epoch_end()


def is_stream(x) -> bool:
    """Whether `x` gives batches itself, rather than being data."""
    gives_items = hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))
    return gives_items and not hasattr(x, "__array__") and not isinstance(x, list | tuple | dict | str)


def unpack_validation(validation_data):
    """(x, y, sample_weight) from Keras's forms of validation data."""
    if is_stream(validation_data):
        return validation_data, None, None
    if not isinstance(validation_data, list | tuple) or len(validation_data) not in (2, 3):
        raise ValueError(
            "validation_data is (x, y), (x, y, sample_weight), a generator or a Sequence. "
            f"Received: {type(validation_data).__name__}"
        )
    return (*validation_data, None)[:3]


def split_validation(arrays, fraction):
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


def check_targets(model, y, samples, argument="y"):
    """The targets for each output, checked by its loss."""
    count = len(model.outputs)
    if y is None:
        raise ValueError(f"training and evaluation need targets: {argument} is missing. Received: {argument}=None")
    if count > 1 and not isinstance(y, list | tuple | dict):
        raise ValueError(f"{argument} needs one array for each of {count} outputs. Received: {type(y).__name__}")
    is_wrapped = count == 1 and isinstance(y, list | tuple) and len(y) == 1 and np.ndim(y[0]) > 0
    arrays = for_outputs(argument, y, count, model.output_names) if count > 1 or isinstance(y, dict) else [y]
    arrays = [real_array(array, argument) for array in (y if is_wrapped and samples > 1 else arrays)]
    for array in arrays:
        if array.ndim == 0:
            raise ValueError(f"{argument} needs one entry for each sample. Received: a single number, {array}")
    check_lengths(samples, arrays, [argument] * count)
    checked = []
    for loss, array, output in zip(model.compiled.losses, arrays, model.outputs, strict=True):
        checked.append(loss.check_target(array, output.shape[1:]))
    return checked
