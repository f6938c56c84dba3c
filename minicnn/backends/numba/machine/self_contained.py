"""Machine code of a kernel that runs as it is kept on disk.

Numba compiles what a kernel calls, and the body of a `prange`, on its own first, then copies it into the kernel and
optimises it there again. The copy is a weak symbol, and the linker prefers code of the same name that is in memory
already: in the process that compiles, the first code; in one that reads the kernel from disk, the copy, or that of a
kernel read before. All of them are right, but they may round differently.
"""

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _Library(JITCodeLibrary):
    """Code that calls its own copy of every function it holds one of."""

    def _optimize_final_module(self):
        super()._optimize_final_module()
        for function in self._final_module.functions:
            if function.linkage.name.startswith(("linkonce", "weak")):
                function.linkage = "internal"


class SelfContained(Compiler):
    """Numba's compiler, for functions that only Python calls or that are called through their address."""

    def compile_extra(self, func):
        self.state.library = _Library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)
