"""A kernel's parallel loop."""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import RETCODE_USEREXC, excinfo_ptr_t
from numba.extending import intrinsic

from minicnn.backends.numba.machine.pool import RUN_SYMBOL

_WORD, _BYTE, _NOTHING = ir.IntType(64), ir.IntType(8).as_pointer(), ir.VoidType()
_TASK = ir.FunctionType(_NOTHING, [_BYTE, _WORD])
_RUN = ir.FunctionType(_NOTHING, [_WORD, _TASK.as_pointer(), _BYTE, _WORD])


@intrinsic
def in_parallel(typingctx, pool, count, task, arguments):
    """Call task(i, *arguments) for all i < count, in any order, on the threads of a pool.

    Parameters
    ----------
    pool : int
        What the kernel was given. 0: this thread alone.
    count : int
        How many tasks there are.
    task : function decorated with `inline`
    arguments : tuple
        Arrays, numbers, and named tuples of them.

    Returns
    -------
    bool
        Whether no task returned False.

    Raises
    ------
    What a task raised, when all have ended: MemoryError, if there is no scratch memory.
    """
    types_of_task = types.int64, *arguments.types
    signature = typingctx.resolve_function_type(task, types_of_task, {})
    if signature.return_type not in (types.none, types.boolean):
        raise TypeError(f"a task returns a bool or nothing. Received: {signature.return_type}")

    def emit(context, builder, own, args):
        task.dispatcher.compile(types_of_task)
        compiled = task.dispatcher.overloads[types_of_task]
        context.active_code_library.add_linking_library(compiled.library)
        all_true = cgutils.alloca_once_value(builder, cgutils.true_byte)
        failure = cgutils.alloca_once_value(builder, excinfo_ptr_t(None))  # what a task raised, or null
        kept = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, [args[3], all_true, failure]))
        function = ir.Function(builder.module, _TASK, builder.module.get_unique_name("task"))
        function.linkage = "internal"
        inside = ir.IRBuilder(function.append_basic_block())
        parts = inside.load(inside.bitcast(function.args[0], kept.type))
        values, flag, error = cgutils.unpack_tuple(inside, parts, 3)
        values = cgutils.unpack_tuple(inside, values, len(arguments))
        values = [_borrowed(context, inside, *pair) for pair in zip(arguments.types, values, strict=True)]
        values = [function.args[1], *values]
        status, result = context.call_internal_no_propagate(inside, compiled.fndesc, signature, values)
        with inside.if_then(status.is_error, likely=False):
            inside.store(status.excinfoptr, error)
        if signature.return_type == types.boolean:
            with inside.if_then(inside.not_(result)):
                inside.store(cgutils.false_byte, flag)
        inside.ret_void()
        run = cgutils.get_or_insert_function(builder.module, _RUN, RUN_SYMBOL)
        builder.call(run, [args[0], function, builder.bitcast(kept, _BYTE), args[1]])
        error = builder.load(failure)
        with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, error)):
            status = status._replace(code=RETCODE_USEREXC, excinfoptr=error)
            context.call_conv.return_status_propagate(builder, status)
        return cgutils.as_bool_bit(builder, builder.load(all_true))

    return types.boolean(types.int64, types.int64, task, arguments), emit


def _borrowed(context, builder, kind, value):
    """The value, its arrays without references to their owners: the kernel holds them, and counting costs time."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo, array.parent = (ir.Constant(field.type, None) for field in (array.meminfo, array.parent))
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        items = cgutils.unpack_tuple(builder, value, len(kind.types))
        items = [_borrowed(context, builder, *pair) for pair in zip(kind.types, items, strict=True)]
        return context.make_tuple(builder, kind, items)
    return value
