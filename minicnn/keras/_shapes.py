"""Shapes of tensors as TensorFlow has them: tuples with ``as_list()``, ``rank`` and ``ndims``."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.keras._dtypes import TensorDtype
from minicnn.keras._open_looks import is_noting, note_look
from minicnn.keras._own_names import is_of_library
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

    def __new__(cls, dims: Any = ()) -> Any:
        """The shape of sizes, of one alone, or for None one whose number of axes is open."""
        if dims is None or isinstance(dims, OfUnknownRank):
            return super().__new__(OfUnknownRank)
        if isinstance(dims, str):
            raise TypeError(f"a shape is made of sizes, (28, 28, 1), of one of them, or None. Received: {dims!r}")
        return super().__new__(cls, (int(dims),) if isinstance(dims, int | np.integer) else dims)

    rank: property = property(lambda self: len(self))
    ndims: property = property(lambda self: len(self))

    dims: property = property(lambda self: [Dimension(n) if isinstance(n, int) else n for n in self])

    def as_list(self) -> list[int | None]:
        """A list of the sizes."""
        return list(self)

    def num_elements(self) -> int | None:
        """How many numbers there are; None where a size is open."""
        return math.prod(self) if self.is_fully_defined() else None

    def is_fully_defined(self) -> bool:
        """Whether no size is open."""
        return None not in self

    def assert_is_fully_defined(self) -> None:
        """Raise a ValueError where a size is open."""
        if not self.is_fully_defined():
            raise ValueError(f"a shape without open sizes was expected. Received: {self}")

    def is_compatible_with(self, other: Any) -> bool:
        """Whether the sizes are those of the other, but for open ones."""
        other = TensorShape(other)
        return other.rank is None or (
            len(self) == len(other)
            and all(None in pair or pair[0] == pair[1] for pair in zip(self, other, strict=True))
        )

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raise a ValueError where it is not."""
        if not self.is_compatible_with(other):
            raise ValueError(f"shapes with the same sizes were expected. Received: {self} and {other}")

    def merge_with(self, other: Any) -> TensorShape:
        """What is known of either; a ValueError where they differ."""
        self.assert_is_compatible_with(other)
        other = TensorShape(other)
        if other.rank is None:
            return self
        return TensorShape(b if a is None else a for a, b in zip(self, other, strict=True))

    def with_rank(self, rank: int) -> TensorShape:
        """The shape itself; a ValueError if it has another number of axes."""
        if len(self) != rank:
            raise ValueError(f"a shape of {rank} axes was expected. Received: {self}")
        return self

    def with_rank_at_least(self, rank: int) -> TensorShape:
        """The shape itself; a ValueError if it has fewer axes."""
        return self.with_rank(max(rank, len(self)))

    assert_has_rank = with_rank

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
        other = TensorShape(other)
        return other if other.rank is None else TensorShape((*self, *other))

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        if isinstance(key, slice):
            return TensorShape(item)
        return Dimension(item) if isinstance(item, int) else item

    def __reduce__(self) -> tuple[type, tuple[list[int | None]]]:
        """Pickled as a tuple, which needs nothing of `minicnn.keras`."""
        return tuple, (list(self),)


class OfUnknownRank(TensorShape):
    """``TensorShape(None)``, whose number of axes is open; what asks for its sizes is a ValueError."""

    rank: property = property(lambda self: None)
    ndims: property = property(lambda self: None)
    dims: property = property(lambda self: None)

    def __new__(cls, dims: Any = None) -> OfUnknownRank:
        return tuple.__new__(cls)

    def num_elements(self) -> None:
        """None."""

    def is_fully_defined(self) -> bool:
        """False."""
        return False

    def is_compatible_with(self, other: Any) -> bool:
        """True: it may be any shape."""
        return True

    def merge_with(self, other: Any) -> TensorShape:
        """The other one."""
        return TensorShape(other)

    def with_rank(self, rank: int) -> TensorShape:
        """A shape of open sizes."""
        return TensorShape([None] * rank)

    def with_rank_at_least(self, rank: int) -> TensorShape:
        """Itself."""
        return self

    def concatenate(self, other: Any) -> TensorShape:
        """Itself."""
        return self

    def _refuse(self, *args: Any) -> Any:
        raise ValueError("TensorShape(None) has no known number of axes, and so no sizes to be asked for")

    assert_is_fully_defined = as_list = __len__ = __iter__ = __add__ = __radd__ = _refuse

    def __getitem__(self, key: Any) -> Any:
        return self if isinstance(key, slice) else None

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, OfUnknownRank)

    __hash__ = tuple.__hash__

    def __repr__(self) -> str:
        return "TensorShape(None)"

    def __reduce__(self) -> Any:
        return TensorShape, (None,)


class ArrayShape(TensorShape):
    """The shape of an array, recorded or not. Sizes are plain: float32 / a subclass of int is float64 in NumPy."""

    def __getitem__(self, key: Any) -> Any:
        item = tuple.__getitem__(self, key)
        return ArrayShape(item) if isinstance(key, slice) else item


class WatchedShape(TensorShape):
    """The shape of a tensor with open sizes, in a `call` of which it is noted whether it looks at one."""

    def __getitem__(self, key: Any) -> Any:
        note_look((0, *tuple.__getitem__(self, slice(1, None)))[key])  # of the batch axis nothing else is ever known
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        note_look(None)
        return super().__iter__()

    def __contains__(self, size: object) -> bool:
        note_look(None)
        return super().__contains__(size)

    def __eq__(self, other: object) -> bool:
        note_look(None)
        return super().__eq__(other)

    def __hash__(self) -> int:
        note_look(None)
        return super().__hash__()


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


def of_samples(shape: Sequence[Any], known: Sequence[int | None]) -> tuple[Any, ...]:
    """The shape of a sample that a model's tensor gets by `reshape`.

    An open size, `ops.shape(x)[1]`, is the one that is left, -1, where the other sizes are as many numbers as before.

    Raises
    ------
    ShapeError
        Where an axis would be folded into that of the samples, or taken out of it.
    """
    rest, own = tuple(shape)[1:], tuple(known)[1:]
    if rest.count(None) == own.count(None) == 1 and -1 not in rest:
        sizes, others = ([n for n in each if n is not None] for each in (rest, own))
        if math.prod(sizes) == math.prod(others):
            return tuple(-1 if n is None else n for n in rest)
    if all(isinstance(n, int) and n > 0 for n in (*rest, *own)):
        new, old = math.prod(rest), math.prod(own)
        if new != old and (new % old == 0 or old % new == 0):
            raise ShapeError(
                "a model's tensor keeps its samples apart, and this reshape makes another number of them: in the call "
                "of a layer that takes them out of the samples again it may, with -1 as their number, and in that of a "
                "keras.Model; elsewhere "
                "TimeDistributed(layer) calls one, or a model, on each of the parts x[:, 0], x[:, 1], …, and gives "
                "them in a row again. "
                f"Received: {tuple(shape)} for {tuple(known)}"
            )
    return rest


def _set_shape(tensor, shape):
    vars(tensor)["shape"] = shape


def _shape_of_tensor(tensor):
    sizes = vars(tensor)["shape"]
    if is_noting() and None in sizes[1:] and not is_of_library(sys._getframe(1)):
        return WatchedShape(sizes)
    return TensorShape(sizes)


def _asked_shape(tensor):
    note_look(vars(tensor)["shape"][1:])
    return tensor.shape


def _shape_of_weight(weight):
    return ArrayShape(vars(weight)["shape"])


Weight.shape = property(_shape_of_weight, _set_shape)  # type: ignore[assignment]
Tensor.shape = property(_shape_of_tensor, _set_shape)  # type: ignore[assignment]
Tensor.sparse = Tensor.ragged = False  # type: ignore[attr-defined]
Tensor.get_shape = _asked_shape  # type: ignore[attr-defined]
Recorded.shape = property(lambda array: ArrayShape(array.value.shape))
Recorded.get_shape = lambda array: array.shape  # type: ignore[attr-defined]
Recorded.dtype = property(lambda array: TensorDtype(array.value.dtype))
Weight.get_shape = EagerArray.get_shape = lambda array: TensorShape(array.shape)  # type: ignore[attr-defined]

_OF_ARRAYS: Any = np.ndarray.shape
EagerArray.shape = property(  # type: ignore[assignment]
    lambda array: ArrayShape(_OF_ARRAYS.__get__(array)), lambda array, shape: _OF_ARRAYS.__set__(array, shape)
)
