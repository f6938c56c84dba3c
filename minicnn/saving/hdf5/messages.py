"""The messages in an object's header: what they are, and those that mean a text, a shape or a type."""

import math
import struct

import numpy as np

from minicnn.errors import FileFormatError

LENGTH_LIMIT = 2**62  # what dimensions and sizes must stay below

# Message types (IV.A.2) that a reader needs, or must not overlook.
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0B, 0x0C, 0x10, 0x11, 0x15

# Class bits and properties of the number types (IV.A.2.d): what NumPy calls them.
IEEE = {
    (2, (0, 16, 10, 5, 0, 10, 15)): "f2",
    (4, (0, 32, 23, 8, 0, 23, 127)): "f4",
    (8, (0, 64, 52, 11, 0, 52, 1023)): "f8",
}


def refused(what: str, path: str) -> FileFormatError:
    """The error for something Keras does not write."""
    return FileFormatError(
        f"the HDF5 object '{path or '/'}' uses {what}, which Keras does not write and which is refused; save the model "
        "again with Keras's own save"
    )


def text(data: bytes | memoryview) -> str:
    """A text of the file, which is UTF-8."""
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        raise FileFormatError("the HDF5 data is damaged: a text is not UTF-8") from None


def member_name(name: str, path: str) -> str:
    """`name`, if a member of the group `path` may be called so."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise FileFormatError(f"the HDF5 group '{path}' has a member with the name {name!r}, which is not allowed")
    return name


def shape_of(body: memoryview, path: str) -> tuple[int, ...]:
    """The shape from a dataspace message (IV.A.2.b)."""
    version, rank = body[0], body[1]
    if version == 1:
        start = 8
    elif version == 2:
        start = 4
        if body[3] == 2:  # a null dataspace: no elements
            return (0,)
    else:
        raise FileFormatError(f"HDF5 dataspace version {version} is not known: versions 1 and 2 are")
    if rank > 8:
        raise FileFormatError(f"the HDF5 object '{path}' has {rank} axes: at most 8 are expected")
    shape = struct.unpack_from(f"<{rank}Q", body, start)
    if math.prod(max(n, 1) for n in shape) >= LENGTH_LIMIT:
        raise FileFormatError(f"the HDF5 object '{path}' has an impossible shape: {shape}")
    return shape


def number_type(body: memoryview, path: str) -> np.dtype:
    """The NumPy dtype from a datatype message (IV.A.2.d)."""
    kind, bits, size = body[0] & 15, body[1], struct.unpack_from("<I", body, 4)[0]
    order = ">" if bits & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8) and struct.unpack_from("<HH", body, 8) == (0, 8 * size):
        return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
    if kind == 1 and (name := IEEE.get((size, struct.unpack_from("<HHBBBBI", body, 8)))):
        return np.dtype(order + name)
    if kind == 8 and size == 1 and body[8] & 15 == 0:  # an enumeration of integers: h5py's bools
        return number_type(body[8:], path)
    raise refused(f"a data type other than integers and IEEE numbers (class {kind}, {size} bytes)", path)
