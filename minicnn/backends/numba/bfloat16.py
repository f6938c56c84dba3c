"""Between float32 and bfloat16, in integer arithmetic, which LLVM makes vectors of."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from minicnn.backends.memory import Array, Maybe
from minicnn.backends.numba.machine.compiled import borrowing, inline
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.tiles.packing import Numbers, convert, numbers_of
from minicnn.bfloat16 import BFLOAT16, bits

_NANOSECONDS = 0.15  # that one core needs for a number, about
_Op = TypeVar("_Op", bound=Callable[..., None])
_BLOCK = 16384  # numbers of a task


def to_bfloat16(x: Array, y: Array) -> None:
    """See `minicnn.backends.reference.bfloat16.to_bfloat16`."""
    _launch_conversion(x, bits(y))


def from_bfloat16(x: Array, y: Array) -> None:
    """See `minicnn.backends.reference.bfloat16.from_bfloat16`."""
    _launch_conversion(bits(x), y)


def through_bfloat16(x: Array, y: Array) -> None:
    """See `minicnn.backends.reference.bfloat16.through_bfloat16`."""
    _launch_conversion(x, y)


def add_bfloat16(total: Array, term: Array) -> None:
    """See `minicnn.backends.reference.bfloat16.add_bfloat16`."""
    tasks = -(-term.size // _BLOCK)
    _add.launch(_NANOSECONDS * term.size, bits(term).reshape(-1), bits(total).reshape(-1), tasks, chunks=tasks)


def all_bfloat16(*arrays: Maybe) -> bool:
    """Whether all arrays that there are are kept as bfloat16."""
    return all(array is None or array.dtype == BFLOAT16 for array in arrays)


def taking_bfloat16(serves: Callable[..., bool]) -> Callable[[_Op], _Op]:
    """Decorator: say of an op which arrays of bfloat16 it takes itself, see `minicnn.plan.casting`.

    Parameters
    ----------
    serves : function
        Of the op's arguments.
    """

    def note(op: _Op) -> _Op:
        op.takes_bfloat16 = serves  # type: ignore[attr-defined]
        return op

    return note


def as_words(*arrays: Maybe) -> list[Maybe]:
    """The same arrays as kernels take them: bfloat16 as uint16."""
    return [bits(array) if array is not None and array.dtype == BFLOAT16 else array for array in arrays]


def _launch_conversion(x, y):
    (source, *of_source), (target, *of_target) = numbers_of(x), numbers_of(y)
    tasks = -(-x.size // _BLOCK)
    arguments = source, target, *of_source, *of_target, x.size, tasks
    _convert.launch(_NANOSECONDS * x.size, *arguments, chunks=tasks)


@inline
def _rounded(word):
    """The upper half of a float32, to the nearest and to even; NaN stays NaN, a quiet one."""
    upper = word >> np.uint32(16)
    nearest = (word + (np.uint32(0x7FFF) + (upper & np.uint32(1)))) >> np.uint32(16)
    is_nan = (word & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return upper | np.uint32(0x40) if is_nan else nearest


@inline
def _block(task, x, y):
    return x[task * _BLOCK : (task + 1) * _BLOCK], y[task * _BLOCK : (task + 1) * _BLOCK]


@intrinsic
def _sum(typingctx, x, y):
    """Bits of the float32 x + y, whose own bits these are."""

    def emit(context, builder, signature, args):
        x, y = (builder.bitcast(word, ir.FloatType()) for word in args)
        return builder.bitcast(builder.fadd(x, y), ir.IntType(32))

    return types.uint32(types.uint32, types.uint32), emit


@inline
def _add_task(task, x, y):
    source, target = _block(task, x, y)
    for i in range(len(source)):
        total = _sum(np.uint32(source[i]) << np.uint32(16), np.uint32(target[i]) << np.uint32(16))
        target[i] = np.uint16(_rounded(total))


@parallel_kernel
def _add(pool, x, y, tasks):
    in_parallel(pool, tasks, _add_task, (x, y))


@borrowing
def _convert_task(task, x, y, count):
    convert(x, y, task * _BLOCK, min(_BLOCK, count - task * _BLOCK))


@parallel_kernel
def _convert(pool, x, y, x_is_half, y_is_half, count, tasks):
    in_parallel(pool, tasks, _convert_task, (Numbers(x, x_is_half), Numbers(y, y_is_half), count))
