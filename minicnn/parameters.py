"""Weights, and the flat vectors that hold them.

A layer's weights exist from its first call on. A model that trains gathers them in one `ParameterStore`: every
trainable weight becomes a view of the flat vector theta, its gradient a view of the flat vector grad, so that an update
is one call of an op; what is saved but has no gradient (moving averages) becomes a view of the flat vector sigma.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from operator import is_
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minicnn.backends import memory
from minicnn.backends.base import Backend
from minicnn.checks import is_real
from minicnn.errors import ShapeError
from minicnn.held import holding
from minicnn.initializers import Initializer
from minicnn.regularizers import Regularizer
from minicnn.settings import floatx

ALIGNMENT = 16  # elements: every weight starts on 64 bytes in float32


class Weight:
    """One named array of a layer.

    Attributes
    ----------
    name : str
        Name inside the layer: "kernel", "bias", …
    path : str
        "layer name/name"; of a part of a user's layers or models, their names stand before it.
    shape : tuple of int
    has_gradient : bool
        False for state such as moving averages.
    regularizer : Regularizer or None
    constraint : function of an array, or None
        Gives the values that take the place of those after an update.
    value : array
        The current values; a view of a store's vector once the layer belongs to a model that trains.
    store : ParameterStore or None
        Where `value` lives.
    """

    constraint: Any = None

    def __init__(
        self, layer: Any, name: str, value: np.ndarray, has_gradient: bool, regularizer: Regularizer | None
    ) -> None:
        self.layer: Any = layer
        self.name: str = name
        self.value: np.ndarray = value
        self.has_gradient: bool = has_gradient
        self.regularizer: Regularizer | None = regularizer
        self.shape: tuple[int, ...] = value.shape
        self.store: ParameterStore | None = None

    @property
    def path(self) -> str:
        return f"{getattr(self.layer, '_first_called_in', '')}{self.layer.name}/{self.name}"

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change it."""
        return self.has_gradient and self.layer.trainable

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def numpy(self) -> np.ndarray:
        """A copy of the values on the host."""
        return np.array(self.value) if self.store is None else self.store.backend.to_host(self.value)

    def check(self, array: np.ndarray) -> None:
        """Raise `ValueError` or `TypeError` unless `assign` would take the array."""
        if array.shape != self.shape:
            raise ValueError(f"weight '{self.path}' has shape {self.shape}. Received: shape {array.shape}")
        if not is_real(array):
            raise TypeError(f"weight '{self.path}' takes real numbers. Received: dtype {array.dtype}")

    @np.errstate(under="ignore")
    def assign(self, value: ArrayLike) -> None:
        """Copy `value`, an array of the same shape, into the weight."""
        value = np.asarray(value)
        self.check(value)
        value = value.astype(self.dtype, copy=False)
        self.value[...] = value if self.store is None else self.store.backend.asarray(value)

    def __array__(self, dtype: DTypeLike = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy().astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<Weight {self.path} {self.shape} {self.dtype}>"


class Segments(list[slice]):
    """Parts of a flat vector, one for each of the `weights`."""

    def __init__(self, slices: dict[Weight, slice]) -> None:
        super().__init__(slices.values())
        self.weights: list[Weight] = list(slices)


class ParameterStore:
    """The flat vectors of a list of weights.

    Parameters
    ----------
    weights : list of Weight
    backend : Backend
    dtype : numpy dtype
        float32 or float64.
    adopt : bool
        True makes the weights live here; False makes a copy that leaves the weights where they are (gradient checks).

    Attributes
    ----------
    theta, grad : array (size,)
        Values and gradients of the weights that have gradients; each starts on a multiple of `ALIGNMENT`, zeros
        between.
    sigma : array (state size,)
        The other weights.
    values, gradients : dict
        Weight → its view.
    is_current : bool
        False once another store has taken one of the weights over.
    """

    def __init__(self, weights: Iterable[Weight], backend: Backend, dtype: DTypeLike, adopt: bool = True) -> None:
        self.weights: list[Weight] = list(weights)
        self.backend: Backend = backend
        self.dtype: np.dtype = np.dtype(dtype)
        self._slices, size = layout([w for w in self.weights if w.has_gradient])
        state_slices, state_size = layout([w for w in self.weights if not w.has_gradient])
        self.theta: np.ndarray = backend.zeros((size,), self.dtype)
        self.grad: np.ndarray = backend.zeros((size,), self.dtype)
        self.sigma: np.ndarray = backend.zeros((state_size,), self.dtype)
        self.values: dict[Weight, np.ndarray] = {w: self.theta[s].reshape(w.shape) for w, s in self._slices.items()}
        self.values |= {w: self.sigma[s].reshape(w.shape) for w, s in state_slices.items()}
        self.gradients: dict[Weight, np.ndarray] = {w: self.grad[s].reshape(w.shape) for w, s in self._slices.items()}
        for weight, view in self.values.items():
            view[...] = backend.asarray(weight.numpy().astype(self.dtype, copy=False))
        self.is_current: bool = True
        if adopt:
            for weight, view in self.values.items():
                if weight.store is not None:
                    weight.store.is_current = False
                weight.value, weight.store = view, self

    def holds(self, weights: list[Weight], backend: Backend) -> bool:
        """Whether exactly these weights live here, on this backend."""
        return backend is self.backend and weights == self.weights and self.is_current

    def slice_of(self, weight: Weight) -> slice:
        """The part of theta, and of grad, that a weight with a gradient is."""
        return self._slices[weight]

    def trainable_segments(self) -> Segments:
        """The part of theta of each trainable weight, in order."""
        return Segments({w: s for w, s in self._slices.items() if w.trainable})


class BorrowedWeights:
    """The weights where they are, for a model that only uses them: the same attributes as a store, without gradients.

    Parameters
    ----------
    weights : list of Weight
    backend : Backend
        Must be able to work on the weights' arrays, see `can_borrow`.
    """

    def __init__(self, weights: list[Weight], backend: Backend) -> None:
        self.weights: list[Weight] = list(weights)
        self.backend: Backend = backend
        self.dtype: np.dtype = weights[0].value.dtype if weights else np.dtype("float32")
        self.values: dict[Weight, np.ndarray] = {w: w.value for w in weights}
        self.gradients: dict[Weight, np.ndarray] = {}

    def holds(self, weights: list[Weight], backend: Backend) -> bool:
        """Whether the weights are still where they were."""
        is_same = backend is self.backend and weights == self.weights
        return is_same and all(map(is_, self.values.values(), [w.value for w in weights]))

    @staticmethod
    def can_borrow(weights: list[Weight], backend: Backend) -> bool:
        """Whether the arrays are of the backend's kind, on its device, and as plans take them: C-contiguous."""

        def is_there(w):
            elsewhere = w.store is not None and w.store.backend.on_device and w.store.backend is not backend
            return isinstance(w.value, backend.xp.ndarray) and w.value.flags.c_contiguous and not elsewhere

        return all(is_there(w) for w in weights)


_awaited = ContextVar("how many numbers new weights may still have, and where they come from", default=None)


def weights_from_file(count: float) -> AbstractContextManager[None]:
    """Inside, new weights are zeros, to be read from a file that holds `count` numbers.

    A file that describes larger layers than it has numbers for is found out before they take memory.
    """
    return holding(_awaited, SimpleNamespace(count=count, draws=False, where="the file holds"))


def no_more_numbers(count: int, where: str) -> AbstractContextManager[None]:
    """Inside, new weights have first values, of no more than `count` numbers: more, it is said, than `where`."""
    return holding(_awaited, SimpleNamespace(count=count, draws=True, where=where))


def first_value(shape: tuple[int, ...], initializer: Initializer) -> np.ndarray:
    """An array for a new weight: what the initializer draws, or zeros inside `weights_from_file`.

    Raises
    ------
    ShapeError
        If the file holds too few numbers, or inside `no_more_numbers`.
    """
    awaited = _awaited.get() or SimpleNamespace(count=math.inf, draws=True)
    awaited.count -= math.prod(shape)
    if awaited.count < 0:
        raise ShapeError(f"the layers need more numbers than {awaited.where}. Received: a weight of shape {shape}")
    value = memory.zeros(shape, floatx())
    if awaited.draws:
        value[...] = initializer(shape, floatx())
    return value


def check_one_dtype(weights: Iterable[Weight]) -> None:
    """Raise `ValueError` if some weights were made with another setting of floatx than others."""
    dtypes = {str(w.value.dtype): w.layer.name for w in weights}
    if len(dtypes) > 1:
        raise ValueError(
            "all weights of a model have one dtype; make its layers after the last call of set_floatx. "
            f"Received: {', '.join(f'{dtype} in {name!r}' for dtype, name in dtypes.items())}"
        )


def layout(weights: Iterable[Weight]) -> tuple[dict[Weight, slice], int]:
    """(weight → slice of a flat vector, the vector's size)."""
    slices, end = {}, 0
    for weight in weights:
        slices[weight] = slice(end, end + weight.size)
        end = -(-slices[weight].stop // ALIGNMENT) * ALIGNMENT
    return slices, end
