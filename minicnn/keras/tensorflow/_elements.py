"""Functions of NumPy in a data set's `map`, further functions of arrays, and names of TensorFlow 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from minicnn.data.elements import EagerArray, map_leaves
from minicnn.data.further import TensorSpec
from minicnn.differentiation import Recorded
from minicnn.dtype_policies import of_python
from minicnn.errors import ShapeError
from minicnn.keras import initializers, ops
from minicnn.keras._deferred import applied
from minicnn.keras._last_function import forgotten
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras._orders import as_places
from minicnn.keras._over_samples import may_wait
from minicnn.keras._own_weights import repeated_constant
from minicnn.keras._shapes import TensorShape
from minicnn.keras._warning import warn_once
from minicnn.keras._whole_numbers import whole_sizes
from minicnn.keras.tensorflow._arrays import in_each_sample
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.keras.tensorflow.io import read_file as _read_file
from minicnn.utils import set_random_seed as _set_random_seed

__all__ = ["Tensor", "TensorShape", "einsum", "ensure_shape", "gather_nd", "map_fn", "numpy_function", "placeholder"]
__all__ += ["broadcast_to", "slice"]
__all__ += ["py_func", "py_function", "tensordot", "unique"]
__all__ += ["log", "read_file", "set_random_seed", "to_float", "to_int32", "to_int64"]
__all__ += ["constant_initializer", "ones_initializer", "random_normal_initializer", "random_uniform_initializer"]
__all__ += ["truncated_normal_initializer", "zeros_initializer"]

Tensor = EagerArray


def _typed(made, types):
    if isinstance(types, list | tuple):
        parts = made if isinstance(made, list | tuple) else [made]
        if len(parts) != len(types):
            raise ValueError(f"expected a result of the function for each of Tout={types}. Received: {len(parts)}")
        return tuple(map(_typed, parts, types))
    array = np.asarray(made)
    return (array if types is None or array.dtype.kind in "SUO" else array.astype(of_python(types))).view(EagerArray)


@entering
def numpy_function(func: Callable[..., Any], inp: Sequence[Any], Tout: Any, stateful: bool = True, name: Any = None):
    """What a function makes of arrays of NumPy's own; text comes as bytes.

    Parameters
    ----------
    func : callable
    inp : sequence of array
        Its arguments.
    Tout : dtype, or sequence of such
        Of what it gives.
    """
    plain = [np.asarray(each).view(EagerArray).numpy() for each in inp]
    return _typed(func(*plain), Tout)


@entering
def py_function(func: Callable[..., Any], inp: Sequence[Any], Tout: Any, name: str | None = None) -> Any:
    """What a function makes of arrays that have ``.numpy()``; further arguments as for `numpy_function`."""
    return _typed(func(*map(as_tensor, inp)), Tout)


py_func = numpy_function


@entering
def ensure_shape(x: Any, shape: Sequence[int | None], name: str | None = None) -> Any:
    """x, if it has this shape, of which nothing else is known any more; None fits any number.

    Raises
    ------
    ValueError
        If it has another one.
    """
    found = tuple(x.shape)
    if len(found) != len(shape) or any(n not in (None, m) for n, m in zip(shape, found, strict=True)):
        raise ValueError(f"expected the shape {tuple(shape)}. Received: {found}")
    return forgotten(x)


@entering
def slice(input_: Any, begin: Any, size: Any, name: str | None = None) -> Any:
    """`size` numbers from `begin` on, of each axis; -1 stands for all that are left, as all samples of a graph are."""
    begin, size = (np.asarray(whole_sizes(each)).tolist() for each in (begin, size))
    pairs = ((first, -1 if first == 0 and count is None else count) for first, count in zip(begin, size, strict=True))
    places = tuple(np.s_[first : None if count == -1 else first + count] for first, count in pairs)
    return of_tensorflow((input_ if is_symbolic(input_) else as_tensor(input_))[places])


@entering
def broadcast_to(input: Any, shape: Any, name: str | None = None) -> Any:
    """The numbers, repeated along new axes in front and along those of length 1."""
    if is_symbolic(input):
        sizes = tuple(int(n) for n in tuple(shape)[1:])  # behind the batch's, which is that of the tensor
        if len(sizes) != len(input.shape) - 1:
            raise ShapeError(f"expected {len(input.shape)} sizes, as many as the tensor has. Received: {tuple(shape)}")
        return input + np.zeros((1, *sizes), "float32")
    given = repeated_constant("broadcast_to", (input, list(shape)), {})
    if (of_weights := applied(np.broadcast_to, given, {})) is not None:
        return of_weights
    return of_tensorflow(np.broadcast_to(as_tensor(input), tuple(int(n) for n in np.asarray(shape))))


@entering
def map_fn(fn: Callable[..., Any], elems: Any, dtype: Any = None, fn_output_signature: Any = None, **options: Any):
    """What a function makes of each part along the first axis, together.

    Parameters
    ----------
    fn : callable
    elems : array, or tuple of arrays
    dtype, fn_output_signature : dtype, TensorSpec, or tuple of such, optional
        Of what `fn` gives, which is cast. Two names for the same; default: as it comes.

    Raises
    ------
    ValueError
        If there are not as many of them as of what `fn` gives, or `elems` is empty.
    """
    wanted = dtype if fn_output_signature is None else fn_output_signature
    whole = elems if isinstance(elems, tuple | list | Recorded) else np.asarray(elems)
    parts = zip(*whole, strict=True) if isinstance(whole, tuple | list) else iter(whole)
    made = [fn(map_leaves(as_tensor, part)) for part in parts]
    return _stacked(made, wanted)


def _stacked(parts, wanted):
    """Parts, or tuples of them, as one array of the dtype `wanted`."""
    if not parts:
        raise ValueError("map_fn takes at least one part, as what fn gives for none is not known. Received: no elems")
    wanted = wanted.dtype if isinstance(wanted, TensorSpec) else wanted
    first, kinds = parts[0], wanted if isinstance(wanted, tuple | list) else None
    if kinds is None:
        fits = wanted is None or not isinstance(first, tuple)
    else:
        fits = isinstance(first, tuple | list) and len(first) == len(kinds)
    if not fits:
        count = f" of {len(first)}" if isinstance(first, tuple | list) else ""
        raise ValueError(
            "map_fn: dtype is a dtype, or a tuple of as many as fn gives. "
            f"Received: dtype={wanted!r} for a {type(first).__name__}{count}"
        )
    if kinds is not None:
        return tuple(_stacked(each, kind) for each, kind in zip(zip(*parts, strict=True), kinds, strict=True))
    return map_leaves(lambda *each: of_tensorflow(np.stack([as_tensor(one, wanted) for one in each])), *parts)


@entering
def einsum(equation: str, *inputs: Any, **options: Any) -> Any:
    """Sums of products, as `numpy.einsum` has them."""
    return of_tensorflow(ops.einsum(equation, *inputs))


@entering
def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Any:
    """Sums of products over axes, as `numpy.tensordot` has them."""
    a, b = (x if is_symbolic(x) else as_tensor(x) for x in (a, b))
    return of_tensorflow(ops.tensordot(a, b, axes))


@entering
def gather_nd(params: Any, indices: Any, batch_dims: int = 0, name: str | None = None) -> Any:
    """The parts at these places, each given by the last axis; behind `batch_dims` axes that both have."""
    if is_symbolic(indices) and (batch_dims or may_wait()):  # which may be made of the samples' numbers
        return in_each_sample(lambda x, at: gather_nd(x, at, batch_dims))(params, indices)
    at = as_places(indices)  # (batch axes, …, axes of params)
    sizes = np.shape(as_tensor(params))[batch_dims:][: at.shape[-1]]
    sizes = tuple(math.inf if size is None else size for size in sizes)  # how many samples, a model's tensor cannot say
    if at.size and not np.all((at >= 0) & (at < sizes)):
        raise IndexError(f"places lie from 0 on, below {sizes}. Received: {at.reshape(-1, at.shape[-1]).tolist()}")
    own = np.indices(at.shape[:batch_dims], sparse=True) if batch_dims else ()
    batch = [each.reshape(each.shape + (1,) * (at.ndim - 1 - batch_dims)) for each in own]
    return of_tensorflow(as_tensor(params)[(*batch, *np.moveaxis(at, -1, 0))])


@entering
def unique(x: Any, out_idx: Any = "int32", name: str | None = None) -> tuple[Any, Any]:
    """(the different numbers in the order in which they come, the place of each number among them)."""
    numbers, first, places = np.unique(np.asarray(as_tensor(x)), return_index=True, return_inverse=True)
    order = np.argsort(first)
    ranks = np.argsort(order)
    return of_tensorflow(numbers[order]), of_tensorflow(ranks[places].astype(out_idx))


# --------------------------------------------------------------------------------------------------- TensorFlow 1


def _today(old, today):
    warn_once(f"tf.{old} is of TensorFlow 1: today it is tf.{today}")


def log(x: Any, name: str | None = None) -> Any:
    """``tf.math.log``."""
    _today("log", "math.log")
    return of_tensorflow(ops.log(x))


def read_file(filename: Any, name: str | None = None) -> bytes:
    """``tf.io.read_file``."""
    _today("read_file", "io.read_file")
    return _read_file(filename)


def set_random_seed(seed: int) -> None:
    """``tf.random.set_seed``."""
    _today("set_random_seed", "random.set_seed")
    _set_random_seed(seed)


def to_float(x: Any, name: str | None = None) -> Any:
    """``tf.cast(x, tf.float32)``."""
    _today("to_float", "cast(x, tf.float32)")
    return of_tensorflow(ops.cast(x, "float32"))


def to_int32(x: Any, name: str | None = None) -> Any:
    """``tf.cast(x, tf.int32)``."""
    _today("to_int32", "cast(x, tf.int32)")
    return of_tensorflow(ops.cast(x, "int32"))


def to_int64(x: Any, name: str | None = None) -> Any:
    """``tf.cast(x, tf.int64)``."""
    _today("to_int64", "cast(x, tf.int64)")
    return of_tensorflow(ops.cast(x, "int64"))


def placeholder(*args: Any, **kwargs: Any) -> NoReturn:
    """Is not there."""
    raise NotImplementedError(
        "tf.placeholder is of TensorFlow 1's graphs: a model's input is keras.Input, and data go to fit and predict. "
        "Received: a call of tf.placeholder"
    )


constant_initializer, ones_initializer = initializers.Constant, initializers.Ones
random_normal_initializer, random_uniform_initializer = initializers.RandomNormal, initializers.RandomUniform
truncated_normal_initializer, zeros_initializer = initializers.TruncatedNormal, initializers.Zeros
