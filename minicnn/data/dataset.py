"""A data set: a recipe for elements, which is followed anew for each pass."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minicnn import random
from minicnn.checks import check_positive_int
from minicnn.data.counting import (
    INFINITE_CARDINALITY,
    UNKNOWN_CARDINALITY,
    at_most,
    counted,
    no_length,
    shortest,
    together,
)
from minicnn.data.elements import (
    EagerCount,
    Element,
    arrays_from,
    arrays_of,
    common_length,
    eager,
    is_true,
    map_leaves,
    numbers_of,
    read_only,
    stacked,
    without_second,
    zipped,
)
from minicnn.data.further import FurtherSteps
from minicnn.data.making import Batches, Each, Part, Slices
from minicnn.data.pass_counts import PassCounter
from minicnn.data.reading import EagerIterator, NumpyIterator, mapped, read_ahead
from minicnn.data.signatures import as_told, generated
from minicnn.own_parts import function_of
from minicnn.processors import default_threads
from minicnn.user_warnings import warn_user

AUTOTUNE = -1  # as a number of threads or of elements to read ahead: what suits the machine
_AHEAD = 2  # elements that prefetch(AUTOTUNE) reads ahead


class Dataset(FurtherSteps):
    """Elements, made one after the other when somebody iterates; each pass begins anew.

    An element is an array, or a tuple or dictionary of elements: usually ``(image, label)``, and after `batch`
    ``(images, labels)``, as `Model.fit`, `evaluate` and `predict` take them. Each method gives a new data set; nothing
    is computed before somebody iterates. What an iteration gives are NumPy arrays that have ``.numpy()`` as well.

    Data sets are made by `from_tensor_slices`, `from_tensors`, `from_generator`, `range`, `zip`, and by
    `image_dataset_from_directory`. Names and meanings are those of ``tf.data.Dataset``.

    Parameters
    ----------
    elements : callable
        Called for each pass: gives an iterator.
    cardinality : int, default UNKNOWN_CARDINALITY
        How many elements there are.
    making : Each or Batches, optional
        What makes the elements of what the iterator gives, which are numbers then; see `minicnn.data.making`.

    Examples
    --------
    >>> from minicnn.data import Dataset
    >>> numbers = Dataset.range(5).map(lambda n: n * n).batch(2)
    >>> [batch.tolist() for batch in numbers]
    [[0, 1], [4, 9], [16]]
    """

    def __init__(
        self,
        elements: Callable[[], Iterator[Any]],
        cardinality: int = UNKNOWN_CARDINALITY,
        making: Each | Batches | None = None,
    ) -> None:
        self._stream = function_of("elements", elements)
        self._cardinality = cardinality
        self._making = making

    _batch_size: int | None = None  # where `batch` is the last step

    def _elements(self):
        """One pass over the elements."""
        return self._stream() if self._making is None else self._making.elements(self._stream())

    @staticmethod
    def _of(elements, cardinality=UNKNOWN_CARDINALITY):
        return Dataset(elements, cardinality)

    def _reordered(self, stream, cardinality):
        """A data set of the same kind for another order or choice of what `_stream` gives."""
        return Dataset(stream, cardinality, self._making)

    def in_parts(self) -> Iterator[Part] | None:
        """The batches of a pass, not made yet; None where they cannot be made in parts, see `minicnn.data.making`."""
        return map(self._making.part, self._stream()) if isinstance(self._making, Batches) else None

    # ------------------------------------------------------------------------------------------------- sources

    @staticmethod
    def from_tensor_slices(tensors: Element, name: str | None = None) -> Dataset:
        """One element for each sample of arrays.

        Parameters
        ----------
        tensors : array (N, …), or tuple or dictionary of such
        name : str, optional
            Not used, as in the other methods.

        Raises
        ------
        DataError
            If the arrays have different numbers of samples.
        """
        arrays = map_leaves(read_only, arrays_of(without_second(tensors, name)))
        count = common_length(arrays)
        return Dataset(lambda: iter(range(count)), count, Slices(arrays))

    @staticmethod
    def from_tensors(tensors: Element, name: str | None = None) -> Dataset:
        """A single element."""
        element = arrays_of(tensors)
        return Dataset(lambda: iter([element]), 1)

    @staticmethod
    def from_generator(
        generator: Callable[..., Iterable[Element]],
        output_types: object = None,
        output_shapes: object = None,
        args: tuple[object, ...] | None = None,
        output_signature: object = None,
        name: str | None = None,
    ) -> Dataset:
        """What a function gives: ``generator(*args)`` is called for each pass.

        Parameters
        ----------
        generator : callable
            Gives an iterable of elements.
        output_types, output_shapes, output_signature : optional
            What the elements are cast to, and shapes that they must have; see `signatures`. Not needed.
        args : tuple, optional

        Raises
        ------
        TypeError
            For a generator itself, which could be read only once; for a function that takes other arguments; when
            somebody iterates, for one that gives no iterable.
        """
        given = as_told(generated(generator, args), output_signature, output_types, output_shapes)
        return Dataset(lambda: map(arrays_of, given()))

    @staticmethod
    def range(*args: int, output_type: object = np.int64, name: str | None = None) -> Dataset:
        """Numbers, as Python's ``range`` gives them."""
        numbers = range(*map(counted, args))
        return Dataset(lambda: iter(numbers), len(numbers), Each(lambda n: np.asarray(n, output_type)))

    @staticmethod
    def zip(*args: Any, datasets: Any = None, name: str | None = None) -> Dataset:
        """Tuples of the elements of data sets, or tuples and dictionaries of such, as many as the shortest has.

        Anything else is a TypeError.
        """
        elements, counts = zipped((args[0] if len(args) == 1 else args) if datasets is None else datasets)
        return Dataset(elements, shortest(counts))

    # --------------------------------------------------------------------------------------------------- steps

    def map(
        self,
        map_func: Callable[..., Element],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """map_func of each element; a tuple's parts are its arguments. The order is kept.

        Parameters
        ----------
        map_func : callable
            Takes and gives arrays; a single text is Python's, with ``.numpy()``, too.
        num_parallel_calls : int, optional
            Threads that call it; AUTOTUNE: one for each processor. Default: the thread that iterates.
        deterministic : bool, optional
            Not used.
        """
        call = partial(arrays_from, function_of("map_func", map_func))
        if num_parallel_calls is None:
            return Dataset(lambda: map(call, self._elements()), self._cardinality)
        calls = default_threads() if num_parallel_calls == AUTOTUNE else num_parallel_calls
        threads = check_positive_int("num_parallel_calls", calls)
        if isinstance(self._making, Each):
            return Dataset(self._stream, self._cardinality, self._making.then(call, threads))
        return Dataset(lambda: mapped(call, self._elements(), threads), self._cardinality)

    def filter(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements for which predicate is true; a tuple's parts are its arguments."""
        predicate = function_of("predicate", predicate)
        return Dataset(lambda: (e for e in self._elements() if is_true(predicate, e)))

    def batch(
        self,
        batch_size: int,
        drop_remainder: bool = False,
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Elements stacked along a new first axis.

        Parameters
        ----------
        batch_size : int
        drop_remainder : bool, default False
            Whether a last batch that is too short is left out.
        num_parallel_calls, deterministic : optional
            Not used.

        Raises
        ------
        DataError
            When somebody iterates, if the shapes in a batch differ.
        """
        size = check_positive_int("batch_size", batch_size)

        by_number = isinstance(self._making, Each)

        def groups():
            items = self._stream() if by_number else self._elements()
            while group := list(itertools.islice(items, size)):
                if len(group) == size or not drop_remainder:
                    yield group if by_number else stacked(group)

        count = self._cardinality
        count = count if count < 0 else count // size if drop_remainder else -(-count // size)
        made = Dataset(groups, count, Batches(self._making) if by_number else None)
        made._batch_size = size
        return made

    def unbatch(self, name: str | None = None) -> Dataset:
        """The samples of each element's arrays, one by one."""

        def samples():
            for element in self._elements():
                for i in range(common_length(element)):
                    yield map_leaves(lambda a, i=i: a[i], element)

        return Dataset(samples, together([self._cardinality, UNKNOWN_CARDINALITY]))

    def shuffle(
        self,
        buffer_size: int,
        seed: int | None = None,
        reshuffle_each_iteration: bool | None = True,
        name: str | None = None,
    ) -> Dataset:
        """A random order: each element is drawn from the next `buffer_size` ones.

        Parameters
        ----------
        buffer_size : int
            For a perfect shuffle, the number of elements at least, or UNKNOWN_CARDINALITY. They are kept in memory.
        seed : int, optional
            Default: drawn when this is called, see `minicnn.utils.set_random_seed`.
        reshuffle_each_iteration : bool, default True
            Whether each pass has an order of its own.
        """
        is_all = buffer_size == UNKNOWN_CARDINALITY
        if is_all and self._cardinality == INFINITE_CARDINALITY:
            raise ValueError("a data set without end does not fit into memory: shuffle(buffer_size) with a number")
        size = sys.maxsize if is_all else check_positive_int("buffer_size", buffer_size)
        seed = random.next_seed() if seed is None else abs(counted(seed))
        passes = PassCounter()

        def shuffled():
            number = next(passes) if reshuffle_each_iteration in (True, None) else 0
            generator = random.generator(seed, "shuffle", number)
            items = self._stream()
            buffer = list(itertools.islice(items, size))
            for item in items:
                i = int(generator.integers(len(buffer)))
                yield buffer[i]
                buffer[i] = item
            yield from (buffer[i] for i in generator.permutation(len(buffer)).tolist())

        return self._reordered(shuffled, self._cardinality)

    def cache(self, filename: str = "", name: str | None = None) -> Dataset:
        """Keep all elements in memory from the first complete pass on; a file of this name is not made: a warning."""
        if filename:
            warn_user(f"cache keeps elements in memory, and no file: leave out {filename!r}")
        kept: list[list[Element]] = []

        def cached():
            if kept:
                yield from kept[0]
                return
            new = []
            for element in self._elements():
                new.append(element)
                yield element
            kept[:] = [new]

        return Dataset(cached, self._cardinality)

    def prefetch(self, buffer_size: int = AUTOTUNE, name: str | None = None) -> Dataset:
        """Make elements in a thread while the ones before are being used.

        Parameters
        ----------
        buffer_size : int, default AUTOTUNE
            How many; AUTOTUNE: 2.
        """
        count = _AHEAD if buffer_size in (AUTOTUNE, None) else counted(buffer_size)
        if count == 0:
            return self
        check_positive_int("buffer_size", count)
        if self._making is not None:
            return Dataset(self._stream, self._cardinality, self._making.prefetched(count))
        return Dataset(lambda: read_ahead(self._elements, count), self._cardinality)

    def take(self, count: int, name: str | None = None) -> Dataset:
        """The first elements; all of them for -1."""
        if (count := counted(count)) < 0:
            return self
        return self._reordered(lambda: itertools.islice(self._stream(), count), at_most(count, self._cardinality))

    def skip(self, count: int, name: str | None = None) -> Dataset:
        """All but the first elements; none for -1."""
        if (count := counted(count)) < 0:
            return self._reordered(lambda: iter(()), 0)
        left = self._cardinality if self._cardinality < 0 else max(0, self._cardinality - count)
        return self._reordered(lambda: itertools.islice(self._stream(), count, None), left)

    def repeat(self, count: int | None = None, name: str | None = None) -> Dataset:
        """All elements several times.

        Parameters
        ----------
        count : int, optional
            How many times; default, and -1: for ever.
        """
        count = -1 if count is None else counted(count)
        forever = count < 0

        def repeated():
            for _ in itertools.count() if forever else range(count):
                empty = True
                for item in self._stream():
                    empty = False
                    yield item
                if empty:
                    return

        if forever:
            return self._reordered(repeated, 0 if self._cardinality == 0 else INFINITE_CARDINALITY)
        return self._reordered(repeated, self._cardinality * count if self._cardinality >= 0 else self._cardinality)

    def enumerate(self, start: int = 0, name: str | None = None) -> Dataset:
        """Pairs (number, element)."""
        count = itertools.count
        return Dataset(lambda: zip(map(np.asarray, count(start)), self._elements(), strict=False), self._cardinality)

    def concatenate(self, dataset: Dataset, name: str | None = None) -> Dataset:
        """All elements, then those of another data set. Anything else is a TypeError."""
        if not isinstance(dataset, Dataset):
            raise TypeError(f"concatenate takes a data set. Received: {type(dataset).__name__}")
        counts = [self._cardinality, dataset._cardinality]
        return Dataset(lambda: itertools.chain(self._elements(), dataset._elements()), together(counts))

    def shard(self, num_shards: int, index: int, name: str | None = None) -> Dataset:
        """Every `num_shards`-th element, from number `index` on.

        Raises
        ------
        ValueError
            If index is not from 0 to num_shards - 1.
        """
        if not 0 <= counted(index) < check_positive_int("num_shards", num_shards):
            raise ValueError(f"index is from 0 to num_shards - 1. Received: index={index}, num_shards={num_shards}")
        count = self._cardinality
        left = count if count < 0 else max(0, -(-(count - index) // num_shards))
        return self._reordered(lambda: itertools.islice(self._stream(), index, None, num_shards), left)

    # -------------------------------------------------------------------------------------------------- reading

    def __iter__(self) -> Iterator[Element]:
        return EagerIterator(map(eager, self._elements()))

    def as_numpy_iterator(self) -> Iterator[Element]:
        """An iterator of plain NumPy arrays, and numbers where they have no axes."""
        return NumpyIterator(map(numbers_of, self._elements()))

    def cardinality(self, name: str | None = None) -> EagerCount:
        """How many elements there are; INFINITE_CARDINALITY or UNKNOWN_CARDINALITY where that is so."""
        return EagerCount(self._cardinality)

    def __len__(self) -> int:
        if self._cardinality < 0:
            raise TypeError(no_length(self._cardinality))
        return self._cardinality

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        count = {INFINITE_CARDINALITY: "endlessly many", UNKNOWN_CARDINALITY: "unknown number of"}
        return f"<Dataset, {count.get(self._cardinality, self._cardinality)} elements>"
