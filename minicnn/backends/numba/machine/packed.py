"""Kernels called without Python: by one address, with all their arguments in one place.

Python calls a kernel through a wrapper that unpacks every array and every table anew, and gets the global lock back in
between. What is recorded (`recording`) has the same arguments every time: they are packed once, as words of 8 bytes in
the order in which the kernel's machine code takes them, and one call walks down a list of kernels.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.callconv import RETCODE_NONE, RETCODE_OK
from numba.core.itanium_mangler import PREFIX, prepend_namespace
from numba.np.numpy_support import as_dtype

_WORD, _BYTE, _INT = ir.IntType(64), ir.IntType(8), ir.IntType(32)
_PACKED = ir.FunctionType(_INT, [_WORD.as_pointer()])


def _packed_name(name):
    return f"{name}.packed"


def add_packed_entry(module: ir.Module) -> None:
    """If `module` wraps a kernel for Python, add to it ``int32(int64 *words)``, which calls the kernel too.

    It returns 0, or 1 if the kernel has raised an error or returned False: then it is to be called from Python.
    """
    names = {function.name for function in module.functions}
    for function in list(module.functions):
        is_mangled = function.name.startswith(PREFIX)
        if is_mangled and prepend_namespace(function.name, "cpython") in names and _returns_nothing_or_bool(function):
            _emit(module, function)


def _returns_nothing_or_bool(function):
    return function.ftype.args[0].pointee in (_BYTE, _BYTE.as_pointer())


def _emit(module, function):
    result, failure, *kinds = function.ftype.args
    packed = ir.Function(module, _PACKED, _packed_name(function.name))
    builder = ir.IRBuilder(packed.append_basic_block())
    places = [builder.gep(packed.args[0], [_WORD(i)]) for i in range(len(kinds))]
    arguments = [builder.load(builder.bitcast(p, kind.as_pointer())) for p, kind in zip(places, kinds, strict=True)]
    answer = builder.alloca(result.pointee)
    status = builder.call(function, [answer, builder.alloca(failure.pointee), *arguments])
    is_right = builder.or_(*(builder.icmp_signed("==", status, code) for code in (RETCODE_OK, RETCODE_NONE)))
    if result.pointee == _BYTE:
        is_right = builder.and_(is_right, builder.icmp_unsigned("!=", builder.load(answer), _BYTE(0)))
    builder.ret(builder.zext(builder.not_(is_right), _INT))


_entries = {}  # what Python calls → where the packed entry is, and the types of the arguments


def note_packed_entry(compiled: Any) -> None:
    """Remember where a compiled kernel, a result of Numba's, has its packed entry, if it has one."""
    address = compiled.library.get_pointer_to_function(_packed_name(compiled.fndesc.llvm_func_name))
    if address:
        _entries[compiled.entry_point] = address, compiled.signature.args


class Packed(NamedTuple):
    """A kernel's call without Python.

    Attributes
    ----------
    entry : int
        The address of its packed entry.
    words : list of int
        The arguments.
    addresses : list of int
        The positions of those words that say where an array is: numbers may have any value.
    """

    entry: int
    words: list[int]
    addresses: list[int]


def packed_call(function: Callable, arguments: Sequence[object]) -> Packed | None:
    """A call of a kernel; None for what is no kernel."""
    if function not in _entries:
        return None
    entry, kinds = _entries[function]
    words, addresses = [], []
    _pack(kinds, arguments, words, addresses)
    return Packed(entry, words, addresses)


def _pack(kinds, values, words, addresses):
    """Append values as their machine code takes them: arrays and tuples in parts; and where addresses of arrays are."""
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(kind, types.Array):  # two owners that count references (none), sizes, address
            words += [0, 0, value.size, value.itemsize]
            addresses.append(len(words))
            words += [value.ctypes.data, *value.shape, *value.strides]
        elif isinstance(kind, types.BaseTuple):
            _pack(kind.types, value, words, addresses)
        else:  # a number in the first bytes of its word
            number = np.array(value, as_dtype(kind)).tobytes()
            words.append(int.from_bytes(number.ljust(8, b"\0"), sys.byteorder, signed=True))
