"""``tf.strings``: text, such as the paths of pictures, of which labels are made."""

from __future__ import annotations

import builtins
import math
import re
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.data.elements import EagerArray, as_array
from minicnn.dtype_policies import of_python
from minicnn.keras._as_tensor import as_tensor
from minicnn.keras._names import NoAttribute, lookup
from minicnn.keras.tensorflow._fingerprints import fingerprint
from minicnn.keras.tensorflow._further import TOP
from minicnn.keras.tensorflow._numerals import number_of
from minicnn.keras.tensorflow._shown import shown

__all__ = ["as_string", "join", "length", "lower", "regex_full_match", "regex_replace", "split", "strip", "to_number"]
__all__ += ["bytes_split", "format", "reduce_join", "substr", "to_hash_bucket_fast", "unicode_decode", "unicode_encode"]
__all__ += ["unicode_split", "upper"]

as_string = TOP["as_string"]


_CODE = "utf-8", "surrogateescape"  # what is no text keeps its bytes


def _strings(value):
    """(the texts one by one, with zeros at their ends, which NumPy's arrays of text lose; the shape)."""
    array = as_array(value)
    return [
        each.decode(*_CODE) if isinstance(each, bytes) else str(each) for each in array.ravel().tolist()
    ], array.shape


def _array_of(texts, shape):
    """Texts as an array, of bytes where there are zeros at an end, or what is no text."""
    try:
        is_text = not any(text.endswith("\0") or text.encode() is None for text in texts)
    except UnicodeEncodeError:
        is_text = False
    made = np.asarray(texts, str) if is_text else np.array([text.encode(*_CODE) for text in texts], object)
    return made.reshape(shape).view(EagerArray)


def _each(function, value, dtype=str):
    texts, shape = _strings(value)
    made = [function(each) for each in texts]
    return _array_of(made, shape) if dtype is str else np.asarray(made, dtype).reshape(shape).view(EagerArray)


def split(input: Any, sep: str | None = None, maxsplit: int = -1, name: str | None = None) -> EagerArray:
    """The parts of one text; `sep` is a text, or None for any white space.

    Raises
    ------
    ValueError
        For several texts, whose parts may differ in number.
    """
    separator = None if sep is None else _strings(sep)[0][0]
    parts = _only_text(input, "split").split(separator or None, maxsplit)
    return _array_of(parts, (len(parts),))


def bytes_split(input: Any, name: str | None = None) -> EagerArray:
    """The bytes of one text, each of them a text."""
    data = _only_text(input, "bytes_split").encode(*_CODE)
    return _array_of([bytes([byte]).decode(*_CODE) for byte in data], (len(data),))


def unicode_split(
    input: Any, input_encoding: str = "UTF-8", errors: str = "replace", replacement_char: int = 65533, name: Any = None
) -> EagerArray:
    """The characters of one text, as the letters of a label are."""
    text = _characters(input, "unicode_split", input_encoding, errors, replacement_char)
    return _array_of(list(text), (len(text),))


def unicode_decode(
    input: Any, input_encoding: str = "UTF-8", errors: str = "replace", replacement_char: int = 65533, name: Any = None
) -> EagerArray:
    """The number that Unicode gives each character of one text."""
    text = _characters(input, "unicode_decode", input_encoding, errors, replacement_char)
    return np.array([ord(letter) for letter in text], "int32").view(EagerArray)


def unicode_encode(
    input: Any, output_encoding: str = "UTF-8", errors: str = "replace", replacement_char: int = 65533, name: Any = None
) -> EagerArray:
    """The texts of the characters whose numbers stand along the last axis.

    Raises
    ------
    ValueError
        For numbers without an axis, that are not whole, or, with ``errors="strict"``, that are no character's.
    """
    _check_utf_8(output_encoding)
    check_choice("errors", errors, ("replace", "strict", "ignore"))
    numbers = np.asarray(input)
    if numbers.ndim == 0 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ValueError(f"tf.strings.unicode_encode takes whole numbers along an axis. Received: {input!r}")
    rows = numbers.astype("int64").reshape(math.prod(numbers.shape[:-1]), numbers.shape[-1])
    is_one = (rows >= 0) & (rows <= 0x10FFFF) & ((rows < 0xD800) | (rows > 0xDFFF))  # halves of pairs are none
    if errors == "strict" and not is_one.all():
        raise ValueError(f"no character has the number. Received: {rows[~is_one][0]}")
    kept = [
        row if errors == "replace" else row[good]
        for row, good in zip(np.where(is_one, rows, replacement_char), is_one, strict=True)
    ]
    return _array_of(["".join(map(chr, row.tolist())) for row in kept], numbers.shape[:-1])


def _only_text(value, function):
    texts, shape = _strings(value)
    if shape:
        raise ValueError(f"tf.strings.{function} takes one text; map splits each. Received: shape {shape}")
    return texts[0]


def _check_utf_8(encoding):
    check_choice("encoding", str(encoding).upper(), ("UTF-8",))


def _characters(value, function, encoding, errors, replacement_char):
    """One text, in which what is no UTF-8 was replaced, left out or is an error."""
    _check_utf_8(encoding)
    check_choice("errors", errors, ("replace", "strict", "ignore"))
    data, mark = _only_text(value, function).encode(*_CODE), "\N{REPLACEMENT CHARACTER}"
    if errors != "replace":
        return data.decode("utf-8", errors)
    parts = data.split(mark.encode())  # one that is written in the text stays
    return mark.join(part.decode("utf-8", errors).replace(mark, chr(replacement_char)) for part in parts)


def join(inputs: Any, separator: str = "", name: str | None = None) -> EagerArray:
    """The texts one behind the other; those of arrays place by place, each with a single one."""
    given = [np.array(texts, object).reshape(shape) for texts, shape in map(_strings, inputs)]
    parts = np.broadcast_arrays(*given)
    joined = [separator.join(each) for each in zip(*(part.ravel().tolist() for part in parts), strict=True)]
    return _array_of(joined, parts[0].shape)


def regex_replace(input: Any, pattern: str, rewrite: str, replace_global: bool = True) -> EagerArray:
    """Each text with `rewrite` where `pattern` matches."""
    return _each(lambda text: re.sub(pattern, rewrite, text, count=0 if replace_global else 1), input)


def regex_full_match(input: Any, pattern: str, name: str | None = None) -> EagerArray:
    """Whether the pattern matches the whole of each text."""
    return _each(lambda text: re.fullmatch(pattern, text) is not None, input, bool)


def to_number(input: Any, out_type: Any = "float32", name: str | None = None) -> EagerArray:
    """The number that each text writes.

    Raises
    ------
    ValueError
        If one writes none, or no whole one for a dtype of such.
    """
    kind = np.dtype(of_python(out_type))
    try:
        return _each(lambda text: number_of(text, kind), input, kind)
    except (OverflowError, ValueError) as error:
        texts = _strings(input)[0][:3]
        raise ValueError(f"tf.strings.to_number takes texts that write numbers of {kind}. Received: {texts}") from error


def to_hash_bucket_fast(input: Any, num_buckets: int, name: str | None = None) -> EagerArray:
    """The bucket of each text, 0 … num_buckets - 1, by its fingerprint: the same one at all times.

    Raises
    ------
    ValueError
        If there is no bucket.
    """
    if num_buckets < 1:
        raise ValueError(f"expected a bucket or more. Received: num_buckets={num_buckets}")
    return _each(lambda text: fingerprint(text.encode(*_CODE)) % int(num_buckets), input, "int64")


def substr(input: Any, pos: Any, len: Any, unit: str = "BYTE", name: str | None = None) -> EagerArray:
    """`len` bytes, or with "UTF8_CHAR" letters, of each text from `pos` on, which counts from the end if negative.

    A negative `len` means all that is left.

    Raises
    ------
    ValueError
        If a text has no such place.
    """
    check_choice("unit", unit, ("BYTE", "UTF8_CHAR"))
    texts, shape = _strings(input)
    parts = np.broadcast_arrays(np.array(texts, object).reshape(shape), pos, len)
    rows = zip(*(part.ravel().tolist() for part in parts), strict=True)
    cut = [_cut(text.encode(*_CODE) if unit == "BYTE" else text, first, count) for text, first, count in rows]
    return _array_of([part.decode(*_CODE) if unit == "BYTE" else part for part in cut], parts[0].shape)


def _cut(text, first, count):
    size = builtins.len(text)
    if not -size <= first <= size:
        raise ValueError(f"tf.strings.substr begins within each text, {-size} … {size} here. Received: pos={first}")
    return text[first:][: count if count >= 0 else None]


def reduce_join(inputs: Any, axis: Any = None, keepdims: bool = False, separator: str = "", name: Any = None) -> Any:
    """The texts along an axis, or first one axis and then another, joined; None: all, as they stand."""
    entries, shape = _strings(inputs)
    texts = np.array(entries, object).reshape(shape)
    axes = list(range(texts.ndim)) if axis is None else [n % texts.ndim for n in np.ravel(axis).tolist()[::-1]]
    rows = np.moveaxis(texts, axes, range(-len(axes), 0))
    kept = rows.shape[: rows.ndim - len(axes)]
    made = [separator.join(row) for row in rows.reshape(math.prod(kept), -1).tolist()]
    made = _array_of(made, kept)
    return np.expand_dims(made, tuple(sorted(axes))) if keepdims else made


def format(template: str, inputs: Any, placeholder: str = "{}", summarize: int = 3, name: Any = None) -> EagerArray:
    """A text with the numbers of arrays in the places of `placeholder`: `summarize` at each end, -1 for all."""
    given = inputs if isinstance(inputs, list | tuple) else [inputs]
    parts = template.split(placeholder)
    if len(parts) != len(given) + 1:
        raise ValueError(f"expected a place for each of {len(given)} inputs. Received: template={template!r}")
    texts = [shown(as_tensor(x) if isinstance(x, int | float | list) else x, summarize) for x in given]
    return np.asarray("".join(a + b for a, b in zip(parts, [*texts, ""], strict=True))).view(EagerArray)


def length(input: Any, unit: str = "BYTE", name: str | None = None) -> EagerArray:
    """How long each text is, in bytes or, for "UTF8_CHAR", in characters."""
    return _each(lambda text: len(text.encode(*_CODE)) if unit == "BYTE" else len(text), input, "int32")


def lower(input: Any, encoding: str = "", name: str | None = None) -> EagerArray:
    """Each text in small letters: A to Z alone, unless `encoding` is "utf-8"."""
    return _each(str.lower if encoding else _of_ascii(bytes.lower), input)


def upper(input: Any, encoding: str = "", name: str | None = None) -> EagerArray:
    """Each text in capital letters: a to z alone, unless `encoding` is "utf-8"."""
    return _each(str.upper if encoding else _of_ascii(bytes.upper), input)


def _of_ascii(function):
    return lambda text: function(text.encode(*_CODE)).decode(*_CODE)


def strip(input: Any, name: str | None = None) -> EagerArray:
    """Each text without white space at its ends."""
    return _each(str.strip, input)


_HASHES = {
    "to_hash_bucket": "whose buckets TensorFlow's versions may change",
    "to_hash_bucket_strong": "whose buckets are guarded against attackers",
}
_find = lookup(__name__)


def __getattr__(name: str) -> Any:
    if name in _HASHES:
        raise NoAttribute(
            f"minicnn has no tf.strings.{name}, {_HASHES[name]}: tf.strings.to_hash_bucket_fast(input, num_buckets) "
            "is there",
            name=name,
        )
    return _find(name)
