"""What a file is, from its first bytes: a download is not always what its name says."""

import os
from pathlib import Path

from minicnn.errors import FileFormatError

BEGINNING = 512  # bytes that are looked at

SAFETENSORS, ARCHIVE, HDF5, ONNX = "a safetensors file", "a zip archive", "an HDF5 file", "an ONNX file"
RENAMED = {SAFETENSORS: ".safetensors", ARCHIVE: ".keras", HDF5: ".h5", ONNX: ".onnx, for mc.import_onnx"}

PICKLES = tuple(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5))
SIGNATURES = (
    (b"version https://git-lfs", "a pointer of Git LFS instead of the file; fetch it with `git lfs pull`"),
    (b"PK\x03\x04", ARCHIVE),
    (b"\x89HDF\r\n\x1a\n", HDF5),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "gzip data; unpack it first"),
    (b"BZh", "bzip2 data; unpack it first"),
    (b"\xfd7zXZ", "xz data; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"\x93NUMPY", "a NumPy array; read it with numpy.load, and copy it with set_weights"),
    (b"GGUF", "a GGUF file"),
    *((start, "a pickle, such as PyTorch writes; it could run code and is not read") for start in PICKLES),
)


def beginning(path: Path) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(BEGINNING)


def check_kind(path: Path, expected: str) -> None:
    """Raise `FileFormatError` if a file is known to be of another kind than `expected`, one of the values above."""
    start, size = beginning(path), os.stat(path).st_size
    if _has_kind(start, size, expected) and not foreign_archive(start):
        return
    kind = next((text for signature, text in SIGNATURES if start.startswith(signature)), None)
    kind = kind or ("a TensorFlow Lite model" if start[4:8] == b"TFL3" else None)
    kind = kind or next((k for k in (SAFETENSORS, ONNX) if _has_kind(start, size, k)), None) or _text_kind(start)
    if kind is None:
        return
    foreign = foreign_archive(start)
    kind, expected = foreign or kind, "one that Keras or minicnn wrote" if foreign and expected == ARCHIVE else expected
    hint = f"; if it shall be one of minicnn's or Keras's, its name ends in {RENAMED[kind]}" if kind in RENAMED else ""
    raise FileFormatError(f"expected {expected}{hint}. Received: {kind}")


def foreign_archive(start: bytes) -> str | None:
    """Which zip archive of another program a file is, if it is one."""
    if not start.startswith(b"PK\x03\x04"):
        return None
    if b".npy" in start[30:200]:
        return "a NumPy archive (.npz); read it with numpy.load, and copy it with set_weights"
    if b"data.pkl" in start[30:200] or b"/.data/serialization_id" in start[30:200]:
        return "a PyTorch file; it could run code and is not read: use torch.onnx.export and mc.import_onnx"
    return None


def _has_kind(start, size, kind) -> bool:
    if kind == SAFETENSORS:
        return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= max(size - 8, 0)
    if kind == ONNX:  # a protocol buffer: the format's version (field 1), then a text or a graph
        return start[:1] == b"\x08" and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42")
    return any(start.startswith(signature) for signature, text in SIGNATURES if text == kind)


def _text_kind(start) -> str | None:
    """What a file without a signature is, if it is empty, zeros or text."""
    if not start.strip(b"\0"):
        return "zeros, as an interrupted download leaves them" if start else "an empty file"
    try:
        text = start.decode().strip()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # not a letter that the end of `start` cuts
            return None
        text = start[: error.start].decode().strip()
    if not all(letter.isprintable() or letter in "\r\n\t" for letter in text):
        return None
    if text[:15].lower().startswith(("<!doctype html", "<html")):
        return "an HTML page, such as a server's error message"
    return f"a text that begins with {' '.join(text.split())[:40]!r}"


def kind_of(path: Path) -> str | None:
    """Which of the kinds that have a suffix of their own a file is; None for others."""
    start, size = beginning(path), os.stat(path).st_size
    if foreign_archive(start):
        return None
    return next((kind for kind in (ARCHIVE, HDF5, SAFETENSORS) if _has_kind(start, size, kind)), None)
