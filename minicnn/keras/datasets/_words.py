"""Texts as rows of numbers of words, as Keras gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minicnn.checks import check_positive_int


class Words(NamedTuple):
    """Which words of rows are kept; the arguments are those of ``imdb.load_data``.

    Attributes
    ----------
    num_words : int or None
        Numbers below it are kept, None: all.
    skip_top : int
        Numbers below it are not.
    maxlen : int or None
        Rows as long are left out; None or 0: none is.
    start_char : int or None
        What each row begins with.
    oov_char : int or None
        What stands for a number that is not kept; None: nothing does.
    index_from : int or None
        Added to all numbers.
    """

    num_words: int | None
    skip_top: int
    maxlen: int | None
    start_char: int | None
    oov_char: int | None
    index_from: int | None

    def begun(self, rows: Iterable[list[int]], labels: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        """Rows with their begin, and their labels, without those that are too long.

        Raises
        ------
        ValueError
            If none is left.
        """
        first = [] if self.start_char is None else [self.start_char]
        moved = [first + [word + (self.index_from or 0) for word in row] for row in rows]
        if not self.maxlen:
            return moved, labels
        check_positive_int("maxlen", self.maxlen)
        short = [i for i, row in enumerate(moved) if len(row) < self.maxlen]
        if not short:
            raise ValueError(f"no row is shorter than maxlen. Received: maxlen={self.maxlen}")
        return [moved[i] for i in short], labels[short]

    def kept(self, rows: list[list[int]]) -> np.ndarray:
        """(N,) of lists, with the words that are kept."""
        count = self.num_words or max(max(row, default=0) for row in rows)  # as in Keras, without the last one
        found = np.empty(len(rows), object)
        for i, row in enumerate(rows):
            if self.oov_char is None:
                found[i] = [word for word in row if self.skip_top <= word < count]
            else:
                found[i] = [word if self.skip_top <= word < count else self.oov_char for word in row]
        return found
