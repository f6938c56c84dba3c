"""Functions of ``keras.ops`` that layers and losses of users call less often: of arrays, or of a model's tensors.

Of tensors they become a layer that holds the function; what NumPy's functions are differentiated for, these are too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import Recorded, beside, met, value_of
from minicnn.dtype_policies import of_python
from minicnn.keras import _crossentropies, _operations
from minicnn.keras._arrangements import arranged
from minicnn.keras._deferred import applied
from minicnn.keras._epsilon import epsilon as default_epsilon
from minicnn.keras._last_function import forgotten, looking_behind
from minicnn.keras._named_function import is_of_ops, named
from minicnn.keras._of_tensors import Computed
from minicnn.keras._operations import is_symbolic
from minicnn.keras._orders import along, as_places, quantile
from minicnn.keras._result_dtypes import in_kerass_dtype
from minicnn.keras._whole_numbers import largest_first
from minicnn.keras.ops._loops import LOOPS
from minicnn.keras.ops._matrices import cross
from minicnn.reverse_mode import conjugated
from minicnn.settings import floatx

_OF_ARRAYS = (
    *(
        "arctan",
        "arctan2",
        "average",
        "bincount",
        "cosh",
        "count_nonzero",
        "digitize",
        "einsum",
        "floor_divide",
    ),
    *("full_like", "hstack", "inner", "isclose", "log2", "logaddexp", "meshgrid"),
    *("ravel", "roll", "sinh", "trace", "tril", "triu", "true_divide"),
    *("vdot", "vstack"),
)


def of_tensors_too(function: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """The function, which also takes a model's tensors, alone or in a list, as its first arguments.

    Parameters
    ----------
    function : callable
    name : str, optional
        As of `entering`.
    """

    label = name or function.__name__

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if (of_weights := applied(call, args, kwargs)) is not None:
            return of_weights
        if not any(map(is_symbolic, args)):
            return function(*args, **kwargs)
        if is_of_ops(label, function) and (made := named(label, args, kwargs)) is not None:
            return made
        if isinstance(args[0], list | tuple):
            return Computed(lambda *arrays: function(list(arrays), *args[1:], **kwargs))(list(args[0]))
        tensors = [at for at, each in enumerate(args) if is_symbolic(each)]

        def of_arrays(*arrays):
            given = dict(zip(tensors, arrays, strict=True))
            return function(*(given.get(at, each) for at, each in enumerate(args)), **kwargs)

        chosen = [args[at] for at in tensors]
        return Computed(of_arrays)(chosen if len(chosen) > 1 else chosen[0])

    return _operations.entering(call, name)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Equal parts along an axis, or parts between places."""
    length = x.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        if length % indices_or_sections:
            raise ValueError(f"{length} is no multiple. Received: indices_or_sections={indices_or_sections}")
        ends = [*range(0, length + 1, length // int(indices_or_sections))]
    else:
        ends = [0, *(int(n) for n in indices_or_sections), length]
    before = (slice(None),) * (axis % len(x.shape))
    return [x[(*before, slice(first, end))] for first, end in pairwise(ends)]


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """The parts along an axis, without it."""
    before = (slice(None),) * (axis % len(x.shape))
    return [x[(*before, at)] for at in range(x.shape[axis])]


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The parts at these places of an axis, or of all numbers in one."""
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    return x[(*(slice(None),) * (axis % len(x.shape)), as_places(indices))]


def _are_integers(*numbers):
    return all(not isinstance(x, Recorded) and np.asarray(x).dtype.kind in "biu" for x in numbers)


def floor_divide(x1: Any, x2: Any) -> Any:
    """x1 / x2, rounded down."""
    if _are_integers(x1, x2):
        return np.floor_divide(x1, x2)
    return np.floor(x1 / x2)


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with numbers in the places of NaN and of infinities, by default the largest that there are."""
    made = np.nan_to_num(value_of(x), nan=nan, posinf=posinf, neginf=neginf)
    is_kept = np.isfinite(value_of(x))
    return Recorded(made, [(x, lambda g: np.where(is_kept, g, 0))]) if isinstance(x, Recorded) else made


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The numbers in these places along an axis."""
    return along(x if isinstance(x, Recorded) else np.asarray(x), as_places(indices), axis)


def mod(x1: Any, x2: Any) -> Any:
    """What is left of x1 / x2, of the sign of x2."""
    return np.mod(x1, x2)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Sums of products, as `numpy.einsum` has them.

    Raises
    ------
    TypeError
        Where it is to be differentiated and an index stands twice in one operand.
    """
    values = [value_of(each) for each in operands]
    if all(isinstance(each, np.ndarray) and each.dtype == np.int8 for each in values):
        values = [each.astype(np.int32) for each in values]  # whose sums have no place in 8 bits
    made = np.einsum(subscripts, *values, optimize=True)
    if not any(isinstance(each, Recorded) for each in operands):
        return made
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    output = output if arrow else "".join(sorted(i for i in inputs if i != "," and inputs.count(i) == 1))

    def back(at):
        if "." in subscripts or len({*terms[at]}) < len(terms[at]):
            raise TypeError(f"einsum is differentiated for different indices, written out. Received: {subscripts}")
        ones = np.ones(np.shape(values[at]), values[at].dtype)  # for indices that stand in this term alone
        others = [ones if i == at else each for i, each in enumerate(operands)]
        reverse = ",".join([output, *terms]) + "->" + terms[at]
        return lambda gradient: einsum(reverse, gradient, *(conjugated(beside(gradient, each)) for each in others))

    return Recorded(made, [(each, back(at)) for at, each in enumerate(operands) if isinstance(each, Recorded)])


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """Sums of products over axes: the last of x1 and the first of x2, so many, or those of two lists."""
    if not any(isinstance(each, Recorded) for each in (x1, x2)):
        return np.tensordot(x1, x2, axes)
    if isinstance(axes, int | np.integer):
        axes = range(-int(axes), 0), range(int(axes))
    first, second = (
        [axis % x.ndim for axis in np.ravel(given).tolist()] for x, given in zip((x1, x2), axes, strict=True)
    )
    rest = [[axis for axis in range(x.ndim) if axis not in summed] for x, summed in ((x1, first), (x2, second))]
    count = math.prod(x1.shape[axis] for axis in first)
    a = np.reshape(np.transpose(x1, (*rest[0], *first)), (-1, count))  # (P, K)
    b = np.reshape(np.transpose(x2, (*second, *rest[1])), (count, -1))  # (K, Q)
    return np.reshape(a @ b, (*(x1.shape[axis] for axis in rest[0]), *(x2.shape[axis] for axis in rest[1])))


def identity(n: Any, dtype: Any = None) -> Any:
    """The unit matrix (n, n), in ``floatx()`` unless told; of anything but a whole number, as in Keras 2, itself."""
    return np.eye(n, dtype=dtype or floatx()) if isinstance(n, int | np.integer) else n


def stop_gradient(variable: Any) -> Any:
    """The numbers, which count as constant."""
    return forgotten(value_of(variable))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """NumPy's ``linalg.norm``: of vectors along one axis, of matrices along two, or √(Σ x²) of all numbers.

    Parameters
    ----------
    x : array-like
    ord : optional
        None: √(Σ x²). Of vectors any number; of matrices 1 and -1 (the largest and least sum of a column's |x|),
        infinity and its negative (of a row's), 2, -2 and "nuc" (the largest, the least and the sum of the singular
        values), which have no gradient.
    axis : int or tuple of one or two int, optional
        Default: all of them.
    keepdims : bool, default False

    Raises
    ------
    ValueError
        For another `ord`, or one along more axes.
    """
    axes = tuple(range(np.ndim(x))) if axis is None else tuple(np.atleast_1d(axis).tolist())
    x = x if isinstance(x, Recorded) else _operations.as_float(np.asarray(x))  # of whole numbers in 8 bits, too
    if ord in (None, "euclidean", "fro"):
        return np.sqrt(np.sum(np.square(x), axis=axes, keepdims=keepdims))
    if len(axes) == 1 and isinstance(ord, int | float):
        return _norm_of_vectors(x, ord, axes[0], keepdims)
    if len(axes) == 2 and ord in (1, -1, np.inf, -np.inf):
        summed, other = axes if abs(ord) == 1 else axes[::-1]
        pick = np.max if ord > 0 else np.min
        picked = pick(np.sum(np.abs(x), axis=summed, keepdims=True), axis=other, keepdims=True)
        return picked if keepdims else np.sum(picked, axis=axes)
    if len(axes) == 2 and ord in (2, -2, "nuc"):
        return np.linalg.norm(x, ord, axes, keepdims)
    raise ValueError(
        "ord is None; along one axis a number; along two 1, -1, 2, -2, infinity, its negative or 'nuc'. "
        f"Received: ord={ord!r} along {len(axes)} axes"
    )


def _norm_of_vectors(x, ord, axis, keepdims):
    options = {"axis": axis, "keepdims": keepdims}
    if abs(ord) == np.inf:
        return (np.max if ord > 0 else np.min)(np.abs(x), **options)
    if ord == 0:
        return np.sum(np.asarray(value_of(x)) != 0, **options).astype(np.float32)
    if ord == 1:
        return np.sum(np.abs(x), **options)
    if ord == 2:
        return np.sqrt(np.sum(np.square(x), **options))
    return np.sum(np.abs(x) ** ord, **options) ** (1 / ord)


def normalize(x: Any, axis: int = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """x divided by its norm along axes, which counts as at least `epsilon`, by default ``keras.config.epsilon()``."""
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"order is a whole number of at least 1. Received: order={order!r}")
    length = norm(x, None if order == 2 else order, axis, keepdims=True)  # √(Σ x²) over several axes, too
    return x / np.maximum(length, default_epsilon() if epsilon is None else epsilon)


class TopK(NamedTuple):
    """What `top_k` gives, as Keras's arrays of TensorFlow have it."""

    values: Any
    indices: Any


def top_k(x: Any, k: int, sorted: bool = True) -> TopK:
    """(values, indices) of the k largest numbers of the last axis, the largest first."""
    if is_symbolic(x):
        return TopK(named("top_k_values", (x, k), {}), named("top_k_indices", (x, k), {}))
    x = x if isinstance(x, Recorded) else np.asarray(x)
    indices = largest_first(value_of(x))[..., : int(k)]
    rows = np.indices(indices.shape, sparse=True)[:-1]
    return TopK(x[(*rows, indices)], indices.astype("int32"))


def in_top_k(targets: Any, predictions: Any, k: int) -> np.ndarray:
    """Whether the class of each sample is among the k that are predicted most: (N,) bool.

    False for a class that there is not, and where a number is not finite.
    """
    numbers, classes = np.asarray(value_of(predictions)), np.asarray(value_of(targets)).astype(np.int64)
    is_known = (classes >= 0) & (classes < numbers.shape[-1]) & np.isfinite(numbers).all(-1)
    own = np.take_along_axis(numbers, np.where(is_known, classes, 0)[:, None], -1)
    return is_known & ((numbers > own).sum(-1) < int(k))


def multi_hot(
    inputs: Any, num_classes: int, axis: int = -1, dtype: Any = "float32", sparse: bool = False
) -> np.ndarray:
    """A row for each row of class numbers, with 1 at each of them: (…, classes). There are no sparse ones."""
    check_choice("sparse", sparse, (False,))
    hot = np.asarray(value_of(inputs))[..., None] == np.arange(num_classes)
    return hot.any(axis=-2).astype(of_python(dtype))


def sliced(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """`shape` numbers of each axis, from `start_indices` on."""
    return inputs[tuple(slice(int(at), int(at) + int(n)) for at, n in zip(start_indices, shape, strict=True))]


def scatter_update(inputs: Any, indices: Any, updates: Any) -> Any:
    """The array with other numbers at places, each given by its last axis."""
    return _placed(inputs, tuple(np.moveaxis(np.asarray(value_of(indices)), -1, 0)), updates)


def _placed(inputs, place, updates):
    """A copy of the array, with others at a place; of values on a tape, on it."""
    made = np.array(value_of(inputs))
    made[place] = value_of(updates)

    def without(g):
        g = np.array(g)
        g[place] = 0
        return g

    back = [(inputs, without), (updates, lambda g: g[place])]
    back = [(value, gradient) for value, gradient in back if isinstance(value, Recorded)]
    return Recorded(made, back) if back else made


def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> np.ndarray:
    """Where each value would stand in a row of numbers that grow."""
    return np.searchsorted(value_of(sorted_sequence), value_of(values), side).astype("int32")


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Any, Any]:
    """(the mean, the variance) along the axes."""
    axes = None if axes is None else tuple(int(axis) for axis in np.ravel(axes))
    # Sums of half numbers have no place in 16 bits; those of whole numbers are cut off only at the end, as in Keras.
    narrow = x.dtype if isinstance(x, np.ndarray) and (x.dtype == np.float16 or x.dtype.kind in "iu") else None
    given = x if narrow is None else x.astype(np.float32 if narrow == np.float16 else np.float64)
    mean, variance = (_operations.either(name)(given, axis=axes, keepdims=keepdims) for name in ("mean", "var"))
    return (mean, variance) if narrow is None else (mean.astype(narrow), variance.astype(narrow))


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """The array, with `updates` in it from these places of its axes on.

    Raises
    ------
    ValueError
        Where they do not fit in.
    """
    sizes, shape = np.shape(value_of(updates)), np.shape(value_of(inputs))
    begin = [int(n) for n in np.ravel(value_of(start_indices))]
    fits = len(begin) == len(sizes) == len(shape)
    if not fits or any(not 0 <= b <= n - size for b, size, n in zip(begin, sizes, shape, strict=True)):
        raise ValueError(
            f"updates lie within the array, with one place for each axis. Received: {sizes} from {begin}, for {shape}"
        )
    return _placed(inputs, tuple(slice(b, b + size) for b, size in zip(begin, sizes, strict=True)), updates)


def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros of a shape, with values added at places.

    Parameters
    ----------
    indices : array (…, K) of int
        A place along the first K axes in each row.
    values : array (…, rest of the shape)
    shape : tuple of int
    """
    added, place = np.asarray(value_of(values)), tuple(np.moveaxis(np.asarray(value_of(indices)), -1, 0))
    made = np.zeros(tuple(int(n) for n in shape), added.dtype)
    np.add.at(made, place, added)
    return Recorded(made, [(values, lambda g: g[place])]) if isinstance(values, Recorded) else made


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Where a condition is true, the choice beside it; of several the first counts, and of none the default."""
    condlist, choicelist, default = map(met, (condlist, choicelist, default))
    if not is_symbolic([*condlist, *choicelist, default]):
        return _select(condlist, choicelist, default)
    where, made = _operations.either("where"), default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        made = where(condition, choice, made)
    return made


_select = in_kerass_dtype(arranged("select", np.select), "select")
_BY_VALUES = (einsum, floor_divide, identity, mod, nan_to_num, norm, normalize, stop_gradient, take, take_along_axis)
_BY_VALUES += (cross, tensordot, _operations.in_floats("quantile", quantile))
FURTHER: dict[str, Callable[..., Any]] = {
    name: _operations.by_place(
        of_tensors_too(in_kerass_dtype(arranged(name, _operations.in_floats(name, getattr(np, name))), name), name)
    )
    for name in _OF_ARRAYS
}
FURTHER |= {each.__name__: of_tensors_too(in_kerass_dtype(each, each.__name__)) for each in _BY_VALUES}
FURTHER |= {
    f"{kind}_crossentropy": of_tensors_too(looking_behind(getattr(_crossentropies, f"{kind}_crossentropy"), kind))
    for kind in ("binary", "categorical", "sparse_categorical")
}
FURTHER |= {each.__name__: _operations.entering(each) for each in (split, unstack, top_k, in_top_k, multi_hot)}
_OF_NUMBERS = (moments, scatter, scatter_update, searchsorted, slice_update, *LOOPS)
FURTHER |= {each.__name__: _operations.entering(each) for each in _OF_NUMBERS}
FURTHER["select"] = select
FURTHER["one_hot"] = of_tensors_too(_operations.one_hot)
FURTHER["slice"] = _operations.entering(sliced)
"""Name of ``keras.ops`` → function."""
