"""The five things one does with tile registers, under one name for the processor's own and for the emulated ones.

`Instructions` emits LLVM's intrinsics, which are one instruction each; `Emulation` calls of what `emulation.py` has.
Both are given the address of the registers' memory, of which the processor reads the configuration only.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from minicnn.backends.numba.tiles import emulation

_I8, _I64, _NOTHING = ir.IntType(8), ir.IntType(64), ir.VoidType()
_BYTES = _I8.as_pointer()
SYMBOL = "minicnn_emulated_tile_{}"


class Instructions:
    """The processor's.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
    registers : LLVM pointer
        To the memory of `REGISTERS_SIZE` bytes, as `emulation` describes it.
    """

    def __init__(self, builder: ir.IRBuilder, registers: ir.Value):
        self._builder, self._registers = builder, registers

    def configure(self) -> None:
        """Give the registers the shapes that their memory begins with; they are of this thread alone."""
        self._call("ldtilecfg", self._builder.bitcast(self._registers, _BYTES))

    def release(self) -> None:
        """Empty the registers: what the operating system need not save any more."""
        self._call("tilerelease")

    def load(self, register: int, pointer: ir.Value, stride: ir.Value) -> None:
        """register = rows from `pointer` on, `stride` bytes apart."""
        self._call("tileloadd64", register, self._builder.bitcast(pointer, _BYTES), stride)

    def store(self, register: int, pointer: ir.Value, stride: ir.Value) -> None:
        """The rows from `pointer` on = register."""
        self._call("tilestored64", register, self._builder.bitcast(pointer, _BYTES), stride)

    def dot(self, register: int, left: int, right: int) -> None:
        """register += left · right, all of them numbers of registers."""
        self._call("tdpbf16ps", register, left, right)

    def _call(self, name, *arguments):
        """An instruction; ints are numbers of registers, which are part of it."""
        values = [ir.Constant(_I8, value) if isinstance(value, int) else value for value in arguments]
        _call(self._builder, f"llvm.x86.{name}", values)


class Emulation:
    """Those of `emulation`; arguments as for `Instructions`."""

    def __init__(self, builder: ir.IRBuilder, registers: ir.Value):
        self._builder, self._registers = builder, registers

    def __getattr__(self, name: str) -> Any:
        if name not in emulation.PRIMITIVES:
            raise AttributeError(name)

        def emit(*arguments):
            values = [ir.Constant(_I64, value) if isinstance(value, int) else value for value in arguments]
            values = [self._builder.bitcast(v, _BYTES) if v.type.is_pointer else v for v in (self._registers, *values)]
            _call(self._builder, SYMBOL.format(name), values)

        return emit


def _call(builder, name, values):
    kind = ir.FunctionType(_NOTHING, [value.type for value in values])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)
