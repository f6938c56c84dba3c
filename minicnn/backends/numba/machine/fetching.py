"""Asking memory for numbers before they are needed, while the processor computes with others."""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.vectors import I8, I64, Emitter

_LINE = 64  # bytes
_SECOND_CACHE, _DATA = 2, 1  # llvm.prefetch: how near, and of what kind
_AHEAD = 2048  # numbers; processors do not foresee vectors of a column, a row apart


def load_ahead(emit: Emitter, pointer: ir.Value) -> ir.Value:
    """The vector there. Meanwhile, the one `_AHEAD` numbers behind it is fetched; it may be beyond the end."""
    return emit.load(read_ahead(emit, pointer))


def read_ahead(emit: Emitter, pointer: ir.Value) -> ir.Value:
    """The same pointer, where something will be loaded; likewise."""
    _fetch_line(emit, emit.moved(pointer, emit.index(_AHEAD)), 0)
    return pointer


def written_ahead(emit: Emitter, pointer: ir.Value) -> ir.Value:
    """The same pointer, where something will be stored; likewise."""
    _fetch_line(emit, emit.moved(pointer, emit.index(_AHEAD)), 1)
    return pointer


def _fetch_line(emit, pointer, writes):
    word = ir.IntType(32)
    options = [ir.Constant(word, option) for option in (writes, _SECOND_CACHE, _DATA)]
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), *[word] * len(options)])
    prefetch = cgutils.get_or_insert_function(emit.builder.module, kind, "llvm.prefetch.p0")
    emit.builder.call(prefetch, [emit.builder.bitcast(pointer, I8.as_pointer()), *options])


def _emit_fetch(writes: int):
    def emit_body(context, builder, signature, args):
        emit = Emitter(context, builder, signature.args[0])
        array, start, count = emit.plain(signature.args, args)
        line = emit.index(_LINE // emit.size)
        with cgutils.for_range_slice(builder, emit.index(0), count, line, I64) as (i, _):
            _fetch_line(emit, emit.moved(array, start, i), writes)
        return context.get_dummy_value()

    return emit_body


def _fetch_type(array):
    return types.void(array, types.int64, types.int64)


@intrinsic
def fetch(typingctx, array, start, count):
    """Have array[start : start + count] brought into the second cache; it may reach beyond the end."""
    return _fetch_type(array), _emit_fetch(0)


@intrinsic
def fetch_to_write(typingctx, array, start, count):
    """The same for what will be written."""
    return _fetch_type(array), _emit_fetch(1)
