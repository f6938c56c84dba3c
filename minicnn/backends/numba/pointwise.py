"""The reference's functions of single numbers as kernels: one is compiled for each function that is used."""

from functools import cache

import numpy as np

from minicnn.backends.numba.bfloat16 import all_bfloat16, as_words, taking_bfloat16
from minicnn.backends.numba.machine.elementwise import Rows, elementwise, rows_of
from minicnn.backends.numba.machine.launch import Kernel
from minicnn.backends.numba.machine.offsets import table_cache
from minicnn.backends.numba.machine.recording import call, reference
from minicnn.backends.numba.machine.summing import parts_of, summing
from minicnn.backends.reference.pointwise import FUNCTIONS
from minicnn.bfloat16 import BFLOAT16

_NANOSECONDS = 0.3  # that one core needs for a number, about

# What NumPy computes in one pass, to the same bits. Its call costs a few µs less than a kernel's, until that is faster.
_SMALL = 4096  # numbers
_ONE_PASS = {  # by name and number of operands
    ("add", 2): np.add,
    ("copy", 1): np.positive,
    ("maximum", 2): lambda a, b, y: np.maximum(a, b, out=y),
    ("minimum", 2): lambda a, b, y: np.minimum(a, b, out=y),
    ("multiply", 2): np.multiply,
    ("relu", 1): lambda x, y: np.maximum(x, 0, out=y),
    ("scale", 2): np.multiply,
    ("subtract", 2): np.subtract,
}


def _is_served(y, inputs, name, numbers=()):
    return all_bfloat16(y, *inputs) and rows_of(y.shape, *[x.shape for x in inputs]) is not None


@taking_bfloat16(_is_served)
def pointwise(y: np.ndarray, inputs: tuple[np.ndarray, ...], name: str, numbers: tuple[float, ...] = ()) -> None:
    """See `minicnn.backends.reference.pointwise.pointwise`."""
    one_pass = _ONE_PASS.get((name, len(inputs) + len(numbers)))
    if one_pass and y.size <= _SMALL and y.dtype != BFLOAT16:
        call(one_pass, *inputs, *numbers, y)
        return
    kernel, rows = _prepared(name, y.shape, *[x.shape for x in inputs])
    if rows is None:  # other axes of size 1
        reference.pointwise(y, inputs, name, numbers)
        return
    y, *inputs = as_words(y, *inputs)
    operands = y.reshape(-1), tuple([x.reshape(-1) for x in inputs]), numbers, rows
    kernel.launch(_NANOSECONDS * rows.size, *operands, chunks=rows.chunks)


@table_cache
def _prepared(name: str, *shapes: tuple[int, ...]) -> tuple[Kernel, Rows | None]:
    return _elementwise(name, len(shapes) - 1), rows_of(*shapes)


def pointwise_sum(
    y: np.ndarray, inputs: tuple[np.ndarray, ...], name: str, numbers: tuple[float, ...] = (), factor: float = 1.0
) -> None:
    """See `minicnn.backends.reference.pointwise.pointwise_sum`."""
    parts = parts_of(y.shape, *[x.shape for x in inputs])
    if parts is None:
        reference.pointwise_sum(y, inputs, name, numbers, factor)
        return
    operands = y.reshape(-1), tuple([x.reshape(-1) for x in inputs]), numbers, float(factor), parts
    _summing(name, len(inputs)).launch(_NANOSECONDS * parts.size, *operands, chunks=parts.tasks)


@cache
def _elementwise(name: str, inputs: int) -> Kernel:
    return elementwise(FUNCTIONS[name], f"{name}_of_{inputs}")


@cache
def _summing(name: str, inputs: int) -> Kernel:
    return summing(FUNCTIONS[name], f"sum_of_{name}_of_{inputs}")
