"""Data that comes batch by batch: generators, iterables, and objects like Keras's Sequence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minicnn.checks import real_array
from minicnn.data.counting import INFINITE_CARDINALITY
from minicnn.data.pass_counts import PassCounter, counters_of
from minicnn.errors import DataError
from minicnn.training.data_advice import naming
from minicnn.training.lazy import LazyArray, as_lazy, shape_of
from minicnn.training.passes import Passes, set_counts

if TYPE_CHECKING:
    from minicnn.training.arrays import Arrays
    from minicnn.training.batches import Batch
    from minicnn.training.passes import Counts


class BatchSequence(Protocol):
    """What has a length and gives a batch for each index; Keras's Sequence is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> object: ...


if TYPE_CHECKING:
    Stream = Iterator[object] | BatchSequence
    Data = Arrays | Stream


def is_stream(x: object) -> bool:
    """Whether `x` gives batches itself, rather than being data."""
    has_length = hasattr(x, "__len__") or hasattr(x, "num_batches")
    gives_items = hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and has_length)
    return gives_items and not _is_array(x) and not isinstance(x, list | tuple | Mapping | str | type)


def _is_array(x):
    """Whether NumPy reads the numbers of an object from its memory, or it says that it is an array."""
    protocols = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")
    if any(hasattr(x, name) for name in protocols) or (hasattr(x, "shape") and hasattr(x, "dtype")):
        return True
    try:
        memoryview(x)  # bytes, array.array, ctypes' arrays
    except TypeError:
        return False
    return True


def first_batch(x: Data) -> tuple[Data, Any]:
    """(x, the inputs of its first batch, None without any); data that is no stream is its own first batch.

    A generator is read no further; go on with the x that is returned.
    """
    first = x
    if is_stream(x):
        if hasattr(x, "__getitem__"):
            item = x[0]
        else:
            items = iter(x)
            item = next(items, None)
            if items is x and item is not None:
                x = itertools.chain([item], x)
        first = None if item is None else unpacked(item)[0]
    return x, first


def peek(x: Data) -> tuple[Data, tuple[int, ...]]:
    """(x, shape of a sample): for a model that learns its input's shape from the data. A generator is read no further.

    Raises
    ------
    DataError
        If there is no sample.
    """
    if x is None:
        raise DataError("the data is missing: expected an array, a generator or a Dataset. Received: x=None")
    x, first = first_batch(x)
    return x, sample_shape_of(first)


def sample_shape_of(first: Any) -> tuple[int, ...]:
    """The shape of a sample in the first batch of data.

    Raises
    ------
    DataError
        If there is no sample.
    """
    if isinstance(first, list | tuple) and len(first) == 1 and shape_of(first[0]):
        first = first[0]
    first = np.empty(0) if first is None else as_lazy(first)
    first = first if isinstance(first, LazyArray) else real_array(first, "x")
    if first.ndim == 0 or len(first) == 0:
        raise DataError(f"the data is empty: expected at least one sample. Received: shape {first.shape}")
    return first.shape[1:]


def unpacked(item: object) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of what a generator or Sequence gave; None for what is not there.

    Raises
    ------
    ValueError
        If there are other numbers of entries.
    """
    if not isinstance(item, tuple | list):
        return item, None, None
    if not 1 <= len(item) <= 3:
        raise ValueError(
            "a batch of a generator or Sequence is x, (x, y) or (x, y, sample_weight); several inputs or outputs stand "
            f"in a list of their own: ([x1, x2], y). Received: a {type(item).__name__} of {len(item)}"
        )
    return (*item, None, None)[:3]


def _is_endless(stream) -> bool:
    """Whether a data set says of itself that it repeats for ever; TensorFlow's do too."""
    try:
        return int(stream.cardinality()) == INFINITE_CARDINALITY
    except (AttributeError, TypeError, ValueError):  # another thing of that name, or none
        return False


class StreamSource(Passes):
    """Batches from a generator, an iterable, or a Sequence: an object with ``len()`` and ``[i]`` that gives batches.

    Parameters
    ----------
    stream : iterator or Sequence
        Of (x, y) or (x, y, sample_weight); of x or (x,) where no targets are needed.
    convert : callable
        Turns (x, y, sample_weight) into a checked `Batch`.
    steps : int or None
        Batches an epoch; None: as many as there are; needed for a generator that never ends.
    batch_size : int
        What callbacks are told.
    argument : str
        What messages about a batch begin with; "": nothing.

    Attributes
    ----------
    is_sequence : bool
        Whether it is one.
    samples : None
        Their number is not known.
    taken : int
        Batches taken of the current pass; an iterator has but one.
    when_first : callable or None
        Is called with the next batch, and forgotten.
    reads_parts : bool
        Whether passes over data sets that can be made in parts give `minicnn.data.making.Part`, see `items`.
    is_pure : bool or None
        Whether a Sequence gives the same whoever asks, and how often; None: nobody has looked.
    """

    samples: int | None = None
    when_first: Callable[[Batch], None] | None = None
    reads_parts: bool = False
    is_pure: bool | None = None

    def __init__(
        self,
        stream: Stream,
        convert: Callable[[object, object, object], Batch],
        steps: int | None,
        batch_size: int,
        argument: str = "",
    ) -> None:
        super().__init__(steps)
        self._stream, self._convert, self._argument = stream, convert, argument
        self.is_sequence: bool = hasattr(stream, "__getitem__")
        self._is_iterator = hasattr(stream, "__next__") and not self.is_sequence  # there is one pass
        self._items = stream if self._is_iterator else None  # what is left of the current pass
        self._epoch = None  # (its number, its data), where each has its own
        self.steps: int | None = self.available if steps is None else steps
        if self.is_sequence and self.available == 0:
            larger = "for data smaller than a batch, write math.ceil(len(x) / batch_size) for len(x) // batch_size"
            why = "there are no pictures" if getattr(stream, "samples", None) == 0 else larger
            raise DataError(f"a {type(stream).__name__} needs at least one batch: {why}. Received: length 0")
        self.batch_size: int = batch_size
        if self.steps is None and _is_endless(stream):
            raise ValueError(
                "the data set repeats for ever: say how many batches are used, by steps_per_epoch=, validation_steps= "
                f"or steps=, or by take(n) of the data set. Received: an endless {type(stream).__name__} and no number"
            )

    @property
    def available(self) -> int | None:
        """Batches in a pass: a Sequence may have other ones in every epoch; None if not known."""
        if not hasattr(self._stream, "__len__") or hasattr(type(self._stream), "num_batches"):  # which may be None
            return getattr(self._stream, "num_batches", None)
        try:
            return len(self._stream)
        except TypeError as error:  # TensorFlow's data sets have lengths, but not all know them
            if self.is_sequence:
                raise TypeError(
                    f"the length of a {type(self._stream).__name__} is a whole number, such as "
                    f"math.ceil(len(x) / batch_size): {error}"
                ) from error
            return None

    def rewind(self) -> None:
        if not self._is_iterator:
            self.taken, self._items = 0, None

    @cached_property
    def counters(self) -> list[PassCounter]:
        """Those of the data; what an iterator reads from cannot be set, it is read from its start."""
        return [] if self.is_sequence or self._is_iterator else counters_of(self._stream)

    def skip(self, count: int, number: int = 0, counts: Counts | None = None) -> None:
        """Read on until `count` items have been taken, where the pass goes on; see `Passes.skip`."""
        begun, now = ([], []) if counts is None else counts
        if self.is_sequence:
            self.taken = count
        elif begun is None and not self._is_iterator:
            set_counts(self.counters, now)
        elif self._items is None and counts is not None:
            set_counts(self.counters, begun)
        if self._is_iterator or (self.wanted is not None and count and begun is not None and not self.is_sequence):
            self._read_on(count, number)
            if counts is not None and self.taken == self.available:  # all has been read, by whomever
                set_counts(self.counters, now)

    def _read_on(self, count, number):
        """Take items up to number `count`, the last one in an epoch; epochs of `wanted` items may share a pass."""
        if self._items is None:
            self.number: int = number - (count - 1) // self.wanted
            self._items = self._pass()
        for _ in itertools.islice(self._items, max(0, count - self.taken)):
            self.taken: int = self.taken + 1

    def _pass(self):
        """A new pass."""
        self.begun = [counter.count for counter in self.counters]
        return iter(self._of_epoch())

    def batches(self, generator: np.random.Generator | None = None, first: int = 0) -> Iterator[Batch]:
        """An epoch's batches; a Sequence's come in an order drawn from `generator`.

        Parameters
        ----------
        generator : numpy.random.Generator, optional
        first : int
            How many of the epoch's batches are done; an iterator stands behind them already, see `skip`.
        """
        for item in self._of_sequence(generator, first) if self.is_sequence else self._of_iterable(first):
            batch = self.converted(item)
            if self.when_first is not None:
                look, self.when_first = self.when_first, None
                look(batch)
            yield batch

    def read(self, number: int) -> Batch:
        """Batch `number` of a Sequence."""
        return self.converted(self._stream[number])

    def divides(self) -> bool:
        """Whether the batches of the epoch can be made in parts."""
        data = self._data()
        return hasattr(data, "in_parts") and data.in_parts() is not None

    def items(self, first: int) -> Iterator[Any]:
        """What an iterable gives in an epoch after its first `first` batches, unchecked."""
        return self._of_iterable(first)

    def begin_epoch(self) -> None:
        """Tell a Sequence that wants to know."""
        self._call("on_epoch_begin")

    def end_epoch(self) -> None:
        """As `begin_epoch`."""
        self._call("on_epoch_end")

    def converted(self, item: object) -> Batch:
        """A checked batch of what the stream gave."""
        with naming(self._argument) if self._argument else nullcontext():
            return self._convert(*unpacked(item))

    def _of_sequence(self, generator, first):
        self.begin_epoch()
        order = None if generator is None or self.available is None else generator.permutation(self.available)
        is_endless = self.available is None and self.wanted is None
        for number in itertools.count(first) if is_endless else self.epoch(first):
            self.taken = number + 1
            yield self._stream[number if order is None else int(order[number])]
        self.end_epoch()

    def _of_iterable(self, first):
        is_over = self.wanted is None or self.taken == self.available
        if not self._is_iterator and (self._items is None or (first == 0 and is_over)):
            self.taken, self._items = 0, self._pass()
            if self.wanted is None:
                self._items = itertools.islice(self._items, first, None)
        done = 0
        for item in itertools.islice(self._items, None if self.wanted is None else self.wanted - first):
            done += 1
            self.taken += 1
            yield item
        if self.wanted is not None and first + done < self.wanted and not self._is_iterator:
            self._items = self.begun = None  # over, which shows only now
            if done == first == 0 < self.taken:
                yield from self._of_iterable(first)

    def _of_epoch(self):
        """What a pass goes over."""
        return self._data().in_parts() if self.reads_parts and self.divides() else self._data()

    def _data(self):
        """The stream, or what it is in this epoch: see `minicnn.data.by_epoch`."""
        if not hasattr(self._stream, "of_epoch"):
            return self._stream
        if self._epoch is None or self._epoch[0] != self.number:
            self._epoch = self.number, self._stream.of_epoch(self.number)
        return self._epoch[1]

    def _call(self, method):
        """A hook of Keras's PyDataset, where there is one."""
        if hasattr(self._stream, method):
            getattr(self._stream, method)()
