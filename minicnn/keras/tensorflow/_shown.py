"""Arrays as TensorFlow writes them in `tf.print` and ``tf.strings.format``: ``[0 1 2 ... 17 18 19]``."""

from __future__ import annotations

import pprint
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met, value_of
from minicnn.graph import Tensor
from minicnn.nested import mapped
from minicnn.parameters import Weight

_DIGITS = {"float64": (15, 17)}  # how many are tried, and how many tell all numbers apart


class _Text:
    """A text that stands without quotes within lists and dicts."""

    def __init__(self, text):
        self._text = text

    def __repr__(self) -> str:
        return self._text


def printed(value: Any, summarize: int, quotes: bool) -> str:
    """What `tf.print` writes of a value: text as it is, tensors as `shown`, anything else as Python's own form.

    Parameters
    ----------
    value : anything
    summarize : int
    quotes : bool
        Whether a tensor of one text has quotes; Python's own has none.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, EagerArray) and not value.ndim and value.dtype.kind in "SUO" and not quotes:
        return _decoded(np.asarray(value)[()])
    return pprint.pformat(mapped(lambda leaf: _Text(shown(leaf, summarize)) if _is_tensor(leaf) else leaf, value))


def _is_tensor(leaf):
    return isinstance(leaf, EagerArray | Recorded | Weight) or (hasattr(leaf, "assign") and hasattr(leaf, "numpy"))


def shown(value: Any, summarize: int) -> str:
    """An array in brackets, `summarize` parts at the ends of each axis, or -1 for all.

    Parameters
    ----------
    value : array-like
    summarize : int
    """
    if isinstance(value, Tensor):
        return str(value)
    array = np.asarray(value_of(met(value)))
    return _part(array, 0, array.ndim, max(array.shape, default=0) if summarize < 0 else summarize)


def _part(array, depth, axes, ends):
    if depth == axes:
        return _number(array)
    between = " " if depth == axes - 1 else "\n" * (axes - 1 - depth) + " " * (depth + 1)
    length = len(array)
    places = range(length) if length <= 2 * ends else [*range(ends), None, *range(length - ends, length)]
    parts = ["..." if at is None else _part(array[at], depth + 1, axes, ends) for at in places]
    return f"[{between.join(parts)}]"


def _number(entry):
    entry = np.asarray(entry)
    if entry.dtype.kind in "SUO":
        return '"' + _decoded(entry[()]).replace("\n", "\\n") + '"'
    if entry.dtype.kind != "f":
        return str(int(entry))
    few, all_of_them = _DIGITS.get(entry.dtype.name, (6, 9))
    text = f"{float(entry):.{few}g}"
    wide = entry if entry.dtype.name == "float64" else entry.astype("float32")
    is_exact = np.isnan(entry) or wide.dtype.type(text) == wide
    return text if is_exact else f"{float(entry):.{all_of_them}g}"


def _decoded(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
