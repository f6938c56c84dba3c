"""``tf.io.gfile``: files and folders of this machine."""

from __future__ import annotations

import glob as _glob
import os
import shutil
from typing import Any

__all__ = ["copy", "exists", "glob", "isdir", "listdir", "makedirs", "mkdir", "remove", "rmtree", "walk"]

exists, isdir, listdir, mkdir, remove, walk = (
    *(os.path.exists, os.path.isdir, os.listdir, os.mkdir, os.remove, os.walk),
)
rmtree, GFile = shutil.rmtree, open
# Names of TensorFlow 1.
Exists, IsDirectory, ListDirectory, Remove, Walk, Open, DeleteRecursively = (
    *(exists, isdir, listdir, remove, walk, open, rmtree),
)


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


Glob, MakeDirs, Copy = glob, makedirs, copy
