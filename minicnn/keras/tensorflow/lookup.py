"""``tf.lookup``: tables from names or numbers to others, as from names of classes to their numbers, for data sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray, text_of
from minicnn.differentiation import met, value_of
from minicnn.keras._names import Lookup, NoAttribute
from minicnn.keras._names import lookup as _lookup
from minicnn.keras._operations import is_symbolic
from minicnn.keras.tensorflow._fingerprints import fingerprint
from minicnn.keras.tensorflow._functions import as_tensor
from minicnn.keras.tensorflow._numerals import number_of

__all__ = ["KeyValueTensorInitializer", "StaticHashTable", "StaticVocabularyTable", "TextFileIndex"]
__all__ += ["TextFileInitializer", "experimental"]


class KeyValueTensorInitializer:
    """Keys and their values, of which a table is made.

    Parameters
    ----------
    keys, values : array-like
        As many of the one as of the other.
    key_dtype, value_dtype : optional
        Default: those of arrays; float32 or int32 of Python's numbers.
    name : str, optional
        Not used.
    """

    def __init__(
        self, keys: Any, values: Any, key_dtype: Any = None, value_dtype: Any = None, name: str | None = None
    ) -> None:
        self.keys: Any = as_tensor(keys, key_dtype)
        self.values: Any = as_tensor(values, value_dtype)
        if self.keys.shape != self.values.shape:
            shapes = f"{self.keys.shape} and {self.values.shape}"
            raise ValueError(f"each key has one value: expected as many of both. Received: shapes {shapes}")


class TextFileIndex:
    """What of a line is a key or a value, beside the numbers of its parts, which count from 0."""

    WHOLE_LINE, LINE_NUMBER = -2, -1


class TextFileInitializer(KeyValueTensorInitializer):
    """Keys and values of the lines of a text file.

    Parameters
    ----------
    filename : str, path or text
    key_dtype, value_dtype : dtype
    key_index, value_index : int
        The number of a part of the line, or one of `TextFileIndex`.
    vocab_size : int, optional
        How many lines are read; default: all.
    delimiter : str, default "\\t"
        What stands between parts.
    name : str, optional
        Not used.
    value_index_offset : int, default 0
        What is added to the numbers of lines.
    """

    def __init__(
        self,
        filename: Any,
        key_dtype: Any,
        key_index: int,
        value_dtype: Any,
        value_index: int,
        vocab_size: int | None = None,
        delimiter: str = "\t",
        name: str | None = None,
        value_index_offset: int = 0,
    ) -> None:
        path = filename if isinstance(filename, str | bytes | os.PathLike) else np.asarray(filename).item()
        with open(os.fsdecode(path), encoding="utf-8", newline="\n") as file:
            lines = [line.rstrip("\r\n") for line in file][:vocab_size]
        if vocab_size is not None and len(lines) < vocab_size:
            raise ValueError(f"expected {vocab_size} lines, as vocab_size says. Received: {len(lines)} in {filename}")
        parts = [line.split(delimiter) for line in lines]
        for index in (key_index, value_index):
            if short := [line for line, row in zip(lines, parts, strict=True) if index >= len(row)]:
                raise ValueError(f"expected a part {index} in each line of {filename}. Received: {short[0]!r}")
        numbers = range(value_index_offset, value_index_offset + len(lines))
        whole = {TextFileIndex.WHOLE_LINE: lines, TextFileIndex.LINE_NUMBER: numbers}

        def column(index: int, dtype: Any) -> Any:
            entries = whole[index] if index in whole else [row[index] for row in parts]
            kind = np.dtype(dtype)
            return list(entries) if kind.kind in "SUO" else np.array([number_of(each, kind) for each in entries], kind)

        super().__init__(column(key_index, key_dtype), column(value_index, value_dtype), key_dtype, value_dtype)


class StaticHashTable:
    """Values by their keys.

    Parameters
    ----------
    initializer : KeyValueTensorInitializer or TextFileInitializer
    default_value : number or text
        The value of all other keys.
    name, experimental_is_anonymous : optional
        Not used.

    Raises
    ------
    ValueError
        If a key has two values.
    """

    def __init__(
        self, initializer: Any, default_value: Any, name: str | None = None, experimental_is_anonymous: bool = False
    ) -> None:
        keys, values = initializer.keys, initializer.values
        self.key_dtype: Any = keys.dtype
        self.value_dtype: Any = values.dtype
        self.default_value: Any = as_tensor(default_value, None if _is_text(values) else values.dtype)
        if _is_text(values) != _is_text(self.default_value):
            raise TypeError(f"expected a default of the kind of the values. Received: default_value={default_value!r}")
        self._values: dict[Any, Any] = {}
        for key, value in zip(_entries(keys), _entries(values), strict=True):
            if self._values.setdefault(key, value) != value:
                raise ValueError(f"a key has one value. Received: {key!r} with {self._values[key]!r} and {value!r}")

    def lookup(self, keys: Any, name: str | None = None) -> EagerArray:
        """The values of keys, of the same shape; the default of those that are not there.

        Parameters
        ----------
        keys : array-like
        name : str, optional
            Not used.

        Raises
        ------
        TypeError
            For texts in a table of numbers, the reverse, and a model's tensors.
        """
        given = _asked(keys)
        kind = self.key_dtype
        if (given.size and _is_text(given) != (kind.kind in "SUO")) or (kind.kind not in "SUO" and given.dtype != kind):
            raise TypeError(f"expected keys of {kind}, as the table has. Received: {given.dtype}")
        default = _entries(self.default_value)[0]
        made = [self._values.get(key, default) for key in _entries(given)]
        if self.value_dtype.kind in "SUO":
            found = np.empty(len(made), object)
            found[:] = made
            return text_of(found.reshape(given.shape)).view(EagerArray)
        return np.array(made, self.value_dtype).reshape(given.shape).view(EagerArray)

    __getitem__ = lookup

    def size(self, name: str | None = None) -> EagerArray:
        """How many keys there are."""
        return as_tensor(np.int64(len(self._values)))

    def export(self, name: str | None = None) -> tuple[Any, Any]:
        """(keys, values)."""
        keys = list(self._values)
        return as_tensor(_as_given(keys, self.key_dtype)), as_tensor(
            _as_given(list(self._values.values()), self.value_dtype)
        )


class StaticVocabularyTable(StaticHashTable):
    """Numbers of keys; those that are not there are put into buckets behind them, by fingerprints.

    Parameters
    ----------
    initializer : KeyValueTensorInitializer or TextFileInitializer, or None
        Its values are numbers from 0 on, of int64; None: there are buckets alone.
    num_oov_buckets : int
        How many buckets there are.
    lookup_key_dtype : dtype, optional
        That of keys where there is no initializer; default: text.
    name, experimental_is_anonymous : optional
        Not used.
    """

    def __init__(
        self,
        initializer: Any,
        num_oov_buckets: int,
        lookup_key_dtype: Any = None,
        name: str | None = None,
        experimental_is_anonymous: bool = False,
    ) -> None:
        if num_oov_buckets <= 0:
            raise ValueError(f"expected a bucket: StaticHashTable has none. Received: {num_oov_buckets=}")
        if initializer is not None and initializer.values.dtype != np.int64:
            kind = initializer.values.dtype
            raise TypeError(f"expected values of int64, tf.constant([…], tf.int64). Received: {kind}")
        super().__init__(initializer or KeyValueTensorInitializer([], [], lookup_key_dtype or str, "int64"), -1)
        self._buckets = int(num_oov_buckets)

    def lookup(self, keys: Any, name: str | None = None) -> EagerArray:
        """The numbers of keys, of the same shape; arguments and errors as of `StaticHashTable.lookup`."""
        given = _asked(keys)
        texts = [each if isinstance(each, bytes) else str(each).encode() for each in _entries(given)]
        first = len(self._values)
        bucket = np.array([first + fingerprint(text) % self._buckets for text in texts], np.int64).reshape(given.shape)
        known = super().lookup(_like(given, self.key_dtype))
        return np.where(known == -1, bucket, known).view(EagerArray)

    __getitem__ = lookup

    def size(self, name: str | None = None) -> EagerArray:
        """How many keys and buckets there are."""
        return as_tensor(np.int64(len(self._values) + self._buckets))


class _MutableHashTable(StaticHashTable):
    """Values by their keys, which are put in later.

    Parameters
    ----------
    key_dtype, value_dtype : dtype
    default_value : number or text
    **options
        TensorFlow's further arguments, which change nothing.
    """

    def __init__(self, key_dtype: Any, value_dtype: Any, default_value: Any, **options: Any) -> None:
        super().__init__(KeyValueTensorInitializer([], [], key_dtype, value_dtype), default_value)

    def insert(self, keys: Any, values: Any, name: str | None = None) -> None:
        """Put in keys and their values, in place of those that keys had.

        Parameters
        ----------
        keys, values : array-like
        name : str, optional
            Not used.
        """
        pair = KeyValueTensorInitializer(keys, values, self.key_dtype, self.value_dtype)
        self._values.update(zip(_entries(pair.keys), _entries(pair.values), strict=True))

    def remove(self, keys: Any, name: str | None = None) -> None:
        """Take keys out, if they are there.

        Parameters
        ----------
        keys : array-like
        name : str, optional
            Not used.
        """
        for key in _entries(as_tensor(keys, self.key_dtype)):
            self._values.pop(key, None)


def _asked(keys):
    """The keys as an array."""
    if is_symbolic(keys):
        raise TypeError(
            f"a table is asked by arrays, as in Dataset.map: a model's tensors have no values yet. Received: {keys!r}"
        )
    return as_tensor(value_of(met(keys)))


def _is_text(array):
    return array.dtype.kind in "SUO"


def _entries(array: Any) -> list[Any]:
    """The entries as Python's numbers, or as bytes."""
    return (
        np.ravel(array.numpy()).tolist() if not _is_text(array) else list(np.ravel(np.asarray(array.numpy(), object)))
    )


def _like(keys, dtype):
    return keys.astype(dtype) if dtype.kind in "iu" and keys.dtype.kind in "iu" else keys


def _as_given(entries: Sequence[Any], dtype: Any) -> Any:
    return np.array(entries, object if dtype.kind in "SUO" else dtype)


class _Experimental:
    """``tf.lookup.experimental``."""

    MutableHashTable: Any = _MutableHashTable

    def __getattr__(self, name: str) -> Any:
        raise NoAttribute(
            f"minicnn has no tf.lookup.experimental.{name}: tf.lookup.experimental.MutableHashTable(key_dtype, "
            "value_dtype, default_value) is there",
            name=name,
        )


experimental: Any = _Experimental()
__getattr__: Lookup = _lookup(__name__)
