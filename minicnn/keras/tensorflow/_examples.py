"""``tf.train.Example``: features by name, lists of bytes, floats or whole numbers, in the form of Protocol Buffers.

The wire format is Google's "Protocol Buffers Encoding": a field is a varint of (number · 8 + kind), and a varint
(kind 0), four bytes (kind 5), or a length and bytes (kind 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.errors import FileFormatError
from minicnn.keras.tensorflow._functions import of_tensorflow

__all__ = ["BytesList", "Example", "Feature", "Features", "FloatList", "Int64List"]


def _varint(number: int) -> bytes:
    number &= 2**64 - 1  # negative numbers are those of 64 bits
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise FileFormatError("expected a tf.train.Example. Received: bytes that end within a number")
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
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


class BytesList:
    """A list of bytes.

    Parameters
    ----------
    value : iterable of bytes
        Text is encoded as UTF-8.
    """

    def __init__(self, value: Iterable[Any] = ()) -> None:
        self.value: list[bytes] = [as_bytes(each) for each in value]

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return b"".join(_field(1, each) for each in self.value)

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes."""
        return cls(content for _, _, content in _fields(serialized))


class FloatList:
    """A list of float32 numbers."""

    def __init__(self, value: Iterable[Any] = ()) -> None:
        self.value: list[float] = [
            float(each) for each in np.asarray(value if hasattr(value, "__len__") else list(value)).ravel()
        ]

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return _field(1, np.asarray(self.value, "<f4").tobytes()) if self.value else b""

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes, packed or one by one."""
        return cls(np.frombuffer(b"".join(content for _, _, content in _fields(serialized)), "<f4"))


class Int64List:
    """A list of whole numbers."""

    def __init__(self, value: Iterable[Any] = ()) -> None:
        self.value: list[int] = [int(each) for each in value]

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return _field(1, b"".join(map(_varint, self.value))) if self.value else b""

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes, packed or one by one."""
        found: list[int] = []
        for _, kind, content in _fields(serialized):
            at = 0
            while kind == 2 and at < len(content):
                number, at = _read_varint(content, at)
                found.append(number)
            if kind == 0:
                found.append(content)
        return cls(number - 2**64 if number >= 2**63 else number for number in found)


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
        self.kind: str | None = next((name for name, value in given.items() if value is not None), None)
        self.bytes_list: BytesList = BytesList() if bytes_list is None else bytes_list
        self.float_list: FloatList = FloatList() if float_list is None else float_list
        self.int64_list: Int64List = Int64List() if int64_list is None else int64_list

    def WhichOneof(self, oneof: str) -> str | None:
        """The name of the list that is there."""
        return self.kind

    def SerializeToString(self) -> bytes:
        """The bytes of a message."""
        return b"" if self.kind is None else _field(_KINDS[self.kind][0], getattr(self, self.kind).SerializeToString())

    @classmethod
    def FromString(cls, serialized: bytes) -> Self:
        """Of a message's bytes."""
        numbers = {number: (name, kind) for name, (number, kind) in _KINDS.items()}
        found = {
            numbers[n][0]: numbers[n][1].FromString(content) for n, _, content in _fields(serialized) if n in numbers
        }
        return cls(**found)


class Features:
    """Features by name.

    Parameters
    ----------
    feature : dict of Feature
    """

    def __init__(self, feature: Mapping[str, Feature] | None = None) -> None:
        self.feature: dict[str, Feature] = dict(feature or {})


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
        parts = (_field(1, name.encode()) + _field(2, each.SerializeToString()) for name, each in entries)
        return _field(1, b"".join(_field(1, part) for part in parts))

    def ParseFromString(self, serialized: Any) -> int:
        """Become what a record's bytes say; how many bytes these were."""
        data = as_bytes(serialized)
        feature = {}
        for features in (content for number, kind, content in _fields(data) if (number, kind) == (1, 2)):
            for entry in (content for number, kind, content in _fields(features) if (number, kind) == (1, 2)):
                parts = {number: content for number, _, content in _fields(entry)}
                feature[bytes(parts.get(1, b"")).decode()] = Feature.FromString(parts.get(2, b""))
        self.features = Features(feature)
        return len(data)

    @classmethod
    def FromString(cls, serialized: Any) -> Self:
        """Of a record's bytes."""
        made = cls()
        made.ParseFromString(serialized)
        return made


def as_bytes(value: Any) -> bytes:
    """The bytes that a value stands for: text in UTF-8, or an element of a data set."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    array = np.asarray(value)
    if array.dtype.kind == "U":
        return str(array.item()).encode()
    return array.item() if array.dtype.kind in "SO" else array.tobytes()


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
    """Bytes as an element of a data set, of which none gets lost at the end."""
    kind = f"V{len(content)}" if content.endswith(b"\0") else f"S{max(len(content), 1)}"
    return np.array(content, kind).view(EagerArray)


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
    values = [] if feature is None or feature.kind is None else getattr(feature, feature.kind).value
    is_text = np.dtype(kind.dtype).kind in "SU"
    if isinstance(kind, VarLenFeature):
        return _text(values, (len(values),)) if is_text else of_tensorflow(np.asarray(values, kind.dtype))
    shape = tuple(int(n) for n in np.ravel(kind.shape))
    if not values and kind.default_value is not None:
        return of_tensorflow(np.broadcast_to(np.asarray(kind.default_value, None if is_text else kind.dtype), shape))
    if len(values) != int(np.prod(shape)):
        raise ValueError(f"feature {name!r} has {int(np.prod(shape))} value(s) in each record. Received: {len(values)}")
    return _text(values, shape) if is_text else of_tensorflow(np.asarray(values, kind.dtype).reshape(shape))


def _text(values, shape):
    parts = [text_of(value) for value in values]
    return np.asarray(parts).reshape(shape).view(EagerArray) if shape else parts[0]


def parse_example(serialized: Any, features: Mapping[str, Any], example_names: Any = None, name: Any = None):
    """The features of several records, {name: array (N, …)}; arguments as for `parse_single_example`."""
    parsed = [parse_single_example(each, features) for each in np.asarray(serialized).reshape(-1)]
    return {name: of_tensorflow(np.stack([each[name] for each in parsed])) for name in features}


_DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool"}
_DTYPES |= {17: "uint16", 19: "float16", 22: "uint32", 23: "uint64"}  # TensorFlow's numbers of them


def tensor_message(array: np.ndarray) -> bytes:
    """An array as a TensorProto: its dtype's number, its shape, and its numbers, the smallest byte first."""
    numbers = {name: number for number, name in _DTYPES.items()}
    if array.dtype.name not in numbers:
        raise ValueError(f"a tensor of numbers is one of {', '.join(numbers)}. Received: {array.dtype}")
    shape = b"".join(_field(2, _varint(1 << 3) + _varint(n)) for n in array.shape)
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return _varint(1 << 3) + _varint(numbers[array.dtype.name]) + _field(2, shape) + _field(4, content)


def tensor_of(serialized: bytes) -> np.ndarray:
    """The array of a TensorProto that holds its numbers as bytes."""
    found = {number: content for number, _, content in _fields(serialized)}
    if found.get(1) not in _DTYPES or not {2, 4} <= found.keys():
        raise FileFormatError(f"expected a TensorProto of numbers. Received: one with the fields {sorted(found)}")
    sizes = [dict((n, c) for n, _, c in _fields(dim)).get(1, 0) for n, _, dim in _fields(found[2]) if n == 2]
    kind = np.dtype(_DTYPES[found[1]])
    return np.frombuffer(found[4], kind.newbyteorder("<")).astype(kind).reshape(sizes)
