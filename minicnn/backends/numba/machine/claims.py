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
    if not _shared or file is None or file.exists() or begin(_shared[0], file.name):
        return
    end = time.monotonic() + _MOST_SECONDS
    while not file.exists() and _shared[1]() and time.monotonic() < end:
        time.sleep(_PAUSE)


def new_folder() -> str:
    """A folder for two processes; that of earlier ones is removed."""
    remove_folder()
    folder = tempfile.mkdtemp(prefix="minicnn-")
    share(folder, lambda: False)
    return folder


def share(folder: str, other_runs: Callable[[], bool]) -> None:
    """Let this process wait for another one."""
    _shared[:] = [folder, other_runs]


def remove_folder() -> None:
    """End it: the other process has ended."""
    with contextlib.suppress(IndexError):
        shutil.rmtree(_shared[0], ignore_errors=True)
    forget()


def forget() -> None:
    """The other process is not this one's, but its parent's."""
    _shared.clear()
