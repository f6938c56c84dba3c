"""Machine code on disk, under a name that holds a hash of all sources it depends on.

Numba's own stamp looks at the kernel's file alone and would run stale code after a change elsewhere.
"""

import contextlib
import hashlib
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.serialize import dumps

from minicnn.cache_folder import cache_folder

_PACKAGE = Path(__file__).parents[3]
_KERNELS = _PACKAGE / "backends" / "numba"
_SECONDS_KEPT = 30 * 24 * 3600


def hash_of_sources(package: Path) -> str:
    """Hash of every source file below the folder `package` (minicnn's) that can change a kernel's machine code."""
    digest = hashlib.sha256()
    folders = (package / "backends" / "numba", package / "backends" / "reference")
    for source in (*(s for folder in folders for s in sorted(folder.rglob("*.py"))), package / "geometry.py"):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def sources_hash() -> str:
    """`hash_of_sources` of the package that runs."""
    return hash_of_sources(_PACKAGE)


@cache
def kernel_folder() -> Path | None:
    """Where compiled kernels are kept, in the cache folder; None if it cannot be written."""
    try:
        folder = cache_folder() / f"kernels-{sources_hash()}"
        if not folder.exists():
            _remove_old_folders(folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return None
    return folder


def cache_of(function: Callable) -> FunctionCache | None:
    """Numba's cache object for a kernel's function; None if nothing can be kept."""
    return None if kernel_folder() is None else _KernelCache(function)


def file_of(function: Callable, kinds: tuple, codegen: object) -> Path | None:
    """Where a function's machine code for arguments of these types is kept; None if nothing can be.

    Parameters
    ----------
    function : callable
    kinds : tuple of numba type
    codegen : object
        Numba's code generator, which knows the processor.
    """
    cache = cache_of(function)
    return None if cache is None else cache._cache_file.path_of(cache._index_key(kinds, codegen))


def _remove_old_folders(parent):
    """Remove kernels of other versions that nobody has added to for a month."""
    for folder in parent.glob("kernels-*"):
        if time.time() - folder.stat().st_mtime > _SECONDS_KEPT:
            shutil.rmtree(folder, ignore_errors=True)


class _KernelLocator(_CacheLocator):
    """Tells Numba the folder and the stamp of this package's kernels."""

    def __init__(self, py_func, py_file):
        self._file, self._line = Path(py_file), py_func.__code__.co_firstlineno

    def get_cache_path(self):
        return str(kernel_folder())

    def get_source_stamp(self):
        return sources_hash()

    def get_disambiguator(self):
        # Numba adds the function's name, and of its path only the file's name: several folders may hold equal ones.
        is_ours = self._file.is_relative_to(_KERNELS)
        parts = self._file.relative_to(_KERNELS).with_suffix("").parts if is_ours else (self._file.stem,)
        return "-".join((*parts, str(self._line)))

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)


class _KernelCacheImpl(CompileResultCacheImpl):
    """Machine code with a checksum: damaged code would not raise an error, but run."""

    _locator_classes = (_KernelLocator,)

    def reduce(self, data):
        code = dumps(super().reduce(data))
        return hashlib.sha256(code).digest(), code

    def rebuild(self, target_context, payload):
        checksum, code = payload
        if hashlib.sha256(code).digest() != checksum:
            raise pickle.UnpicklingError("damaged machine code")
        return super().rebuild(target_context, pickle.loads(code))


class _Files:
    """A file for each kind of arguments of a function, under a hash of what they are.

    Numba numbers its files, and keeps an index of them. Of two processes that compile the same function for different
    arguments at once, each may then write the number of the other's code beside its own arguments, for good.
    """

    def __init__(self, function_name):
        self._function_name = function_name

    def path_of(self, key):
        return kernel_folder() / f"{self._function_name}.{hashlib.sha256(_text_of(key)).hexdigest()[:24]}.nbc"

    def load(self, key):
        try:
            text, data = pickle.loads(self.path_of(key).read_bytes())
        except FileNotFoundError:
            return None
        return data if text == _text_of(key) else None

    def save(self, key, data):
        path = self.path_of(key)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
            try:
                file.write(dumps((_text_of(key), data)))
                file.close()
                os.replace(file.name, path)  # whole or not at all, for whoever reads it meanwhile
            except BaseException:
                with contextlib.suppress(OSError):  # the disk is full
                    file.close()
                os.unlink(file.name)
                raise


def _text_of(key):
    """What tells machine code of one function apart: types of arguments, the processor, what a closure holds."""
    signature, *others = key
    kinds = getattr(signature, "args", signature)  # a Signature names the result too, which follows
    return repr((numba.__version__, [str(kind) for kind in kinds], others)).encode()


class _KernelCache(FunctionCache):
    """Numba's disk cache in our folder; a disk that is full or gone, and files that are damaged, cost only time."""

    _impl_class = _KernelCacheImpl

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Files(self._impl.filename_base)

    @contextlib.contextmanager
    def _guard_against_spurious_io_errors(self):  # Numba loads and saves inside
        try:
            yield
        except OSError:
            pass
        except Exception:  # unpickling damaged bytes may raise anything
            for file in kernel_folder().glob(f"{self._impl.filename_base}.*"):
                with contextlib.suppress(OSError):
                    file.unlink()
