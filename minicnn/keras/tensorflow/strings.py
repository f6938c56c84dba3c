"""``tf.strings``: text, such as the paths of pictures, of which labels are made."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.keras._names import lookup
from minicnn.keras.tensorflow._further import TOP

__all__ = ["as_string", "join", "length", "lower", "regex_full_match", "regex_replace", "split", "strip", "to_number"]
__all__ += ["format", "reduce_join", "substr", "upper"]

as_string = TOP["as_string"]


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


def substr(input: Any, pos: Any, len: Any, unit: str = "BYTE", name: str | None = None) -> EagerArray:
    """`len` letters of each text from the place `pos` on, which counts from the end where it is negative."""
    first, count = int(np.asarray(pos)), int(np.asarray(len))
    return _each(lambda text: text[first:][:count], input)


def reduce_join(inputs: Any, axis: Any = None, keepdims: bool = False, separator: str = "", name: Any = None) -> Any:
    """The texts along an axis one behind the other, or all of them."""
    texts = _text(inputs)
    texts = texts.reshape(-1) if axis is None else np.moveaxis(texts, axis, -1)
    made = [separator.join(row) for row in texts.reshape(-1, texts.shape[-1]).tolist()]
    made = np.asarray(made).reshape(texts.shape[:-1])
    return (np.expand_dims(made, axis) if keepdims and axis is not None else made).view(EagerArray)


def format(template: str, inputs: Any, placeholder: str = "{}", summarize: int = 3, name: Any = None) -> EagerArray:
    """A text with the numbers of arrays in the places of `placeholder`."""
    given = inputs if isinstance(inputs, list | tuple) else [inputs]
    parts = template.split(placeholder)
    if len(parts) != len(given) + 1:
        raise ValueError(f"expected a place for each of {len(given)} inputs. Received: template={template!r}")
    texts = [str(_text(x) if np.asarray(x).dtype.kind in "SUO" else np.asarray(x)) for x in given]
    return np.asarray("".join(a + b for a, b in zip(parts, [*texts, ""], strict=True))).view(EagerArray)


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


__getattr__ = lookup(__name__)
