"""The weights of convolutions by Hopper's tensor cores: those of all layers are prepared where an iteration begins.

A convolution by itself has its own prepared, by a launch of its own. A training's iteration notes what was wanted; the
launch that sets the next one's numbers, before anything else runs, prepares all of it.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, launch
from minicnn.backends.cupy.structures import MOST_WEIGHTS, ManyWeights, Weights, by_value
from minicnn.backends.cupy.tensor_choice import HALVES, hopper_weight_bytes

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
        How many of TF32 stand for one of float32; `BFLOAT16`: one of bfloat16; `HALVES`: three of halves.
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
        """Of the weights in this form, and of the scales of halves."""
        of_column = self.slices * self.taps * hopper_weight_bytes(self.products)
        return self.all_columns * (of_column + (FLOAT32.itemsize if self.products == HALVES else 0))


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
        self._arrays: dict[Wanted, Array] = {}  # they stay where they are: a captured graph reads them
        self._grid, self._weights = (0,), None
        self._ready: dict[Wanted, Array] = {}

    def begin(self, *numbers: Array | np.generic) -> bool:
        """Prepare what the iterations so far have wanted, from the weights as they are now.

        Parameters
        ----------
        *numbers
            The arguments of ``set_iteration``: the same launch sets the numbers.

        Returns
        -------
        bool
            False if nothing was wanted; then nothing is set either.
        """
        if len(self._arrays) < len(self._wanted):
            self._arrays |= _new_arrays(one for one in self._wanted if one not in self._arrays)
            self._grid, self._weights = _entries(self._arrays)
        self._ready = self._arrays
        if self._arrays:
            launch("prepared_weights", "begin_iteration", FLOAT32, self._grid, THREADS, *numbers, self._weights)
        return bool(self._arrays)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, an iteration's kernels read what `begin` has prepared; afterwards the weights are others."""
        _open.preparations.append(self)
        try:
            yield
        finally:
            _open.preparations.pop()
            self._ready = {}

    def take(self, wanted: Wanted) -> Array | None:
        """What is ready; else it will be in the next iteration, if there is room for it."""
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
    return _prepare(wanted) if found is None else found


def _prepare(wanted):
    """Those weights, by a launch of their own."""
    arrays = _new_arrays([wanted])
    grid, weights = _entries(arrays)
    launch("prepared_weights", "prepare_weights", FLOAT32, grid, THREADS, weights)
    return arrays[wanted]


def _new_arrays(wanted):
    """Wanted → an array for the weights."""
    return {one: cupy.empty(one[1].nbytes // FLOAT32.itemsize, FLOAT32) for one in wanted}


def _entries(arrays):
    """(grid, `ManyWeights` as a launch takes it) of what one launch prepares."""
    entries, block = [], 0
    for (address, form), array in arrays.items():
        entries.append(Weights(address, array.data.ptr, *form, block))
        block += form.blocks
    empty = (NO_WEIGHTS,) * (MOST_WEIGHTS - len(entries))
    return (block,), by_value(ManyWeights(len(entries), 0, (*entries, *empty)))
