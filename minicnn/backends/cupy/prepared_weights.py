"""The weights of convolutions by Hopper's tensor cores: those of all layers prepared in one launch an iteration.

A convolution by itself has its own prepared, by a launch of its own. A training's iteration notes what was wanted, and
the next one prepares all of it before anything else runs.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, launch
from minicnn.backends.cupy.structures import MOST_WEIGHTS, ManyWeights, Weights
from minicnn.backends.cupy.tensor_choice import hopper_weight_bytes

EIGHT, THREADS = 8, 256  # columns whose weights a block prepares, of 32 terms each; as in prepared_weights.cu
MOST_BYTES = 16 << 20  # of what is prepared together: it should still be in the second cache when it is needed
FLOAT32 = np.dtype(np.float32)
NO_WEIGHTS = Weights(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Form(NamedTuple):
    """How a convolution takes its weights.

    Attributes
    ----------
    channels, filters : int
        Terms of a tap, and columns: of the gradient of an input the other way round.
    taps, slices : int
        `slices` of 32 terms.
    columns : int
        Of a block of the convolution.
    products : int
        How many of TF32 stand for one of float32; 0: one of bfloat16.
    turned : int
        Whether it is the gradient of an input.
    """

    channels: int
    filters: int
    taps: int
    slices: int
    columns: int
    products: int
    turned: int

    @property
    def all_columns(self) -> int:
        """With those that fill the last block."""
        return -(-self.filters // self.columns) * self.columns

    @property
    def blocks(self) -> int:
        """That prepare them."""
        return self.slices * self.all_columns // EIGHT

    @property
    def nbytes(self) -> int:
        """Of the weights in this form."""
        return self.slices * self.taps * self.all_columns * hopper_weight_bytes(self.products)


Wanted = tuple[int, Form]  # address of a kernel, and how a convolution takes it


class Preparation:
    """What the convolutions of an iteration want, once it has run.

    Parameters
    ----------
    kernels : sequence of array
        Those that nothing writes while an iteration computes its gradients.
    """

    def __init__(self, kernels: Sequence[Array]) -> None:
        self._steady = {kernel.data.ptr for kernel in kernels}
        self._wanted: list[Wanted] = []
        self._ready: dict[Wanted, Array] = {}

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, an iteration: what the one before has wanted is prepared before it begins."""
        self._ready = _prepare(self._wanted) if self._wanted else {}
        _open.preparations.append(self)
        try:
            yield
        finally:
            _open.preparations.pop()
            self._ready = {}

    def take(self, wanted: Wanted) -> Array | None:
        """What is there already; else it will be in the next iteration, if there is room for it."""
        if wanted in self._ready:
            return self._ready[wanted]
        fits = sum(form.nbytes for _, form in (*self._wanted, wanted)) <= MOST_BYTES
        if wanted[0] in self._steady and fits and len(self._wanted) < MOST_WEIGHTS and wanted not in self._wanted:
            self._wanted.append(wanted)
        return None


class _Open(threading.local):
    """The preparations that a thread is inside of."""

    def __init__(self) -> None:
        self.preparations: list[Preparation] = []


_open = _Open()


def prepared(kernel: Array, form: Form) -> Array:
    """The kernel's weights in that form."""
    wanted = kernel.data.ptr, form
    found = _open.preparations[-1].take(wanted) if _open.preparations else None
    return _prepare([wanted])[wanted] if found is None else found


def _prepare(wanted):
    """Wanted → the weights, all of them by one launch."""
    arrays = {one: cupy.empty(one[1].nbytes // FLOAT32.itemsize, FLOAT32) for one in wanted}
    entries, block = [], 0
    for (address, form), array in arrays.items():
        entries.append(Weights(address, array.data.ptr, *form, block))
        block += form.blocks
    empty = (NO_WEIGHTS,) * (MOST_WEIGHTS - len(entries))
    launch(
        "prepared_weights",
        "prepare_weights",
        FLOAT32,
        (block,),
        THREADS,
        ManyWeights(len(entries), 0, (*entries, *empty)),
    )
    return arrays
