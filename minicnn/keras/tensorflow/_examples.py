"""``tf.train.Example``: features by name, lists of bytes, floats or whole numbers, in the form of Protocol Buffers.

The wire format is Google's "Protocol Buffers Encoding": a field is a varint of (number · 8 + kind), and a varint
(kind 0), four bytes (kind 5), or a length and bytes (kind 2).
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.errors import FileFormatError
from minicnn.keras.tensorflow._functions import of_tensorflow
from minicnn.keras.tensorflow._varied import filled, single

__all__ = ["BytesList", "Example", "Feature", "Features", "FloatList", "Int64List", "SequenceExample"]


def as_varint(number: int) -> bytes:
    """A number as a varint: seven bits in each byte, the lowest first."""
    number &= 2**64 - 1  # negative numbers are those of 64 bits
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def as_field(number: int, content: bytes) -> bytes:
    """A field of this number, which holds bytes."""
    return as_varint(number << 3 | 2) + as_varint(len(content)) + content


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise FileFormatError("expected a tf.train.Example. Received: bytes that end within a number")
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number & 2**64 - 1, at


def fields_of(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, kind, content) of each field."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == 0:
            content, at = _read_varint(data, at)
            yield key >> 3, kind, content
            continue
        length, at = (4, at) if kind == 5 else (8, at) if kind == 1 else _read_varint(data, at)
        if kind not in (1, 2, 5) or at + length > len(data):
            raise FileFormatError("expected a tf.train.Example. Received: bytes of another form, or too few")
        yield key >> 3, kind, data[at : at + length]
        at += length


def contents_of(data: bytes, number: int) -> list[bytes]:
    """What the fields of this number hold, which are bytes; others do not count."""
    return [content for own, kind, content in fields_of(data) if (own, kind) == (number, 2)]


class BytesList:
    """A list of bytes.

    Parameters
    ----------
    value : iterable of bytes
        Text is encoded as UTF-8.
    """

    def __init__(self, value: Iterable[Any] = ()) -> None:
        if isinstance(value, bytes | bytearray | str):
            raise TypeError(f"expected a list of bytes: BytesList(value=[…]). Received: {value!r}")
        self.value: list[bytes] = [_text_as_bytes(each) for each in value]

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return b"".join(as_field(1, _text_as_bytes(each)) for each in self.value)

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes."""
        return cls(contents_of(serialized, 1))


class FloatList:
    """A list of float32 numbers.

    Raises
    ------
    TypeError
        For text.
    """

    def __init__(self, value: Iterable[Any] = ()) -> None:
        numbers = np.asarray(value if hasattr(value, "__len__") else list(value))
        if numbers.size and numbers.dtype.kind not in "fiub":
            raise TypeError(f"expected a list of numbers. Received: {value!r}")
        self.value: list[float] = [float(each) for each in numbers.ravel()]

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return as_field(1, np.asarray(FloatList(self.value).value, "<f4").tobytes()) if self.value else b""

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes, packed or one by one."""
        parts = [content for number, kind, content in fields_of(serialized) if number == 1 and kind in (2, 5)]
        if any(len(content) % 4 for content in parts):
            raise FileFormatError("expected numbers of four bytes each. Received: a FloatList of another length")
        return cls(np.frombuffer(b"".join(parts), "<f4"))


class Int64List:
    """A list of whole numbers of 64 bits.

    Raises
    ------
    TypeError
        For other numbers.
    ValueError
        For one of more bits.
    """

    def __init__(self, value: Iterable[Any] = ()) -> None:
        self.value: list[int] = [_whole(each) for each in value]

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return as_field(1, b"".join(as_varint(_whole(each)) for each in self.value)) if self.value else b""

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes, packed or one by one."""
        found: list[int] = []
        for field, kind, content in fields_of(serialized):
            at = 0
            if field != 1:
                continue
            while kind == 2 and at < len(content):
                number, at = _read_varint(content, at)
                found.append(number)
            if kind == 0:
                found.append(content)
        return cls(number - 2**64 if number >= 2**63 else number for number in found)


def _whole(value: Any) -> int:
    """A whole number of 64 bits."""
    number = int(value) if isinstance(value, np.bool_) else operator.index(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"expected whole numbers of 64 bits. Received: {value}")
    return number


_KINDS: dict[str, tuple[int, Any]] = {"bytes_list": (1, BytesList), "float_list": (2, FloatList)}
_KINDS["int64_list"] = (3, Int64List)


class Feature:
    """One of three lists.

    Parameters
    ----------
    bytes_list : BytesList, optional
    float_list : FloatList, optional
    int64_list : Int64List, optional
    """

    def __init__(self, bytes_list: Any = None, float_list: Any = None, int64_list: Any = None) -> None:
        given = {"bytes_list": bytes_list, "float_list": float_list, "int64_list": int64_list}
        self._given: str | None = next((name for name, value in given.items() if value is not None), None)
        self.bytes_list: BytesList = BytesList() if bytes_list is None else bytes_list
        self.float_list: FloatList = FloatList() if float_list is None else float_list
        self.int64_list: Int64List = Int64List() if int64_list is None else int64_list

    @property
    def kind(self) -> str | None:
        """The name of the list that was given, or that holds something by now."""
        filled = (name for name in _KINDS if getattr(self, name).value)
        return self._given or next(filled, None)

    def WhichOneof(self, oneof: str) -> str | None:
        """The name of the list that is there."""
        return self.kind

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return (
            b"" if self.kind is None else as_field(_KINDS[self.kind][0], getattr(self, self.kind).SerializeToString())
        )

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes."""
        numbers = {number: (name, kind) for name, (number, kind) in _KINDS.items()}
        found = {
            numbers[n][0]: numbers[n][1].FromString(content)
            for n, kind, content in fields_of(serialized)
            if n in numbers and kind == 2
        }
        return cls(**dict(list(found.items())[-1:]))  # of several, the last one counts


class Features:
    """Features by name.

    Parameters
    ----------
    feature : dict of Feature
    """

    def __init__(self, feature: Mapping[str, Feature] | None = None) -> None:
        self.feature: dict[str, Feature] = defaultdict(Feature, feature or {})


class Example:
    """What a record of a TFRecord file mostly holds.

    Parameters
    ----------
    features : Features, optional
    """

    def __init__(self, features: Features | None = None) -> None:
        self.features: Features = features or Features()

    def SerializeToString(self) -> bytes:
        """The bytes of a record."""
        entries = sorted(self.features.feature.items())
        parts = (as_field(1, name.encode()) + as_field(2, each.SerializeToString()) for name, each in entries)
        return as_field(1, b"".join(as_field(1, part) for part in parts))

    def ParseFromString(self, serialized: Any) -> int:
        """Become what a record's bytes say; how many bytes these were."""
        data = as_bytes(serialized)
        feature = {}
        for features in contents_of(data, 1):
            for entry in contents_of(features, 1):
                name, value = (b"".join(contents_of(entry, number)[-1:]) for number in (1, 2))
                feature[_name(name)] = Feature.FromString(value)
        self.features = Features(feature)
        return len(data)

    @classmethod
    def FromString(cls, serialized: Any) -> Self:
        """Of a record's bytes."""
        made = cls()
        made.ParseFromString(serialized)
        return made


def SequenceExample(*args: Any, **kwargs: Any) -> NoReturn:
    """Is not there."""
    raise NotImplementedError(
        "records of sequences are not there: tf.train.Example holds lists of any length. Received: SequenceExample"
    )


def _name(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise FileFormatError(
            f"expected a tf.train.Example, whose names are UTF-8. Received: {content[:40]!r}"
        ) from None


def _text_as_bytes(value: Any) -> bytes:
    """The bytes of a `BytesList`: of text, of an element of a data set, or of an array's memory."""
    if isinstance(value, bool | int | float):
        raise TypeError(f"expected bytes. Received: {value!r}")
    return as_bytes(value)


def as_bytes(value: Any) -> bytes:
    """The bytes that a value stands for: text in UTF-8, or an element of a data set."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    array = np.asarray(value)
    if array.dtype.kind == "U":
        return str(array.item()).encode()
    if array.dtype.kind == "O":
        return as_bytes(array.item())
    return array.item() if array.dtype.kind == "S" else array.tobytes()


class FixedLenFeature(NamedTuple):
    """A feature of a shape.

    Attributes
    ----------
    shape : sequence of int
    dtype : dtype
    default_value : optional
        Where the feature is not there.
    """

    shape: Any
    dtype: Any
    default_value: Any = None


class VarLenFeature(NamedTuple):
    """A feature of any length, (n,)."""

    dtype: Any


def text_of(content: bytes) -> EagerArray:
    """Bytes as an element of a data set, of which none gets lost at the end, as NumPy's text loses zeros."""
    return np.array(content, object).view(EagerArray)


def parse_single_example(serialized: Any, features: Mapping[str, Any], example_names: Any = None, name: Any = None):
    """The features of a record, {name: array}.

    Parameters
    ----------
    serialized : bytes, or an element of `tf.data.TFRecordDataset`
    features : dict of `FixedLenFeature` or `VarLenFeature`

    Raises
    ------
    ValueError
        If the record lacks a feature that has no default value, or holds another number of values.
    """
    found = Example.FromString(serialized).features.feature
    return {name: _value(name, found.get(name), kind) for name, kind in features.items()}


def _value(name, feature, kind):
    is_text = np.dtype(kind.dtype).kind in "SUO"
    values = _values_of(name, feature, "bytes_list" if is_text else _LISTS.get(np.dtype(kind.dtype).name))
    if isinstance(kind, VarLenFeature):
        made = _text(values, (len(values),)) if is_text else np.asarray(values, kind.dtype)
        return single(made)
    shape = tuple(int(n) for n in np.ravel(kind.shape))
    if not values and kind.default_value is not None and is_text:
        texts = np.vectorize(as_bytes, otypes=[object])(kind.default_value)
        return of_tensorflow(np.broadcast_to(texts, shape))
    if not values and kind.default_value is not None:
        return of_tensorflow(np.broadcast_to(np.asarray(kind.default_value, kind.dtype), shape))
    if len(values) != int(np.prod(shape)):
        raise ValueError(f"feature {name!r} has {int(np.prod(shape))} value(s) in each record. Received: {len(values)}")
    return _text(values, shape) if is_text else of_tensorflow(np.asarray(values, kind.dtype).reshape(shape))


_LISTS = {"float32": "float_list", "int64": "int64_list"}


def _values_of(name, feature, expected):
    """The values of a feature, which is of the list that is expected; none where it is not there."""
    if expected is None:
        raise ValueError(f"a feature is of float32, int64 or text (tf.string). Received: another dtype for {name!r}")
    if feature is None or feature.kind is None:
        return []
    if feature.kind != expected:
        raise ValueError(f"feature {name!r} was asked for as a {expected}. Received: a record with a {feature.kind}")
    return getattr(feature, feature.kind).value


def _text(values, shape):
    made = np.empty(len(values), object)
    made[:] = values
    return made.reshape(shape).view(EagerArray)


def parse_example(serialized: Any, features: Mapping[str, Any], example_names: Any = None, name: Any = None):
    """The features of several records, {name: array (N, …)}; arguments as for `parse_single_example`.

    Those of a `VarLenFeature` are filled with zeros, or empty text, to the length of the longest.
    """
    records = serialized if isinstance(serialized, list | tuple) else np.asarray(serialized, object).reshape(-1)
    parsed = [parse_single_example(each, features) for each in records]
    return {name: _together([each[name] for each in parsed], kind) for name, kind in features.items()}


def _together(parts, kind):
    if isinstance(kind, VarLenFeature):
        return filled(parts)
    return of_tensorflow(np.stack(parts))
