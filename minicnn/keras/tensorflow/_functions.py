"""TensorFlow's functions of numbers: those of ``keras.ops``, with the names of TensorFlow and of its arguments."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.data.elements import EagerArray, EagerText
from minicnn.differentiation import Recorded, met, value_of
from minicnn.dtype_policies import of_python
from minicnn.errors import ShapeError
from minicnn.keras import ops
from minicnn.keras._as_tensor import WITHOUT_VALUES, as_tensor, of_tensorflow
from minicnn.keras._deferred import Deferred
from minicnn.keras._kept_kinds import keep_kind
from minicnn.keras._last_function import as_operation, forgotten
from minicnn.keras._numbered_samples import numbering
from minicnn.keras._of_tensors import Computed
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras._own_weights import for_samples
from minicnn.keras._sizes_of_data import meeting_sizes, sizes_of
from minicnn.keras._whole_numbers import largest_first, whole_dtype, whole_sizes
from minicnn.keras.tensorflow._complex import conjugated, squared
from minicnn.keras.tensorflow._of_1_arguments import today
from minicnn.parameters import Weight
from minicnn.settings import floatx

if TYPE_CHECKING:  # for checkers, which do not see what is made at run time

    def __getattr__(name: str) -> Any: ...


_REDUCING = "axis keepdims name= reduction_indices=axis keep_dims=keepdims"  # the last two of TensorFlow 1
_OF_NUMBERS = ("reduce_mean", "reduce_sum", "reduce_prod", "reduce_max", "reduce_min")
# TensorFlow's name → (that of keras.ops, the arguments that go by place, those by name: TensorFlow's=keras.ops's).
_BY_NAME = {
    **{f"reduce_{name}": (name, "input_tensor", _REDUCING) for name in ("mean", "sum", "max", "min", "prod")},
    **{f"reduce_{name}": (name, "input_tensor", _REDUCING) for name in ("std", "any", "all", "logsumexp")},
    "reduce_variance": ("var", "input_tensor", _REDUCING),
    **{name: (name, "x", "") for name in ("abs", "exp", "square", "sqrt", "sigmoid", "tanh", "sign", "round", "floor")},
    **{name: (name, "x", "") for name in ("sin", "cos", "negative")},
    **{name: (name, "input", "dtype name= optimize=") for name in ("zeros_like", "ones_like")},
    **{name: (name, "x y", "") for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "equal")},
    **{name: (name, "x y", "") for name in ("not_equal", "greater", "greater_equal", "less", "less_equal")},
    **{name: (name, "x y", "") for name in ("logical_and", "logical_or")},
    "logical_not": ("logical_not", "x", ""),
    "pow": ("power", "x y", ""),
    "concat": ("concatenate", "values", "axis"),
    "stack": ("stack", "values", "axis"),
    "expand_dims": ("expand_dims", "input axis", ""),
    "squeeze": ("squeeze", "input", "axis name= squeeze_dims=axis"),
    "reshape": ("reshape", "tensor shape", ""),
    "transpose": ("transpose", "a", "perm=axes"),
    "tile": ("tile", "input multiples", ""),
    "clip_by_value": ("clip", "t clip_value_min clip_value_max", ""),
    "cast": ("cast", "x dtype", ""),
    "repeat": ("repeat", "input repeats", "axis"),
    "reverse": ("flip", "tensor", "axis"),
    "tan": ("tan", "x", ""),
    **{f"a{name}": (f"arc{name}", "x", "") for name in ("cos", "sin", "cosh", "sinh", "tanh")},
}
_OF_MATH = {name: (name, "x", "") for name in ("log", "log1p", "rsqrt", "ceil", "reciprocal")} | {
    **{f"is_{kind}": (f"is{kind}", "x", "") for kind in ("finite", "inf", "nan")},
    "log_sigmoid": ("log_sigmoid", "x", ""),
    "softmax": ("softmax", "logits", "axis"),
    "log_softmax": ("log_softmax", "logits", "axis"),
}
_WHOLE = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def pixels_of(images: Any, dtype: Any = None) -> Any:
    """Pictures as an array, or as they are recorded, to be computed with by what is differentiated."""
    images = met(images)
    if isinstance(images, Recorded) and images.has_gradient:
        return images if dtype is None else images.astype(np.dtype(dtype))
    return np.asarray(value_of(images), dtype)


def pictures_of(images: Any) -> Any:
    """As `pixels_of`, of one picture (H, W, C), or of a batch of them.

    Raises
    ------
    ShapeError
        For another number of axes, as where the channels' is missing: rows would be taken for columns.
    """
    pixels = pixels_of(images)
    if pixels.ndim not in (3, 4):
        advice = "; a grey picture has a last axis of one channel, x[..., None]" if pixels.ndim == 2 else ""
        raise ShapeError(f"expected pictures (H, W, C) or (N, H, W, C){advice}. Received: shape {pixels.shape}")
    return pixels


def renamed(name: str, ours: str, by_place: str, by_name: str) -> Callable[..., Any]:
    """A function of ``keras.ops`` that takes TensorFlow's arguments.

    Parameters
    ----------
    name, ours : str
        What TensorFlow and `keras.ops` call it.
    by_place, by_name : str
        TensorFlow's arguments in their order: those that `ours` takes by their place, and the others; "word=" changes
        nothing.
    """
    function = getattr(ops, ours)
    places = by_place.split()
    words: Mapping[str, str] = MappingProxyType({w.partition("=")[0]: w.rpartition("=")[2] for w in by_name.split()})

    def call(*args: Any, **kwargs: Any) -> Any:
        known = [*places, *words]
        kwargs.pop("name", None)
        args = args[: len(known)] if len(args) == len(known) + 1 and not words else args  # the last one is the name
        given = {**dict(zip(known, args, strict=False)), **kwargs}
        if len(args) > len(known) or not set(places) <= set(given) <= set(known):
            raise TypeError(f"tf.{name} takes the arguments {', '.join(known)}. Received: {', '.join(given) or 'none'}")
        options = {words[word]: _plain(given[word]) for word in words if word in given and words[word]}
        arrays = [whole_sizes(given[place]) if place in ("shape", "multiples") else given[place] for place in places]
        return of_tensorflow(as_operation(function(*arrays, **options), arrays))

    call.__name__ = name
    call.__doc__ = f"``keras.ops.{ours}``, with TensorFlow's arguments: {', '.join([*places, *words])}."
    return call


def _plain(option):
    return tuple(option) if isinstance(option, list) else option  # as NumPy takes axes


globals().update({name: renamed(name, *how) for name, how in _BY_NAME.items()})
_joined, expand_dims = globals()["concat"], today(dim="axis")(globals()["expand_dims"])


@today(concat_dim="axis")
def concat(values: Any, axis: Any, name: str | None = None) -> Any:
    """Tensors one after the other along an axis; one that is in no list is joined to nothing, as in TensorFlow.

    Raises
    ------
    TypeError
        For a list as the axis: before TensorFlow 1 it stood first.
    """
    if isinstance(axis, list | tuple):
        raise TypeError(
            "tf.concat takes the tensors before the axis, tf.concat(values, axis), which stood first before TensorFlow "
            f"1. Expected a number as axis. Received: {type(axis).__name__}"
        )
    return _joined(values if isinstance(values, list | tuple) else [values], axis)


def _in_own_dtype(name: str) -> Callable[..., Any]:
    """``tf.reduce_…``: of whole numbers it is whole, a mean cut off; bools are refused."""
    function = globals()[name]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs.get("input_tensor")
        if is_symbolic(given):
            kind = None if isinstance(given, list | tuple) else whole_dtype(given)
        else:
            kind = getattr(given if hasattr(given, "dtype") else as_tensor(given), "dtype", None)
        if kind is not None and np.dtype(kind).kind == "b":
            raise TypeError(f"tf.{name} takes numbers: tf.cast(x, tf.float32) makes them of bools. Received: bools")
        made = function(*args, **kwargs)
        return made if kind is None or np.dtype(kind).kind not in "iu" else of_tensorflow(ops.cast(made, kind))

    return call


globals().update({name: _in_own_dtype(name) for name in _OF_NUMBERS})


def _of_texts(name: str, compare: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """``tf.equal`` and ``tf.not_equal``, of texts too, which are bytes there."""
    function = globals()[name]

    @wraps(function)
    def call(x: Any, y: Any, name: str | None = None) -> Any:
        return compare(as_tensor(x), as_tensor(y)) if _is_text(x) or _is_text(y) else function(x, y)

    return call


def _is_text(value):
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, str | bytes) or (isinstance(value, np.ndarray) and value.dtype.kind in "SUO")


globals().update({"equal": _of_texts("equal", operator.eq), "not_equal": _of_texts("not_equal", operator.ne)})


def _cumulative(name: str, neutral: float) -> Callable[..., Any]:
    """``tf.cumsum`` and ``tf.cumprod``, along the first axis if none is given."""

    def call(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None) -> Any:
        x = as_tensor(x)
        x = ops.flip(x, axis) if reverse else x
        y = of_tensorflow(ops.cast(run(x, axis=axis), x.dtype))  # NumPy's sums of int32 are int64
        if exclusive:
            all_but_last, first = ([slice(None)] * len(x.shape) for _ in range(2))
            all_but_last[axis], first[axis] = slice(None, -1), slice(None, 1)
            start = ops.zeros_like(y[tuple(first)]) + np.asarray(neutral, x.dtype)
            y = ops.concatenate([start, y[tuple(all_but_last)]], axis=axis)
        return of_tensorflow(ops.flip(y, axis) if reverse else y)

    run = getattr(ops, name)
    call.__name__ = name
    call.__doc__ = f"``keras.ops.{name}`` along an axis; `exclusive` leaves out the number itself, `reverse` goes back."
    return call


cumsum, cumprod = _cumulative("cumsum", 0), _cumulative("cumprod", 1)
_quotient = globals()["divide"]


@wraps(_quotient)
def divide(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y, of whole numbers float64, of those in 8 or 16 bits float32."""
    kinds = {str(getattr(value, "dtype", "")) for value in (x, y)}
    if kinds & {"int32", "int64", "uint32", "uint64"} and kinds <= {"", *_WHOLE} and not _is_computed(x, y):
        return np.true_divide(as_tensor(x), as_tensor(y))  # float64, as there
    return _quotient(x, y)


def _is_computed(*values):
    return any(is_symbolic(value) or isinstance(met(value), WITHOUT_VALUES) for value in values)


truediv, floordiv = divide, renamed("floordiv", "floor_divide", "x y", "")
atan, atan2, sinh, cosh = (
    renamed(name, ours, args, "")
    for name, ours, args in (
        ("atan", "arctan", "x"),
        ("atan2", "arctan2", "y x"),
        ("sinh", "sinh", "x"),
        ("cosh", "cosh", "x"),
    )
)
MATH = {name: renamed(f"math.{name}", *how) for name, how in _OF_MATH.items()}


def shape(input: Any, out_type: Any = "int32", name: str | None = None) -> Any:
    """The sizes, as an array to be computed with; of a model's tensor a tuple of them, with None for the batch."""
    sizes = ops.shape(input)
    return sizes_of(input, sizes) if None in sizes else as_tensor(np.asarray(sizes), out_type or "int32")


@entering
def matmul(
    a: Any,
    b: Any,
    transpose_a: Any = False,
    transpose_b: Any = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    name: str | None = None,
) -> Any:
    """a @ b, of either of which the last two axes may be exchanged before, and conjugated for `adjoint_a` and b."""
    a, b = (conjugated(x) if is_conjugated else x for x, is_conjugated in ((a, adjoint_a), (b, adjoint_b)))
    turned = (a, transpose_a or adjoint_a), (b, transpose_b or adjoint_b)
    return of_tensorflow(ops.matmul(*(ops.swapaxes(x, -1, -2) if is_turned else x for x, is_turned in turned)))


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None, name: str | None = None) -> EagerArray:
    """An array; one number fills a shape."""
    keep_kind(value, dtype)
    made = as_tensor(value, dtype)
    if shape is None:
        return made
    return (np.full(shape, made) if made.size == 1 else np.reshape(made, shape)).view(EagerArray)


def convert_to_tensor(value: Any, dtype: Any = None, dtype_hint: Any = None, name: str | None = None) -> Any:
    """An array, as `constant`; a model's tensor as it is."""
    keep_kind(value, dtype)
    return as_tensor(value, dtype)


def identity(input: Any, name: str | None = None) -> Any:
    """The same numbers, of which nothing is known any more."""
    return forgotten(as_tensor(input))


@meeting_sizes
def zeros(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Any:
    """Zeros, float32 unless told."""
    kind = of_python(dtype) or floatx()
    return for_samples(lambda sizes: np.zeros(sizes, kind).view(EagerArray), whole_sizes(shape))


@meeting_sizes
def ones(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Any:
    """Ones, float32 unless told."""
    kind = of_python(dtype) or floatx()
    return for_samples(lambda sizes: np.ones(sizes, kind).view(EagerArray), whole_sizes(shape))


@meeting_sizes
def fill(dims: Sequence[int], value: Any, name: str | None = None) -> Any:
    """An array of one number."""
    return for_samples(lambda sizes: constant(value, shape=sizes), whole_sizes(dims))


@meeting_sizes
@numbering
def range(start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str | None = None) -> EagerArray:
    """Numbers from `start`, or 0, to below `limit`."""
    first, end = (0, start) if limit is None else (start, limit)
    made = np.arange(first, end, delta, dtype)
    told = any(hasattr(each, "dtype") and each.dtype == made.dtype for each in (start, limit, delta))  # in 64 bits
    return as_tensor(made if told else made.tolist(), dtype or (made.dtype if told else None))


@entering
def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Any:
    """x where the condition is true, else y; of a condition alone, the places where it is true, (n, axes)."""
    if x is None and y is None:
        return of_tensorflow(np.argwhere(np.asarray(value_of(condition))))
    return of_tensorflow(ops.where(condition, x, y))


@entering
def argsort(values: Any, axis: int = -1, direction: str = "ASCENDING", stable: bool = False, name: Any = None) -> Any:
    """The places of the numbers along an axis, the smallest first, or for "DESCENDING" the largest."""
    if is_symbolic(values) or isinstance(values, Deferred):
        return ops.cast(ops.argsort(-values if direction == "DESCENDING" else values, axis=axis), "int32")
    numbers = np.asarray(value_of(values))
    order = largest_first(numbers, axis) if direction == "DESCENDING" else np.argsort(numbers, axis, kind="stable")
    return of_tensorflow(order.astype("int32"))


@entering
def sort(values: Any, axis: int = -1, direction: str = "ASCENDING", name: Any = None) -> Any:
    """The numbers along an axis in order, the smallest first, or for "DESCENDING" the largest."""
    if is_symbolic(values) or isinstance(values, Deferred):
        return -ops.sort(-values, axis=axis) if direction == "DESCENDING" else ops.sort(values, axis=axis)
    values = as_tensor(values)
    places: list[Any] = list(np.ogrid[tuple(builtins.slice(0, n) for n in values.shape)])
    places[axis] = np.asarray(argsort(values, axis, direction))
    return of_tensorflow(values[tuple(places)])


def saturate_cast(value: Any, dtype: Any, name: str | None = None) -> Any:
    """The numbers in another dtype, those outside of its range at its ends."""
    return of_tensorflow(ops.saturate_cast(as_tensor(value), of_python(dtype)))


@entering
def strided_slice(
    input_: Any, begin: Any, end: Any, strides: Any = None, begin_mask: int = 0, end_mask: int = 0, name: Any = None
) -> Any:
    """The numbers from `begin` to before `end` of each axis, by steps; bits of a mask leave an end out."""
    steps = [1] * len(begin) if strides is None else strides
    places = []
    for axis, (first, last, step) in enumerate(zip(begin, end, steps, strict=True)):
        first = None if begin_mask >> axis & 1 else int(first)
        is_open = end_mask >> axis & 1 or (last is None and not first)  # to the number of samples
        places.append(builtins.slice(first, None if is_open else int(last), int(step)))
    return of_tensorflow(as_tensor(input_)[tuple(places)])


def one_hot(
    indices: Any, depth: int, on_value: Any = None, off_value: Any = None, axis: int = -1, dtype: Any = None
) -> Any:
    """Rows with `on_value` at the place of each class, and `off_value` elsewhere."""
    if is_symbolic(indices):
        return Computed(lambda x: np.asarray(one_hot(value_of(x), depth, on_value, off_value, axis, dtype)))(indices)
    places = ops.one_hot(indices, depth, axis=axis, dtype="bool")
    given = [value for value in (on_value, off_value) if value is not None]
    dtype = of_python(dtype) or (as_tensor(given[0]).dtype if given else floatx())
    on_value, off_value = 1 if on_value is None else on_value, 0 if off_value is None else off_value
    return np.where(places, on_value, off_value).astype(dtype).view(EagerArray)


@today(dimension="axis")
def argmax(input: Any, axis: int | None = 0, output_type: Any = "int64", name: str | None = None) -> Any:
    """Where the largest number along an axis is, the first one unless told."""
    return of_tensorflow(ops.cast(ops.argmax(input, axis=axis or 0), output_type or "int64"))


@today(dimension="axis")
def argmin(input: Any, axis: int | None = 0, output_type: Any = "int64", name: str | None = None) -> Any:
    """Where the smallest number along an axis is, the first one unless told."""
    return of_tensorflow(ops.cast(ops.argmin(input, axis=axis or 0), output_type or "int64"))


def squared_difference(x: Any, y: Any, name: str | None = None) -> Any:
    """(x − y)², number by number; of complex numbers |x − y|²."""
    return of_tensorflow(squared(ops.subtract(x, y)))


def is_tensor(x: Any) -> bool:
    """Whether it is a model's tensor, a variable, or what a function or data set of TensorFlow's name gives."""
    return is_symbolic(x) or isinstance(x, EagerArray | EagerText | Recorded | Weight)


__all__ = [*_BY_NAME, "argmax", "argmin", "constant", "convert_to_tensor", "fill", "identity", "is_tensor", "one_hot"]
__all__ += ["cumprod", "cumsum"]
__all__ += ["argsort", "saturate_cast", "sort", "strided_slice", "where"]
__all__ += ["atan", "atan2", "cosh", "floordiv", "matmul", "sinh", "squared_difference", "truediv"]
__all__ += ["ones", "range", "shape", "zeros"]
