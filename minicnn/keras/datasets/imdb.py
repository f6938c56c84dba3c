"""``keras.datasets.imdb``: 50,000 reviews of films (A. Maas and others, 2011), good ones and bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from minicnn.hints import FilePath, Split
from minicnn.keras.datasets._keras_files import published, read_arrays, shuffled
from minicnn.keras.datasets._words import Words

__all__ = ["get_word_index", "load_data"]

_HASH = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
_WORDS_HASH = "bfafd718b763782e994055a2d397834f"


def load_data(
    path: FilePath = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
    nb_words: int | None = None,
) -> tuple[Split, Split]:
    """The reviews as rows of numbers: the more frequent a word is, the smaller is its number.

    Parameters
    ----------
    path : str, default "imdb.npz"
        What the file is called in ``~/.keras/datasets``. It is downloaded if it is not there (17 MB).
    num_words, skip_top, maxlen, start_char, oov_char, index_from
        See `Words`; as in Keras, without `num_words` the rarest word counts as unknown.
    seed : int, default 113
        Of the order.
    nb_words : int, optional
        Keras 1's name of `num_words`.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray
        Rows (25000,), each a list of numbers, which `keras.utils.pad_sequences` makes an array of; labels (25000,), 1
        for good.

    Raises
    ------
    DataError
        If the file cannot be downloaded, or is another one.
    """
    names = "x_train", "y_train", "x_test", "y_test"
    arrays, stream = read_arrays(published("imdb.npz", _HASH, path), *names), np.random.RandomState(seed)
    words = Words(nb_words or num_words, skip_top, maxlen, start_char, oov_char, index_from)
    x_train, y_train = words.begun(*shuffled(stream, *arrays[:2]))
    x_test, y_test = words.begun(*shuffled(stream, *arrays[2:]))
    rows = words.kept(x_train + x_test)
    return (rows[: len(x_train)], y_train), (rows[len(x_train) :], y_test)


def get_word_index(path: FilePath = "imdb_word_index.json") -> dict[str, int]:
    """Word → number, without `index_from` of `load_data`.

    Parameters
    ----------
    path : str, default "imdb_word_index.json"
        What the file is called in ``~/.keras/datasets``. It is downloaded if it is not there.

    Raises
    ------
    DataError
        If it cannot be downloaded, or is another one.
    """
    file = published("imdb_word_index.json", _WORDS_HASH, path)
    return json.loads(Path(file).read_text(encoding="utf-8"))
