"""TensorProto: an array of numbers in the form of Protocol Buffers, for ``tf.io.serialize_tensor``."""

from __future__ import annotations

import math

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.keras.tensorflow._examples import as_field, as_varint, contents_of, fields_of

_DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool"}
_DTYPES |= {17: "uint16", 19: "float16", 22: "uint32", 23: "uint64"}  # TensorFlow's numbers of them


def tensor_message(array: np.ndarray) -> bytes:
    """An array as a TensorProto: its dtype's number, its shape, and its numbers, the smallest byte first."""
    numbers = {name: number for number, name in _DTYPES.items()}
    if array.dtype.name not in numbers:
        raise ValueError(f"a tensor of numbers is one of {', '.join(numbers)}. Received: {array.dtype}")
    shape = b"".join(as_field(2, as_varint(1 << 3) + as_varint(n)) for n in array.shape)
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return as_varint(1 << 3) + as_varint(numbers[array.dtype.name]) + as_field(2, shape) + as_field(4, content)


def tensor_of(serialized: bytes) -> np.ndarray:
    """The array of a TensorProto that holds its numbers as bytes."""
    code = dict((number, content) for number, kind, content in fields_of(serialized) if kind == 0).get(1)
    if code not in _DTYPES:
        raise FileFormatError(f"expected a TensorProto of numbers. Received: one whose dtype has the number {code}")
    shape, content = (b"".join(contents_of(serialized, number)[-1:]) for number in (2, 4))
    sizes = [dict((n, c) for n, kind, c in fields_of(dim) if kind == 0).get(1, 0) for dim in contents_of(shape, 2)]
    kind = np.dtype(_DTYPES[code])
    if math.prod(sizes) * kind.itemsize != len(content) or len(sizes) > 64:
        raise FileFormatError(
            f"expected a TensorProto that holds its numbers as bytes. Received: {len(content)} bytes for the shape "
            f"{sizes[:8]}, {kind}"
        )
    return np.frombuffer(content, kind.newbyteorder("<")).astype(kind).reshape(sizes)
