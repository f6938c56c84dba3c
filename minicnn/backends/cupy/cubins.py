"""Machine code for architectures that CuPy's modules are not compiled for, kept on disk.

CuPy compiles for sm_90, where sm_90a has instructions of its own.
"""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

from cupy.cuda import nvrtc

from minicnn.cache_folder import cache_folder

FOLDER = "cubins"  # in the folder of all caches
OPTIONS = ("-ftz=true",)  # those of CuPy


def cubin(text: str, options: tuple[str, ...], architecture: str) -> Path:
    """A file with the machine code of a source.

    It stays in the cache folder, under a name that tells source, options, architecture and compiler, and what it holds:
    a damaged file is none. Where nothing can be written, it lies in a temporary folder as long as the process lives.

    Parameters
    ----------
    text : str
    options : tuple of str
        Of the compiler, but for the architecture.
    architecture : str
        Such as "sm_90a".

    Raises
    ------
    RuntimeError
        If the compiler refuses it, with what it says.
    OSError
        If there is no place for a file at all.
    """
    options = (*options, *OPTIONS, f"-arch={architecture}")
    key = _digest(repr((text, options, nvrtc.getVersion())).encode())
    try:
        folder = cache_folder() / FOLDER
        if found := _kept(folder, key):
            return found
    except (OSError, RuntimeError):  # it cannot be read; there is no home folder
        folder = _temporary()
    code = _compiled(text, options)
    try:
        return _keep(folder, key, code)
    except OSError:  # the disk is full, or must not be written to
        return _keep(_temporary(), key, code)


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:24]


def _kept(folder, key):
    for path in folder.glob(f"{key}-*.cubin"):
        if path.name == _name(key, path.read_bytes()):
            return path
    return None


def _name(key, code):
    return f"{key}-{_digest(code)}.cubin"


@cache
def _temporary():
    folder = tempfile.TemporaryDirectory(prefix="minicnn-")
    _folders.append(folder)  # which deletes it when the process ends
    return Path(folder.name)


_folders: list[tempfile.TemporaryDirectory[str]] = []


def _keep(folder, key, code):
    folder.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(code)
        path = folder / _name(key, code)
        os.replace(unfinished, path)  # whole or not at all, for whoever reads it meanwhile
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return path


def _compiled(text, options):
    program = nvrtc.createProgram(text, "kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        return nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError as error:
        raise RuntimeError(f"{error}\n{nvrtc.getProgramLog(program)[-2000:]}") from error
    finally:
        nvrtc.destroyProgram(program)
