"""How Numba's compiler is used: what is part of a kernel is compiled with the kernel, and once.

Numba compiles a function that kernels call to machine code of its own first, with two wrappers for Python, then copies
it into the kernel and optimises it there again. Nobody ever calls that machine code: `Part` stops before it.

What is copied is a weak symbol, and the linker prefers code of the same name that is in memory already: in the process
that compiles, another kernel's; in one that reads the kernel from disk, the copy. All of them are right, but they may
round differently. `SelfContained` makes a kernel call its own copies.
"""

from numba.core import config
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from minicnn.backends.numba.machine.packed import add_packed_entry


class _Kept(JITCodeLibrary):
    """Code that calls its own copy of every function it holds one of."""

    def add_ir_module(self, ir_module):
        add_packed_entry(ir_module)
        super().add_ir_module(ir_module)

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout  # what follows optimises the whole anyway

    def _optimize_final_module(self):
        super()._optimize_final_module()
        for function in self._final_module.functions:
            if function.linkage.name.startswith(("linkonce", "weak")):
                function.linkage = "internal"


class _Plain(_Kept):
    """Code whose inner loops are written in vectors: LLVM's third level would write them out once for each flag."""

    def _optimize_final_module(self):
        level = config.OPT
        try:
            config.OPT = min(level, 2)
            super()._optimize_final_module()
        finally:
            config.OPT = level


class _Linked(_Kept):
    """Code that is linked into other code, never run."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


class SelfContained(Compiler):
    """Numba's compiler, for functions that only Python calls or that are called through their address."""

    _library = _Kept

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)
        flags.no_cfunc_wrapper = flags.no_cfunc_wrapper or not flags.no_cpython_wrapper

    def compile_extra(self, func):
        self.state.library = self._library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class Plain(SelfContained):
    """The same, a quarter of LLVM's time sooner, for kernels that have all their inner loops from an `Emitter`."""

    _library = _Plain


class Part(SelfContained):
    """Numba's compiler, for functions that are compiled into others."""

    _library = _Linked

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)

    def compile_extra(self, func):
        result = super().compile_extra(func)
        name = [].append  # Numba tells functions apart by the builtin that Python would call: any will do, if it is new
        result.target_context.insert_user_function(name, result.fndesc, [result.library])
        return result._replace(entry_point=name)
