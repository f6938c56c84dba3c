"""``keras.datasets.reuters``: 11,228 news of 46 topics, after Reuters-21578."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from minicnn.hints import FilePath, Split
from minicnn.keras.datasets._keras_files import published, read_arrays, shuffled, split
from minicnn.keras.datasets._words import Words

__all__ = ["get_label_names", "get_word_index", "load_data"]

_HASH = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
_WORDS_HASH = "4d44cc38712099c9e383dc6e5f11a921"
_TOPICS = """
cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton carcass crude
nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail ipi iron-steel rubber
heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead
"""


def load_data(
    path: FilePath = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
    nb_words: int | None = None,
) -> tuple[Split, Split]:
    """The news as rows of numbers: the more frequent a word is, the smaller is its number.

    Parameters
    ----------
    path : str, default "reuters.npz"
        What the file is called in ``~/.keras/datasets``. It is downloaded if it is not there (2 MB).
    num_words, skip_top, maxlen, start_char, oov_char, index_from, seed, nb_words
        See `minicnn.keras.datasets.imdb.load_data`.
    test_split : float, default 0.2
        The part that is for tests.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray
        Rows (N,), each a list of numbers; labels (N,), 0 to 45.

    Raises
    ------
    DataError
        If the file cannot be downloaded, or is another one.
    """
    x, y = read_arrays(published("reuters.npz", _HASH, path), "x", "y")
    words = Words(nb_words or num_words, skip_top, maxlen, start_char, oov_char, index_from)
    rows, labels = words.begun(*shuffled(np.random.RandomState(seed), x, y))
    return split(test_split, words.kept(rows), labels)


def get_word_index(path: FilePath = "reuters_word_index.json") -> dict[str, int]:
    """Word → number, as `minicnn.keras.datasets.imdb.get_word_index`."""
    file = published("reuters_word_index.json", _WORDS_HASH, path)
    return json.loads(Path(file).read_text(encoding="utf-8"))


def get_label_names() -> tuple[str, ...]:
    """The topics, in the order of the labels."""
    return tuple(_TOPICS.split())
