"""Data that comes batch by batch: generators, iterables, and objects like Keras's Sequence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from minicnn.checks import real_array
from minicnn.errors import DataError

if TYPE_CHECKING:
    from minicnn.training.arrays import Arrays
    from minicnn.training.batches import Batch


class BatchSequence(Protocol):
    """What has a length and gives a batch for each index; Keras's Sequence is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> object: ...


if TYPE_CHECKING:
    Stream = Iterator[object] | BatchSequence
    Data = Arrays | Stream


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


class StreamSource:
    """Batches from a generator, an iterable, or a Sequence: an object with ``len()`` and ``[i]`` that gives batches.

    Parameters
    ----------
    stream : iterator or Sequence
        Of (x, y) or (x, y, sample_weight); of x or (x,) where no targets are needed.
    convert : callable
        Turns (x, y, sample_weight) into a checked `Batch`.
    steps : int or None
        Batches per pass; None: as many as there are; needed for a generator that never ends.
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
        steps: int | None,
        batch_size: int,
    ) -> None:
        self._stream, self._convert = stream, convert
        self._is_sequence = hasattr(stream, "__getitem__")
        length = len(stream) if hasattr(stream, "__len__") else None
        self.steps: int | None = length if steps is None else steps
        self.batch_size: int = batch_size
        self.taken: int = 0

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
