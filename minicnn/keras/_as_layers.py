"""Functions of ``keras.ops`` of a model's tensors, as layers that are there: they are saved, and exported, as these.

Each takes its arguments as Keras names them and gives a tensor, or None where no layers compute just that: samples are
mixed, or an infinite number would become NaN on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.checks import is_integer
from minicnn.graph import Tensor
from minicnn.keras import _axes_of_one
from minicnn.keras._epsilon import epsilon as default_epsilon
from minicnn.keras._turned import turned

_MANY = 64  # copies or parts, beyond which one layer that calls the function is the smaller one


def as_layers(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The function of this name, of a model's tensors; None where layers do not express it.

    Parameters
    ----------
    name : str
        In ``keras.ops``.
    args, kwargs
        Its arguments.
    """
    if (made_of := _MADE_OF.get(name)) is None:
        return None
    try:
        bound = signature(made_of).bind(*args, **kwargs)
    except TypeError:  # arguments of NumPy's that Keras does not have
        return None
    return made_of(*bound.args, **bound.kwargs)


# ------------------------------------------------------------------------------------------ numbers and comparisons


def _number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    array = np.asarray(value) if isinstance(value, int | float | np.generic | np.ndarray) else None
    is_number = array is not None and array.ndim == 0 and array.dtype.kind in "biuf" and bool(np.isfinite(array))
    return float(array) if is_number else None  # type: ignore[arg-type]


def _like(x: Tensor, value: Any) -> Tensor | None:
    """A finite number for each of x's, or an array that counts for all samples, as a tensor of x's shape."""
    array = _fitting(x, value)
    return None if array is None else layers.Select(0.0, 0.0)(x) + array


def _fitting(x: Tensor, value: Any) -> np.ndarray | None:
    """An array (…) of finite numbers that counts for all samples, and leaves x its shape; None for anything else."""
    if not isinstance(value, np.ndarray | list | tuple) or (isinstance(value, list | tuple) and _holds_tensors(value)):
        return None
    array = np.asarray(value)
    array = array[0] if array.ndim == x.ndim and len(array) == 1 else array
    sizes = x.shape[x.ndim - array.ndim :]
    if array.dtype.kind not in "biuf" or array.ndim >= x.ndim or not np.isfinite(array).all():
        return None
    if any(n not in (1, size) for n, size in zip(array.shape, sizes, strict=True)):
        return None
    return array


def _holds_tensors(values):
    return any(isinstance(part, Tensor) or (isinstance(part, list | tuple) and _holds_tensors(part)) for part in values)


def _of_one_rank(*given: Any) -> bool:
    """Whether the tensors have as many axes each, so that those of the samples meet."""
    return len({x.ndim for x in given if isinstance(x, Tensor)}) == 1


def _clip(x: Any, x_min: Any, x_max: Any) -> Tensor | None:
    low, high = _number(x_min), _number(x_max)
    return layers.Clip(low, high)(x) if low is not None and high is not None and low <= high else None


def _extreme(layer: Callable[[], Any], bound: str) -> Callable[..., Tensor | None]:
    def made(x1: Any, x2: Any) -> Tensor | None:
        x, other = (x1, x2) if isinstance(x1, Tensor) else (x2, x1)
        if (number := _number(other)) is not None:
            return layers.Clip(**{bound: number})(x)
        constant = _like(x, other)
        return None if constant is None else layer()([x, constant])

    return made


def _power(x1: Any, x2: Any) -> Tensor | None:
    return x1**x2 if isinstance(x1, Tensor) and _number(x2) is not None else None


def _divide(x1: Any, x2: Any) -> Tensor | None:
    if isinstance(x1, Tensor) and isinstance(x2, Tensor):
        return x1 / x2 if _of_one_rank(x1, x2) else None
    return x1 / x2 if _number(x1 if isinstance(x2, Tensor) else x2) is not None else None


def _compared(compare: Callable[[Any, Any], Any], is_exact: bool) -> Callable[..., Tensor | None]:
    """A comparison with finite numbers; of two tensors where it is right for two infinite ones, too."""

    def made(x1: Any, x2: Any) -> Tensor | None:
        if isinstance(x1, Tensor) and isinstance(x2, Tensor):
            return compare(x1, x2) if is_exact and _of_one_rank(x1, x2) else None
        x, other = (x1, x2) if isinstance(x1, Tensor) else (x2, x1)
        if _number(other) is None and _fitting(x, other) is None:
            return None
        return compare(x1, x2)

    return made


def _is_equal(x1: Any, x2: Any) -> Tensor:
    x, other = (x1, x2) if isinstance(x1, Tensor) else (x2, x1)
    return layers.Elementary("zero")(x - other)


def _mask(x: Tensor) -> Tensor:
    """1 where a number is not 0, NaN among them, else 0."""
    layer = x.node.layer
    is_one = isinstance(layer, layers.Elementary) and layer.function in ("nan", "nonnegative", "positive", "zero")
    return x if is_one else 1 - layers.Elementary("zero")(x)


def _joined(layer: Callable[[], Any]) -> Callable[..., Tensor | None]:
    def made(x1: Any, x2: Any) -> Tensor | None:
        both = isinstance(x1, Tensor) and isinstance(x2, Tensor) and _of_one_rank(x1, x2)
        return layer()([_mask(x1), _mask(x2)]) if both else None

    return made


def _where(condition: Any, x1: Any = None, x2: Any = None) -> Tensor | None:
    if not isinstance(condition, Tensor) or x1 is None or x2 is None or not _of_one_rank(condition, x1, x2):
        return None
    numbers = [None if isinstance(x, Tensor) else _number(x) for x in (x1, x2)]
    if any(number is None and not isinstance(x, Tensor) for number, x in zip(numbers, (x1, x2), strict=True)):
        return None
    tensors = [x for x in (x1, x2) if isinstance(x, Tensor)]
    return layers.Select(*numbers)([_mask(condition), *tensors] if tensors else _mask(condition))


def _filled(number: float) -> Callable[..., Tensor | None]:
    return lambda x, dtype=None: layers.Select(number, number)(x) if dtype is None else None


# ---------------------------------------------------------------------------------------------------- arrangements


def _axis(x: Tensor, axis: Any) -> int | None:
    """An axis, counted from 0; None for that of the samples, for several and for one that is not there."""
    at = _integer(axis)
    return None if at is None or not -x.ndim <= at < x.ndim else at % x.ndim or None


def _integer(value: Any) -> int | None:
    """A whole number, of NumPy too, also in an array without axes; None for anything else."""
    value = value[()] if isinstance(value, np.ndarray) and not value.ndim else value
    return int(value) if is_integer(value) else None


def _part(x: Tensor, axis: int, key: Any) -> Tensor:
    return x[(*(slice(None),) * axis, key)]


def _stack(x: Any, axis: int = 0) -> Tensor | None:
    parts = list(x) if isinstance(x, list | tuple) else []
    is_plain = len(parts) > 1 and all(isinstance(part, Tensor) for part in parts) and _of_one_rank(*parts)
    at = _integer(axis)
    if not is_plain or at is None or not -parts[0].ndim - 1 <= at <= parts[0].ndim:
        return None
    at %= parts[0].ndim + 1
    wide = [_axes_of_one.expand_dims(part, at) for part in parts] if at else [None]
    return None if any(part is None for part in wide) else layers.Concatenate(at)(wide)


def _repeat(x: Any, repeats: Any, axis: Any = None) -> Tensor | None:
    at, count = _axis(x, axis), _integer(repeats)
    if at is None or count is None or not 1 < count <= _MANY:
        return None
    sizes = [-1 if size is None else size for size in x.shape[1:]]
    wide = _axes_of_one.expand_dims(x, at + 1)
    if wide is None or sizes.count(-1) > 1:
        return None
    sizes[at - 1] *= count if sizes[at - 1] > 0 else 1
    return layers.Reshape(tuple(sizes))(layers.Concatenate(at + 1)([wide] * count))


def _tile(x: Any, repeats: Any) -> Tensor | None:
    given = [_integer(n) for n in (repeats if isinstance(repeats, list | tuple) else np.atleast_1d(repeats))]
    if len(given) > x.ndim or not all(n and 0 < n <= _MANY for n in given):
        return None
    counts = [*[1] * (x.ndim - len(given)), *given]
    if counts[0] != 1 or max(counts) == 1:
        return None
    for axis, count in enumerate(counts):
        x = layers.Concatenate(axis)([x] * count) if count > 1 else x
    return x


def _flip(x: Any, axis: Any = None) -> Tensor | None:
    axes = [_axis(x, each) for each in (axis if isinstance(axis, list | tuple) else [axis])]
    if not axes or None in axes:
        return None
    return x[tuple(slice(None, None, -1 if at in axes else None) for at in range(x.ndim))]


def _roll(x: Any, shift: Any, axis: Any = None) -> Tensor | None:
    at, places = _axis(x, axis), _integer(shift)
    if at is None or x.shape[at] is None or places is None:
        return None
    first = -places % x.shape[at]  # of the result
    if not first:
        return None
    return layers.Concatenate(at)([_part(x, at, slice(first, None)), _part(x, at, slice(None, first))])


def _take(x: Any, indices: Any, axis: Any = None) -> Tensor | None:
    at = _axis(x, axis) if isinstance(x, Tensor) else None
    if at is None or x.shape[at] is None or not isinstance(indices, int | list | tuple | np.ndarray | np.integer):
        return None
    if isinstance(indices, list | tuple) and _holds_tensors(indices):
        return None
    places, size = np.asarray(indices), x.shape[at]
    if places.dtype.kind not in "iu" or places.ndim > 1 or not 0 < places.size <= _MANY:
        return None
    if not ((-size <= places) & (places < size)).all():
        return None
    if not places.ndim:
        return _part(x, at, int(places))
    parts = [_part(x, at, slice(n, n + 1)) for n in (places % size).tolist()]
    return layers.Concatenate(at)(parts) if len(parts) > 1 else parts[0]


def _swapaxes(x: Any, axis1: Any, axis2: Any) -> Any:
    first, second = _axis(x, axis1), _axis(x, axis2)
    if first is None or second is None or first == second:
        return None
    axes = list(range(x.ndim))
    axes[first], axes[second] = second, first
    return turned(x, axes)


def _moveaxis(x: Any, source: Any, destination: Any) -> Any:
    before, behind = _axis(x, source), _axis(x, destination)
    if before is None or behind is None or before == behind:
        return None
    axes = [axis for axis in range(x.ndim) if axis != before]
    return turned(x, [*axes[:behind], before, *axes[behind:]])


# -------------------------------------------------------------------------------------------- products and reductions


def _matmul(x1: Any, x2: Any) -> Tensor | None:
    if not (isinstance(x1, Tensor) and isinstance(x2, Tensor)) or x1.ndim != x2.ndim or x1.ndim < 3:
        return None
    return layers.MatrixProduct()([x1, x2])


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor | None:
    axes = [_axis(x, each) for each in (axis if isinstance(axis, list | tuple) else [axis])]
    if not axes or None in axes or len(set(axes)) < len(axes):
        return None
    if ord is None or (ord == "euclidean") or (ord == "fro") or (ord == 2 and len(axes) == 1):
        return layers.Power(0.5)(layers.Reduce("sum", sorted(axes), keepdims)(layers.Power(2)(x)))
    if ord == 1 and len(axes) == 1:
        return layers.Reduce("sum", axes, keepdims)(layers.Elementary("abs")(x))
    return None


def _normalize(x: Any, axis: Any = -1, order: Any = 2, epsilon: float | None = None) -> Tensor | None:
    length = _norm(x, None if order == 2 else order, axis, True) if type(order) is int else None
    least = default_epsilon() if epsilon is None else epsilon
    return None if length is None else x / layers.Clip(minimum=least)(length)


def _counted(x: Tensor, axis: Any, keepdims: bool, mask: Callable[[Tensor], Tensor]) -> Tensor | None:
    """How many numbers along the axes the mask is 1 of."""
    axes = [_axis(x, each) for each in (axis if isinstance(axis, list | tuple) else [axis])]
    return None if not axes or None in axes else layers.Reduce("sum", sorted(set(axes)), bool(keepdims))(mask(x))


def _count_nonzero(x: Any, axis: Any = None) -> Tensor | None:
    return _counted(x, axis, False, _mask)


def _any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor | None:
    count = _counted(x, axis, keepdims, _mask)
    return None if count is None else layers.Elementary("positive")(count)


def _all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor | None:
    count = _counted(x, axis, keepdims, layers.Elementary("zero"))
    return None if count is None else layers.Elementary("zero")(count)


def _place_of_extreme(sign: float) -> Callable[..., Tensor | None]:
    def made(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor | None:
        if (at := _axis(x, axis)) is None:
            return None
        last = x.ndim - 1
        y = _swapped(layers.ArgMax()(_swapped(x if sign > 0 else -x, at, last)), at, last)
        return y if keepdims else _axes_of_one.squeeze(y, at)

    return made


def _swapped(x: Tensor, first: int, second: int) -> Any:
    return x if first == second else _swapaxes(x, first, second)


def _kept_of_matrix(ones: Callable[..., np.ndarray]) -> Callable[..., Tensor | None]:
    """The numbers of matrices, the last two axes, where `ones` has ones; 0 elsewhere."""

    def made(x: Any, k: int = 0) -> Tensor | None:
        sizes = x.shape[-2:]
        if x.ndim < 3 or None in sizes:
            return None
        mask = _like(x, ones(np.ones(sizes, np.float32), k))
        return None if mask is None else layers.Select(otherwise=0.0)([mask, x])

    return made


def _trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor | None:
    if {_axis(x, axis1), _axis(x, axis2)} != {x.ndim - 2, x.ndim - 1} or _axis(x, axis1) != x.ndim - 2:
        return None
    if None in x.shape[-2:] or x.ndim < 3:
        return None
    mask = _like(x, np.eye(*x.shape[-2:], offset, dtype=np.float32))
    kept = None if mask is None else layers.Select(otherwise=0.0)([mask, x])
    return None if kept is None else layers.Reduce("sum", [x.ndim - 2, x.ndim - 1])(kept)


def _cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor | None:
    is_plain = isinstance(x1, Tensor) and isinstance(x2, Tensor) and _of_one_rank(x1, x2)
    if not is_plain or {axisa, axisb, axisc} != {-1} or axis not in (None, -1) or {x1.shape[-1], x2.shape[-1]} != {3}:
        return None
    a, b = ([x[..., at : at + 1] for at in range(3)] for x in (x1, x2))
    return layers.Concatenate(-1)([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)])


def _floor_divide(x1: Any, x2: Any) -> Tensor | None:
    number = _number(x2)
    is_exact = isinstance(x1, Tensor) and number and math.frexp(abs(number))[0] == 0.5  # what 1 / x2 is then
    return layers.Elementary("floor")(x1 / x2) if is_exact else None


def _glu(x: Any, axis: int = -1) -> Tensor | None:
    at = _axis(x, axis)
    if at is None or x.shape[at] is None or x.shape[at] % 2:
        return None
    half = x.shape[at] // 2
    return _part(x, at, slice(None, half)) * layers.Activation("sigmoid")(_part(x, at, slice(half, None)))


_MADE_OF: dict[str, Callable[..., Any]] = {
    **{
        each.__name__[1:]: each
        for each in (_clip, _power, _where, _stack, _repeat, _tile, _flip, _roll, _take, _swapaxes, _moveaxis)
    },
    **{
        each.__name__[1:]: each
        for each in (_matmul, _norm, _normalize, _count_nonzero, _trace, _cross, _floor_divide, _glu)
    },
    "divide": _divide,
    "true_divide": _divide,
    "all": _all,
    "any": _any,
    "argmax": _place_of_extreme(1),
    "argmin": _place_of_extreme(-1),
    "equal": _compared(_is_equal, False),
    "erf": lambda x: layers.Pointwise("erf")(x),
    "expm1": lambda x: layers.Elementary("expm1")(x),
    "greater": _compared(lambda a, b: a > b, True),
    "greater_equal": _compared(lambda a, b: a >= b, False),
    "isnan": lambda x: layers.Elementary("nan")(x),
    "less": _compared(lambda a, b: a < b, True),
    "less_equal": _compared(lambda a, b: a <= b, False),
    "log1p": lambda x: layers.Elementary("log1p")(x),
    "logical_and": _joined(layers.Multiply),
    "logical_not": lambda x: layers.Elementary("zero")(x),
    "logical_or": _joined(layers.Maximum),
    "maximum": _extreme(layers.Maximum, "minimum"),
    "minimum": _extreme(layers.Minimum, "maximum"),
    "not_equal": _compared(lambda a, b: 1 - _is_equal(a, b), False),
    "ones_like": _filled(1.0),
    "tan": lambda x: layers.Elementary("tan")(x),
    "tril": _kept_of_matrix(np.tril),
    "triu": _kept_of_matrix(np.triu),
    "zeros_like": _filled(0.0),
}
"""Name of ``keras.ops`` → what makes layers of it."""
