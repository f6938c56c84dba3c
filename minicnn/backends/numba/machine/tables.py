"""Named tuples of tables that kernels read where they lie, so that each is one pointer however much it holds.

Numba takes a named tuple apart at every call, and counts the references of every array in it: of a hundred numbers and
tables that a dozen functions hand on, that was half of a kernel's code, until LLVM had thrown it away again. *Laid
out*, the tuple is one array of int64: numbers, tuples within it in their place, and for each table where it begins,
counted from there, and how long it is; tables follow. So a tuple's words may lie anywhere, in another one's table too.
"""

from functools import cache
from typing import Any, get_type_hints

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
from numba.np.arrayobj import populate_array

_WORD = ir.IntType(64)
_TABLE = types.Array(types.int64, 1, "C")


def laid_out(tables: Any) -> np.ndarray:
    """The words of a named tuple of numbers, int64 arrays (taken as 1-D) and such tuples; for `table_at`."""
    words, arrays = [], []
    _lay_out(tables, words, arrays)
    for at, array in arrays:
        words[at] = len(words) - at
        words += array.reshape(-1).tolist()
    return np.array(words, np.int64)


def _lay_out(value, words, arrays):
    if isinstance(value, tuple):
        for part in value:
            _lay_out(part, words, arrays)
    elif isinstance(value, np.ndarray):
        arrays.append((len(words), value))
        words += [0, value.size]
    else:
        words.append(int(value))


class Table(types.Type):
    """The type of a laid out tuple inside a kernel; its fields are read by the names that the class gives them."""

    def __init__(self, kind: type):
        self.kind = kind
        super().__init__(f"Table({kind.__module__}.{kind.__qualname__})")

    def place(self, name: str) -> int:
        """How many words lie before a field."""
        hints = _hints(self.kind)
        return sum(map(_words, list(hints.values())[: list(hints).index(name)]))

    def field(self, name: str) -> types.Type | None:
        """The type of a field; None where there is none of this name."""
        hint = _hints(self.kind).get(name)
        if hint is None or hint is np.ndarray:
            return hint and _TABLE
        return Table(hint) if issubclass(hint, tuple) else {int: types.int64, bool: types.boolean}[hint]


_hints = cache(get_type_hints)  # of a class: they are asked for whenever a field is read


@cache
def _words(hint):
    if issubclass(hint, tuple):
        return sum(map(_words, _hints(hint).values()))
    return 2 if hint is np.ndarray else 1


@register_model(Table)
class _Pointer(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _WORD.as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):
    key = Table

    def generic_resolve(self, table, name):
        return table.field(name)


@lower_getattr_generic(Table)
def _read(context, builder, table, pointer, name):
    field, place = table.field(name), builder.gep(pointer, [_WORD(table.place(name))])
    if isinstance(field, Table):
        return place
    first = _constant_word(builder, place)
    if field != _TABLE:
        return context.cast(builder, first, types.int64, field)
    array, size = context.make_array(field)(context, builder), _constant_word(builder, builder.gep(place, [_WORD(1)]))
    parts = {"shape": [size], "strides": [_WORD(8)], "itemsize": _WORD(8), "meminfo": None}
    populate_array(array, data=builder.gep(place, [first]), **parts)
    return array._getvalue()


def _constant_word(builder, place):
    """A word that nothing writes to: LLVM need not read it again after a store elsewhere."""
    word = builder.load(place)
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


class Fields:
    """The fields of a laid out tuple, for vector code: LLVM values, such fields, and of a table (pointer, size).

    They are read where they are asked for.

    Parameters
    ----------
    context, builder
        What Numba gives to the body of an intrinsic.
    table : Table
    pointer : LLVM pointer
    """

    def __init__(self, context: Any, builder: Any, table: Any, pointer: Any):
        self._place = context, builder, table, pointer

    def __getattr__(self, name: str) -> Any:
        context, builder, table, _ = self._place
        value, kind = _read(*self._place, name), table.field(name)
        if isinstance(kind, Table):
            return Fields(context, builder, kind, value)
        if kind != _TABLE:
            return value
        array = context.make_array(kind)(context, builder, value)
        return array.data, array.nitems


@intrinsic
def table_at(typingctx, words, at, kind):
    """The tuple that is laid out in an array of words from one of them on.

    Parameters
    ----------
    words : 1-D int64 array
    at : int
    kind : class of named tuples
    """

    def emit(context, builder, signature, args):
        data = context.make_array(words)(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return Table(kind.instance_class)(words, types.int64, kind), emit
