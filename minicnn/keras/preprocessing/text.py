"""``keras.preprocessing.text``: texts as rows of numbers, as Keras 1 and 2 have them."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from minicnn.checks import check_choice, check_positive_int
from minicnn.foreign import shown
from minicnn.keras._names import lookup

__getattr__ = lookup(__name__)
__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
_DICTIONARIES = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")  # texts of JSON in a config
_BY_NUMBER = ("index_docs", "index_word")  # those whose keys are numbers, which JSON does not have
_MODES = ("binary", "count", "tfidf", "freq")


def text_to_word_sequence(
    input_text: str, filters: str | Sequence[str] = _FILTERS, lower: bool = True, split: str = " "
) -> list[str]:
    """The words of a text.

    Parameters
    ----------
    input_text : str
    filters : str, default punctuation, tabs and ends of lines
        Characters that stand between words.
    lower : bool, default True
        Make small letters of it.
    split : str, default " "
        What stands between words besides.

    Examples
    --------
    >>> text_to_word_sequence("One, two.")
    ['one', 'two']
    """
    text = input_text.lower() if lower else input_text
    return [word for word in text.translate(str.maketrans(dict.fromkeys(filters, split))).split(split) if word]


def one_hot(
    input_text: str,
    n: int,
    filters: str | Sequence[str] = _FILTERS,
    lower: bool = True,
    split: str = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """`hashing_trick` by Python's ``hash``: in another process, other numbers."""
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


def hashing_trick(
    text: str,
    n: int,
    hash_function: Callable[[str], int] | Literal["md5"] | None = None,
    filters: str | Sequence[str] = _FILTERS,
    lower: bool = True,
    split: str = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """A number from 1 to n - 1 for each word, by a hash of it; different words may have the same.

    Parameters
    ----------
    text : str
    n : int
        2 or more.
    hash_function : callable or "md5", optional
        Default: Python's ``hash``, which gives other numbers in another process.
    filters, lower, split
        See `text_to_word_sequence`.
    analyzer : callable, optional
        Text → words, in place of them.

    Raises
    ------
    ValueError
        If n is less than 2.
    """
    check_positive_int("n", n, 2)
    own = _md5 if hash_function == "md5" else hash if hash_function is None else hash_function
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [own(word) % (n - 1) + 1 for word in words]


def _md5(word):
    return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16)


class Tokenizer:
    """Numbers for the words of texts: 1 for the most frequent one, and so on; 0 for none.

    Parameters
    ----------
    num_words : int, optional
        Only words with smaller numbers count later. Default: all.
    filters, lower, split
        See `text_to_word_sequence`.
    char_level : bool, default False
        Characters in place of words.
    oov_token : str, optional
        What stands for unknown words, with the number 1. Default: they are left out.
    analyzer : callable, optional
        Text → words, in place of `text_to_word_sequence`.
    document_count : int, default 0
        Texts that were counted before.
    nb_words : int, optional
        Keras 1's name of `num_words`.

    Attributes
    ----------
    word_index, index_word : dict
        Word → number, and back.
    word_counts, word_docs, index_docs : dict
        How often a word was met; in how many texts; the same by its number.
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str | Sequence[str] = _FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[str], Iterable[str]] | None = None,
        document_count: int = 0,
        nb_words: int | None = None,
    ) -> None:
        self.num_words: int | None = num_words if nb_words is None else nb_words
        self.filters: str | Sequence[str] = filters
        self.lower: bool = lower
        self.split: str = split
        self.char_level: bool = char_level
        self.oov_token: str | None = oov_token
        self.analyzer: Callable[[str], Iterable[str]] | None = analyzer
        self.document_count: int = document_count
        self.word_counts: dict[str, int] = OrderedDict()
        self.word_docs: dict[str, int] = defaultdict(int)
        self.index_docs: dict[int, int] = defaultdict(int)
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def _words(self, text):
        """Of a text, or of a list that has been divided before."""
        wrong = [text] if not isinstance(text, str | list) else [w for w in text if not isinstance(w, str)]
        if wrong:
            raise TypeError(
                f"a Tokenizer takes a list of texts, or of lists of words. Received: a {type(wrong[0]).__name__}, "
                f"{shown(wrong[0])}; str(text) makes a text of it"
            )
        if isinstance(text, list):
            return [word.lower() for word in text] if self.lower else text
        if self.char_level:
            return text.lower() if self.lower else text
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable[str | list[str]]) -> None:
        """Count words, and number them.

        Parameters
        ----------
        texts : iterable of str, or of lists of words
            A single text would be taken as a list of characters, and is refused.

        Raises
        ------
        TypeError
            If they are something else.
        """
        for text in _listed(texts):
            words = list(self._words(text))
            self.document_count += 1
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in dict.fromkeys(words):
                self.word_docs[word] = self.word_docs.get(word, 0) + 1
        first = [] if self.oov_token is None else [self.oov_token]
        ranked = first + sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        self.word_index = {word: number for number, word in enumerate(ranked, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        self.index_docs.update((self.word_index[word], count) for word, count in self.word_docs.items())

    def fit_on_sequences(self, sequences: Sequence[Sequence[int]]) -> None:
        """Count in how many rows of numbers each of them is."""
        self.document_count += len(sequences)
        for sequence in sequences:
            for number in set(sequence):
                self.index_docs[number] = self.index_docs.get(number, 0) + 1

    def texts_to_sequences(self, texts: Iterable[str | list[str]]) -> list[list[int]]:
        """The numbers of the words of each text, without those that are unknown or too rare.

        Raises
        ------
        TypeError
            As `fit_on_texts`.
        """
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[str | list[str]]) -> Iterator[list[int]]:
        """`texts_to_sequences`, one after the other."""
        for text in _listed(texts):
            yield list(self._known(map(self.word_index.get, self._words(text))))

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The words of each row of numbers."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable[Iterable[int]]) -> Iterator[str]:
        """`sequences_to_texts`, one after the other."""
        for sequence in sequences:
            numbers = (number if number in self.index_word else None for number in sequence)
            yield " ".join(self.index_word[number] for number in self._known(numbers))

    def _known(self, numbers):
        """Those that are known and frequent, and the number of `oov_token` in place of the others."""
        unknown = self.word_index.get(self.oov_token)
        for number in numbers:
            is_rare = number is None or (self.num_words and number >= self.num_words)
            if not is_rare or unknown is not None:
                yield unknown if is_rare else number

    def texts_to_matrix(
        self, texts: Iterable[str | list[str]], mode: Literal["binary", "count", "tfidf", "freq"] = "binary"
    ) -> np.ndarray:
        """`sequences_to_matrix` of texts."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(
        self, sequences: Sequence[Sequence[int]], mode: Literal["binary", "count", "tfidf", "freq"] = "binary"
    ) -> np.ndarray:
        """A row for each text, with a column for each number.

        Parameters
        ----------
        sequences : sequence of sequences of int
        mode : {"binary", "count", "freq", "tfidf"}, default "binary"
            Whether a word is there, how often, which part of the text it is, or
            (1 + log count) · log(1 + texts / (1 + texts that have it)).

        Returns
        -------
        ndarray (texts, num_words or words + 1), float64

        Raises
        ------
        ValueError
            If there are no words yet and no `num_words`, or another mode.
        """
        check_choice("mode", mode, _MODES)
        if not self.num_words and not self.word_index:
            raise ValueError("how many words there are is not known: give num_words, or call fit_on_texts(texts) first")
        if mode == "tfidf" and not self.document_count:
            raise ValueError('mode="tfidf" needs the words of some texts: call fit_on_texts(texts) first')
        matrix = np.zeros((len(sequences), self.num_words or len(self.word_index) + 1))
        for row, sequence in zip(matrix, sequences, strict=True):
            for number, count in Counter(n for n in sequence if n < len(row)).items():
                row[number] = self._entry(mode, number, count, len(sequence))
        return matrix

    def _entry(self, mode, number, count, length):
        if mode == "tfidf":
            texts = self.document_count / (1 + self.index_docs.get(number, 0))
            return (1 + math.log(count)) * math.log(1 + texts)
        return {"binary": 1, "count": count, "freq": count / length}[mode]

    def get_config(self) -> dict[str, Any]:
        """All arguments but the analyzer, and the words as texts of JSON."""
        names = ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")
        own = {name: getattr(self, name) for name in names}
        return own | {name: json.dumps(getattr(self, name)) for name in _DICTIONARIES}

    def to_json(self, **kwargs: Any) -> str:
        """What `tokenizer_from_json` reads; `kwargs` are those of `json.dumps`."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def _listed(texts):
    if isinstance(texts, str | bytes):
        raise TypeError(f"a Tokenizer takes a list of texts: [text] for a single one. Received: {shown(texts)}")
    return texts


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The Tokenizer of a text that `Tokenizer.to_json` wrote, here or in Keras.

    Raises
    ------
    ValueError
        If it is something else.
    """
    try:
        config = dict(json.loads(json_string)["config"])
        kept = {name: json.loads(config.pop(name)) for name in _DICTIONARIES}
        for name in _BY_NUMBER:
            kept[name] = {int(number): value for number, value in kept[name].items()}
        tokenizer = Tokenizer(**config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"tokenizer_from_json takes what Tokenizer.to_json wrote. Received: {shown(json_string)} "
            f"({type(error).__name__}: {error})"
        ) from None
    vars(tokenizer).update(kept)
    return tokenizer
