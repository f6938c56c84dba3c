"""Elements that are made each by itself, whenever it is asked for: numbers in some order, and what makes one of each.

So batches can be made in parts, by who needs them (`Dataset.in_parts`), and an order costs no elements. That is so
where every step before `batch` is a source that knows its elements by number (arrays, `range`, a folder of images), a
choice or an order of them, or a `map` with ``num_parallel_calls``: whoever gives it says that calls may come in any
order.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from minicnn.data.elements import Element, map_leaves, stacked
from minicnn.data.reading import mapped, read_ahead


class Part(NamedTuple):
    """A batch that is not made yet.

    Attributes
    ----------
    numbers : sequence
        Which elements it is of, in order.
    read : callable
        Some of the numbers → their elements, stacked.
    """

    numbers: Sequence[Any]
    read: Callable[[Sequence[Any]], Element]


class Each:
    """What makes single elements.

    Parameters
    ----------
    one : callable
        A number → its element.
    threads : int
        How many call it; 0: the thread that iterates.
    ahead : int
        How many elements one more thread has ready before they are needed; 0: there is none.
    """

    def __init__(self, one: Callable[[Any], Element], threads: int = 0, ahead: int = 0) -> None:
        self.one: Callable[[Any], Element] = one
        self._threads, self._ahead = threads, ahead

    def prefetched(self, count: int) -> Each:
        """What makes them ahead."""
        return Each(self.one, self._threads, count)

    def then(self, function: Callable[[Element], Element], threads: int) -> Each:
        """What makes function(element), ahead where the element was."""
        return Each(lambda number: function(self.one(number)), threads, self._ahead)

    def elements(self, numbers: Iterable[Any]) -> Iterator[Element]:
        """The elements of numbers, in their order."""
        return read_ahead(lambda: self._made(numbers), self._ahead) if self._ahead else self._made(numbers)

    def _made(self, numbers):
        return mapped(self.one, numbers, self._threads) if self._threads else map(self.one, numbers)

    def stacked(self, numbers: Sequence[Any]) -> Element:
        """One element that holds those of all numbers."""
        return stacked(list(self._made(numbers)))

    def batches(self, groups: Iterable[Sequence[Any]]) -> Iterator[Element]:
        """The same for each group of numbers; threads work ahead beyond the end of a group."""
        lengths: deque[int] = deque()

        def numbers():
            for group in groups:
                lengths.append(len(group))
                yield from group

        elements = self.elements(numbers())
        for first in elements:
            yield stacked([first, *itertools.islice(elements, lengths.popleft() - 1)])


class Slices(Each):
    """Samples of arrays, whose batches are gathered, not stacked from single samples.

    Parameters
    ----------
    arrays : array (N, …), or tuple or dictionary of such
    """

    def __init__(self, arrays: Element) -> None:
        super().__init__(lambda i: map_leaves(lambda a: a[i], arrays))
        self._arrays = arrays

    def prefetched(self, count: int) -> Slices:
        """The same: they are there."""
        return self

    def stacked(self, numbers: Sequence[Any]) -> Element:
        return map_leaves(lambda a: a[list(numbers)], self._arrays)

    def batches(self, groups: Iterable[Sequence[Any]]) -> Iterator[Element]:
        return map(self.stacked, groups)


class Batches:
    """What makes batches of groups of numbers.

    Parameters
    ----------
    each : Each
        Makes their elements.
    ahead : int
        How many batches a thread makes before they are needed; 0: no thread does.
    """

    def __init__(self, each: Each, ahead: int = 0) -> None:
        self._each, self._ahead = each, ahead

    def prefetched(self, count: int) -> Batches:
        """What makes them ahead."""
        return Batches(self._each, count)

    def elements(self, groups: Iterable[Sequence[Any]]) -> Iterator[Element]:
        """The batches of groups."""
        return (
            read_ahead(lambda: self._each.batches(groups), self._ahead) if self._ahead else self._each.batches(groups)
        )

    def part(self, group: Sequence[Any]) -> Part:
        """A batch that is not made yet."""
        return Part(group, self._each.stacked)
