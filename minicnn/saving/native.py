"""minicnn's own format: a safetensors file, whose tensors any safetensors reader sees.

Eight bytes with the header's length (little-endian), the header (JSON), the tensors. Weights are called as in the
model, "conv2d/kernel"; a name that starts with "/" is state: "/optimizer/momentum/conv2d/kernel", "/training/run/…".
The header's ``"__metadata__"`` holds strings: "format", "format_version", and as JSON "model", "compile", "optimizer",
"training", "order". See docs/files.md.
"""

import json
import math
import os
from collections import defaultdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.checks import is_integer
from minicnn.errors import FileFormatError
from minicnn.hints import Config, Shape
from minicnn.saving import kinds
from minicnn.saving.files import MAX_JSON, check_arrays, named_in_errors, read_json, write_json
from minicnn.saving.formats import Format
from minicnn.saving.older_names import MARKED, told_apart
from minicnn.saving.snapshot import Reader as BaseReader
from minicnn.saving.snapshot import Snapshot, Stored, join_arrays, split_arrays

FORMAT_VERSION = 1
ALIGNMENT = 64  # bytes: where the tensors begin
MAX_AXES = 32
DIGITS = "0123456789"

DTYPES = {
    "F64": "<f8",
    "I64": "<i8",
    "U64": "<u8",
    "F32": "<f4",
    "I32": "<i4",
    "U32": "<u4",
    "F16": "<f2",
    "I16": "<i2",
    "U16": "<u2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


# ------------------------------------------------------------------------------------------------------- writing


def write(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot to a new file."""
    tensors = dict(snapshot.weights)
    metadata = {"format": "minicnn", "format_version": str(FORMAT_VERSION), MARKED: "1"}
    metadata["order"] = write_json({"weights": list(snapshot.weights)})
    if not snapshot.weights_only:
        metadata["model"] = write_json({key: part for key, part in snapshot.config.items() if key != "parts"})
    if snapshot.compile is not None:
        metadata["compile"] = write_json(snapshot.compile)
    if snapshot.optimizer is not None:
        metadata["optimizer"] = json.dumps({"iterations": snapshot.optimizer["iterations"]})
        for slot, arrays in snapshot.optimizer["slots"].items():
            tensors |= {f"/optimizer/{slot}/{name}": array for name, array in arrays.items()}
    if snapshot.training:
        plain, arrays = split_arrays(snapshot.training, "/training")
        metadata["training"] = write_json(plain)
        tensors |= arrays
    tensors = {name: _plain_array(array) for name, array in tensors.items()}
    header, order = _header(tensors, metadata)
    with open(path, "xb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for name in order:
            file.write(tensors[name].reshape(-1).view(np.uint8).data)


def _plain_array(array):
    """C-contiguous, little-endian."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))  # the first makes 0-d arrays 1-d
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _header(tensors, metadata):
    """(the header's bytes, names in the order of the data): wide dtypes first, so that every tensor is aligned."""
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    offsets, end = {}, 0
    for name in order:
        offsets[name] = [end, end + tensors[name].nbytes]
        end += tensors[name].nbytes
    header = {"__metadata__": metadata}
    for name, array in tensors.items():
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": offsets[name]}
    text = json.dumps(header, separators=(",", ":")).encode()
    if len(text) > MAX_JSON - ALIGNMENT:
        raise ValueError(f"a model's description may have {MAX_JSON} bytes. Received: {len(text)}")
    return text + b" " * (-(8 + len(text)) % ALIGNMENT), order


# ------------------------------------------------------------------------------------------------------- reading


class Reader(BaseReader):
    """A safetensors file; one that minicnn did not write can hold weights.

    Attributes
    ----------
    tensors : dict
        Name → (dtype, shape, offset in the file).
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._file = open(path, "rb")  # noqa: SIM115, closed by `close`
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self):
        size = os.fstat(self._file.fileno()).st_size
        length = int.from_bytes(self._file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_JSON):
            raise FileFormatError(
                f"expected a safetensors file with a header of at most {MAX_JSON} bytes. Received: {size} bytes, of "
                f"which {length} are the header"
            )
        header = read_json(self._file.read(length))
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise FileFormatError(f"the metadata are strings by name. Received: {str(metadata)[:100]}")
        self.tensors: dict[str, tuple[np.dtype, Shape, int]] = _checked_tensors(header, 8 + length, size)
        self.numbers: int = sum(math.prod(shape) for _, shape, _ in self.tensors.values())
        self._is_own = metadata.get("format") == "minicnn"
        if self._is_own:
            self._read_metadata(metadata)

    def _read_metadata(self, metadata):
        version = metadata.get("format_version", "")
        if not (version.isascii() and version.isdigit() and len(version) < 10 and int(version) > 0):
            raise FileFormatError(f"the format's version is a number. Received: {version[:100]!r}")
        if int(version) > FORMAT_VERSION:
            raise FileFormatError(
                f"the file has version {version} of the format, and this minicnn reads up to {FORMAT_VERSION}: "
                "install a newer minicnn"
            )
        names = ("model", "compile", "optimizer", "training", "order")
        parts = {name: read_json(metadata[name]) for name in names if name in metadata}
        described = {name: parts.get(name) for name in ("model", "compile")}
        described = described if MARKED in metadata else told_apart(described)
        self.config: Config | None = described["model"]
        self.compile: dict[str, Any] | None = described["compile"]
        self._optimizer, self._order = parts.get("optimizer"), parts.get("order", {}).get("weights")
        if "order" in parts and not _are_names(self._order):
            raise FileFormatError(f"the order of the weights is a list of names. Received: {metadata['order'][:100]}")
        self.training: dict[str, Any] = join_arrays(parts.get("training", {}), cache(self._read))

    _optimizer = None
    _order = None  # of the model's weights, by name; older files do not say it

    def weights(self, expected: dict[str, Shape], config: Config) -> dict[str, np.ndarray]:
        with named_in_errors(self.path):
            return super().weights(expected, config)

    def find(self, expected: dict[str, Shape], config: Config, by_name: bool = False) -> dict[str, Stored]:
        found = {name: shape for name, (_, shape, _) in self.tensors.items() if not name.startswith("/")}
        names = {} if by_name else self._matching(found, expected)
        return {names.get(n, n): Stored(shape, partial(self._read_finite, n)) for n, shape in found.items()}

    def optimizer(self, slots: tuple[str, ...], expected: dict[str, Shape], config: Config) -> dict[str, Any] | None:
        if self._optimizer is None:
            return None
        with named_in_errors(self.path):
            iterations = self._optimizer.get("iterations")
            if not is_integer(iterations) or not 0 <= iterations < 2**63:
                raise FileFormatError(f"an optimizer's iterations are a number. Received: {str(iterations)[:100]}")
            state = {"iterations": iterations, "slots": {}}
            for slot in slots:
                prefix = f"/optimizer/{slot}/"
                found = {n.removeprefix(prefix): s for n, (_, s, _) in self.tensors.items() if n.startswith(prefix)}
                names = self._matching(found, expected)
                check_arrays({names.get(name, name): shape for name, shape in found.items()}, expected)
                state["slots"][slot] = {names.get(name, name): self._read(prefix + name) for name in found}
            return state

    def _matching(self, found, expected):
        """`matching_names`; another program may have sorted the names of a file of minicnn, and kept what it says."""
        if self._order is not None and set(found) <= set(self._order):
            return matching_names({name: found[name] for name in self._order if name in found}, expected, in_order=True)
        may_be_sorted = list(found) == sorted(found) and any(max(_numbers(name)) >= 10 for name in found)
        return matching_names(found, expected, self._is_own and not may_be_sorted)

    def _read_finite(self, name):
        array = self._read(name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FileFormatError(f"weight '{name}' holds NaN or infinite values")
        return array

    def _read(self, name):
        """The tensor of that name."""
        dtype, shape, offset = self.tensors[name]
        array = np.empty(shape, dtype)
        self._file.seek(offset)
        if self._file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise FileFormatError(f"the file ends inside '{name}'")
        if array.dtype == np.bool_:
            array = array.view(np.uint8) != 0  # other bytes than 0 and 1 are no booleans
        return array

    def close(self) -> None:
        self._file.close()


def _are_names(order) -> bool:
    """Whether it is a list of names, each once."""
    return isinstance(order, list) and all(isinstance(name, str) for name in order) and len(set(order)) == len(order)


def _checked_tensors(header, start, size):
    """Name → (dtype, shape, offset in the file); the tensors fill the rest of the file without holes or overlaps."""
    tensors = {}
    for name, entry in header.items():
        received = f"Received: {name[:100]!r}: {str(entry)[:200]}"
        try:
            dtype, shape, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"]), entry["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise FileFormatError(
                f"a tensor has a dtype ({', '.join(DTYPES)}), shape and offsets. {received}"
            ) from None
        if not all(is_integer(n) and n >= 0 for n in (*shape, begin, end)) or len(shape) > MAX_AXES:
            raise FileFormatError(f"shape and offsets of a tensor are integers from 0 on. {received}")
        if begin + math.prod(shape) * dtype.itemsize != end:
            raise FileFormatError(f"a tensor's offsets and shape disagree. {received}")
        tensors[name] = dtype, shape, start + begin
    position = start
    for dtype, shape, offset in sorted(tensors.values(), key=lambda t: (t[2], math.prod(t[1]))):
        if offset != position:
            raise FileFormatError(f"the tensors overlap or leave holes, at byte {min(offset, position)}")
        position += math.prod(shape) * dtype.itemsize
    if position != size:
        raise FileFormatError(f"the tensors end at byte {position}. Received: a file of {size} bytes")
    return tensors


def matching_names(found: dict[str, Shape], expected: dict[str, Shape], in_order: bool) -> dict[str, str]:
    """A file's names → the model's, where the two differ only in the numbers that layers of one class are given.

    A model that was made twice in one session has "conv2d_2/kernel" where the file has "conv2d/kernel". Such names
    match in the file's order; in a file that another program wrote, in alphabetical order ("conv10" before "conv2"),
    in the order of the numbers. If neither gives the model's shapes, the names match all the same where all else in
    them agrees, so that an error names the layer.

    Parameters
    ----------
    found, expected : dict
        Name → shape.
    in_order : bool
        Whether the file's order is known to be the structure's, as in minicnn's own, alphabetical or not.
    """
    if set(found) == set(expected) or len(found) != len(expected):
        return {}
    ordered = dict(zip(found, expected, strict=True))
    pairings = [pairs for pairs in (ordered, _by_number(found, expected)) if _agree(pairs)]
    if not in_order and list(found) == sorted(found):
        pairings.reverse()
    fitting = [p for p in pairings if all(tuple(found[a]) == tuple(expected[b]) for a, b in p.items())]
    return next(iter(fitting or pairings), {})


def _agree(pairs) -> bool:
    return bool(pairs) and all(_unnumbered(a) == _unnumbered(b) for a, b in pairs.items())


def _by_number(found, expected) -> dict:
    """The names of each kind, in the order of the numbers in them, side by side; nothing if there are others."""
    (first, second), pairs = (_grouped(names) for names in (found, expected)), {}
    if {kind: len(names) for kind, names in first.items()} != {kind: len(names) for kind, names in second.items()}:
        return {}
    for kind, names in first.items():
        pairs |= zip(names, second[kind], strict=True)
    return pairs


def _grouped(names) -> dict:
    grouped = defaultdict(list)
    for name in sorted(names, key=_numbers):
        grouped[_unnumbered(name)].append(name)
    return grouped


def _unnumbered(name) -> tuple:
    """The name without the numbers at the ends of its parts."""
    return tuple(part.rstrip(DIGITS).rstrip("_") for part in name.split("/"))


def _numbers(name) -> list:
    """These numbers; one that is not there comes first."""
    return [int(part[len(part.rstrip(DIGITS)) :] or -1) for part in name.split("/")]


FORMAT: Format = Format((".safetensors",), write, Reader, kind=kinds.SAFETENSORS)
