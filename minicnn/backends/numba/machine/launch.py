"""Compiling kernels and calling them.

A kernel is compiled once per element type, when it is first called, and from then on its machine code is called
directly: Numba's own dispatch would cost more than some of the smaller kernels.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import llvmlite.binding
from numba import njit, typeof, types
from numba.core.ccallback import CFunc
from numba.np.ufunc import parallel

from minicnn.backends.numba.machine.disk_cache import cache_of
from minicnn.backends.numba.machine.self_contained import SelfContained

# Work for less than 20 µs of one core stays on one thread. The other one would save a few µs (measured: two threads are
# even with one at 10 µs, and win 30 % at 20 µs), but on a busy machine the threads that wait for each other at the end
# wait for the scheduler: 100 µs on average and up to 10 ms, dozens of times in a training step.
LEAST_PARALLEL_NANOSECONDS = 20_000

# No "nnan" or "ninf": NaN must stay NaN, an error that vanishes is worse than an error.
_OPTIONS = {"fastmath": {"contract", "reassoc", "nsz"}, "nogil": True, "boundscheck": False, "error_model": "numpy"}

_Function = TypeVar("_Function", bound=Callable)


def inline(function: _Function) -> _Function:
    """Decorator: a function that kernels are made of, compiled into each of them. Its `prange` is a plain `range`."""
    return njit(**_OPTIONS)(function)


def parallel_inline(function: _Function) -> _Function:
    """Decorator: `inline` for a function with `prange`; kernels call it outside of their own `prange`."""
    return njit(parallel=True, **_OPTIONS)(function)


class SharedCode:
    """A function that is compiled once per element type and called by kernels through its address.

    Numba copies what is decorated with `inline` into every kernel that calls it, and optimises it there again and
    again. The matrix product is too large for that.

    Parameters
    ----------
    function : callable
        Takes pointers and numbers.
    types_of : callable
        The argument types for a Numba element type.
    """

    def __init__(self, function: Callable, types_of: Callable):
        self.types_of = types_of
        self._function = function
        self._compiled = {}

    def symbol(self, scalar: types.Type) -> str:
        """The name that kernels call."""
        return f"minicnn_{self._function.__name__}_{scalar}"

    def provide(self, scalar: types.Type) -> None:
        """Have the machine code in memory, and its name known to the linker."""
        if scalar in self._compiled:
            return
        signature = (self.types_of(scalar), types.void)
        code = CFunc(self._function, signature, locals={}, options=_OPTIONS, pipeline_class=SelfContained)
        code._cache = cache_of(self._function) or code._cache
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

    def __init__(self, function: Callable, typed: int = 1, parallel: bool = True, uses: Sequence[SharedCode] = ()):
        self._dispatcher = njit(parallel=parallel, pipeline_class=SelfContained, **_OPTIONS)(function)
        self._typed, self._uses = typed, uses
        self._entries = {}

    def __call__(self, *arguments: object) -> Any:
        return self._entry(arguments)(*arguments)

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
        entry = self._entry(arguments)
        if chunks > 1 and nanoseconds >= LEAST_PARALLEL_NANOSECONDS:
            return entry(*arguments)
        threads = parallel._get_num_threads()  # the public ones take locks, for longer than small kernels compute
        if threads == 1:
            return entry(*arguments)
        parallel._set_num_threads(1)
        try:
            return entry(*arguments)
        finally:
            parallel._set_num_threads(threads)

    def _entry(self, arguments):
        key = tuple([(a.dtype.char, a.ndim) for a in arguments[: self._typed]])
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._compile(arguments)
        return entry

    def _compile(self, arguments):
        self._dispatcher._cache = cache_of(self._dispatcher.py_func) or self._dispatcher._cache
        parallel._launch_threads()  # before their number is asked for
        with _notice_of_waiting():
            for code in self._uses:
                code.provide(typeof(arguments[0]).dtype)
            return self._dispatcher.compile(tuple(_argument_type(a) for a in arguments))


def serial_kernel(function: Callable | None = None, *, typed: int = 1) -> Any:
    """Decorator: a kernel that runs on the calling thread only, and so may run beside another kernel."""
    return Kernel(function, typed, parallel=False) if function else lambda f: Kernel(f, typed, parallel=False)


def parallel_kernel(function: Callable | None = None, *, typed: int = 1, uses: Sequence[SharedCode] = ()) -> Any:
    """Decorator: a kernel whose `prange` loops run on Numba's threads."""
    return Kernel(function, typed, uses=uses) if function else lambda f: Kernel(f, typed, uses=uses)


def _argument_type(argument):
    return _plain_type(typeof(argument))


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
        print("compiling kernels…", file=sys.stderr, flush=True)
