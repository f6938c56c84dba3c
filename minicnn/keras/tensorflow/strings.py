"""``tf.strings``: text, such as the paths of pictures, of which labels are made."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray

__all__ = ["as_string", "join", "length", "lower", "regex_full_match", "regex_replace", "split", "strip", "to_number"]
__all__ += ["upper"]


def _text(value):
    array = np.asarray(value)
    if array.dtype == object:
        array = np.vectorize(lambda each: each.decode() if isinstance(each, bytes) else str(each), otypes=[str])(array)
    return np.strings.decode(array, "utf-8") if array.dtype.kind == "S" else array.astype(str)


def _each(function, value, dtype=None):
    array = _text(value)
    made = [function(str(each)) for each in array.reshape(-1)]
    return np.asarray(made, dtype).reshape(array.shape).view(EagerArray)


def split(input: Any, sep: str | None = None, maxsplit: int = -1, name: str | None = None) -> EagerArray:
    """The parts of one text; `sep` is a text, or None for any white space.

    Raises
    ------
    ValueError
        For several texts, whose parts may differ in number.
    """
    array = _text(input)
    if array.ndim:
        raise ValueError(f"tf.strings.split takes one text; map splits each. Received: shape {array.shape}")
    separator = None if sep is None else str(_text(sep))
    return np.asarray(str(array).split(separator or None, maxsplit)).view(EagerArray)


def join(inputs: Any, separator: str = "", name: str | None = None) -> EagerArray:
    """The texts one behind the other."""
    return np.asarray(separator.join(str(_text(each)) for each in inputs)).view(EagerArray)


def regex_replace(input: Any, pattern: str, rewrite: str, replace_global: bool = True) -> EagerArray:
    """Each text with `rewrite` where `pattern` matches."""
    return _each(lambda text: re.sub(pattern, rewrite, text, count=0 if replace_global else 1), input)


def regex_full_match(input: Any, pattern: str, name: str | None = None) -> EagerArray:
    """Whether the pattern matches the whole of each text."""
    return _each(lambda text: re.fullmatch(pattern, text) is not None, input, bool)


def to_number(input: Any, out_type: Any = "float32", name: str | None = None) -> EagerArray:
    """The number that each text writes."""
    return _each(float, input, out_type)


def as_string(input: Any, name: str | None = None) -> EagerArray:
    """Each number as text."""
    return _text(input).view(EagerArray)


def length(input: Any, unit: str = "BYTE", name: str | None = None) -> EagerArray:
    """How long each text is, in bytes or, for "UTF8_CHAR", in characters."""
    return _each(lambda text: len(text.encode()) if unit == "BYTE" else len(text), input, "int32")


def lower(input: Any, encoding: str = "", name: str | None = None) -> EagerArray:
    """Each text in small letters."""
    return _each(str.lower, input)


def upper(input: Any, encoding: str = "", name: str | None = None) -> EagerArray:
    """Each text in capital letters."""
    return _each(str.upper, input)


def strip(input: Any, name: str | None = None) -> EagerArray:
    """Each text without white space at its ends."""
    return _each(str.strip, input)
