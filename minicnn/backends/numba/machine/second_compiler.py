"""A second process that compiles kernels while this one does, where none is on the disk yet.

Most of Numba's compiler is Python, so threads would not help. What a plan will need is known before it runs: the second
process compiles it from the end, this one as it goes, and whoever comes to a kernel that the other has finished reads
it from the disk. Where they meet, this one waits for a kernel that the other has begun (`claims`); where there is no
second process, all is compiled here.
"""

import atexit
import contextlib
import ctypes
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

import llvmlite.binding

from minicnn.backends.numba.machine import claims
from minicnn.backends.numba.machine.disk_cache import kernel_folder
from minicnn.backends.numba.machine.recording import foreseen
from minicnn.processors import default_threads

_INTERPRETER = r"python(w|[\d.]*t?)(\.exe)?"
_FEWEST = 3  # kernels: for fewer, starting a process is not worth it
_PROGRAM = f"""
import sys
sys.path[:] = filter(None, sys.path)  # not the current folder, which may hold anything
import pickle
sys.path[:] = pickle.load(sys.stdin.buffer)
from {__name__} import compile_all
compile_all(*pickle.load(sys.stdin.buffer))
"""

_running = []  # the second process, if there was one


def compile_beside(works: Iterable[Callable[[], None]]) -> None:
    """Have a second process compile what works will call, if that takes long.

    Parameters
    ----------
    works : iterable of callable
        As for `foreseen`.
    """
    if not _can_help():
        return
    tasks = [(kernel.place, kinds) for (kernel, _), kinds in foreseen(works).items() if _is_missing(kernel, kinds)]
    if len(tasks) >= _FEWEST:
        _start(tasks[::-1])


def _can_help():
    name = Path(sys.executable or "").name.lower()
    is_python = re.fullmatch(_INTERPRETER, name) and not getattr(sys, "frozen", False)  # a program that runs our code
    is_busy = bool(_running) and _running[0].poll() is None
    return bool(is_python) and not is_busy and default_threads() > 1 and kernel_folder() is not None


def _is_missing(kernel, kinds):
    return kernel.place is not None and not kernel.is_on_disk(kinds)


def _start(tasks):
    """Start the process; where the system does not let us, nothing is lost."""
    quiet, window = subprocess.DEVNULL, getattr(subprocess, "CREATE_NO_WINDOW", 0)
    with contextlib.suppress(Exception):
        folder = claims.new_folder()
        data = pickle.dumps(sys.path) + pickle.dumps((tasks, folder))
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, creationflags=window
        )
        _running[:] = [process]
        claims.share(folder, lambda: process.poll() is None)
        process.stdin.write(data)
        process.stdin.close()


@atexit.register
def _stop():
    for process in _running:
        process.kill()
        process.wait()
    _running.clear()
    claims.remove_folder()


def _forget():
    """It is the parent's: a forked child neither waits for it nor warns of it."""
    for process in _running:
        process.returncode = 0
    _running.clear()
    claims.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# ------------------------------------------------------------------------------------------- in the second process


def compile_all(tasks: list, folder: str) -> None:
    """Compile kernels, those that are not on the disk yet, while the process that asked lives.

    Parameters
    ----------
    tasks : list of ((str, str), tuple of numba type)
        A kernel's `place`, and the types of its arguments.
    folder : str
        See `claims`. It is removed in the end: who asked may have been killed.
    """
    anything = ctypes.cast(ctypes.pythonapi.Py_IncRef, ctypes.c_void_p).value  # what kernels call is never called here
    parent = os.getppid()  # under Windows perhaps a launcher of this process
    try:
        for (module, name), kinds in tasks:
            if os.getppid() != parent:
                return
            kernel = getattr(import_module(module), name)
            for symbol in kernel.symbols(kinds):
                llvmlite.binding.add_symbol(symbol, anything)
            if not kernel.is_on_disk(kinds) and claims.begin(folder, kernel.file(kinds).name):
                kernel.compiled(kinds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
