"""Functions that scripts take from ``tf.math``, ``tf.nn``, ``tf.linalg`` and ``tf`` less often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from minicnn.checks import check_choice
from minicnn.differentiation import met, value_of
from minicnn.errors import ShapeError
from minicnn.keras import ops
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras._shapes import TensorShape
from minicnn.keras._windows import window_of
from minicnn.keras.tensorflow._arrays import gather
from minicnn.keras.tensorflow._complex import conjugated, squared
from minicnn.keras.tensorflow._flow import _places, _updates_for, tensor_scatter_nd_add
from minicnn.keras.tensorflow._functions import as_tensor, is_tensor, of_tensorflow
from minicnn.keras.tensorflow._gradients import clip_by_norm
from minicnn.keras.tensorflow._of_1_arguments import today
from minicnn.parameters import Weight


def _of_ops(name: str) -> Callable[..., Any]:
    """The function of ``keras.ops``, of what TensorFlow makes of numbers and lists."""
    function = getattr(ops, name)

    def call(*args: Any, name: str | None = None, **kwargs: Any) -> Any:
        made = function(*(as_tensor(each) if isinstance(each, list | float) else each for each in args), **kwargs)
        return tuple(map(of_tensorflow, made)) if isinstance(made, list | tuple) else of_tensorflow(made)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``keras.ops.{name}``."
    return call


def _made(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which takes what a tape watches, and gives arrays with ``.numpy()``."""

    @entering
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("name", None)
        made = function(*args, **kwargs)
        return type(made)(map(of_tensorflow, made)) if type(made) in (list, tuple) else of_tensorflow(made)

    return call


# ----------------------------------------------------------------------------------------------------- ``tf.math``


def _no_nan(x, y, function):
    """function(y) · x, and 0 where x is 0."""
    x, y = as_tensor(x), as_tensor(y)
    is_zero = value_of(x) == 0
    return np.where(is_zero, x * 0, x * function(np.where(is_zero, y.dtype.type(1), y)))


def xlogy(x: Any, y: Any) -> Any:
    """x · log y, and 0 where x is 0."""
    return _no_nan(x, y, np.log)


def xlog1py(x: Any, y: Any) -> Any:
    """x · log (1 + y), and 0 where x is 0."""
    return _no_nan(x, y, np.log1p)


def xdivy(x: Any, y: Any) -> Any:
    """x / y, and 0 where x is 0."""
    return _no_nan(x, y, lambda divisor: 1 / divisor)


def multiply_no_nan(x: Any, y: Any) -> Any:
    """x · y, and 0 where y is 0, also of infinities."""
    x, y = as_tensor(x), as_tensor(y)
    is_zero, numbers = value_of(y) == 0, value_of(x)
    flat = np.where(np.isfinite(numbers), numbers, numbers.dtype.type(0))  # by y there is a gradient at 0, too
    return np.where(is_zero, y * flat, np.where(is_zero, x.dtype.type(0), x) * y)


def reciprocal_no_nan(x: Any) -> Any:
    """1 / x, and 0 where x is 0."""
    return ops.divide_no_nan(1.0, as_tensor(x))


def reduce_euclidean_norm(input_tensor: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """√(Σ x²) along the axes, or of all numbers."""
    axis, x = tuple(axis) if isinstance(axis, list) else axis, as_tensor(input_tensor)
    made = np.sqrt(np.sum(squared(x), axis=axis, keepdims=keepdims))
    return made.astype(x.dtype) if isinstance(made, np.ndarray | np.generic) and x.dtype.kind in "iu" else made


def segment_mean(data: Any, segment_ids: Any) -> Any:
    """The means of the parts along the first axis that have one number in `segment_ids`; 0 where there are none."""
    data = as_tensor(data)
    made = unsorted_segment_mean(data, segment_ids, int(np.max(value_of(segment_ids))) + 1)
    return made.astype(data.dtype) if isinstance(data, np.ndarray) and data.dtype.kind in "iu" else made


def unsorted_segment_mean(data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """The means of the parts along the first axis that have one number; 0 where there are none."""
    data, ids = as_tensor(data), np.asarray(value_of(segment_ids))
    counts = np.bincount(ids[ids >= 0], minlength=int(num_segments)).reshape(-1, *[1] * (len(data.shape) - 1))
    return ops.segment_sum(data, ids, int(num_segments)) / np.maximum(counts, 1).astype(data.dtype)


def bincount(
    arr: Any, weights: Any = None, minlength: Any = None, maxlength: Any = None, dtype: Any = "int32", **options: Any
) -> Any:
    """How often each whole number occurs, or the sums of the weights there.

    Raises
    ------
    TypeError
        For TensorFlow's further options.
    """
    if options:
        raise TypeError(f"tf.math.bincount counts all numbers together. Received: {options}")
    numbers = np.asarray(value_of(arr)).ravel()
    weights = None if weights is None else np.asarray(value_of(as_tensor(weights))).ravel()
    made = np.bincount(numbers, weights, int(minlength or 0))[: None if maxlength is None else int(maxlength)]
    return as_tensor(made, dtype if weights is None else weights.dtype)


def polyval(coeffs: Sequence[Any], x: Any) -> Any:
    """The value of a polynomial at x, whose coefficient of the highest power stands first."""
    x = as_tensor(x)
    made = x * 0
    for each in coeffs:
        made = made * x + each
    return made


def rint(x: Any) -> Any:
    """The nearest whole numbers, the even one of two."""
    return np.rint(as_tensor(x))


def invert_permutation(x: Any) -> Any:
    """Where each of the numbers from 0 on stands."""
    numbers = np.asarray(value_of(as_tensor(x)))
    return np.argsort(numbers).astype(numbers.dtype)


def scalar_mul(scalar: Any, x: Any) -> Any:
    """A number times an array."""
    x, scalar = as_tensor(x), met(scalar)
    if isinstance(scalar, float) and not is_symbolic(x) and x.dtype.kind in "iu":
        raise TypeError(f"expected a whole number for an array of {x.dtype}. Received: scalar={scalar}")
    return as_tensor(scalar, None if is_symbolic(x) else x.dtype) * x


# ------------------------------------------------------------------------------------------------------- ``tf.nn``


@today(targets="labels")
def weighted_cross_entropy_with_logits(labels: Any = None, logits: Any = None, pos_weight: Any = 1.0) -> Any:
    """The binary cross-entropy before the sigmoid, in which `pos_weight` times as much is made of targets of 1."""
    x, target = as_tensor(logits), as_tensor(labels)
    weight = 1 + (as_tensor(pos_weight) - 1) * target
    return (1 - target) * x + weight * (np.log1p(np.exp(-np.abs(x))) + ops.relu(-x))


def crelu(features: Any, axis: int = -1) -> Any:
    """max(x, 0) and max(-x, 0) behind each other: Shang et al., 2016, arXiv 1603.05201."""
    x = as_tensor(features)
    return ops.relu(ops.concatenate([x, -x], axis=axis))


class MaxPoolWithArgmax(NamedTuple):
    """What `max_pool_with_argmax` gives."""

    output: Any
    argmax: Any


@entering
def max_pool_with_argmax(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str = "NHWC",
    output_dtype: Any = "int64",
    include_batch_in_index: bool = False,
    name: str | None = None,
) -> MaxPoolWithArgmax:
    """The largest numbers of windows, and where they stand, as SegNet's decoder wants to know.

    Parameters
    ----------
    input : array (N, H, W, C)
    ksize, strides : int, (rows, columns) or (1, rows, columns, 1)
    padding : {"VALID", "SAME"}
    data_format : {"NHWC"}
    output_dtype : default "int64"
    include_batch_in_index : bool, default False
        Whether the images are counted through.

    Returns
    -------
    (output, argmax), both (N, OH, OW, C)
        A place is (row · W + column) · C + channel.

    Raises
    ------
    ValueError
        For channels in front.
    """
    if data_format != "NHWC":
        raise ValueError(f"images are (N, H, W, C). Received: data_format={data_format!r}")
    size, steps = _pair(ksize), _pair(strides)
    x = as_tensor(input)
    values = np.asarray(value_of(x))
    count, height, width, channels = values.shape
    window = window_of((height, width), size, steps, padding)
    rows = np.arange(window.out_height)[:, None] * window.stride_y + np.arange(size[0]) - window.pad_top  # (OH, KH)
    columns = np.arange(window.out_width)[:, None] * window.stride_x + np.arange(size[1]) - window.pad_left
    rows, columns = (np.clip(each, 0, n - 1) for each, n in ((rows, height), (columns, width)))  # edges stand twice
    cut = values[:, rows[:, None, :, None], columns[None, :, None, :]]  # (N, OH, OW, KH, KW, C)
    first = cut.reshape(*cut.shape[:3], -1, channels).argmax(axis=3)  # (N, OH, OW, C)
    y = rows[np.arange(window.out_height)[:, None, None], first // size[1]]
    along = columns[np.arange(window.out_width)[:, None], first % size[1]]
    places = (y * width + along) * channels + np.arange(channels)
    places = places + np.arange(count)[:, None, None, None] * (height * width * channels)
    output = ops.reshape(x, (-1,))[places.ravel()]
    index = places if include_batch_in_index else places % (height * width * channels)
    output = of_tensorflow(ops.reshape(output, places.shape))
    return MaxPoolWithArgmax(output, of_tensorflow(index.astype(output_dtype)))


def _pair(given):
    """(rows, columns) of one number, of two, or of TensorFlow's four."""
    numbers = [int(n) for n in np.ravel(given)]
    return tuple(numbers[1:3] if len(numbers) == 4 else np.broadcast_to(numbers, 2).tolist())


# ------------------------------------------------------------------------------------------------------------ ``tf``


def sequence_mask(lengths: Any, maxlen: Any = None, dtype: Any = bool) -> Any:
    """Rows that are true up to their lengths: (…, maxlen), by default as long as the longest."""
    lengths = np.asarray(value_of(lengths))
    count = int(lengths.max(initial=0)) if maxlen is None else int(maxlen)
    return as_tensor(np.arange(count) < lengths[..., None], dtype)


def dynamic_partition(data: Any, partitions: Any, num_partitions: int) -> list[Any]:
    """The parts of data that have the number 0, 1, … in `partitions`."""
    data, numbers = as_tensor(data), np.asarray(value_of(partitions))
    return [data[np.nonzero(numbers == number)] for number in range(int(num_partitions))]


def unique_with_counts(x: Any, out_idx: Any = "int32") -> tuple[Any, Any, Any]:
    """(the different numbers as they come, the place of each number among them, how often each occurs)."""
    numbers, first, places, counts = np.unique(np.asarray(as_tensor(value_of(x))), True, True, True)
    order = np.argsort(first)
    return numbers[order], np.argsort(order)[places].astype(out_idx), counts[order].astype(out_idx)


def _scattered(ufunc, name):
    def function(tensor: Any, indices: Any, updates: Any) -> Any:
        base, updates = np.asarray(as_tensor(tensor)), np.asarray(_updates_for(updates, as_tensor(tensor).dtype))
        made = base.copy()
        ufunc.at(made, _places(indices, base.shape, updates), updates)
        return made

    function.__name__, function.__doc__ = name, f"The array, changed at places by {ufunc.__name__}."
    return function


def tensor_scatter_nd_sub(tensor: Any, indices: Any, updates: Any) -> Any:
    """The array, with what is subtracted at places."""
    return tensor_scatter_nd_add(tensor, indices, -as_tensor(updates))


def foldl(fn: Callable[..., Any], elems: Any, initializer: Any = None, **options: Any) -> Any:
    """What ``fn(before, part)`` makes, part by part along the first axis."""
    parts = list(as_tensor(elems))
    made = parts.pop(0) if initializer is None else as_tensor(initializer)
    for part in parts:
        made = fn(made, part)
    return made


def foldr(fn: Callable[..., Any], elems: Any, initializer: Any = None, **options: Any) -> Any:
    """What ``fn(behind, part)`` makes, part by part along the first axis, from the last one on."""
    return foldl(fn, as_tensor(elems)[::-1], initializer)


def get_static_value(tensor: Any, partial: bool = False) -> Any:
    """The numbers of a tensor as an array of NumPy's own; None of variables and models' tensors; else what is given."""
    if is_symbolic(tensor) or isinstance(tensor, Weight):
        return None
    return np.array(value_of(met(tensor))) if is_tensor(tensor) else tensor


def broadcast_static_shape(shape_x: Any, shape_y: Any) -> TensorShape:
    """The shape of what is computed of two arrays of these shapes; None is open, unless the other is more than 1."""
    longest = max(len(shape_x), len(shape_y))
    first, second = ((1,) * (longest - len(shape)) + tuple(shape) for shape in (shape_x, shape_y))
    pairs = list(zip(first, second, strict=True))
    if any(None not in pair and 1 not in pair and pair[0] != pair[1] for pair in pairs):
        raise ShapeError(f"expected shapes that go together. Received: {tuple(shape_x)} and {tuple(shape_y)}")
    return TensorShape(b if a == 1 or (a is None and b != 1) else a for a, b in pairs)


def broadcast_dynamic_shape(shape_x: Any, shape_y: Any) -> Any:
    """The shape of what is computed of two arrays of these shapes, as an array."""
    return as_tensor(list(broadcast_static_shape(*(np.asarray(shape).tolist() for shape in (shape_x, shape_y)))))


def embedding_lookup(params: Any, ids: Any, max_norm: float | None = None) -> Any:
    """The rows of these numbers, of a matrix (N, …) or of a list of its parts, with norms up to `max_norm`."""
    rows = gather(ops.concatenate(params) if isinstance(params, list | tuple) else params, ids)
    if max_norm is None:
        return rows
    return clip_by_norm(rows, max_norm, tuple(range(np.ndim(value_of(ids)), rows.ndim)))


def as_string(
    input: Any, precision: int = -1, scientific: bool = False, shortest: bool = False, width: int = -1, fill: str = ""
) -> Any:
    """The numbers as text, as C's printf has it.

    Parameters
    ----------
    input : array
    precision : int, default -1
        Digits behind the point; with `shortest` all of them.
    scientific, shortest : bool, default False
        As 1.5e+00; or whatever is shorter.
    width : int, default -1
        How many letters there are at least.
    fill : {"", " ", "0", "-", "+"}
        What is in front of a number, or "-" for spaces behind it.

    Raises
    ------
    ValueError
        For another `fill`, both forms at once, and digits of what has none behind the point.
    """
    numbers = np.asarray(value_of(as_tensor(input)))
    check_choice("fill", fill, ("", " ", "0", "-", "+"))
    if (scientific and shortest) or (precision >= 0 and numbers.dtype.kind != "f"):
        raise ValueError(
            "tf.as_string has one of scientific and shortest, and a precision of floating-point numbers. Received: "
            f"precision={precision}, scientific={scientific}, shortest={shortest}, numbers of {numbers.dtype}"
        )
    if numbers.dtype.kind == "b":
        return np.where(numbers, "true", "false")
    digits = f".{precision}" if precision >= 0 else ""
    letter = ("e" if scientific else "g" if shortest else "f") if numbers.dtype.kind == "f" else "d"
    letter = "s" if numbers.dtype.kind in "SUO" else letter
    form = f"%{fill}{width if width >= 0 else ''}{digits}{letter}"
    texts = [form % (n.decode() if isinstance(n, bytes) else n) for n in numbers.ravel().tolist()]
    return np.array(texts, str).reshape(numbers.shape)


# --------------------------------------------------------------------------------------------------- ``tf.linalg``


def svd(tensor: Any, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    """The singular value decomposition of matrices: (s, u, v), the matrix u · s · vᵀ; or s alone."""
    made = ops.svd(as_tensor(tensor), full_matrices, compute_uv)
    return (made[1], made[0], np.swapaxes(made[2], -1, -2)) if compute_uv else made


def matrix_transpose(a: Any, conjugate: bool = False) -> Any:
    """Matrices (…, M, N) with rows for columns, of complex ones the conjugate if asked for."""
    return ops.swapaxes(conjugated(as_tensor(a)) if conjugate else as_tensor(a), -1, -2)


def lstsq(matrix: Any, rhs: Any, l2_regularizer: float = 0.0, fast: bool = True) -> Any:
    """The x for which |matrix @ x - rhs|² + l2_regularizer · |x|² is the least: (…, N, K) of (…, M, N), (…, M, K)."""
    a, b = as_tensor(matrix), as_tensor(rhs)
    if a.ndim < 2 or b.ndim < 2:
        raise ShapeError(f"expected matrices (…, M, N) and (…, M, K). Received: shapes {a.shape} and {b.shape}")
    turned = ops.swapaxes(a, -1, -2)
    if a.shape[-2] < a.shape[-1]:  # of the many that fit, the shortest, since turned @ a has no inverse
        return turned @ ops.solve(a @ turned + l2_regularizer * np.eye(a.shape[-2], dtype=a.dtype), b)
    return ops.solve(turned @ a + l2_regularizer * np.eye(a.shape[-1], dtype=a.dtype), turned @ b)


def solve(matrix: Any, rhs: Any, adjoint: bool = False) -> Any:
    """The x of matrix @ x = rhs, matrices (…, N, N) and (…, N, K)."""
    return ops.solve(matrix_transpose(matrix, conjugate=True) if adjoint else as_tensor(matrix), as_tensor(rhs))


_UNSORTED = {f"unsorted_segment_{kind}": getattr(ops, f"segment_{kind}") for kind in ("sum", "max", "min", "prod")}
MATH: dict[str, Callable[..., Any]] = {
    name: _of_ops(name) for name in ("erf", "erfc", "erfinv", "expm1", "logical_xor", "nextafter", "softsign")
}
MATH |= {name: _of_ops(name) for name in ("segment_prod", "segment_sum")}
_MATH = (bincount, invert_permutation, multiply_no_nan, polyval)
_MATH += (reciprocal_no_nan, reduce_euclidean_norm, rint, scalar_mul, segment_mean, unsorted_segment_mean)
MATH |= {each.__name__: _made(each) for each in (*_MATH, xdivy, xlog1py, xlogy)}
MATH |= {name: _made(function) for name, function in _UNSORTED.items()}
NN: dict[str, Callable[..., Any]] = {
    each.__name__: _made(each) for each in (crelu, embedding_lookup, weighted_cross_entropy_with_logits)
} | {"max_pool_with_argmax": max_pool_with_argmax}
LINALG: dict[str, Callable[..., Any]] = {
    name: _of_ops(name) for name in ("cholesky", "cross", "det", "eigh", "logdet", "pinv", "qr", "slogdet")
}
LINALG |= {each.__name__: _made(each) for each in (lstsq, matrix_transpose, solve, svd)}
LINALG |= {"matrix_rank": _of_ops("matrix_rank")}
TOP: dict[str, Callable[..., Any]] = {
    each.__name__: _made(each)
    for each in (as_string, dynamic_partition, foldl, foldr, sequence_mask, tensor_scatter_nd_sub, unique_with_counts)
}
for _ufunc, _name in ((np.maximum, "tensor_scatter_nd_max"), (np.minimum, "tensor_scatter_nd_min")):
    TOP[_name] = _made(_scattered(_ufunc, _name))
TOP |= {each.__name__: each for each in (broadcast_dynamic_shape, broadcast_static_shape, get_static_value)}
TOP["recompute_grad"] = lambda f: f  # which saves memory on a GPU alone
TOP |= {"scalar_mul": MATH["scalar_mul"], "vectorized_map": _made(ops.vectorized_map)}
