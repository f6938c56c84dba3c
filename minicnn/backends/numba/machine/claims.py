"""Which kernels two processes that compile beside each other have begun: none is compiled by both.

A claim is an empty file in a folder of the two. Who comes second to a kernel gets the other's machine code from the
disk: the other began earlier, so that is sooner than compiling it again.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_MOST_SECONDS = 20  # that one process waits for the other, which may have been stopped
_PAUSE = 0.005

_shared = []  # the folder, and how to ask whether the other process runs; nothing without one
_own = set()  # names of what this process has begun, and may begin again where Ctrl-C interrupted it


def begin(folder: str, name: str) -> bool:
    """Claim a kernel. Returns False if the other process has it already.

    Parameters
    ----------
    folder : str
        Of the two processes.
    name : str
        Of the kernel's file on the disk.
    """
    try:
        os.close(os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError:  # a folder that is full or gone: then both may compile it
        return True
    return True


def begin_or_wait(file: Path | None) -> None:
    """Claim a kernel, or wait until the other process has compiled it, or has ended.

    Parameters
    ----------
    file : Path or None
        Where the kernel's machine code is kept.
    """
    shared = tuple(_shared)  # another thread, or the end of the interpreter, may clear it meanwhile
    if not shared or file is None or file.name in _own:
        return
    folder, other_runs = shared
    if _exists(file):
        return
    if begin(folder, file.name):
        _own.add(file.name)
        return
    end = time.monotonic() + _MOST_SECONDS
    while not _exists(file) and other_runs() and time.monotonic() < end:
        time.sleep(_PAUSE)


def _exists(file):
    """Whether there is a file; nothing is waited for in a folder that may not be read any more."""
    try:
        return file.exists()
    except OSError:
        return True


def new_folder() -> str:
    """A folder for two processes; that of earlier ones is removed."""
    remove_folder()
    folder = tempfile.mkdtemp(prefix="minicnn-")
    share(folder, lambda: False)
    return folder


def share(folder: str, other_runs: Callable[[], bool]) -> None:
    """Let this process wait for another one."""
    _own.clear()
    _shared[:] = [folder, other_runs]


def remove_folder() -> None:
    """End it: the other process has ended."""
    with contextlib.suppress(IndexError):
        shutil.rmtree(_shared[0], ignore_errors=True)
    forget()


def forget() -> None:
    """The other process is not this one's, but its parent's."""
    _own.clear()
    _shared.clear()
