"""What all machine code of this backend has in common: how Numba compiles it, and where it is kept."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import llvmlite.binding
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.typing.templates import Signature

from minicnn import locks
from minicnn.backends.numba.machine.disk_cache import cache_of
from minicnn.backends.numba.machine.self_contained import Part, SelfContained
from minicnn.backends.numba.machine.vectors import Emitter

# No "nnan" or "ninf": NaN must stay NaN, an error that vanishes is worse than an error.
OPTIONS = {"fastmath": {"contract", "reassoc", "nsz"}, "nogil": True, "boundscheck": False, "error_model": "numpy"}

locks.forks_wait_for(global_compiler_lock)

_Function = TypeVar("_Function", bound=Callable)


def inline(function: _Function) -> _Function:
    """Decorator: a function that kernels are made of, compiled into each of them."""
    return njit(pipeline_class=Part, **OPTIONS)(function)


def borrowing(function: _Function) -> _Function:
    """Decorator: `inline` for a function that keeps no array and counts no references.

    Numba counts those of all arrays at every call, in a third of the code. An array that such a function makes, or has
    from one that is `inline`, stays in memory until it is given back (`minicnn.backends.numba.machine.memory`).
    """
    return njit(pipeline_class=Part, _nrt=False, **OPTIONS)(function)


@contextmanager
def without_collector() -> Iterator[None]:
    """While Numba compiles, Python's collector of cycles waits.

    It would walk over all objects of the compiler, again and again, for a seventh of the time.
    """
    was_on = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_on:
            gc.enable()


def c_function(function: Callable, *argument_types: types.Type) -> CFunc:
    """A function compiled on its own, that returns nothing and is called through its ``address``."""
    code = CFunc(function, (argument_types, types.void), locals={}, options=OPTIONS, pipeline_class=SelfContained)
    code._cache = cache_of(function) or code._cache
    with without_collector():
        code.compile()
    return code


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

    def emit_call(
        self, context: Any, builder: ir.IRBuilder, signature: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        """The body of an intrinsic of the same arguments, with arrays where the function takes pointers.

        The first argument is an array, or a named tuple that begins with one: it says the element type.
        """
        emit = Emitter(context, builder, signature.args[0])
        scalar = emit.scalar
        values = [
            context.make_tuple(builder, kind, value) if isinstance(kind, types.BaseTuple) else value
            for kind, value in zip(self.types_of(scalar), emit.plain(signature.args, args), strict=True)
        ]
        function_type = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, self.symbol(scalar)), values)
        return context.get_dummy_value()

    def provide(self, scalar: types.Type) -> None:
        """Have the machine code in memory, and its name known to the linker."""
        if scalar in self._compiled:
            return
        code = c_function(self._function, *self.types_of(scalar))
        llvmlite.binding.add_symbol(self.symbol(scalar), code.address)
        self._compiled[scalar] = code
