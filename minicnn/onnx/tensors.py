"""Arrays that an ONNX file holds: their types, and where their numbers stand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.onnx.external import External

if TYPE_CHECKING:
    from onnx import TensorProto

MAX_AXES = 8  # of a tensor

DTYPES: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_data"),
    2: ("|u1", "int32_data"),
    3: ("|i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
}
"""TensorProto.DataType → (dtype, field that holds the numbers if they are not raw)."""


def to_array(tensor: TensorProto, external: External) -> np.ndarray:
    """The array of a TensorProto, whose bytes are in the file or one beside it."""
    name = tensor.name or "(without a name)"
    if tensor.data_type not in DTYPES:
        raise FileFormatError(
            f"tensor '{name}' should hold numbers of 8 to 64 bits: {list(DTYPES)}. Received: {tensor.data_type}"
        )
    dtype, stored_in = DTYPES[tensor.data_type]
    shape = tuple(tensor.dims)
    if len(shape) > MAX_AXES or any(n < 0 for n in shape):
        raise FileFormatError(f"tensor '{name}' should have a shape. Received: {shape}")
    if tensor.data_location or tensor.external_data:
        data = external.read(tensor, math.prod(shape) * np.dtype(dtype).itemsize)
        return np.frombuffer(data, dtype).reshape(shape)
    if tensor.HasField("raw_data"):
        received, needed = len(tensor.raw_data), math.prod(shape) * np.dtype(dtype).itemsize
    else:
        received, needed = len(getattr(tensor, stored_in)), math.prod(shape)
    if received != needed:
        raise FileFormatError(f"tensor '{name}' of shape {shape} has {received} instead of {needed} bytes or numbers")
    if tensor.HasField("raw_data"):
        array = np.frombuffer(tensor.raw_data, dtype)
    else:
        array = _from_field(name, np.array(getattr(tensor, stored_in)), np.dtype(dtype))
    return array.reshape(shape)


def _from_field(name, numbers, dtype):
    """Numbers of a tensor that are not bytes in the file; of float16 they are bits, as whole numbers."""
    bits = np.dtype("<u2") if dtype == "<f2" else dtype
    if bits.kind in "iu" and numbers.size and not _reaches(bits, numbers):
        raise FileFormatError(f"tensor '{name}' should hold numbers of {dtype.name}. Received: others")
    return numbers.astype(bits).view(dtype)


def _reaches(dtype, numbers):
    return np.iinfo(dtype).min <= numbers.min() and numbers.max() <= np.iinfo(dtype).max
