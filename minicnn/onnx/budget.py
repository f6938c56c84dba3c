"""How much a file may ask for while it is read: numbers that are kept, and numbers that are gone through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from minicnn.errors import FileFormatError
from minicnn.onnx.values import Value

MAX_NUMBERS = 2**25  # in one tensor, for one sample
MAX_KEPT = 2**26  # in the arrays of positions that later nodes read; 4 bytes each
MAX_TOTAL = 2**28  # in all arrays of positions, once as they are made and once as they are gone through

Error: TypeAlias = Callable[[str], FileFormatError]
"""Makes the error of who asks: `FileNode.error`, or `FileFormatError` itself."""


class Budget:
    """The numbers of the tensors that the importer knows. An array of positions that several share counts once."""

    def __init__(self) -> None:
        self._kept = self._total = 0
        self._holders: Counter[int] = Counter()  # of each array of positions, by its id

    def hold(self, value: Value, error: Error) -> None:
        """Count a value, which gets a name.

        Raises
        ------
        FileFormatError
            If that is too much; so do the other methods.
        """
        self._holders[id(value.positions)] += 1
        if self._holders[id(value.positions)] == 1:
            self.count(value.positions.size, error)

    def let_go(self, value: Value) -> None:
        """A name of a value is not read any more."""
        self._holders[id(value.positions)] -= 1
        if not self._holders[id(value.positions)]:
            del self._holders[id(value.positions)]
            self._kept -= value.positions.size

    def count(self, size: int, error: Error) -> None:
        """Count an array that is made."""
        self._add(size, size, error)

    def charge(self, value: Value, error: Error) -> None:
        """Count that somebody goes through a value's positions, for the time that it takes."""
        self._add(0, value.positions.size, error)

    def _add(self, kept, gone_through, error):
        self._kept, self._total = self._kept + kept, self._total + gone_through
        for count, limit in ((kept, MAX_NUMBERS), (self._kept, MAX_KEPT), (self._total, MAX_TOTAL)):
            if count > limit:
                raise error(f"its tensors are too large. Received: {count} numbers for one sample; at most {limit} fit")
