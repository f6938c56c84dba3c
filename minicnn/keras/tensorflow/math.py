"""``tf.math``: the functions of ``tf`` itself, and logarithms."""

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.differentiation import value_of as _value_of
from minicnn.dtype_policies import of_python
from minicnn.keras import ops
from minicnn.keras._names import lookup as _lookup
from minicnn.keras._operations import entering as _entering
from minicnn.keras.ops._further import TopK
from minicnn.keras.tensorflow import _added, _complex, _functions, _further, _further_math, nn

if TYPE_CHECKING:  # for checkers, which do not see what is made at run time

    def __getattr__(name: str) -> Any: ...

else:
    __getattr__ = _lookup(__name__)

globals().update({name: getattr(_functions, name) for name in _functions.__all__ if name not in ("zeros", "ones")})
globals().update(_functions.MATH | _further.MATH | _added.MATH)
globals().update({name: getattr(_complex, name) for name in ("angle", "conj", "imag", "real")})
globals().update({name: getattr(_further_math, name) for name in _further_math.__all__ if name != "reverse_sequence"})
l2_normalize, softplus, zero_fraction = nn.l2_normalize, nn.softplus, nn.zero_fraction


@_entering
def divide_no_nan(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y, and 0 where y is 0."""
    is_zero = _functions.equal(y, 0)
    return _functions.where(is_zero, 0.0, x / _functions.where(is_zero, 1.0, y))


@_entering
def mod(x: Any, y: Any, name: str | None = None) -> Any:
    """What is left of x / y, of the sign of y."""
    return _functions.of_tensorflow(_functions.as_tensor(x) % y)


floormod = mod


@_entering
def floordiv(x: Any, y: Any, name: str | None = None) -> Any:
    """x / y, rounded down."""
    return _functions.floordiv(_functions.as_tensor(x), y)


@_entering
def add_n(inputs: Any, name: str | None = None) -> Any:
    """The sum of several arrays or tensors."""
    first, *others = map(_functions.as_tensor, inputs)
    for other in others:
        first = first + other
    return first


@_entering
def count_nonzero(input: Any, axis: Any = None, keepdims: bool = False, dtype: Any = "int64") -> Any:
    """How many numbers along the axes are not 0."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    return _functions.of_tensorflow(
        np.count_nonzero(np.asarray(_value_of(input)), axis=axis, keepdims=keepdims)
    ).astype(of_python(dtype))


@_entering
def top_k(input: Any, k: int = 1, sorted: bool = True, name: str | None = None) -> Any:
    """(values, indices) of the k largest numbers of the last axis, the largest first."""
    return TopK(*map(_functions.of_tensorflow, ops.top_k(input, k, sorted)))


@_entering
def in_top_k(targets: Any, predictions: Any, k: int, name: str | None = None) -> Any:
    """Whether the class of each sample is among the k that are predicted most: (N,) bool."""
    return _functions.of_tensorflow(ops.in_top_k(targets, predictions, k))


@_entering
def confusion_matrix(
    labels: Any, predictions: Any, num_classes: int | None = None, weights: Any = None, dtype: Any = "int32"
) -> Any:
    """How often class i (row) was taken for class j (column): (classes, classes)."""
    rows, columns = (np.asarray(each).reshape(-1).astype(np.int64) for each in (labels, predictions))
    count = 1 + max(int(rows.max(initial=-1)), int(columns.max(initial=-1))) if num_classes is None else num_classes
    matrix = np.zeros((count, count))
    np.add.at(matrix, (rows, columns), 1 if weights is None else np.asarray(weights).reshape(-1))
    return _functions.as_tensor(matrix, dtype)


_NOT_ITS_OWN = ("Any", "TYPE_CHECKING", "TopK", "annotations", "nn", "np", "ops")
__all__ = sorted(name for name in globals() if not name.startswith("_") and name not in _NOT_ITS_OWN)
