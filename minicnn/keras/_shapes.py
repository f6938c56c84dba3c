"""Shapes of tensors as TensorFlow has them: tuples with ``as_list()``, ``rank`` and ``ndims``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded
from minicnn.graph import Tensor
from minicnn.keras._dtypes import TensorDtype
from minicnn.parameters import Weight


class Dimension(int):
    """A size, which TensorFlow 1 had as ``size.value``."""

    value: property = property(int)

    def __reduce__(self) -> tuple[type, tuple[int]]:
        """Pickled and copied as a number."""
        return int, (int(self),)


class TensorShape(tuple):
    """A shape with the batch axis; slices are such shapes too.

    Examples
    --------
    >>> from minicnn.keras import Input
    >>> Input((28, 28, 1)).shape[1:].as_list()
    [28, 28, 1]
    """

    rank: property = property(lambda self: len(self))
    ndims: property = property(lambda self: len(self))

    def as_list(self) -> list[int | None]:
        """A list of the sizes."""
        return list(self)

    def num_elements(self) -> int | None:
        """How many numbers there are; None where a size is open."""
        return math.prod(self) if self.is_fully_defined() else None

    def is_fully_defined(self) -> bool:
        """Whether no size is open."""
        return None not in self

    def is_compatible_with(self, other: Any) -> bool:
        """Whether the sizes are those of the other, but for open ones."""
        return len(self) == len(other) and all(
            None in pair or pair[0] == pair[1] for pair in zip(self, other, strict=True)
        )

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, tuple(other) if isinstance(other, list) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __add__(self, other: Any) -> Any:
        return ArrayShape((*self, *other))

    def __radd__(self, other: Any) -> Any:
        return ArrayShape((*other, *self))

    def concatenate(self, other: Any) -> TensorShape:
        """The sizes of both, one after the other."""
        return TensorShape((*self, *other))

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        if isinstance(key, slice):
            return TensorShape(item)
        return Dimension(item) if isinstance(item, int) else item

    def __reduce__(self) -> tuple[type, tuple[list[int | None]]]:
        """Pickled as a tuple, which needs nothing of `minicnn.keras`."""
        return tuple, (list(self),)


class ArrayShape(TensorShape):
    """The shape of an array, recorded or not. Sizes are plain: float32 / a subclass of int is float64 in NumPy."""

    def __getitem__(self, key: Any) -> Any:
        item = tuple.__getitem__(self, key)
        return ArrayShape(item) if isinstance(key, slice) else item


class Sizes(TensorShape):
    """What ``tf.shape`` gives of a model's tensor: one number beside another is computed with, size by size.

    Examples
    --------
    >>> Sizes((None, 4, 6))[1:] * 2
    (8, 12)
    """

    def __getitem__(self, key: Any) -> Any:
        item = tuple.__getitem__(self, key)
        return Sizes(item) if isinstance(key, slice) else item

    def _with(self, function: Callable[[Any, Any], Any], other: Any) -> Sizes:
        others = np.broadcast_to(np.asarray(other, object), (len(self),)).tolist()
        pairs = zip(self, others, strict=True)
        return Sizes(None if None in pair else function(*pair) for pair in pairs)

    def __add__(self, other: Any) -> Any:
        return self._with(operator.add, other)

    def __sub__(self, other: Any) -> Any:
        return self._with(operator.sub, other)

    def __mul__(self, other: Any) -> Any:
        return self._with(operator.mul, other)

    def __floordiv__(self, other: Any) -> Any:
        return self._with(operator.floordiv, other)

    def __truediv__(self, other: Any) -> Any:
        return self._with(operator.truediv, other)

    __radd__, __rmul__ = __add__, __mul__


def _set_shape(tensor, shape):
    vars(tensor)["shape"] = shape


Tensor.shape = property(lambda tensor: TensorShape(vars(tensor)["shape"]), _set_shape)  # type: ignore[assignment]
Tensor.sparse = Tensor.ragged = False  # type: ignore[attr-defined]
Tensor.get_shape = lambda tensor: tensor.shape  # type: ignore[attr-defined]
Recorded.shape = property(lambda array: ArrayShape(array.value.shape))
Recorded.get_shape = lambda array: array.shape  # type: ignore[attr-defined]
Recorded.dtype = property(lambda array: TensorDtype(array.value.dtype))
Weight.get_shape = EagerArray.get_shape = lambda array: TensorShape(array.shape)  # type: ignore[attr-defined]

_OF_ARRAYS: Any = np.ndarray.shape
EagerArray.shape = property(  # type: ignore[assignment]
    lambda array: ArrayShape(_OF_ARRAYS.__get__(array)), lambda array, shape: _OF_ARRAYS.__set__(array, shape)
)
