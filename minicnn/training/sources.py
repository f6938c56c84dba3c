"""The path of a user's data: what is handed over to a model → a source of checked batches → batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from minicnn.checks import check_positive_int, real_array
from minicnn.errors import DataError
from minicnn.training.arrays import check_targets, match_inputs, sample_weights, split_validation, with_class_weight

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from minicnn.backends.base import Backend
    from minicnn.graph import Tensor
    from minicnn.losses import Loss
    from minicnn.training.arrays import Arrays

BATCH_SIZE = 32  # where none is given, as in Keras


class BatchSequence(Protocol):
    """What has a length and gives a batch for each index; Keras's Sequence is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> object: ...


if TYPE_CHECKING:
    Stream = Iterator[object] | BatchSequence
    Data = Arrays | Stream


# ------------------------------------------------------------------------------------------------------- batches


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

    inputs: list[np.ndarray]
    targets: list[np.ndarray]
    weight: np.ndarray | None
    indices: np.ndarray | None
    count: int

    def load(self, backend: Backend, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Copy the inputs, cast, into a plan's arrays; returns the samples' targets and weights."""
        for source, array in zip(self.inputs, arrays, strict=True):
            if self.indices is None:
                backend.load(array, source)
            else:
                backend.ops.gather(source, self.indices, array)

        return [self.pick(target) for target in self.targets], self.pick(self.weight)

    def pick(self, array: np.ndarray | None) -> np.ndarray | None:
        """The batch's samples of an array."""
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

    taken: int = 0  # nothing is used up

    def __init__(
        self,
        inputs: list[np.ndarray],
        targets: list[np.ndarray],
        weight: np.ndarray | None,
        batch_size: int,
        steps: int | None = None,
    ) -> None:
        self.inputs, self.targets, self.weight, self.batch_size = inputs, targets, weight, batch_size
        self._available = len(inputs[0])
        self.samples: int = self._available if steps is None else min(steps * batch_size, self._available)
        self.steps: int = -(-self.samples // batch_size)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All there are: inputs, targets, and weights if there are any."""
        return [*self.inputs, *self.targets, *([] if self.weight is None else [self.weight])]

    def skip(self, count: int) -> None:
        """As for `StreamSource`."""

    def batches(self, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Batch]:
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
    batch_size : int
        What callbacks are told.

    Attributes
    ----------
    samples : None
        Their number is not known.
    taken : int
        How many items were read.
    """

    samples: int | None = None

    def __init__(
        self,
        stream: Stream,
        convert: Callable[[object, object, object], Batch],
        steps: int | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._stream, self._convert = stream, convert
        self._is_sequence = hasattr(stream, "__getitem__")
        length = len(stream) if hasattr(stream, "__len__") else None
        self.steps: int | None = length if steps is None else steps
        self.batch_size, self.taken = batch_size, 0

    def skip(self, count: int) -> None:
        """Read on until `count` items of an iterator have been taken, for a training that goes on."""
        if not self._is_sequence:
            for _ in itertools.islice(self._stream, max(0, count - self.taken)):
                self.taken += 1

    def batches(self, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Batch]:
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


Source = ArraySource | StreamSource


# ----------------------------------------------------------------------------------------- what users hand over


@dataclass(frozen=True)
class Intake:
    """Makes sources and batches from what users hand over to a model.

    Attributes
    ----------
    model_name : str
    inputs : tuple of Tensor
        The model's.
    outputs : dict
        Name → output of the model; not needed where there are no targets.
    losses : list of Loss
        One for each output.
    """

    model_name: str
    inputs: tuple[Tensor, ...]
    outputs: Mapping[str, Tensor]
    losses: Sequence[Loss]

    def training(
        self,
        x: Data,
        y: Arrays | None,
        weights: ArrayLike | None,
        class_weight: Mapping[int, float] | None,
        batch_size: int | None,
        steps: int | None,
        fraction: float,
        validation: tuple[object, int | None, int | None],
    ) -> tuple[Source, Source | None]:
        """(source for training, source for validation or None); class weights are for training only.

        Parameters
        ----------
        x, y, weights, class_weight, batch_size, steps, fraction :
            As for `Model.fit`, where some have longer names.
        validation : (data or None, batch size, steps)
            Where there is no such data, `fraction` of `x` is held back.

        Raises
        ------
        ShapeError, DataError, ValueError, TypeError
            If the data does not fit the model.
        """
        held_back = None
        if is_stream(x):
            if fraction or y is not None or weights is not None:
                raise ValueError("a generator or Sequence gives targets and weights itself, and cannot be split")
            source = _stream_source(x, lambda *item: self.batch(*item, class_weight), steps, batch_size)
        else:
            arrays, size = self._arrays(x, y, weights), _checked_size(batch_size)
            if fraction and validation[0] is None:
                arrays, rest = _split(*arrays, fraction)
                held_back = ArraySource(*rest, size)
            inputs, targets, weights = arrays
            source = ArraySource(inputs, targets, with_class_weight(weights, class_weight, targets), size, steps)
        if validation[0] is None:
            return source, held_back
        return source, self.evaluation(*_unpacked(validation[0]), *validation[1:], "validation y")

    def evaluation(
        self,
        x: Data,
        y: Arrays | None,
        weights: ArrayLike | None,
        batch_size: int | None,
        steps: int | None,
        argument: str = "y",
    ) -> Source:
        """A source of inputs, targets and weights in their own order; errors as for `training`."""
        if is_stream(x):
            return _stream_source(x, self.batch, steps, batch_size)
        batch_size = _checked_size(batch_size)
        return ArraySource(*self._arrays(x, y, weights, argument), batch_size, steps)

    def prediction(self, x: Data, batch_size: int | None, steps: int | None) -> Source:
        """A source of inputs alone; errors as for `training`."""
        if is_stream(x):
            return _stream_source(x, lambda x, y, weights: self.inputs_only(x), steps, batch_size)
        inputs = match_inputs(x, self.inputs, self.model_name)
        return ArraySource(inputs, [], None, _checked_size(batch_size), steps)

    def batch(
        self,
        x: Arrays,
        y: Arrays | None,
        weights: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> Batch:
        """One batch of these arrays; errors as for `training`."""
        inputs, targets, weights = self._arrays(x, y, weights)
        return Batch(inputs, targets, with_class_weight(weights, class_weight, targets), None, len(inputs[0]))

    def inputs_only(self, x: Arrays) -> Batch:
        """One batch without targets; errors as for `training`."""
        inputs = match_inputs(x, self.inputs, self.model_name)
        return Batch(inputs, [], None, None, len(inputs[0]))

    def _arrays(self, x, y, weights, argument="y"):
        """(inputs, targets, weights), checked against the model."""
        inputs = match_inputs(x, self.inputs, self.model_name)
        samples = len(inputs[0])
        targets = check_targets(y, samples, self.outputs, self.losses, argument)
        return inputs, targets, sample_weights(weights, samples)


def _stream_source(x, convert, steps, batch_size):
    return StreamSource(x, convert, steps, batch_size or BATCH_SIZE)


def _split(inputs, targets, weights, fraction):
    """((inputs, targets, weights) of the first part, those of the last)."""
    count = len(inputs)
    return [
        (arrays[:count], arrays[count:-1], arrays[-1])
        for arrays in split_validation([*inputs, *targets, weights], fraction)
    ]


def _checked_size(batch_size):
    return BATCH_SIZE if batch_size is None else check_positive_int("batch_size", batch_size)


def is_stream(x: object) -> bool:
    """Whether `x` gives batches itself, rather than being data."""
    gives_items = hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))
    return gives_items and not hasattr(x, "__array__") and not isinstance(x, list | tuple | dict | str)


def peek(x: Data) -> tuple[Data, tuple[int, ...]]:
    """(x, shape of a sample): for a model that learns its input's shape from the data. A generator is read no further.

    Raises
    ------
    DataError
        If there is no sample.
    """
    first = x
    if is_stream(x):
        if hasattr(x, "__next__"):
            item = next(x)
            x = itertools.chain([item], x)
        else:
            item = x[0]
        first = item[0] if isinstance(item, tuple) else item
    elif isinstance(x, list | tuple) and len(x) == 1:
        first = x[0]
    first = real_array(first, "x")
    if first.ndim == 0 or len(first) == 0:
        raise DataError(f"the data is empty: expected at least one sample. Received: shape {first.shape}")
    return x, first.shape[1:]


def _unpacked(validation_data):
    """(x, y, sample_weight) from Keras's forms of validation data."""
    if is_stream(validation_data):
        return validation_data, None, None
    if not isinstance(validation_data, list | tuple) or len(validation_data) not in (2, 3):
        raise ValueError(
            "validation_data is (x, y), (x, y, sample_weight), a generator or a Sequence. "
            f"Received: {type(validation_data).__name__}"
        )
    return (*validation_data, None)[:3]
