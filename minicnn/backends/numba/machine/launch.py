"""Compiling kernels, keeping them on disk, and calling them.

A kernel is compiled once per element type, when it is first called, and from then on its machine code is called
directly: Numba's own dispatch would cost more than some of the smaller kernels. The disk cache is stamped with a hash
of every source in this package, because Numba's own stamp looks at the kernel's file alone and would run stale code
after a change elsewhere.
"""

import contextlib
import hashlib
import pickle
import shutil
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path

import llvmlite.binding
from numba import get_num_threads, njit, set_num_threads, typeof, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.ccallback import CFunc
from numba.core.serialize import dumps

from minicnn.cache_folder import cache_folder

_BACKENDS = Path(__file__).parents[2]
_SECONDS_KEPT = 30 * 24 * 3600

# Work for less than 20 µs of one core stays on one thread. The other one would save a few µs (measured: two threads are
# even with one at 10 µs, and win 30 % at 20 µs), but on a busy machine the threads that wait for each other at the end
# wait for the scheduler: 100 µs on average and up to 10 ms, dozens of times in a training step.
LEAST_PARALLEL_NANOSECONDS = 20_000

MOST_PARTS = 32  # of a batch: keeps as many cores busy, and a part's scratch memory serves several images
MOST_PARTS_WITH_SUMS = 8  # where each part keeps a sum as large as the kernel, which has to be added up

# No "nnan" or "ninf": NaN must stay NaN, an error that vanishes is worse than an error.
_OPTIONS = {"fastmath": {"contract", "reassoc", "nsz"}, "nogil": True, "boundscheck": False, "error_model": "numpy"}

# A function that kernels are made of: compiled as a part of each of them.
part = njit(**_OPTIONS)


class SharedCode:
    """A function that is compiled once per element type and called by kernels through its address.

    Numba copies what is decorated with `part` into every kernel that calls it, and optimises it there again and again.
    The matrix product is too large for that.

    Parameters
    ----------
    function : callable
        Takes pointers and numbers.
    types_of : callable
        The argument types for a Numba element type.
    """

    def __init__(self, function, types_of):
        self.types_of = types_of
        self._function = function
        self._compiled = {}

    def symbol(self, scalar) -> str:
        """The name that kernels call."""
        return f"minicnn_{self._function.__name__}_{scalar}"

    def provide(self, scalar):
        """Have the machine code in memory, and its name known to the linker."""
        if scalar in self._compiled:
            return
        code = CFunc(self._function, (self.types_of(scalar), types.void), locals={}, options=_OPTIONS)
        if kernel_folder() is not None:
            code._cache = _KernelCache(self._function)
        code.compile()
        llvmlite.binding.add_symbol(self.symbol(scalar), code.address)
        self._compiled[scalar] = code


class Kernel:
    """A function for Numba that is called through its compiled entry point.

    Parameters
    ----------
    function : callable
        Takes arrays, ints, floats, and named tuples of arrays and ints.
    typed : int
        The types of so many leading array arguments select the specialisation; all others have a fixed type.
    parallel : bool
        Whether its `prange` loops run on several threads.
    uses : sequence of SharedCode
        What it calls, for the element type of its first argument.
    """

    def __init__(self, function, typed=1, parallel=True, uses=()):
        self._dispatcher = njit(parallel=parallel, **_OPTIONS)(function)
        self._typed, self._uses = typed, uses
        self._entries = {}

    def __call__(self, *arguments):
        return self._entry(arguments)(*arguments)

    def run(self, nanoseconds, *arguments, parts=2):
        """Call the kernel, on one thread if more are not worth it. The result does not depend on that.

        Parameters
        ----------
        nanoseconds : int
            About how long one core is busy.
        parts : int
            How many independent parts there are.
        """
        entry = self._entry(arguments)
        threads = get_num_threads()
        if threads == 1 or (parts > 1 and nanoseconds >= LEAST_PARALLEL_NANOSECONDS):
            return entry(*arguments)
        set_num_threads(1)
        try:
            return entry(*arguments)
        finally:
            set_num_threads(threads)

    def _entry(self, arguments):
        key = tuple([(a.dtype.char, a.ndim) for a in arguments[: self._typed]])
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._compile(arguments)
        return entry

    def _compile(self, arguments):
        if kernel_folder() is not None and not isinstance(self._dispatcher._cache, _KernelCache):
            self._dispatcher._cache = _KernelCache(self._dispatcher.py_func)
        with _notice_of_waiting():
            for code in self._uses:
                code.provide(typeof(arguments[0]).dtype)
            return self._dispatcher.compile(tuple(_argument_type(a) for a in arguments))


def serial_kernel(function=None, *, typed=1):
    """Decorator: a kernel that runs on the calling thread only, and so may run beside another kernel."""
    return Kernel(function, typed, parallel=False) if function else lambda f: Kernel(f, typed, parallel=False)


def parallel_kernel(function=None, *, typed=1, uses=()):
    """Decorator: a kernel whose `prange` loops run on Numba's threads."""
    return Kernel(function, typed, uses=uses) if function else lambda f: Kernel(f, typed, uses=uses)


def _argument_type(argument):
    kind = typeof(argument)
    if isinstance(kind, types.Array):  # one specialisation for read-only and writable arrays
        return types.Array(kind.dtype, kind.ndim, "C")
    return kind


# ----------------------------------------------------------------------------------------------------- waiting

_noticed = threading.Event()


@contextlib.contextmanager
def _notice_of_waiting(seconds=1.0):
    """Say once per process what it is waiting for, when a compilation takes longer than `seconds`."""
    timer = threading.Timer(seconds, _notice)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _notice():
    if not _noticed.is_set():
        _noticed.set()
        print("compiling kernels…", file=sys.stderr, flush=True)


# -------------------------------------------------------------------------------------------------- disk cache


@cache
def sources_hash() -> str:
    """Hash of every source file that can change a kernel."""
    digest = hashlib.sha256()
    for folder in (_BACKENDS / "numba", _BACKENDS / "reference"):
        for source in sorted(folder.rglob("*.py")):
            digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


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


def _remove_old_folders(parent):
    """Remove kernels of other versions that nobody has added to for a month."""
    for folder in parent.glob("kernels-*"):
        if time.time() - folder.stat().st_mtime > _SECONDS_KEPT:
            shutil.rmtree(folder, ignore_errors=True)


class _KernelLocator(_CacheLocator):
    """Tells Numba the folder and the stamp of this package's kernels."""

    def __init__(self, py_func, py_file):
        self._py_file, self._line = py_file, py_func.__code__.co_firstlineno

    def get_cache_path(self):
        return str(kernel_folder())

    def get_source_stamp(self):
        return sources_hash()

    def get_disambiguator(self):
        return str(self._line)

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


class _KernelCache(FunctionCache):
    """Numba's disk cache in our folder; a disk that is full or gone, and files that are damaged, cost only time."""

    _impl_class = _KernelCacheImpl

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
