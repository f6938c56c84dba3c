"""Open sizes of a model's tensors, ``tf.shape(x)[1]``, which are numbers once data comes, and what is computed of them.

Keras 2 has operations for them in a functional model. Here a function that takes one beside tensors becomes a layer,
which calls it on arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras import _operation_marks as _operation_marks  # which gives tensors operators, before this module
from minicnn.keras._deferred import Deferred
from minicnn.keras._open_looks import is_noting
from minicnn.keras._shapes import Sizes
from minicnn.layers import Lambda
from minicnn.layers.base import register
from minicnn.step import Shape, Shapes

Arrays = Mapping[Tensor, Any]


@register
class FunctionOfSizes(Lambda):
    """A layer that calls a function on arrays, some of which it needs for their sizes alone.

    The function may know the shape of a sample of its result, ``shape_of``, where it would need inputs that fit.
    """

    def build(self, input_shapes: Shapes) -> Shape:
        shape_of = getattr(self.function, "shape_of", None)
        return super().build(input_shapes) if shape_of is None else tuple(shape_of(input_shapes))


class OfData(Deferred):
    """A number, or an array of numbers, that is known when data comes.

    Parameters
    ----------
    tensors : sequence of Tensor
        Whose sizes it is made of.
    compute : callable
        Tensor → array, to the number.
    is_size : bool, default False
        Whether it is a size itself, and not computed of some.
    """

    exist: bool = False  # any, so that functions need look for them

    def __init__(self, tensors: Sequence[Tensor], compute: Callable[[Arrays], Any], is_size: bool = False) -> None:
        self.tensors = list(tensors)
        self.compute = compute
        self.is_size = is_size

    def apply(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the function gives of such numbers, or of such and tensors; see `Deferred.apply`."""
        parts = list(_parts([list(args), dict(kwargs)]))
        met = [t for part in parts if isinstance(part, OfData) for t in part.tensors]
        own = [part for part in parts if isinstance(part, Tensor)]
        tensors = list(dict.fromkeys([*own, *met]))

        def computed(known: Arrays) -> Any:
            given, options = _put([list(args), dict(kwargs)], known)
            return function(*given, **options)

        if not own:
            return OfData(tensors, computed)
        return _layer_of(computed, tensors)

    def __floordiv__(self, other: Any) -> Any:
        return self.apply(operator.floordiv, (self, other), {})

    def __mod__(self, other: Any) -> Any:
        return self.apply(operator.mod, (self, other), {})

    def __repr__(self) -> str:
        return "<a size that is None, until data comes>"


class OpenSizes(Sizes):
    """What ``tf.shape`` gives of a functional model's tensor with open sizes; of the batch axis it is None."""

    tensor: Tensor
    first: int = 0

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            made = OpenSizes(tuple.__getitem__(self, key))
            made.tensor, made.first = self.tensor, self.first + key.indices(len(self))[0]
            return made if key.step in (None, 1) else tuple(list(self)[key])
        size, axis = tuple.__getitem__(self, key), self.first + range(len(self))[key]
        is_known = size is not None or axis == 0
        return size if is_known else OfData([self.tensor], lambda known: known[self.tensor].shape[axis], is_size=True)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _with(self, function: Callable[[Any, Any], Any], other: Any) -> Any:
        others = np.broadcast_to(np.asarray(other, object), (len(self),)).tolist()
        return tuple(None if None in pair else function(*pair) for pair in zip(self, others, strict=True))


def sizes_of(tensor: Any, sizes: Sequence[int | None]) -> Sizes:
    """What ``tf.shape`` gives of a model's tensor of these sizes; with None in a `call`, which runs for each size."""
    if is_noting() or not isinstance(tensor, Tensor) or None not in tuple(sizes)[1:]:
        return Sizes(sizes)
    made = OpenSizes(sizes)
    made.tensor, OfData.exist = tensor, True
    return made


def applied_to_sizes(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str = ""
) -> Any:
    """The function of arguments among which such numbers are; None where there are none.

    A reshape in which one size is what is left stays one.
    """
    parts = _parts([list(args), dict(kwargs)]) if OfData.exist else ()
    of_data = [part for part in parts if isinstance(part, OfData)]
    if not of_data:
        return None
    if name == "unstack" and isinstance(args[0], OpenSizes):
        return list(args[0])
    if name == "reshape":
        try:
            given, options = _put([list(args), dict(kwargs)], None)
            if all(part.is_size for part in of_data):
                return function(*given, **options)
        except (TypeError, ValueError):  # more than one size is open
            pass
        return _reshaped(function, *args, **kwargs)
    return of_data[0].apply(function, args, kwargs)


def meeting_sizes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which takes such numbers, too."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = applied_to_sizes(function, args, kwargs)
        return function(*args, **kwargs) if found is None else found

    return call


def _reshaped(reshape, x, shape, *args, **kwargs):
    """A reshape to such sizes, with as many samples as there are."""
    sizes = list(shape)[1:]
    others = [t for size in sizes if isinstance(size, OfData) for t in size.tensors]
    tensors = list(dict.fromkeys([x, *others]))

    def shape_of(shapes: Shapes) -> list[int]:
        samples = [SimpleNamespace(shape=(None, *shape)) for shape in shapes]
        return [int(n) for n in _put(sizes, dict(zip(tensors, samples, strict=True)))]

    def computed(known: Arrays) -> Any:
        made = [len(known[x]), *(int(n) for n in _put(sizes, known))]
        return reshape(known[x], made, *args, **kwargs)

    return _layer_of(computed, tensors, shape_of if -1 not in sizes else None)


def _layer_of(computed, tensors, shape_of=None):
    is_alone = len(tensors) == 1

    def of_arrays(arrays: Any) -> Any:
        if any(isinstance(x, Tensor) for x in ([arrays] if is_alone else arrays)):
            raise TypeError("this function needs numbers")  # a Lambda layer asks for them then
        return computed(dict(zip(tensors, [arrays] if is_alone else arrays, strict=True)))

    vars(of_arrays)["shape_of"] = shape_of
    return FunctionOfSizes(of_arrays)(tensors[0] if is_alone else tensors)


def _parts(value):
    if isinstance(value, slice):
        value = (value.start, value.stop, value.step)
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def _put(value, known):
    """The same with arrays for tensors and numbers for sizes; if none are known, None for sizes."""
    if isinstance(value, OpenSizes) and known is not None:
        return known[value.tensor].shape[value.first : value.first + len(value)]
    if isinstance(value, slice):
        return slice(*(_put(part, known) for part in (value.start, value.stop, value.step)))
    if isinstance(value, dict):
        return {key: _put(part, known) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_put(part, known) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, OfData):
        return None if known is None else value.compute(known)
    return known[value] if isinstance(value, Tensor) and known is not None else value


def _of_tensors(method, of_arrays):
    """An operator of tensors, which may meet such numbers."""

    def operate(*operands: Any) -> Any:
        found = applied_to_sizes(of_arrays, operands, {})
        return method(*operands) if found is None else found

    return operate


for _name in ("add", "sub", "mul", "truediv", "pow", "getitem"):
    _key = f"__{_name}__"
    setattr(Tensor, _key, _of_tensors(getattr(Tensor, _key), getattr(operator, _name)))
