"""Tensors of an ONNX file that lie in files beside it, as PyTorch's exporter writes them; no other file is opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from minicnn.errors import FileFormatError
from minicnn.hints import FilePath

if TYPE_CHECKING:
    from onnx import TensorProto

MAX_DIGITS = 18
"""Of a position in a file: Python's integers have no end, and reading one takes time."""


class External:
    """The files of numbers beside a model.

    A file is one in the model's own folder, and no link: whatever else a name says is refused before anything is
    opened. All tensors together hold no more bytes than the files do, so that a few bytes are not named a thousand
    times.

    Parameters
    ----------
    path : str or path
        Of the model.
    most : int
        How many bytes may be read in all.
    """

    def __init__(self, path: FilePath, most: int) -> None:
        self._folder = Path(path).parent
        self._most, self._left = most, {}  # bytes that may still be read: in all, and of each file

    def read(self, tensor: TensorProto, needed: int) -> bytes:
        """The bytes of a tensor, which are `needed`.

        Raises
        ------
        FileFormatError
            If they lie anywhere but in a file beside the model, or not all there.
        """
        label, said = f"tensor '{tensor.name[:100]}'", {entry.key: entry.value for entry in tensor.external_data}
        path = self._folder / _checked_name(label, said.get("location", ""))
        size = self._size(label, path)
        offset, length = (_number(label, key, said.get(key), default) for key, default in _DEFAULTS.items())
        length = size - offset if length is None else length
        if length != needed or not 0 <= offset <= size - needed:
            raise FileFormatError(
                f"{label} takes {needed} bytes of '{path.name}', which has {size}. "
                f"Received: offset={offset}, length={length}"
            )
        self._most, self._left[path] = self._most - needed, self._left[path] - needed
        if self._most < 0 or self._left[path] < 0:
            raise FileFormatError(f"{label}: the tensors take more bytes than '{path.name}' has, or than are read here")
        with os.fdopen(os.open(path, os.O_RDONLY | _PLAIN), "rb") as file:
            file.seek(offset)
            data = file.read(needed)
        if len(data) != needed:
            raise FileFormatError(f"{label}: '{path.name}' ends before its {needed} bytes do")
        return data

    def _size(self, label, path) -> int:
        """Bytes of a file, which is there, and no link, pipe or folder."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            raise FileFormatError(
                f"{label} lies in another file, '{path.name}', which is not beside this one: put both into one folder"
            ) from None
        if not stat.S_ISREG(found.st_mode):
            raise FileFormatError(f"{label} lies in '{path.name}', which is no file but a link, a folder or a pipe")
        self._left.setdefault(path, found.st_size)
        return found.st_size


_DEFAULTS = {"offset": 0, "length": None}
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def _checked_name(label, location) -> str:
    """The name of a file in the model's folder: without any folder, on whatever system."""
    name = location.removeprefix("./")
    if name in ("", ".", "..") or PureWindowsPath(name).name != name or "\0" in name:
        raise FileFormatError(
            f"{label} lies in another file, which is only opened beside the model: a name without folders. "
            f"Received: location={location[:200]!r}"
        )
    return name


def _number(label, key, text, default):
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
    if number is None:
        raise FileFormatError(f"{label}: {key} is a number of bytes. Received: {text[:100]!r}")
    return number
