"""Compiling kernels and calling them.

A kernel is compiled once per element type, when it is first called, and from then on its machine code is called
directly: Numba's own dispatch would cost more than some of the smaller kernels.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numba import njit, typeof, types
from numba.core.registry import cpu_target

from minicnn.backends.numba.machine import claims, pool
from minicnn.backends.numba.machine.compiled import OPTIONS, SharedCode, without_collector
from minicnn.backends.numba.machine.disk_cache import cache_of, file_of
from minicnn.backends.numba.machine.packed import note_packed_entry
from minicnn.backends.numba.machine.recording import call, wanted
from minicnn.backends.numba.machine.self_contained import SelfContained
from minicnn.compile_time import waiting_for_kernels
from minicnn.console import speaks

# Work for less than 20 µs of one core stays on one thread. The other one would save a few µs (measured: two threads are
# even with one at 10 µs, and win 30 % at 20 µs), but on a busy machine the threads that wait for each other at the end
# wait for the scheduler: 100 µs on average and up to 10 ms, dozens of times in a training step.
LEAST_PARALLEL_NANOSECONDS = 20_000


class Kernel:
    """A function for Numba that is called through its compiled entry point.

    Parameters
    ----------
    function : callable
        Takes arrays, ints, floats, and named tuples of arrays and ints; if `parallel`, before them the pool.
    typed : int
        So many leading arguments select the specialisation, by the types of arrays, and of named tuples by the lengths
        of the tuples in them; all others have a fixed type.
    parallel : bool
        Whether it has loops for several threads, see `in_parallel`.
    uses : sequence of SharedCode
        What it calls, for the element type of its first argument.
    compiler : class
        `SelfContained`, or `Plain`.
    """

    def __init__(
        self,
        function: Callable,
        typed: int = 1,
        parallel: bool = True,
        uses: Sequence[SharedCode] = (),
        compiler: type[SelfContained] = SelfContained,
    ):
        self._dispatcher = njit(pipeline_class=compiler, **OPTIONS)(function)
        self._typed, self._parallel, self._uses = typed, parallel, uses
        self._entries = {}

    def __call__(self, *arguments: object) -> Any:
        if self._is_foreseen(arguments):
            return True
        entry = self.entry(arguments)
        return call(entry, pool.pool().address, *arguments) if self._parallel else call(entry, *arguments)

    def launch(self, nanoseconds: float, *arguments: object, chunks: int = 2) -> Any:
        """Call the kernel, on one thread if more are not worth it. The result does not depend on that.

        Parameters
        ----------
        nanoseconds : float
            About how long one core is busy.
        *arguments
            The kernel's.
        chunks : int
            How many independent chunks of work there are.

        Returns
        -------
        What the kernel returns.
        """
        if self._is_foreseen(arguments):
            return True
        is_worth_it = chunks > 1 and nanoseconds >= LEAST_PARALLEL_NANOSECONDS
        return call(self.entry(arguments), pool.pool().address if is_worth_it else 0, *arguments, time=nanoseconds)

    def entry(self, arguments: Sequence[Any]) -> Callable:
        """What Python calls for arguments of such types, without the pool; compiled if it is not there yet."""
        key = self._key(arguments)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._compile(arguments)
        return entry

    def _key(self, arguments):
        first = arguments[0]
        key = first.dtype.char, first.ndim
        if self._typed > 1:
            key += tuple([_kind_of(a) for a in arguments[1 : self._typed]])
        return key

    def _kinds(self, arguments) -> tuple[types.Type, ...]:
        kinds = [_plain_type(typeof(a)) for a in arguments]
        return (types.int64, *kinds) if self._parallel else tuple(kinds)

    def _is_foreseen(self, arguments):
        """Whether nothing is called, but only noted which kernels would be: those that are not here yet."""
        if (noted := wanted()) is None:
            return False
        key = self._key(arguments)
        if key not in self._entries and (self, key) not in noted:
            noted[self, key] = self._kinds(arguments)
        return True

    def _compile(self, arguments):
        kinds = self._kinds(arguments)
        with _notice_of_waiting(), waiting_for_kernels():
            for code in self._uses:
                code.provide(typeof(arguments[0]).dtype)
            if self._parallel:
                pool.provide()
            claims.begin_or_wait(self.file(kinds))
            return self.compiled(kinds)

    def compiled(self, kinds: tuple[types.Type, ...]) -> Callable:
        """The entry for arguments of these types; what it calls must be provided."""
        self._dispatcher._cache = cache_of(self._dispatcher.py_func) or self._dispatcher._cache
        with without_collector():
            entry = self._dispatcher.compile(kinds)
        note_packed_entry(self._dispatcher.overloads[kinds])
        return entry

    @property
    def place(self) -> tuple[str, str] | None:
        """Module and name where the kernel is found; None for one that is made when it is wanted."""
        function = self._dispatcher.py_func
        module = sys.modules.get(function.__module__)
        found = getattr(module, function.__name__, None) is self
        return (function.__module__, function.__name__) if found else None

    def is_on_disk(self, kinds: tuple[types.Type, ...]) -> bool:
        """Whether its machine code for these types is kept."""
        path = self.file(kinds)
        try:
            return path is not None and path.exists()
        except OSError:
            return False

    def file(self, kinds: tuple[types.Type, ...]) -> Path | None:
        """Where its machine code for these types is kept; None if it cannot be."""
        return file_of(self._dispatcher.py_func, kinds, cpu_target.target_context.codegen())

    def symbols(self, kinds: tuple[types.Type, ...]) -> list[str]:
        """The names of what it calls."""
        first = kinds[1 if self._parallel else 0]
        return [pool.RUN_SYMBOL, *(code.symbol(first.dtype) for code in self._uses)]


def serial_kernel(function: Callable | None = None, *, typed: int = 1) -> Any:
    """Decorator: a kernel that runs on the calling thread only, and so may run beside another kernel."""
    return Kernel(function, typed, parallel=False) if function else lambda f: Kernel(f, typed, parallel=False)


def parallel_kernel(function: Callable | None = None, *, typed: int = 1, **options: Any) -> Any:
    """Decorator: a kernel with loops that run on several threads; its first parameter is the pool.

    `options` are others of `Kernel`.
    """
    return Kernel(function, typed, **options) if function else lambda f: Kernel(f, typed, **options)


def _kind_of(argument):
    """What of a further argument selects the specialisation."""
    if isinstance(argument, tuple):
        return tuple([len(part) for part in argument if type(part) is tuple])
    return argument.dtype.char, argument.ndim


def _plain_type(kind):
    """One type for read-only and writable arrays, in named tuples too: nothing else would tell them apart later."""
    if isinstance(kind, types.Array):
        return types.Array(kind.dtype, kind.ndim, "C")
    if isinstance(kind, types.BaseNamedTuple):
        return types.BaseTuple.from_types([_plain_type(field) for field in kind.types], kind.instance_class)
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
        if speaks():
            print("compiling kernels…", file=sys.stderr, flush=True)
