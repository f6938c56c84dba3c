"""``tf.linalg``: norms, products, and diagonals."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, value_of
from minicnn.keras import ops
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras.tensorflow import _added, _functions, _further
from minicnn.keras.tensorflow._arrays import eye, norm
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.keras.tensorflow._gradients import global_norm
from minicnn.keras.tensorflow.nn import l2_normalize
from minicnn.reverse_mode import turned

__all__ = ["adjoint", "band_part", "diag", "diag_part", "einsum", "eye", "global_norm", "inv", "l2_normalize"]
__all__ += ["matmul", "matvec", "norm", "normalize", "set_diag", "trace"]

__all__ += sorted(_further.LINALG | _added.LINALG)

matmul: Any = _functions.matmul
globals().update(_further.LINALG | _added.LINALG)


@entering
def einsum(equation: str, *inputs: Any, **options: Any) -> Any:
    """Sums of products, as `numpy.einsum` has them."""
    return of_tensorflow(ops.einsum(equation, *inputs))


@entering
def diag_part(input: Any, name: str | None = None, k: int = 0) -> Any:
    """The diagonals of matrices (…, M, N), `k` places right of the middle one."""
    return of_tensorflow(np.diagonal(as_tensor(input), int(k), -2, -1))


@entering
def diag(diagonal: Any, name: str | None = None, k: int = 0) -> Any:
    """Matrices with these diagonals (…, N), `k` places right of the middle one, and zeros elsewhere."""
    rows, k = as_tensor(diagonal), int(k)
    is_on = np.eye(rows.shape[-1] + abs(k), k=k, dtype=bool)
    rows = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, abs(k))])
    return of_tensorflow(np.where(is_on, np.expand_dims(rows, -1 if k >= 0 else -2), rows.dtype.type(0)))


@entering
def set_diag(input: Any, diagonal: Any, name: str | None = None) -> Any:
    """Matrices (…, M, N) with other numbers on their diagonals (…, min(M, N))."""
    x, new = as_tensor(input), as_tensor(diagonal)
    rows, columns = x.shape[-2:]
    is_on = np.eye(rows, columns, dtype=bool)
    more = [(0, 0)] * (new.ndim - 1) + [(0, rows - new.shape[-1])]
    return of_tensorflow(np.where(is_on, np.expand_dims(np.pad(new, more), -1), x))


@entering
def band_part(input: Any, num_lower: Any, num_upper: Any, name: str | None = None) -> Any:
    """Matrices (…, M, N) with zeros but on so many diagonals below and above the middle one; negative: all of them."""
    x, (low, high) = as_tensor(input), (int(value_of(n)) for n in (num_lower, num_upper))
    across = np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None]
    is_kept = ((low < 0) | (-across <= low)) & ((high < 0) | (across <= high))
    return of_tensorflow(np.where(is_kept, x, x.dtype.type(0)))


@entering
def trace(x: Any, name: str | None = None) -> Any:
    """The sum of the diagonal of matrices (…, M, N)."""
    if is_symbolic(x):
        return ops.trace(x, axis1=-2, axis2=-1)
    diagonal = np.diagonal(as_tensor(x), 0, -2, -1)
    return of_tensorflow(np.sum(diagonal, axis=-1, dtype=diagonal.dtype))


def adjoint(matrix: Any, name: str | None = None) -> Any:
    """The conjugate of matrices (…, M, N) with rows for columns."""
    return _further.LINALG["matrix_transpose"](matrix, conjugate=True)


@entering
def matvec(a: Any, b: Any, transpose_a: bool = False, name: str | None = None) -> Any:
    """Matrices (…, M, N) times vectors (…, N)."""
    made = _functions.matmul(a, ops.expand_dims(b, -1), transpose_a=transpose_a)
    return of_tensorflow(ops.squeeze(made, -1))


@entering
def normalize(tensor: Any, ord: Any = "euclidean", axis: Any = None, name: str | None = None) -> tuple[Any, Any]:
    """(the numbers divided by their norm, the norm)."""
    length = norm(tensor, ord, axis, keepdims=True)
    return of_tensorflow(tensor / length), length


@entering
def inv(input: Any, adjoint: bool = False, name: str | None = None) -> Any:
    """The inverses of matrices (…, N, N), conjugated, with rows for columns, if `adjoint`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If one has none.
    """
    made = np.linalg.inv(np.asarray(value_of(input)))
    if not isinstance(input, Recorded):
        return of_tensorflow(np.swapaxes(np.conj(made), -1, -2) if adjoint else made)

    def back(g):
        across = turned(inv(input) if isinstance(g, Recorded) else made)
        return -across @ g @ across

    inverse = Recorded(made, [(input, back)])
    return _further.matrix_transpose(inverse, conjugate=True) if adjoint else inverse


__getattr__: Lookup = lookup(__name__)
