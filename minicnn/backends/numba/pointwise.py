"""The reference's functions of single numbers as kernels: one is compiled for each function that is used."""

from functools import cache

import numpy as np

from minicnn.backends.numba.machine.elementwise import elementwise, rows_of
from minicnn.backends.numba.machine.launch import Kernel
from minicnn.backends.numba.machine.summing import parts_of, summing
from minicnn.backends.reference import ops as reference
from minicnn.backends.reference.pointwise import FUNCTIONS

_NANOSECONDS = 0.3  # that one core needs for a number, about


def pointwise(y: np.ndarray, inputs: tuple[np.ndarray, ...], name: str, numbers: tuple[float, ...] = ()) -> None:
    """See `minicnn.backends.reference.pointwise.pointwise`."""
    rows = rows_of(y.shape, *[x.shape for x in inputs])
    if rows is None:  # other axes of size 1
        reference.pointwise(y, inputs, name, numbers)
        return
    operands = y.reshape(-1), tuple([x.reshape(-1) for x in inputs]), numbers, rows
    _elementwise(name, len(inputs)).launch(_NANOSECONDS * rows.size, *operands, chunks=rows.chunks)


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
