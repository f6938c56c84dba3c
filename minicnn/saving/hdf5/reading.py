"""One pass over an HDF5 file's structures."""

import math
import mmap
import struct

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.saving.hdf5 import messages
from minicnn.saving.hdf5.contents import Dataset, Group, with_slashes

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_READS = 1_500_000  # of single structures; a model of 1,000 layers needs 120,000
MAX_DEPTH = 64  # of groups in groups
_UNDEFINED = 2**64 - 1


def read(buffer: bytes | mmap.mmap) -> Group:
    """The root group of a file.

    Parameters
    ----------
    buffer : bytes or mmap
        The whole file; the datasets refer to it until they are read.

    Raises
    ------
    FileFormatError
        If it is not HDF5, is damaged, or holds what Keras does not write.
    """
    try:
        return with_slashes(_Reader(memoryview(buffer)).root())
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"the HDF5 data is damaged: {error}") from None


class _Reader:
    """One pass over a file's structures."""

    def __init__(self, view):
        self.view, self.reads_left = view, min(MAX_READS, 20_000 + len(view) // 16)
        self.visited = set()  # addresses of groups and of the nodes below them
        self.heaps = {}  # address of a global heap collection → {index: bytes}
        self.text_left = len(view)  # bytes that attributes may still refer to outside of their headers
        self.data_left = len(view)  # bytes that datasets may still refer to

    # --------------------------------------------------------------------------------------------------- bytes

    def bytes(self, address, size):
        """`size` bytes from `address`, which must lie in the file."""
        self.reads_left -= 1
        if self.reads_left < 0:
            raise FileFormatError(f"the HDF5 data has more parts than {len(self.view)} bytes should")
        if not (0 <= size <= len(self.view) and 0 <= address <= len(self.view) - size):
            raise FileFormatError(
                f"the HDF5 data is damaged or cut short: {size} bytes at {address} of {len(self.view)}"
            )
        return self.view[address : address + size]

    def unpack(self, layout, address):
        """Little-endian numbers as `struct` names them."""
        return struct.unpack("<" + layout, self.bytes(address, struct.calcsize("<" + layout)))

    def once(self, address, path):
        """Refuse a structure that was met before: links in a circle, or a bomb of shared parts."""
        if address in self.visited:
            raise FileFormatError(f"the HDF5 object '{path}' appears twice in the file")
        self.visited.add(address)

    def signature(self, address, expected):
        if self.bytes(address, 4) != expected:
            raise FileFormatError(f"the HDF5 data is damaged: no {expected.decode()} at {address}")

    # ---------------------------------------------------------------------------------------------- superblock (II.A)

    def root(self):
        if len(self.view) < 96 or self.bytes(0, 8) != SIGNATURE:
            raise FileFormatError("this is not an HDF5 file: it does not start with HDF5's signature")
        (version,) = self.unpack("B", 8)
        if version in (0, 1):
            sizes = self.unpack("BB", 13)
            start = 24 if version == 0 else 28
            base, _, end, _ = self.unpack("4Q", start)
            address = self.unpack("QQ", start + 32)[1]
        elif version in (2, 3):
            sizes = self.unpack("BB", 9)
            base, _, end, address = self.unpack("4Q", 12)
        else:
            raise FileFormatError(f"HDF5 superblock version {version} is not known: versions 0 to 3 are")
        if sizes != (8, 8) or base != 0:
            raise FileFormatError(f"HDF5 files of 8-byte addresses from 0 on are read. Received: {sizes}, base {base}")
        if end > len(self.view):
            raise FileFormatError(f"the HDF5 data is cut short: {len(self.view)} of {end} bytes are there")
        return self.object(address, "", 0)

    # ------------------------------------------------------------------------------------------- object headers (IV.A)

    def object(self, address, path, depth):
        """The group or dataset whose header is at `address`."""
        if depth > MAX_DEPTH:
            raise FileFormatError(f"the HDF5 groups are nested more than {MAX_DEPTH} deep")
        self.once(address, path)
        found, attributes = {}, {}
        links = []
        for kind, flags, body in self.messages(address):
            if kind in (messages.FILTERS, messages.EXTERNAL_FILES):
                raise messages.refused("filters (compression)" if kind == messages.FILTERS else "external files", path)
            if flags & 2 and kind in (messages.DATASPACE, messages.DATATYPE, messages.ATTRIBUTE, messages.LINK):
                raise messages.refused("shared messages (a named datatype)", path)
            if kind == messages.ATTRIBUTE:
                name, value = self.attribute(body, path)
                if name in attributes:
                    raise FileFormatError(f"the HDF5 object '{path}' has the attribute {name!r} twice")
                attributes[name] = value
            elif kind == messages.LINK:
                links.append(self.link(body, path))
            elif kind in (messages.LINK_INFO, messages.ATTRIBUTE_INFO):
                self.check_compact(kind, body, path)
            elif kind in (messages.DATASPACE, messages.DATATYPE, messages.LAYOUT, messages.SYMBOL_TABLE):
                if kind in found:
                    raise FileFormatError(f"the HDF5 object '{path}' has two headers of one kind")
                found[kind] = body
        if messages.LAYOUT in found or messages.DATATYPE in found:
            return self.dataset(found, path)
        if messages.SYMBOL_TABLE in found:
            links += self.symbol_table(found[messages.SYMBOL_TABLE], path)
        group = Group(path, attributes)
        for name, target in links:
            if name in group.members:
                raise FileFormatError(f"the HDF5 group '{path}' has two members called {name!r}")
            group.members[name] = self.object(target, f"{path}/{name}".lstrip("/"), depth + 1)
        return group

    def messages(self, address):
        """(type, flags, body) of each message of a header, continuation blocks included."""
        if self.bytes(address, 4) == b"OHDR":
            yield from self.messages_2(address)
            return
        version, _, _, _, size = self.unpack("BBHII", address)
        if version != 1:
            raise FileFormatError(f"the HDF5 data is damaged: no object header at {address}")
        blocks = [(address + 16, size)]
        for start, size in blocks:
            self.once(start, "header")
            end = start + size
            while start + 8 <= end:
                kind, length, flags = self.unpack("HHB", start)
                body = self.bytes(start + 8, length)
                start += 8 + length
                if start > end:
                    raise FileFormatError("the HDF5 data is damaged: a header's message is longer than its block")
                if kind == messages.CONTINUATION:
                    blocks.append(struct.unpack("<QQ", body[:16]))
                else:
                    yield kind, flags, body

    def messages_2(self, address):
        """The same for version 2 of the header (IV.A.1.b)."""
        version, flags = self.unpack("BB", address + 4)
        if version != 2:
            raise FileFormatError(f"HDF5 object header version {version} is not known: versions 1 and 2 are")
        start = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self.bytes(start, width), "little")
        blocks = [(start + width, size)]
        head = 6 if flags & 4 else 4
        for start, size in blocks:
            self.once(start, "header")
            end = start + size
            while start + head <= end:
                kind, length, message_flags = self.unpack("BHB", start)
                body = self.bytes(start + head, length)
                start += head + length
                if start > end:
                    raise FileFormatError("the HDF5 data is damaged: a header's message is longer than its block")
                if kind == messages.CONTINUATION:
                    block, length = struct.unpack("<QQ", body[:16])
                    self.signature(block, b"OCHK")
                    blocks.append((block + 4, length - 8))
                else:
                    yield kind, message_flags, body

    def check_compact(self, kind, body, path):
        """Refuse links or attributes that do not stand in the header itself (IV.A.2.c, IV.A.2.v)."""
        flags = body[1]
        wide = 8 if kind == messages.LINK_INFO else 2
        (heap,) = struct.unpack_from("<Q", body, 2 + (wide if flags & 1 else 0))
        if heap != _UNDEFINED:
            raise FileFormatError(
                f"the HDF5 object '{path or '/'}' is stored densely, a layout for groups of more than eight members "
                "with letters outside ASCII in a name, which is not read: save the model as .keras"
            )

    # ----------------------------------------------------------------------------------------------- links of a group

    def link(self, body, path):
        """(name, address) from a link message (IV.A.2.g)."""
        version, flags = body[0], body[1]
        position = 2
        if version != 1:
            raise FileFormatError(f"HDF5 link version {version} is not known: version 1 is")
        if flags & 8:
            if body[position] != 0:
                raise messages.refused("soft or external links", path)
            position += 1
        position += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(body[position : position + width], "little")
        position += width
        name = messages.text(body[position : position + length])
        (address,) = struct.unpack_from("<Q", body, position + length)
        return messages.member_name(name, path), address

    def symbol_table(self, body, path):
        """(name, address) of each member of a group of the old layout (III.A.1, III.B, III.C)."""
        tree, heap = struct.unpack_from("<QQ", body)
        self.signature(heap, b"HEAP")
        size, _, names_at = self.unpack("QQQ", heap + 8)
        names = self.bytes(names_at, size)
        nodes = [tree]
        for node in nodes:
            self.once(node, path)
            if self.bytes(node, 4) == b"TREE":
                kind, _, count = self.unpack("BBH", node + 4)
                if kind != 0:
                    raise FileFormatError(f"the HDF5 group '{path}' is damaged: a tree of another kind")
                entries = self.unpack(f"{2 * count + 1}Q", node + 24)
                nodes += entries[1::2]
                continue
            self.signature(node, b"SNOD")
            (count,) = self.unpack("H", node + 6)
            for index in range(count):
                offset, address, cache = self.unpack("QQI", node + 8 + 40 * index)
                if cache == 2:
                    raise messages.refused("soft links", path)
                end = bytes(names[offset : offset + 4096]).find(b"\0")
                if offset >= size or end < 0:
                    raise FileFormatError(f"the HDF5 group '{path}' is damaged: a name without end")
                yield messages.member_name(messages.text(names[offset : offset + end]), path), address

    # ------------------------------------------------------------------------------------------------------- contents

    def dataset(self, found, path):
        if set(found) != {messages.DATASPACE, messages.DATATYPE, messages.LAYOUT}:
            raise FileFormatError(f"the HDF5 dataset '{path}' is damaged: a header is missing")
        shape = messages.shape_of(found[messages.DATASPACE], path)
        dtype = messages.number_type(found[messages.DATATYPE], path)
        nbytes = dtype.itemsize * math.prod(shape)
        data = self.layout(found[messages.LAYOUT], path, nbytes)
        self.data_left -= nbytes
        if self.data_left < 0:
            raise FileFormatError("the HDF5 datasets refer to more data than the file has")
        if len(data) != nbytes:
            raise FileFormatError(
                f"the HDF5 dataset '{path}' of shape {shape} needs {nbytes} bytes. Received: {len(data)}"
            )
        return Dataset(path, shape, dtype, data)

    def layout(self, body, path, nbytes):
        """The bytes of a dataset (IV.A.2.i)."""
        version, kind = body[0], body[1]
        if version not in (3, 4):
            raise FileFormatError(f"HDF5 layout version {version} is not known: versions 3 and 4 are")
        if kind == 0:
            (size,) = struct.unpack_from("<H", body, 2)
            return body[4 : 4 + size]
        if kind != 1:
            raise messages.refused({2: "chunks", 3: "a virtual dataset"}.get(kind, "an unknown layout"), path)
        address, size = struct.unpack_from("<QQ", body, 2)
        if address == _UNDEFINED and nbytes == 0:
            return self.view[:0]
        return self.bytes(address, size)

    def attribute(self, body, path):
        """(name, value) from an attribute message (IV.A.2.m)."""
        version, flags, name_size, type_size, space_size = struct.unpack_from("<BBHHH", body)
        if version not in (1, 2, 3) or (version > 1 and flags & 3):
            raise messages.refused("attributes of a shared type or an unknown version", path)
        position = 9 if version == 3 else 8
        parts = []
        for size in (name_size, type_size, space_size):
            parts.append(body[position : position + size])
            position += -(-size // 8) * 8 if version == 1 else size
        name = messages.text(parts[0]).rstrip("\0")
        where = f"{path}@{name}"
        shape = messages.shape_of(parts[2], where)
        return name, self.attribute_value(parts[1], shape, body[position:], where)

    def attribute_value(self, datatype, shape, data, where):
        """A str, a list of str, or an array of numbers."""
        kind, size = datatype[0] & 15, struct.unpack_from("<I", datatype, 4)[0]
        count = math.prod(shape)
        if size * count > len(data):
            raise FileFormatError(f"the HDF5 attribute '{where}' is damaged or cut short")
        if kind == 3 and size:  # strings of one length
            texts = [messages.text(data[i * size : (i + 1) * size]).rstrip("\0 ") for i in range(count)]
        elif kind == 9 and datatype[1] & 15 == 1 and size == 16:  # strings of any length, in the global heap
            texts = [self.heap_text(*struct.unpack_from("<IQI", data, 16 * i), where) for i in range(count)]
        elif kind in (0, 1):
            return np.frombuffer(data[: size * count], messages.number_type(datatype, where)).reshape(shape).copy()
        else:
            raise messages.refused("an attribute that is neither text nor numbers", where)
        return texts if shape else texts[0]

    def heap_text(self, length, address, index, where):
        """A string from the global heap (III.E)."""
        if length == 0:
            return ""
        collection = self.heaps.get(address)
        if collection is None:
            collection = self.heaps[address] = self.heap_collection(address)
        data = collection.get(index)
        if data is None or length > len(data):
            raise FileFormatError(f"the HDF5 attribute '{where}' is damaged: its text is missing")
        self.text_left -= length
        if self.text_left < 0:
            raise FileFormatError("the HDF5 attributes refer to more text than the file has")
        return messages.text(data[:length]).rstrip("\0")

    def heap_collection(self, address):
        self.signature(address, b"GCOL")
        (size,) = self.unpack("Q", address + 8)
        self.bytes(address, size)
        found, position = {}, address + 16
        while position + 16 <= address + size:
            index, _, _, length = self.unpack("HHIQ", position)
            if index == 0:  # the free space at the end
                break
            found[index] = self.bytes(position + 16, length)
            position += 16 + -(-length // 8) * 8
        return found
