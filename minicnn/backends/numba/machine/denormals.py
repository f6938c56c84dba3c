"""Rounding tiny numbers to zero, for a while: denormal numbers cost an x86 processor many times an ordinary one.

They are no rare thing. Where a gradient stays 0 (a unit that ReLU has switched off, a pixel that is always black),
Adam's mean of gradients shrinks by a tenth in each step, is below the smallest normal number after a few hundred, and
from then on rounds back to one of the smallest denormal numbers for ever.

The control register belongs to a thread, and threads are shared with the user's own code: who sets it, restores it.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.target import TARGET

_FLUSH_RESULTS, _READ_AS_ZERO = 1 << 15, 1 << 6  # bits of MXCSR; Intel's manual, volume 1, section 10.2.3
_WORD = ir.IntType(32)


@intrinsic
def flush_denormals(typingctx):
    """From here on, take denormal numbers for zero in this thread; returns what `restore_denormals` needs.

    Does nothing on other than x86 processors.
    """
    return types.uint32(), _emit_flush


@intrinsic
def restore_denormals(typingctx, control):
    """Take denormal numbers as `flush_denormals` has found it."""
    return types.void(types.uint32), _emit_restore


def _emit_flush(context, builder, signature, args):
    if not TARGET.has_mxcsr:
        return ir.Constant(_WORD, 0)
    control = cgutils.alloca_once(builder, _WORD)
    _call(builder, "llvm.x86.sse.stmxcsr", control)
    before = builder.load(control)
    _load_control(builder, builder.or_(before, ir.Constant(_WORD, _FLUSH_RESULTS | _READ_AS_ZERO)))
    return before


def _emit_restore(context, builder, signature, args):
    if TARGET.has_mxcsr:
        _load_control(builder, args[0])
    return context.get_dummy_value()


def _load_control(builder, value):
    control = cgutils.alloca_once(builder, _WORD)
    builder.store(value, control)
    _call(builder, "llvm.x86.sse.ldmxcsr", control)


def _call(builder, name, control):
    pointer = ir.IntType(8).as_pointer()
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(ir.VoidType(), [pointer]))
    builder.call(function, [builder.bitcast(control, pointer)])
