"""``tf.io.gfile``: files and folders of this machine."""

from __future__ import annotations

import glob as _glob
import os
import shutil
from collections.abc import Callable
from typing import Any

from minicnn.keras._names import Lookup, lookup

__all__ = ["copy", "exists", "glob", "isdir", "listdir", "makedirs", "mkdir", "remove", "rmtree", "walk"]

exists: Callable[..., bool] = os.path.exists
isdir: Callable[..., bool] = os.path.isdir
listdir: Callable[..., list[str]] = os.listdir
mkdir: Callable[..., None] = os.mkdir
remove: Callable[..., None] = os.remove
walk: Callable[..., Any] = os.walk
rmtree: Callable[..., None] = shutil.rmtree
GFile: Callable[..., Any] = open


def glob(pattern: Any) -> list[str]:
    """The paths that a pattern, or one of several, matches."""
    patterns = [pattern] if isinstance(pattern, str | os.PathLike) else pattern
    return [path for each in patterns for path in sorted(_glob.glob(os.fspath(each)))]


def makedirs(path: Any) -> None:
    """Make a folder, and those above it, where it is not there."""
    os.makedirs(path, exist_ok=True)


def copy(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Copy a file.

    Raises
    ------
    FileExistsError
        If there is one and `overwrite` is false.
    """
    if os.path.exists(dst) and not overwrite:
        raise FileExistsError(f"overwrite=True replaces a file. Received: {dst}, which is there")
    shutil.copy(src, dst)


# Names of TensorFlow 1.
Exists: Callable[..., bool] = exists
IsDirectory: Callable[..., bool] = isdir
ListDirectory: Callable[..., list[str]] = listdir
Remove: Callable[..., None] = remove
Walk: Callable[..., Any] = walk
Open: Callable[..., Any] = open
DeleteRecursively: Callable[..., None] = rmtree
Glob: Callable[..., list[str]] = glob
MakeDirs: Callable[..., None] = makedirs
Copy: Callable[..., None] = copy

__getattr__: Lookup = lookup(__name__)
