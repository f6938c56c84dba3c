"""Steps that give elements another grouping, choice or order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import random
from minicnn.checks import check_positive_int
from minicnn.data.counting import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, counted, together
from minicnn.data.elements import Element, arrays_of, eager, is_dataset, is_true, map_leaves, stacked, unwritable
from minicnn.data.pass_counts import PassCounter
from minicnn.errors import DataError
from minicnn.own_parts import function_of
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from minicnn.data.dataset import Dataset


class Rearranging:
    """Methods of `Dataset` that group elements anew, or take them from several data sets."""

    _cardinality: int

    def _elements(self) -> Iterator[Element]:
        raise NotImplementedError

    @staticmethod
    def _of(elements: Callable[[], Iterator[Element]], cardinality: int = UNKNOWN_CARDINALITY) -> Dataset:
        raise NotImplementedError

    def window(
        self,
        size: int,
        shift: int | None = None,
        stride: int = 1,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Data sets of elements that follow each other; a tuple or dictionary of such, where elements are ones.

        Parameters
        ----------
        size : int
            Of a window, in elements.
        shift : int, optional
            By how many elements the next window begins later; default: `size`.
        stride : int, default 1
            The distance of the elements in a window.
        drop_remainder : bool, default False
            Whether windows that are too short are left out.
        """
        size, stride = check_positive_int("size", size), check_positive_int("stride", stride)
        step, length = size if shift is None else check_positive_int("shift", shift), (size - 1) * stride + 1

        def windows():
            items, kept = iter(self._elements()), []
            while True:
                kept += islice(items, length - len(kept))
                part = kept[:length:stride]
                if not part or (drop_remainder and len(part) < size):
                    return
                yield self._nested(part)
                skipped = max(0, step - len(kept))
                kept = kept[step:]
                next(islice(items, skipped, skipped), None)

        total = self._cardinality
        whole = -(-total // step) if not drop_remainder else max(0, (total - length) // step + 1)
        return self._of(windows, total if total < 0 else whole)

    def _nested(self, part):
        """A window: one data set for each leaf of the elements."""
        return map_leaves(lambda *column: self._of(lambda: iter(column), len(column)), *part)

    def padded_batch(
        self,
        batch_size: int,
        padded_shapes: Any = None,
        padding_values: Any = None,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Batches of arrays of different sizes, which are filled up at their ends.

        Parameters
        ----------
        batch_size : int
        padded_shapes : tuple, or tuple or dictionary of such, optional
            The size of every axis, for each part of an element; None or -1, and the default: that of the largest
            element of the batch.
        padding_values : number or tuple or dictionary of such, default 0
            What is filled in.
        drop_remainder : bool, default False
            Whether a last batch that is too short is left out.

        Raises
        ------
        DataError
            When somebody iterates, if an array is larger than its padded shape, or has other axes.
        """
        size = check_positive_int("batch_size", batch_size)

        def batches():
            items = self._elements()
            while part := list(islice(items, size)):
                if len(part) == size or not drop_remainder:
                    yield _padded(part, padded_shapes, padding_values)

        total = self._cardinality
        return self._of(batches, total if total < 0 else total // size if drop_remainder else -(-total // size))

    def rebatch(self, batch_size: Any, drop_remainder: bool = False, name: str | None = None) -> Dataset:
        """Batches of another size, of the samples of the batches.

        Parameters
        ----------
        batch_size : int, or list of int
            Of a list, each batch has the next one, from its start again behind the last.
        drop_remainder : bool, default False
            Whether a last batch that is too short is left out.
        """
        samples = self.unbatch()  # type: ignore[attr-defined]
        if np.ndim(batch_size) == 0:
            return samples.batch(batch_size, drop_remainder)
        sizes = [check_positive_int("batch_size", size) for size in batch_size]

        def batches():
            items = samples._elements()
            for size in cycle(sizes):
                group = list(islice(items, size))
                if len(group) < (size if drop_remainder else 1):
                    return
                yield stacked(group)

        return self._of(batches)

    def unique(self, name: str | None = None) -> Dataset:
        """Each element once, where it first stands. Those that were met are kept in memory."""

        def elements():
            met = set()
            for element in self._elements():
                key = _contents(element)
                if key not in met:
                    met.add(key)
                    yield element

        return self._of(elements)

    def scan(
        self,
        initial_state: Element,
        scan_func: Callable[[Element, Element], tuple[Element, Element]],
        name: str | None = None,
    ) -> Dataset:
        """What a function that remembers makes of each element: ``state, output = scan_func(state, element)``.

        Parameters
        ----------
        initial_state : array, number, or tuple or dictionary of such
            With which each pass begins.
        scan_func : callable
            Takes the state and an element, returns the next state and what takes the element's place. It cannot write
            to the arrays that it takes.
        """
        function_of("scan_func", scan_func, "state", "element")

        def elements():
            state = initial_state
            for element in self._elements():
                state, output = scan_func(*(eager(unwritable(part)) for part in (arrays_of(state), element)))
                yield arrays_of(output)

        return self._of(elements, self._cardinality)

    def take_while(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements before the first one for which predicate is false; a tuple's parts are its arguments."""
        function_of("predicate", predicate)

        def elements():
            for element in self._elements():
                if not is_true(predicate, element):
                    return
                yield element

        return self._of(elements)

    def snapshot(self, path: Any, *args: Any, **kwargs: Any) -> Dataset:
        """The data set as it is: nothing is kept in files, which a warning says; `cache` keeps it in memory."""
        warn_user(f"snapshot({path!r}) writes no files and reads none: cache() keeps elements in memory")
        return self._of(self._elements, self._cardinality)

    @staticmethod
    def sample_from_datasets(
        datasets: Sequence[Dataset],
        weights: Sequence[float] | None = None,
        seed: int | None = None,
        stop_on_empty_dataset: bool = False,
        rerandomize_each_iteration: bool | None = None,
    ) -> Dataset:
        """Elements of several data sets, of which one is drawn at random for each.

        Parameters
        ----------
        datasets : list of Dataset
        weights : sequence of float, optional
            How probable each is; default: all alike.
        seed : int, optional
            Default: drawn when this is called, see `minicnn.utils.set_random_seed`.
        stop_on_empty_dataset : bool, default False
            Whether the end of one is the end; else the others go on.
        rerandomize_each_iteration : bool, default False
            Whether each pass has an order of its own.

        Raises
        ------
        ValueError
            If there is no data set, or not one weight for each.
        TypeError
            If the weights are a data set.
        """
        if is_dataset(weights):
            raise TypeError(f"weights is a list of numbers, the same for all elements. Received: weights={weights!r}")
        shares = np.ones(len(datasets)) if weights is None else np.asarray(weights, float)
        if shares.shape != (len(datasets),) or not (shares >= 0).all() or not shares.sum() > 0:
            raise ValueError(f"sample_from_datasets takes data sets and a weight for each. Received: {weights!r}")
        start = random.next_seed() if seed is None else abs(counted(seed))
        passes = PassCounter()

        def elements():
            generator = random.generator(start, "sample", next(passes) if rerandomize_each_iteration else 0)
            streams, left = [dataset._elements() for dataset in datasets], shares.copy()
            while left.any():
                at = int(generator.choice(len(left), p=left / left.sum()))
                element = list(islice(streams[at], 1))
                yield from element
                if not element:
                    if stop_on_empty_dataset:
                        return
                    left[at] = 0

        counts = [dataset._cardinality for dataset, share in zip(datasets, shares, strict=True) if share]
        return datasets[0]._of(elements, _in_turns(counts, stop_on_empty_dataset))

    @staticmethod
    def choose_from_datasets(
        datasets: Sequence[Dataset], choice_dataset: Dataset, stop_on_empty_dataset: bool = True
    ) -> Dataset:
        """Elements of several data sets, one for each number of another data set, which says of which.

        Parameters
        ----------
        datasets : list of Dataset
        choice_dataset : Dataset
            Of whole numbers from 0 to the number of data sets - 1.
        stop_on_empty_dataset : bool, default True
            Whether the end of one is the end; else its numbers are skipped until all have ended.

        Raises
        ------
        ValueError
            If there is no data set.
        DataError
            When somebody iterates, for another number.
        """

        if not len(datasets):
            raise ValueError(f"choose_from_datasets takes one data set or more. Received: datasets={datasets!r}")

        def elements():
            streams = [dataset._elements() for dataset in datasets]
            left = set(range(len(streams)))
            for number in choice_dataset._elements():
                if not 0 <= int(number) < len(streams):
                    raise DataError(f"choices are numbers from 0 to {len(streams) - 1}. Received: {int(number)}")
                element = list(islice(streams[int(number)], 1))
                yield from element
                left -= set() if element else {int(number)}
                if not left or (not element and stop_on_empty_dataset):
                    return

        counts = [dataset._cardinality for dataset in datasets]
        is_endless = choice_dataset._cardinality == _in_turns(counts, stop_on_empty_dataset) == INFINITE_CARDINALITY
        return choice_dataset._of(elements, INFINITE_CARDINALITY if is_endless else UNKNOWN_CARDINALITY)


def _in_turns(counts, stop_on_empty):
    """The number of elements of several data sets that take turns, up to the end of all, or of the first to end."""
    if not stop_on_empty:
        return together(counts)
    return INFINITE_CARDINALITY if set(counts) == {INFINITE_CARDINALITY} else UNKNOWN_CARDINALITY


def _contents(element):
    """What elements have in common that are equal, to be looked up."""
    if isinstance(element, dict):
        return frozenset((key, _contents(part)) for key, part in element.items())
    if isinstance(element, tuple):
        return tuple(map(_contents, element))
    if is_dataset(element):
        return "data set", *map(_contents, element._elements())
    array = np.asarray(element)
    if array.dtype.kind in "OSU":  # whose bytes are places in memory, or as many as the longest text needs
        return array.shape, *array.ravel().tolist()
    return str(array.dtype), array.shape, array.tobytes()


def _padded(elements, shapes, values):
    """One element of the arrays of several, each as large as the largest or as told."""
    first = elements[0]
    sizes = repeat(None) if shapes is None else iter(_told(shapes, first))
    told = isinstance(values, dict | tuple | list)
    fillings = iter(_told(values, first)) if told else repeat(values)
    return map_leaves(lambda *column: _filled(column, next(sizes), next(fillings)), *elements)


def _told(parts, element):
    """What was told for each leaf of an element."""
    if isinstance(element, dict):
        return [leaf for key in element for leaf in _told(parts[key], element[key])]
    if isinstance(element, tuple):
        return [leaf for each, part in zip(parts, element, strict=True) for leaf in _told(each, part)]
    return [parts]


def _filled(arrays, shape, value):
    """Arrays, stacked; each is filled up at its end."""
    arrays = [np.asarray(a) for a in arrays]
    if len({a.ndim for a in arrays} | ({len(shape)} if shape is not None else set())) > 1:
        raise DataError(
            f"arrays of a padded batch have the same number of axes. Received: shapes {[a.shape for a in arrays][:4]}, "
            f"padded_shapes={shape!r}"
        )
    largest = [max(sizes) for sizes in zip(*(a.shape for a in arrays), strict=True)]
    told = [None] * len(largest) if shape is None else shape
    sides = [most if side is None or side < 0 else int(side) for side, most in zip(told, largest, strict=True)]
    if any(side < most for side, most in zip(sides, largest, strict=True)):
        raise DataError(f"padded_shapes is as large as the arrays, {tuple(largest)}, or larger. Received: {shape!r}")
    filling, dtype = _filling(value, np.result_type(*arrays))
    batch = np.full((len(arrays), *sides), filling, dtype)
    for n, array in enumerate(arrays):
        batch[(n, *map(slice, array.shape))] = array
    return batch


def _filling(value, dtype):
    """What arrays of a dtype are filled up with, and the dtype that holds both."""
    if value is None:
        return (b"" if dtype.kind == "O" else np.zeros((), dtype)[()]), dtype
    filling = np.asarray(value)
    is_text = dtype.kind in "OSU"
    if filling.size == 1 and is_text == (filling.dtype.kind in "SU"):
        if is_text:
            filling = _text_like(filling, dtype)
            return filling.item(), dtype if dtype.kind == "O" else np.result_type(dtype, filling)
        with np.errstate(invalid="ignore"):  # NaN is no integer, as is seen below
            cast = filling.astype(dtype)
        if dtype.kind not in "biu" or (cast == filling).all():
            return cast.item(), dtype
    raise DataError(f"padding_values are numbers that arrays of {dtype} hold, or text for text. Received: {value!r}")


def _text_like(text, dtype):
    """Text as arrays of a dtype hold it: str, or bytes, which objects are."""
    if (dtype.kind == "U") == (text.dtype.kind == "U"):
        return text
    return np.strings.decode(text, "utf-8") if dtype.kind == "U" else np.strings.encode(text, "utf-8")
