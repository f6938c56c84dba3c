"""Functions of ``tf.math``, ``tf.linalg``, ``tf.nn`` and ``tf`` that scripts call rarely, written with those before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.dtype_policies import of_python
from minicnn.keras import ops
from minicnn.keras.ops import _decompositions
from minicnn.keras.tensorflow import _further
from minicnn.keras.tensorflow._elements import tensordot
from minicnn.keras.tensorflow._functions import as_tensor
from minicnn.keras.tensorflow._further_math import lgamma

# ----------------------------------------------------------------------------------------------------- ``tf.math``


def accumulate_n(inputs: Any, shape: Any = None, tensor_dtype: Any = None) -> Any:
    """The sum of several arrays."""
    first, *others = map(as_tensor, inputs)
    for other in others:
        first = first + other
    return first


def cumulative_logsumexp(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Any:
    """The logarithm of the sums of exp(x) of each number and those before it along an axis, or behind it."""
    x = as_tensor(x)
    x = np.flip(x, axis) if reverse else x
    if exclusive:
        least = np.full_like(np.take(value_of(x), [0], axis), np.finfo(x.dtype).min)  # as TensorFlow: no -∞
        x = np.concatenate([least, x[(*(slice(None),) * (axis % x.ndim), slice(0, -1))]], axis)
    before = (slice(None),) * (axis % x.ndim)
    parts = [x[(*before, slice(at, at + 1))] for at in range(x.shape[axis])]
    for at in range(1, len(parts)):
        parts[at] = np.logaddexp(parts[at - 1], parts[at])
    made = np.concatenate(parts, axis) if parts else x
    return np.flip(made, axis) if reverse else made


def lbeta(x: Any) -> Any:
    """The logarithm of the beta function of the numbers of the last axis, Σ log Γ(x) − log Γ(Σ x)."""
    x = as_tensor(x)
    return np.sum(lgamma(x), axis=-1) - lgamma(np.sum(x, axis=-1))


def unsorted_segment_sqrt_n(data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """The sums of segments, divided by the root of how many parts each has; 0 where there are none."""
    data, ids = as_tensor(data), np.asarray(value_of(segment_ids))
    counts = np.bincount(ids[ids >= 0], minlength=int(num_segments)).reshape(-1, *[1] * (len(data.shape) - 1))
    return ops.segment_sum(data, ids, int(num_segments)) / np.sqrt(np.maximum(counts, 1)).astype(data.dtype)


# --------------------------------------------------------------------------------------------------- ``tf.linalg``


def eigvalsh(tensor: Any) -> Any:
    """The eigenvalues of symmetric matrices (…, N, N), the smallest first: (…, N)."""
    return _decompositions.eigh(as_tensor(tensor))[0]


def triangular_solve(matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False) -> Any:
    """The x of matrix @ x = rhs, of which the lower triangle alone counts, or the upper one: (…, N, K)."""
    x = as_tensor(matrix)
    half = (np.tril if lower else np.triu)(np.ones(x.shape[-2:], bool))
    return _further.solve(np.where(half, x, x.dtype.type(0)), rhs, adjoint)


def cholesky_solve(chol: Any, rhs: Any) -> Any:
    """The x of L Lᵀ x = rhs, matrices L (…, N, N), whose upper triangles do not count, and rhs (…, N, K)."""
    return triangular_solve(chol, triangular_solve(chol, rhs), adjoint=True)


def tensor_diag(diagonal: Any) -> Any:
    """An array with these numbers where its first indices are its last ones, and zeros elsewhere."""
    x = as_tensor(diagonal)
    size = int(np.prod(x.shape))
    return np.reshape(np.where(np.eye(size, dtype=bool), np.reshape(x, -1), x.dtype.type(0)), (*x.shape, *x.shape))


def tensor_diag_part(input: Any) -> Any:
    """The numbers whose first indices are the last ones, as `tensor_diag` places them."""
    x = as_tensor(input)
    kept = x.shape[: x.ndim // 2]
    size = int(np.prod(kept))
    return np.reshape(np.diagonal(np.reshape(x, (size, size))), kept)


def sqrtm(input: Any) -> np.ndarray:
    """The matrix whose product with itself a matrix (…, N, N) is; of symmetric ones without negative eigenvalues.

    Raises
    ------
    NotImplementedError
        For others.
    """
    x = np.asarray(as_tensor(input))
    if not np.allclose(x, np.swapaxes(x, -1, -2), rtol=1e-5, atol=1e-6):
        raise NotImplementedError("tf.linalg.sqrtm is there for symmetric matrices. Received: another one")
    values, vectors = np.linalg.eigh(x.astype("float64"))
    if (values < -1e-5 * np.abs(values).max(initial=1e-30)).any():
        raise NotImplementedError(f"tf.linalg.sqrtm takes no negative eigenvalues. Received: {values.min()}")
    made = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return made.astype(x.dtype)


def expm(input: Any) -> Any:
    """The exponential of matrices (…, N, N), Σ xᵏ / k!, by squaring."""
    return _decompositions.expm(as_tensor(input))


# ------------------------------------------------------------------------------------------------ ``tf.nn``, ``tf``


def log_poisson_loss(targets: Any, log_input: Any, compute_full_loss: bool = False) -> Any:
    """exp(log_input) − log_input · targets, and Stirling's approximation of log targets! above 1."""
    z, c = as_tensor(targets), as_tensor(log_input)
    made = np.exp(c) - c * z
    if not compute_full_loss:
        return made
    many = np.where(value_of(z) > 1, z, z.dtype.type(1))
    stirling = many * np.log(many) - many + 0.5 * np.log(2 * np.pi * many)
    return made + np.where((value_of(z) >= 0) & (value_of(z) <= 1), z.dtype.type(0), stirling)


def space_to_batch(input: Any, block_shape: Any, paddings: Any) -> Any:
    """Every n-th pixel as a picture of its own: (N · n · m, H / n, W / m, C), after padding with zeros.

    Parameters
    ----------
    input : array (N, H, W, …)
    block_shape : int or sequence of int
        n, m.
    paddings : array (axes, 2) of int
    """
    x, pads = as_tensor(input), np.asarray(value_of(paddings)).astype(int)
    blocks = [int(n) for n in np.broadcast_to(np.ravel(value_of(block_shape)), len(pads))]
    x = np.pad(x, [(0, 0), *map(tuple, pads.tolist()), *[(0, 0)] * (x.ndim - 1 - len(pads))])
    count, sizes, rest = x.shape[0], x.shape[1 : 1 + len(blocks)], x.shape[1 + len(blocks) :]
    pairs = [n for size, block in zip(sizes, blocks, strict=True) for n in (size // block, block)]
    if any(size % block for size, block in zip(sizes, blocks, strict=True)):
        raise ValueError(f"padded sizes are multiples of the blocks. Received: {tuple(sizes)} for block_shape={blocks}")
    x = np.reshape(x, (count, *pairs, *rest))
    axes = range(len(blocks))
    order = [*(2 + 2 * a for a in axes), 0, *(1 + 2 * a for a in axes), *range(1 + 2 * len(blocks), x.ndim)]
    return np.reshape(np.transpose(x, order), (-1, *pairs[::2], *rest))


def batch_to_space(input: Any, block_shape: Any, crops: Any) -> Any:
    """What `space_to_batch` has taken apart, put together again and cropped.

    Parameters
    ----------
    input : array (N · n · m, H, W, …)
    block_shape : int or sequence of int
        n, m.
    crops : array (axes, 2) of int
    """
    x, cut = as_tensor(input), np.asarray(value_of(crops)).astype(int)
    blocks = [int(n) for n in np.broadcast_to(np.ravel(value_of(block_shape)), len(cut))]
    sizes, rest, count = x.shape[1 : 1 + len(blocks)], x.shape[1 + len(blocks) :], len(blocks)
    x = np.reshape(x, (*blocks, -1, *sizes, *rest))
    pairs = [axis for a in range(count) for axis in (count + 1 + a, a)]
    x = np.transpose(x, (count, *pairs, *range(2 * count + 1, x.ndim)))
    x = np.reshape(x, (x.shape[0], *(size * block for size, block in zip(sizes, blocks, strict=True)), *rest))
    return x[(slice(None), *(slice(a, n - b) for (a, b), n in zip(cut.tolist(), x.shape[1:], strict=False)))]


def truncatediv(x: Any, y: Any) -> np.ndarray:
    """x / y, cut off: towards 0."""
    x = np.asarray(as_tensor(x))
    return np.trunc(np.divide(x, y)).astype(x.dtype) if x.dtype.kind == "f" else (x - np.fmod(x, y)) // y


def truncatemod(x: Any, y: Any) -> np.ndarray:
    """What `truncatediv` leaves, of the sign of x."""
    return np.fmod(np.asarray(as_tensor(x)), y)


def bitcast(input: Any, type: Any) -> np.ndarray:
    """The same bytes as numbers of another dtype; where that is narrower, along one more axis."""
    x, dtype = np.ascontiguousarray(as_tensor(input)), np.dtype(of_python(type))
    if dtype.itemsize == x.dtype.itemsize:
        return x.view(dtype)
    return x[..., None].view(dtype) if dtype.itemsize < x.dtype.itemsize else x.view(dtype)[..., 0]


def _named(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {each.__name__: _further._made(each) for each in functions}


MATH = _named(accumulate_n, cumulative_logsumexp, lbeta, unsorted_segment_sqrt_n)
LINALG = _named(cholesky_solve, eigvalsh, expm, sqrtm, tensor_diag, tensor_diag_part, triangular_solve)
LINALG |= {"tensordot": tensordot}
NN = _named(log_poisson_loss, space_to_batch)
TOP = _named(batch_to_space, bitcast, space_to_batch, truncatediv, truncatemod)
