"""TensorFlow's functions of arrays that `keras.ops` has not, or calls otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from types import FunctionType, MethodType
from typing import Any, NoReturn

import numpy as np

from minicnn.console import say
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, value_of
from minicnn.keras import ops
from minicnn.keras._deferred import Deferred
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras._orders import as_places
from minicnn.keras._sizes_of_data import meeting_sizes
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._complex import squared
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.keras.tensorflow._of_1_arguments import today
from minicnn.keras.tensorflow._shown import printed
from minicnn.keras.tensorflow._specs import TensorSpec
from minicnn.nested import leaves, mapped
from minicnn.settings import floatx

__all__ = [
    "TensorSpec",
    "boolean_mask",
    "eye",
    "function",
    "gather",
    "linspace",
    "meshgrid",
    "norm",
    "pad",
    "print",
    "rank",
    "roll",
    "size",
]
__all__ += ["split", "unstack"]


def function(func: Callable[..., Any] | None = None, **options: Any) -> Any:
    """The function, which gets tensors for arrays: ``@tf.function`` makes a graph of it, which changes no result."""
    if func is None:
        return function
    if not isinstance(func, FunctionType | MethodType) and hasattr(func, "__dict__"):  # as a model
        return func

    @wraps(func)
    def on_tensors(*args: Any, **kwargs: Any) -> Any:
        return func(*map(_with_tensors, args), **{name: _with_tensors(value) for name, value in kwargs.items()})

    vars(on_tensors).update(get_concrete_function=lambda *args, **kwargs: _Concrete(on_tensors), python_function=func)
    return on_tensors


def _with_tensors(value):
    """An argument in which tensors stand for arrays; one without arrays as it is, as a list that is added to."""
    is_array = [type(part) is np.ndarray for part in leaves(value)]
    return mapped(lambda x: as_tensor(x) if type(x) is np.ndarray else x, value) if any(is_array) else value


class _Concrete:
    """What `get_concrete_function` gives: the function, for any arguments. It has no graph that could be read.

    Raises
    ------
    NotInMinicnn
        For its graph, and all else that is read of one.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self._func = func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._func(*args, **kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # as `copy` looks for
            raise AttributeError(name)
        raise NotInMinicnn(
            "tf.function makes no graph here, so that there is none to look at, to freeze or to convert: call the "
            f"function itself; model.export(path, format='onnx') writes a model for other programs. Received: .{name}",
            name=name,
        )


@entering
def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: float = 0, name: str | None = None) -> Any:
    """More numbers before and after each axis: `paddings` is a pair for each of them."""
    tensor = as_tensor(tensor)
    options = {"constant_values": constant_values} if mode.lower() == "constant" else {}
    if options and not is_symbolic(tensor) and tensor.dtype.kind in "SUO" and not constant_values:
        options = {"constant_values": b"" if tensor.dtype.kind == "O" else ""}
    elif options and not is_symbolic(tensor) and tensor.dtype.kind in "SU":
        tensor = tensor.astype(np.result_type(tensor, np.asarray(constant_values)))  # which has place for its letters
    pairs = tuple(tuple(int(n) for n in pair) for pair in np.asarray(paddings))
    return of_tensorflow(ops.pad(tensor, pairs, mode.lower(), **options))


@today(keep_dims="keepdims")
@entering
def norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """√(Σ x²), or (Σ |x|^ord)^(1 / ord), or the largest |x| for infinity, along an axis, or of all numbers.

    Along two axes it is a norm of matrices, as `keras.ops.norm` has them.

    Raises
    ------
    ValueError
        For another `ord`.
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    if isinstance(axis, tuple) and len(axis) == 2:
        return of_tensorflow(ops.norm(tensor, ord, axis, keepdims))
    if ord == 1:
        return of_tensorflow(ops.sum(ops.abs(tensor), axis=axis, keepdims=keepdims))
    if ord == np.inf:
        return of_tensorflow(ops.max(ops.abs(tensor), axis=axis, keepdims=keepdims))
    if ord not in ("euclidean", 2) and not (isinstance(ord, int | float) and ord > 0):
        raise ValueError(f"ord is 'euclidean', a number above 0 or infinity. Received: ord={ord!r}")
    if ord not in ("euclidean", 2):
        return of_tensorflow(ops.sum(ops.abs(tensor) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord))
    return of_tensorflow(ops.sqrt(ops.sum(squared(tensor), axis=axis, keepdims=keepdims)))


@today(split_dim="axis", num_split="num_or_size_splits")
@entering
def split(value: Any, num_or_size_splits: int | Sequence[int], axis: int = 0, name: str | None = None) -> list[Any]:
    """Equal parts, or parts of these sizes, along an axis; of a model's tensor too."""
    tensor = as_tensor(value)
    length = tensor.shape[axis]
    if isinstance(num_or_size_splits, int | np.integer):
        if length % num_or_size_splits:
            raise ValueError(f"{num_or_size_splits} equal parts do not make {length}. Received: {num_or_size_splits}")
        sizes = [length // int(num_or_size_splits)] * int(num_or_size_splits)
    else:
        sizes = [int(n) for n in num_or_size_splits]
        if length is not None and sizes.count(-1) == 1:  # all the rest
            sizes[sizes.index(-1)] = length - sum(sizes) - 1
        if length is not None and (sum(sizes) != length or min(sizes) < 0):
            raise ValueError(f"sizes of parts add up to {length}. Received: {num_or_size_splits}")
    ends = np.cumsum(sizes)
    before = (slice(None),) * (axis % len(tensor.shape))
    parts = (tensor[(*before, slice(int(end) - n, int(end)))] for n, end in zip(sizes, ends, strict=True))
    return [of_tensorflow(part) for part in parts]


@entering
def unstack(value: Any, num: int | None = None, axis: int = 0, name: str | None = None) -> list[Any]:
    """The parts along an axis, without it."""
    if is_symbolic(value) or isinstance(value, Deferred):
        return ops.unstack(value, num, axis)
    return [of_tensorflow(part) for part in np.moveaxis(_array(value), axis, 0)]


def in_each_sample(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The function of parameters and whole numbers, for a model's tensors, of which each sample has its own places."""
    return of_tensors_too(lambda x, at: function(x, as_places(at)), "gather")


@entering
def gather(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    axis: int | None = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> Any:
    """The parts at these places of an axis.

    Parameters
    ----------
    params : array
    indices : array of int
    validate_indices : optional
        Not used.
    axis : int, optional
        Default: the first one behind the `batch_dims`.
    batch_dims : int, default 0
        How many axes at the front `params` and `indices` share: each part has places of its own.

    Raises
    ------
    IndexError
        For a place that is not there, negative ones among them.
    """
    if batch_dims and is_symbolic(indices):
        return in_each_sample(lambda x, at: gather(x, at, axis=axis, batch_dims=batch_dims))(params, indices)
    x, places = as_tensor(params), as_places(indices)
    batch = int(batch_dims) + (places.ndim if batch_dims < 0 else 0)
    axis = batch if axis is None else int(axis) % len(x.shape)
    if not batch <= axis < len(x.shape) or x.shape[:batch] != places.shape[:batch]:
        raise ValueError(
            f"params and indices share the first {batch} axes, and axis stands behind these. Received: shapes "
            f"{tuple(x.shape)} and {places.shape}, axis={axis}"
        )
    if places.size and not (places.min() >= 0 and places.max() < x.shape[axis]):
        raise IndexError(f"places lie from 0 to {x.shape[axis] - 1}. Received: {places.min()} to {places.max()}")
    if not batch and is_symbolic(x):
        return ops.take(x, places, axis=axis)
    if not batch:
        return of_tensorflow(np.take(x, places, axis=axis))
    first = np.ogrid[tuple(slice(n) for n in x.shape[:batch])]  # whose axes come before those of the places
    rows = [np.reshape(at, at.shape + (1,) * (places.ndim - batch)) for at in first]
    made = np.moveaxis(x, axis, batch)[(*rows, places)]  # (batch…, places…, axes before, axes behind)
    count = axis - batch
    return of_tensorflow(np.moveaxis(made, range(places.ndim, places.ndim + count), range(batch, batch + count)))


@entering
def boolean_mask(tensor: Any, mask: Any, axis: int = 0, name: str | None = None) -> Any:
    """The numbers, or rows, where `mask` is true."""
    return of_tensorflow(_array(tensor)[(slice(None),) * axis + (np.asarray(mask, bool),)])


def _array(x):
    """An array; what is recorded stays so."""
    return x if isinstance(x, Recorded) else as_tensor(x)


@meeting_sizes
def linspace(start: Any, stop: Any, num: int, name: str | None = None, axis: int = 0) -> EagerArray:
    """`num` numbers from `start` to `stop`, both included."""
    kind = as_tensor(start).dtype
    return as_tensor(np.linspace(start, stop, int(num), axis=axis), kind if kind.kind == "f" else "float64")


@entering
def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Any:
    """The numbers moved along axes; what leaves at one end enters at the other."""
    if is_symbolic(input):
        return ops.roll(input, shift, axis)
    return of_tensorflow(np.roll(as_tensor(input), shift, axis))


@meeting_sizes
def meshgrid(*args: Any, indexing: str = "xy", name: str | None = None) -> list[Any]:
    """Arrays of the coordinates of a grid."""
    return [of_tensorflow(part) for part in np.meshgrid(*map(as_tensor, args), indexing=indexing)]


def eye(
    num_rows: int, num_columns: int | None = None, batch_shape: Any = None, dtype: Any = None, name: str | None = None
) -> EagerArray:
    """Ones on the diagonal, zeros elsewhere, (*batch_shape, rows, columns); float32 unless told."""
    ones = np.eye(int(num_rows), None if num_columns is None else int(num_columns))
    several = () if batch_shape is None else tuple(int(n) for n in np.ravel(np.asarray(batch_shape)))
    return as_tensor(np.broadcast_to(ones, (*several, *ones.shape)), dtype or floatx())


def rank(input: Any, name: str | None = None) -> EagerArray:
    """How many axes there are."""
    return as_tensor(len(input.shape) if hasattr(input, "shape") else np.ndim(input))


@entering
def size(input: Any, out_type: Any = "int32", name: str | None = None) -> EagerArray:
    """How many numbers there are."""
    return as_tensor(int(np.size(value_of(input))), out_type or "int32")


def print(
    *inputs: Any, sep: str = " ", end: str = "\n", output_stream: Any = None, summarize: int = 3, **options: Any
) -> None:
    """The values as TensorFlow writes them, to stdout unless `output_stream` is another stream.

    Of long axes, `summarize` parts at each end; -1: all.
    """
    ends = 3 if summarize is None else summarize
    text = sep.join(printed(each, ends, quotes=len(inputs) > 1) for each in inputs)
    file = output_stream if hasattr(output_stream, "write") else None
    if end.endswith("\n"):
        say(text + end[:-1], file)
    else:
        (sys.stdout if file is None else file).write(text + end)
