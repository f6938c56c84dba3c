"""Functions on arrays, as NumPy computes them, and on a model's tensors, as layers: so that they are differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial, reduce, wraps
from operator import add
from typing import Any

import numpy as np

from minicnn import activations, layers
from minicnn.checks import check_choice
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met, value_of
from minicnn.dtype_policies import as_operands
from minicnn.graph import Tensor
from minicnn.keras import _axes_of_one
from minicnn.keras import _equality as _equality  # which gives tensors == and !=
from minicnn.keras._deferred import MeanOrSum, SizesOf, applied, later, sizes_of_batch, tensors_in, with_parts
from minicnn.keras._folded import reshaped
from minicnn.keras._formulas import OF_RECORDED, log_sum_of_powers
from minicnn.keras._last_function import ended, same
from minicnn.keras._named_function import named
from minicnn.keras._names import NotInMinicnn
from minicnn.keras._new_arrays import OF_LISTS, as_array, in_named_dtype, named_dtype
from minicnn.keras._operation_marks import is_traced, operated
from minicnn.keras._over_samples import OverSamples, may_wait, of_sample_count
from minicnn.keras._own_weights import repeated_constant, weights_in_graph
from minicnn.keras._reductions import Reduction
from minicnn.keras._sizes_of_data import OpenSizes, applied_to_sizes
from minicnn.keras._turned import turned
from minicnn.keras._whole_numbers import as_whole, rectified
from minicnn.layers.added_loss import BatchScalar
from minicnn.settings import floatx

NUMPY = (
    *("abs", "absolute", "all", "any", "arange", "argmax", "argmin", "argsort", "array", "ceil", "clip", "concatenate"),
    *("cos", "cumsum", "diag", "divide", "dot", "equal", "exp", "expand_dims", "eye", "flip", "floor", "full"),
    *("greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal", "linspace", "log", "log1p"),
    *("log10", "matmul", "maximum", "mean", "median", "minimum", "moveaxis", "multiply", "not_equal", "ones"),
    *("ones_like", "power", "prod", "repeat", "reshape", "round", "sign", "sin", "sort", "sqrt", "square", "squeeze"),
    *("stack", "std", "subtract", "sum", "swapaxes", "tan", "tanh", "tile", "transpose", "var", "where", "zeros"),
    *("zeros_like", "arccos", "arcsin", "broadcast_to", "cumprod", "diagonal", "empty", "expm1", "histogram"),
    *("logical_xor", "rot90", "arccosh", "arcsinh", "arctanh", "argpartition", "bitwise_and", "bitwise_or"),
    *("bitwise_xor", "isneginf", "logical_and", "logical_or", "logical_not", "max", "min", "add", "negative", "unique"),
    *("reciprocal", "outer"),
)
_RENAMED = {"max": "max", "min": "min", "abs": "absolute"}
ACTIVATIONS = (
    *("relu", "sigmoid", "softmax", "tanh", "elu", "selu", "gelu", "silu", "softplus", "softsign", "leaky_relu", "exp"),
    *("relu6", "hard_sigmoid", "hard_swish", "hard_silu", "mish", "log_softmax", "square", "sqrt", "abs", "log", "sin"),
    *("cos", "log_sigmoid", "exponential", "reciprocal", "negative", "sign", "absolute", "ceil", "floor", "round"),
    *("celu", "hard_shrink", "hard_tanh", "soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax"),
    *("squareplus", "tanh_shrink", "threshold"),
)
_MERGES = {
    "add": "Add",
    "subtract": "Subtract",
    "multiply": "Multiply",
    "maximum": "Maximum",
    "minimum": "Minimum",
}
_OPERATORS = {"add": "add", "subtract": "sub", "multiply": "mul"}
_WITH_OPTIONS = {  # function → layer, and what it calls the arguments behind x
    "relu": ("ReLU", "negative_slope", "max_value", "threshold"),
    "leaky_relu": ("LeakyReLU", "negative_slope"),
    "elu": ("ELU", "alpha"),
}
_POWERS = {"square": 2.0, "sqrt": 0.5, "reciprocal": -1.0}
_ELEMENTARY = {"abs", "absolute", "ceil", "cos", "floor", "log", "round", "sign", "sin"}
_POOLINGS = {"mean": "GlobalAveragePooling", "max": "GlobalMaxPooling"}
_OF_LISTS = ("concatenate", "stack")
_ARRAYS = ("condition", "x", "xs", "x1", "x2", "x_min", "x_max")
_REDUCTIONS = ("mean", "max", "min", "sum", "var", "std", "prod")
_KEEPING = (*_REDUCTIONS, "all", "any", "argmax", "argmin", "median")  # their third argument is `keepdims`
_OVER_AXES = (*_REDUCTIONS, "all", "any", "count_nonzero", "logsumexp")


def entering(function: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """The function, which takes variables, weights and what a tape watches as what stands for them.

    Parameters
    ----------
    function : callable
    name : str, optional
        Of the operation that it is in Keras; default: the function's.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if (found := applied_to_sizes(function, args, kwargs, name or function.__name__)) is not None:
            return found
        symbolic = any(is_symbolic(x) for x in (*args, *kwargs.values()))
        with weights_in_graph() if symbolic else nullcontext():
            args, kwargs = tuple(map(met, args)), {name: met(value) for name, value in kwargs.items()}
        return operated(name or function.__name__, function, args, kwargs) if symbolic else function(*args, **kwargs)

    return call


def by_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which takes Keras's names of arrays, where NumPy has others or none."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, *(kwargs.pop(name) for name in _ARRAYS if name in kwargs), **kwargs)

    return call


def stacked(x: Any) -> Any:
    """A list that holds recorded arrays, as one of them; anything else as it is."""
    if not isinstance(x, list | tuple):
        return x
    parts = [stacked(part) for part in x]
    dtype = next((part.dtype for part in parts if isinstance(part, Recorded)), None)
    if dtype is None:
        return x
    return np.stack([part if isinstance(part, Recorded) else np.asarray(part, dtype) for part in parts])


def is_symbolic(x: object) -> bool:
    """Whether `x` is, or holds, a tensor of a model."""
    return isinstance(x, Tensor) or (isinstance(x, list | tuple) and any(isinstance(part, Tensor) for part in x))


is_keras_tensor = is_symbolic


def either(name: str) -> Callable[..., Any]:
    """The function `name`, of arrays or of tensors."""
    of_numpy = OF_LISTS.get(name) or getattr(np, _RENAMED.get(name, name), None)
    on_arrays = in_floats(name, of_numpy or _activation_of_arrays(name))

    def function(*args: Any, **kwargs: Any) -> Any:
        if name in ("mean", "sum") and (of_scalars := _of_scalars(name, args)) is not None:
            return of_scalars
        if (found := applied(function_, repeated_constant(name, args, kwargs), kwargs)) is not None:
            return found
        if any(is_symbolic(a) for a in (*args, *kwargs.values())):
            return _of_tensors(name, *args, **kwargs)
        if "keepdims" in kwargs and kwargs["keepdims"] is None:
            del kwargs["keepdims"]
        return on_arrays(*args, **kwargs)

    def function_(*args: Any, **kwargs: Any) -> Any:
        if name not in _OF_LISTS:
            args = tuple(map(stacked, args))
        elif args and isinstance(args[0], list | tuple):  # of lists, each of which is an array
            args = ([stacked(part) for part in args[0]], *args[1:])
        if name in _KEEPING and len(args) == 3:  # where NumPy has the dtype, or what is filled
            args, kwargs = args[:2], {"keepdims": args[2], **kwargs}
        if name in _OVER_AXES:
            args = (*args[:1], *map(_in_tuple, args[1:]))
            kwargs |= {"axis": _in_tuple(kwargs["axis"])} if "axis" in kwargs else {}
        if name in OF_RECORDED and any(isinstance(a, Recorded) for a in args):
            return OF_RECORDED[name](*args, **kwargs)
        made = function(*args, **kwargs)
        return ended(name, made.view(EagerArray) if type(made) is np.ndarray else made, *args, **kwargs)

    function_.__name__ = function.__name__ = name
    function_.__doc__ = function.__doc__ = f"``{name}`` of arrays, as NumPy computes it, or of a model's tensors."
    return by_place(entering(function_))


_OF_FLOATS = {  # of integers NumPy computes some of these in half precision, others in integers
    *("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cos", "cosh", "exp", "expm1"),
    *("log", "log10", "log1p", "log2", "logaddexp", "reciprocal", "sin", "sinh", "sqrt", "tan"),
    *("ceil", "floor", "nextafter", "percentile", "quantile", "tanh"),
}


def in_floats(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of this name; where its results are floats, it is given `as_float` of its first two arguments."""
    if name not in _OF_FLOATS:
        return function
    return wraps(function)(lambda *args, **kwargs: function(*map(as_float, args[:2]), *args[2:], **kwargs))


def as_float(x: Any) -> Any:
    """An array of integers or booleans in ``floatx()``, anything else as it is."""
    return x.astype(floatx()) if isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "biu" else x


def _in_tuple(x):
    """A list of axes, or an array of them (``np.arange(1, 4)``), as the tuple that NumPy takes; others as they are."""
    return tuple(map(int, x)) if isinstance(x, list | np.ndarray) and np.ndim(x) == 1 else x


def _activation_of_arrays(name):
    def function(x: Any, *args: Any, **kwargs: Any) -> Any:
        whole = rectified(name, x, args or kwargs)
        return getattr(activations, name)(np.asarray(x), *args, **kwargs) if whole is None else whole

    return function


def _of_scalars(name, args):
    """The mean or sum of means over all samples, of one or of a list of them; None for other arguments."""
    listed = args[0] if args and isinstance(args[0], list | tuple) else args[:1]
    if not listed or not all(isinstance(each, BatchScalar) for each in listed):
        return None
    total = reduce(add, listed)
    return total / len(listed) if name == "mean" and len(listed) > 1 else total


@as_operands
def _of_tensors(name, *args, **kwargs):
    if name in _MERGES and len(args) == 2 and (name in _OPERATORS or all(map(is_symbolic, args))):
        return _merged(name, *args)
    if name == "divide" and not is_symbolic(args[1]):
        return args[0] / args[1]
    if name == "concatenate":
        return layers.Concatenate(axis=kwargs.get("axis", args[1] if len(args) > 1 else 0))(list(args[0]))
    if name == "reshape":
        shape = args[1] if len(args) > 1 else kwargs["newshape" if "newshape" in kwargs else "shape"]
        return reshaped(args[0], tuple(shape))
    if name == "transpose":
        return _transposed(*args, **kwargs)
    if name in _REDUCTIONS:
        return _reduced(name, *args, **kwargs)
    if name in ("expand_dims", "squeeze"):
        made = getattr(_axes_of_one, name)(*args, **kwargs)
        return _in_a_lambda(name, args, kwargs) if made is None else made
    if name in _WITH_OPTIONS and len(args) + len(kwargs) > 1:
        class_name, *order = _WITH_OPTIONS[name]
        config = {**dict(zip(order, args[1:], strict=False)), **kwargs}
        return layers.get({"class_name": class_name, "config": config})(args[0])
    if name == "gelu" and (kwargs.get("approximate") or (len(args) > 1 and args[1])):
        return _gelu_by_tanh(args[0])
    if name == "softmax":
        axis = kwargs.get("axis", args[1] if len(args) > 1 else -1)
        return layers.Softmax(axis=axis)(args[0])
    if name in ACTIVATIONS and (len(args) + len(kwargs) == 1 or kwargs in ({"approximate": False}, {"axis": -1})):
        return _of_numbers(name)(args[0])
    return _in_a_lambda(name, args, kwargs)


def _in_a_lambda(name, args, kwargs):
    """A layer that calls the function on arrays; files hold it by its name, if its arguments are numbers and text."""
    if (made := named(name, args, kwargs)) is not None:
        return made
    tensors = tensors_in(args, kwargs)

    def function(arrays):
        given = dict(zip(tensors, arrays if len(tensors) > 1 else [arrays], strict=True))
        return with_parts(either(name), args, kwargs, lambda x: given[x] if isinstance(x, Tensor) else x)

    return in_a_lambda(function, tensors if len(tensors) > 1 else tensors[0])


def in_a_lambda(function: Callable[[Any], Any], tensors: Any) -> Tensor:
    """A layer that calls a function on arrays alone: on an array for a tensor, on a list of them for several."""

    def of_arrays(arrays):
        if is_symbolic(arrays):
            raise TypeError("this function needs numbers")  # a Lambda layer asks for them then
        return function(arrays)

    return layers.Lambda(of_arrays)(tensors)


def _transposed(x, axes=None):
    axes = [axis % x.ndim for axis in (axes or range(x.ndim)[::-1])]
    if sorted(axes) != list(range(x.ndim)):
        raise ValueError(f"transpose takes each axis of a tensor once, here 0 … {x.ndim - 1}. Received: axes={axes}")
    return turned(x, axes)


def _of_numbers(name) -> layers.Layer:
    """The layer that computes a function of each number."""
    if name in _POWERS:
        return layers.Power(_POWERS[name])
    if name in _ELEMENTARY:
        return layers.Elementary({"absolute": "abs"}.get(name, name))
    return layers.Rescaling(-1.0) if name == "negative" else layers.Activation({"exp": "exponential"}.get(name, name))


def _gelu_by_tanh(x):
    inner = layers.Rescaling(0.044715)(layers.Power(3.0)(x)) + x
    return x * layers.Rescaling(0.5, 0.5)(layers.Activation("tanh")(layers.Rescaling(math.sqrt(2 / math.pi))(inner)))


def _merged(name, first, second):
    if is_symbolic(first) and is_symbolic(second):
        return getattr(layers, _MERGES[name])()([first, second])
    if isinstance(first, Tensor):
        return getattr(first, f"__{_OPERATORS[name]}__")(second)
    return getattr(second, f"__r{_OPERATORS[name]}__")(first)


def _reduced(name, x, axis=None, keepdims=False):
    """A mean, sum or extreme over axes of each sample; a mean or sum over all samples is a part of a loss."""
    given = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(sorted(a % x.ndim for a in given))
    if name in ("mean", "sum") and axes == tuple(range(x.ndim)):
        return MeanOrSum(x, name)
    if 0 in axes:
        function, options = logsumexp if name == "logsumexp" else either(name), {"axis": axes, "keepdims": keepdims}
        if may_wait():
            return OverSamples(lambda values: function(values[x], **options), [x], in_a_lambda)
        if not is_traced():
            return later(function, (x,), options)
        raise NotInMinicnn(
            f"keras.ops.{name} of a model's tensor keeps the samples apart: axis=-1, axis=(1, 2) and the like; a mean "
            f"or sum of all numbers of all samples is a part of a loss. Received: axis={axis}",
            name=name,
        )
    if name in _POOLINGS and axes == tuple(range(1, x.ndim - 1)) and len(axes) in (1, 2):
        return getattr(layers, f"{_POOLINGS[name]}{len(axes)}D")(keepdims=keepdims)(x)
    if name in ("mean", "sum"):
        return layers.Reduce(name, axes, keepdims)(x)
    return Reduction(name, axes, keepdims)(x)


@entering
def gelu(x: Any, approximate: bool = True) -> Any:
    """x · Φ(x), Φ the normal distribution's, or its approximation by tanh: ``activation="gelu"`` is not that."""
    return either("gelu")(x, approximate=bool(approximate))


def cast(x: Any, dtype: Any) -> Any:
    """x in another dtype; a model's tensors stay floats, but lose what is behind the point for integers."""
    if isinstance(x, OpenSizes):
        return tuple(None if size is None else _cast(size, dtype) for size in x)
    if x is None or (isinstance(x, tuple) and None in x):
        count = of_sample_count(partial(np.asarray, dtype=named_dtype(dtype or floatx()))) if x is None else None
        return sizes_of_batch(x, named_dtype(dtype)) if count is None else count
    return _cast(x, floatx() if dtype is None else dtype)


@entering
def _cast(x, dtype):
    if is_symbolic(x):
        widens = x.dtype == "bfloat16" != dtype and np.dtype(named_dtype(dtype)) == np.float32
        return layers.Activation("linear", dtype="float32")(x) if widens else as_whole(x, dtype)
    done = applied(_cast, (x, dtype), {})
    return same(in_named_dtype(x if isinstance(x, Recorded) else np.asarray(x), dtype), x) if done is None else done


@entering
def convert_to_tensor(x: Any, dtype: Any = None, sparse: None = None) -> Any:
    """x as an array."""
    if x is None:
        raise ValueError("a tensor is made of numbers, lists, arrays. Received: None")
    if is_symbolic(x := stacked(x)) or isinstance(x, Recorded):
        return x if dtype is None or is_symbolic(x) else x.astype(named_dtype(dtype))
    return same((np.asarray if isinstance(x, np.ndarray) else as_array)(x, named_dtype(dtype) if dtype else None), x)


def convert_to_numpy(x: Any) -> np.ndarray:
    """x as an array."""
    return np.asarray(x)


def shape(x: Any) -> tuple[int | None, ...]:
    """The shape; of a model's tensor with None for the batch."""
    if isinstance(x, Tensor):
        return SizesOf(x.shape, x)
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)  # of weights in a graph, too


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> np.ndarray:
    """Rows with a 1 at the place of each class; all 0 for a class that is outside. There are no sparse ones."""
    check_choice("sparse", sparse, (False,))
    rows = np.asarray(value_of(x))[..., None] == np.arange(num_classes)
    return np.moveaxis(rows.astype(named_dtype(dtype or floatx())), -1, axis)


@entering
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """x with further numbers around it, as NumPy's function; zeros around a model's images are a layer.

    Parameters
    ----------
    x : array-like or tensor
    pad_width : int, (int, int) or sequence of (int, int)
        Before and behind, for all axes or for each; the batch axis is one of them.
    mode : str, default "constant"
    constant_values : float, optional
        Default: 0.
    """
    options = {} if constant_values is None else {"constant_values": constant_values}
    if not isinstance(x, Tensor):
        return np.pad(x, pad_width, mode, **options)
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    around = x.ndim in (3, 4) and not any(widths[0] + widths[-1])
    if around and mode == "constant" and not constant_values:
        return layers.ZeroPadding1D(widths[1])(x) if x.ndim == 3 else layers.ZeroPadding2D(widths[1:3])(x)
    made = named("pad", (x, widths, mode), options)
    return layers.Lambda(lambda t: np.pad(t, widths, mode, **options))(x) if made is None else made


@entering
def rsqrt(x: Any) -> Any:
    """1 / √x."""
    if isinstance(x, Tensor):
        return layers.Power(-0.5)(x)
    if (done := applied(rsqrt, (x,), {})) is not None:
        return done
    return np.reciprocal(np.sqrt(x if isinstance(x, Recorded) else as_float(np.asarray(x))))


@entering
def logsumexp(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> np.ndarray:
    """log of the sum of exp(x), without overflow."""
    if is_symbolic(x):
        return _reduced("logsumexp", x, axis, keepdims)
    if (done := applied(logsumexp, (x, axis, keepdims), {})) is not None:
        return done
    return log_sum_of_powers(x if isinstance(x, Recorded) else as_float(np.asarray(x)), _in_tuple(axis), keepdims)


_matmul = either("matmul")
Tensor.__matmul__ = _matmul  # type: ignore[attr-defined]
Tensor.__rmatmul__ = lambda second, first: _matmul(first, second)  # type: ignore[attr-defined]
