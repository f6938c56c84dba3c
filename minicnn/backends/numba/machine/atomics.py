"""Numbers in memory that several threads read and write, and calls by address: what `pool` is made of.

An address is an int64. Every access is sequentially consistent: simple to reason about, and threads meet rarely.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.target import TARGET

_WORD, _BYTE, _INT = ir.IntType(64), ir.IntType(8).as_pointer(), ir.IntType(32)
_ORDER = "seq_cst"


@intrinsic
def load(typingctx, address):
    """The number at an address."""

    def emit(context, builder, signature, args):
        return builder.load_atomic(_pointer(builder, args[0]), _ORDER, 8)

    return types.int64(types.int64), emit


@intrinsic
def store(typingctx, address, value):
    """Write the number at an address."""

    def emit(context, builder, signature, args):
        builder.store_atomic(args[1], _pointer(builder, args[0]), _ORDER, 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@intrinsic
def add(typingctx, address, value):
    """Add to the number at an address; returns what was there before."""

    def emit(context, builder, signature, args):
        return builder.atomic_rmw("add", _pointer(builder, args[0]), args[1], _ORDER)

    return types.int64(types.int64, types.int64), emit


@intrinsic
def swap(typingctx, address, value):
    """Write the number at an address; returns what was there before."""

    def emit(context, builder, signature, args):
        return builder.atomic_rmw("xchg", _pointer(builder, args[0]), args[1], _ORDER)

    return types.int64(types.int64, types.int64), emit


@intrinsic
def compare_swap(typingctx, address, expected, value):
    """Write the number at an address if `expected` is there; returns whether it was."""

    def emit(context, builder, signature, args):
        result = builder.cmpxchg(_pointer(builder, args[0]), args[1], args[2], _ORDER, _ORDER)
        return builder.extract_value(result, 1)

    return types.boolean(types.int64, types.int64, types.int64), emit


@intrinsic
def pause(typingctx):
    """Tell the processor that this thread is waiting in a loop."""

    def emit(context, builder, signature, args):
        # On ARM a barrier for instructions: its "yield" takes no time at all.
        arm, x86 = ("llvm.aarch64.isb", [_INT(15)]), ("llvm.x86.sse2.pause", [])
        is_arm = builder.module.triple.startswith(("aarch64", "arm64"))
        if is_arm or TARGET.has_mxcsr:
            name, arguments = arm if is_arm else x86
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def call_task(typingctx, function, data, index):
    """Call the C function ``void(void *data, int64 index)`` at an address."""

    def emit(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_BYTE, _WORD])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [builder.inttoptr(args[1], _BYTE), args[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def call_on_lock(typingctx, function, lock, wait):
    """Call the C function ``int(void *lock, int wait)`` at an address."""

    def emit(context, builder, signature, args):
        kind = ir.FunctionType(_INT, [_BYTE, _INT])
        pointer = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(pointer, [builder.inttoptr(args[1], _BYTE), builder.trunc(args[2], _INT)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def call_system(typingctx, function, first, second, third):
    """Call the C function ``int(long, long, long)`` at an address; returns what it returns. Fewer arguments may do."""

    def emit(context, builder, signature, args):
        kind = ir.FunctionType(_INT, [_WORD] * 3)
        return builder.sext(builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:]), _WORD)

    return types.int64(*[types.int64] * 4), emit


@intrinsic
def call_packed(typingctx, function, words):
    """Call the C function ``int32(int64 *words)`` at an address; returns what it returns."""

    def emit(context, builder, signature, args):
        kind = ir.FunctionType(_INT, [_WORD.as_pointer()])
        status = builder.call(builder.inttoptr(args[0], kind.as_pointer()), [_pointer(builder, args[1])])
        return builder.sext(status, _WORD)

    return types.int64(types.int64, types.int64), emit


def _pointer(builder, address):
    return builder.inttoptr(address, _WORD.as_pointer())
