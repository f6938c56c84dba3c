"""Functions of ``keras.ops`` that scripts call rarely: most are NumPy's, with Keras's dtypes.

Those that are written here with operators and the functions of `minicnn.differentiation` are differentiated; the
others say that they are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.backends.reference.activation import FORMULAS
from minicnn.checks import check_choice
from minicnn.differentiation import Recorded, beside, met, value_of
from minicnn.dtype_policies import of_python
from minicnn.keras import _operations
from minicnn.keras._arrangements import arranged
from minicnn.keras._formulas import OF_RECORDED, by_slope
from minicnn.keras._orders import extremes_of_segments, products_of_segments
from minicnn.keras._recorded_pairs import PAIRS, part_of_full
from minicnn.keras._result_dtypes import in_kerass_dtype
from minicnn.keras.ops._decompositions import svd
from minicnn.keras.ops._further import of_tensors_too, take
from minicnn.keras.ops._matrices import OF_NUMPY, cholesky_inverse, inv, logdet, pinv, solve_triangular
from minicnn.settings import floatx

_PLAIN = (
    *("allclose", "array_split", "copy", "corrcoef", "diagflat", "dsplit", "dstack"),
    *("fabs", "fmax", "fmin", "fmod", "gcd", "geomspace", "heaviside", "hsplit", "isin", "isposinf", "isreal"),
    *("kron", "lcm", "ldexp", "logspace", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean"),
    *("nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "nextafter"),
    *("nonzero", "percentile", "signbit", "sinc", "tri", "trunc", "unravel_index", "vsplit", "bartlett"),
    *("blackman", "hamming", "hanning", "kaiser"),
)
_OF_BITS = {"bitwise_invert": np.invert, "bitwise_not": np.invert, "bitwise_left_shift": np.left_shift}
_OF_BITS |= {"left_shift": np.left_shift, "bitwise_right_shift": np.right_shift, "right_shift": np.right_shift}
_OF_MATRICES = ("cholesky", "det", "eig", "eigh", "matrix_rank", "pinv", "qr", "slogdet")


def _floats(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.float64 if x.dtype.kind in "biu" else floatx())


def angle(x: Any) -> Any:
    """The angle of complex numbers: of others 0, also of -0 and NaN, or π of negative ones."""
    return np.angle(x) if np.iscomplexobj(x) else np.where(_floats(x) < 0, np.pi, 0).astype(_floats(x).dtype)


def of_complex(name: str, of_reals: Callable[..., Any]) -> Callable[..., Any]:
    """``conj`` and ``real``: NumPy's of complex arrays, recorded ones too; `of_reals` of all else."""
    of_numpy, back = getattr(np, name), {"conj": np.conj, "conjugate": np.conj, "real": lambda g: g + 0j}[name]

    def function(x: Any) -> Any:
        given = met(x)
        if _operations.is_symbolic(given) or not np.iscomplexobj(value_of(given)):
            return of_reals(x)
        made = of_numpy(np.asarray(value_of(given)))
        return Recorded(made, [(given, back)]) if isinstance(given, Recorded) else made

    return function


def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The correlation of two rows of numbers, in floats: sums of products have no place in 8 bits."""
    if isinstance(x1, Recorded) or isinstance(x2, Recorded):
        return PAIRS["correlate"](x1, x2, mode)
    kind = np.result_type(x1, x2)
    first, second = (np.asarray(x, kind if kind.kind in "fc" else np.float64) for x in (x1, x2))
    check_choice("mode", mode, ("valid", "same", "full"))
    return np.correlate(first, second, "full")[part_of_full(len(first), len(second), mode)]


def erf(x: Any) -> Any:
    """2/√π · ∫ exp(-t²) dt from 0 to x."""
    return by_slope("erf")(x) if isinstance(x, Recorded) else FORMULAS["erf"].value(_floats(x))


def erfc(x: Any) -> Any:
    """1 - erf(x), exact also where erf(x) is nearly 1."""
    values = _floats(value_of(x))
    made = np.asarray(1 - FORMULAS["erf"].value(values))
    if (is_small := ~(values < 0.5)).any():  # where 1 - erf(x) loses digits
        made[is_small] = np.vectorize(math.erfc, otypes=[np.float64])(values[is_small])
    if not isinstance(x, Recorded):
        return made
    return Recorded(made, [(x, lambda g: -g * FORMULAS["erf"].slope(beside(g, x)))])


def erfinv(x: Any) -> Any:
    """What `erf` makes x of, infinite for ±1, and NaN beyond.

    Giles, "Approximating the erfinv function", 2010, and near ±1 the first terms of erf's asymptotic series; then two
    steps of Newton's method.
    """
    values = _floats(value_of(x))
    wide = values.astype(np.float64)
    with np.errstate(all="ignore"):
        w = -np.log1p(-wide * wide)
        small, large = np.polyval(_GILES_SMALL, w - 2.5), np.polyval(_GILES_LARGE, np.sqrt(w) - 3)
        made = np.where(w < 5, small, large) * wide
        square = w  # of y where erfc(y) = exp(-w) / 2 ≈ exp(-y²) / (y·√π) · (1 - 1 / (2·y²))
        for _ in range(4):
            square = w + math.log(2) - np.log(math.pi * square) / 2 + np.log1p(-0.5 / square)
        made = np.where(w > 16, np.copysign(np.sqrt(square), wide), made)
        for _ in range(2):  # beyond, erf has too few digits that differ from 1
            step = (FORMULAS["erf"].value(made) - wide) * np.exp(made * made) * math.sqrt(math.pi) / 2
            made = made - np.where(w < 25, step, 0)
        made = np.where(np.abs(wide) == 1, np.copysign(np.inf, wide), np.where(np.abs(wide) > 1, np.nan, made))
    if not isinstance(x, Recorded):
        return made.astype(values.dtype)

    def back(g):
        again = erfinv(beside(g, x))
        return g * np.exp(again * again) * (math.sqrt(math.pi) / 2)

    return Recorded(made.astype(values.dtype), [(x, back)])


_GILES_SMALL = [2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503]
_GILES_SMALL += [-0.00417768164, 0.246640727, 1.50140941]
_GILES_LARGE = [-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613]
_GILES_LARGE += [0.00943887047, 1.00167406, 2.83297682]


def logaddexp2(x1: Any, x2: Any) -> Any:
    """log₂(2^x1 + 2^x2), without overflow."""
    if not isinstance(x1, Recorded) and not isinstance(x2, Recorded):
        return np.logaddexp2(_operations.as_float(x1), _operations.as_float(x2))
    return np.logaddexp(x1 * math.log(2), x2 * math.log(2)) / math.log(2)


def exp2(x: Any) -> Any:
    """2^x."""
    return np.exp(x * math.log(2))


def cbrt(x: Any) -> Any:
    """The number whose third power x is."""
    if not isinstance(x, Recorded):
        return np.cbrt(_floats(x))
    return np.sign(_floats(value_of(x))) * np.power(np.abs(x), 1 / 3)


def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return x * (math.pi / 180)


def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return x * (180 / math.pi)


def hypot(x1: Any, x2: Any) -> Any:
    """√(x1² + x2²), also where the squares are beyond all floats."""
    if not isinstance(x1, Recorded) and not isinstance(x2, Recorded):
        return np.hypot(
            *(each.astype(np.float64) if each.dtype.kind in "biu" else each for each in map(np.asarray, (x1, x2)))
        )
    largest = np.maximum(np.abs(value_of(x1)), np.abs(value_of(x2)))
    unit = np.where(np.isfinite(largest) & (largest > 0), largest, largest.dtype.type(1))
    squares = np.square(x1 / unit) + np.square(x2 / unit)
    return np.where(largest == 0, 0, np.sqrt(np.where(largest == 0, largest.dtype.type(1), squares)) * unit)


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """x1 / x2, and 0 where x2 is 0."""
    is_zero = value_of(x2) == 0
    return np.where(is_zero, 0.0, x1 / np.where(is_zero, 1.0, x2))


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along an axis, `n` times."""
    for _ in range(n):
        count = np.arange(a.shape[axis] - 1)
        behind, before = take(a, count + 1, axis), take(a, count, axis)
        a = behind != before if a.dtype == bool else behind - before
    return a


def fliplr(x: Any) -> Any:
    """Mirrored along the second axis."""
    return np.flip(x, 1)


def flipud(x: Any) -> Any:
    """Mirrored along the first axis."""
    return np.flip(x, 0)


def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """Both behind each other along an axis, or all numbers in a row."""
    if axis is None:
        return np.concatenate([np.reshape(x1, -1), np.reshape(x2, -1)])
    return np.concatenate([x1, x2], axis)


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest number minus the smallest."""
    return np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims)


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of a line through points, `dx` apart or at `x`, along an axis."""
    y = _operations.as_float(y)  # sums of neighbours have no place in 8 bits
    count = np.arange(y.shape[axis] - 1)
    if x is not None:
        dx = np.diff(np.asarray(value_of(x)), axis=-1 if np.ndim(x) == 1 else axis)
        dx = dx if np.ndim(x) != 1 else np.reshape(dx, [-1 if k == axis % y.ndim else 1 for k in range(y.ndim)])
    return np.sum((take(y, count, axis) + take(y, count + 1, axis)) * (dx * 0.5), axis=axis)


def solve(a: Any, b: Any) -> Any:
    """The x of a @ x = b, for matrices (…, N, N) and (…, N, K), or vectors (…, N)."""
    if isinstance(a, Recorded) or isinstance(b, Recorded):
        return inv(a) @ b if np.ndim(value_of(b)) == np.ndim(value_of(a)) else (inv(a) @ b[..., None])[..., 0]
    a, b = np.asarray(a), np.asarray(b)
    return np.linalg.solve(a, b) if b.ndim == a.ndim else np.linalg.solve(a, b[..., None])[..., 0]


def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The x for which the squares of a @ x - b have the smallest sum."""
    if isinstance(a, Recorded) or isinstance(b, Recorded):
        least = np.finfo(a.dtype).eps * max(a.shape[-2:]) if rcond is None else rcond
        return pinv(a, least) @ b
    return np.linalg.lstsq(np.asarray(a), np.asarray(b), rcond)[0]


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The sums of the parts along the first axis that have one number in `segment_ids`, (N,); below 0 none counts.

    Raises
    ------
    ValueError
        For numbers that are not one for each part.
    """
    values, ids, made = _segments(data, segment_ids, num_segments, 0)
    np.add.at(made, ids[ids >= 0], values[ids >= 0])
    if not isinstance(data, Recorded):
        return made
    share = (ids >= 0).reshape(-1, *[1] * (values.ndim - 1))
    return Recorded(made, [(data, lambda g: g[np.maximum(ids, 0)] * share)])


def _segments(data, segment_ids, num_segments, first):
    """(the numbers, whose segments beyond the last are left out; their numbers; an array to reduce into)."""
    values, ids = np.asarray(value_of(data)), np.asarray(value_of(segment_ids)).astype(int)
    if ids.shape != values.shape[:1]:
        raise ValueError(f"segment_ids has one number for each part. Received: {ids.shape} for {values.shape}")
    count = int(ids.max(initial=-1)) + 1 if num_segments is None else int(num_segments)
    ids = np.where(ids < count, ids, -1)
    return values, ids, np.full((count, *values.shape[1:]), first, values.dtype)


def _extreme_of_segments(ufunc, name):
    def function(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
        dtype = np.asarray(value_of(data)).dtype
        limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        first = {"max": limits.min, "min": limits.max, "prod": 1}[name]
        values, ids, made = _segments(data, segment_ids, num_segments, first)
        ufunc.at(made, ids[ids >= 0], values[ids >= 0])
        if not isinstance(data, Recorded):
            return made
        return (products_of_segments if name == "prod" else extremes_of_segments)(data, ids, made)

    function.__name__ = f"segment_{name}"
    function.__doc__ = f"The {name} of the parts along the first axis that have one number in `segment_ids`."
    return function


def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    """10 · log₁₀(max_val² / mean (x1 - x2)²) of all numbers."""
    return 10 * np.log10(max_val**2 / np.mean(np.square(x1 - x2)))


_LARGEST_BFLOAT16 = np.float32(3.3895314e38)


def saturate_cast(x: Any, dtype: Any) -> Any:
    """The numbers in another dtype, those outside of its range at its ends."""
    given = met(x)
    if of_python(dtype) == "bfloat16":
        return _operations.cast(np.clip(_operations.as_float(given), -_LARGEST_BFLOAT16, _LARGEST_BFLOAT16), dtype)
    kind = np.dtype(of_python(dtype))
    if isinstance(given, Recorded) and kind.kind == "f":  # others have no gradients
        ends = (given.dtype.type(np.finfo(kind).min), given.dtype.type(np.finfo(kind).max))
        return (np.clip(given, *ends) if kind.itemsize < given.dtype.itemsize else given).astype(kind)
    numbers = np.asarray(value_of(given))
    if kind.kind == "b":
        return np.clip(numbers, 0, 1).astype(kind)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    top, least = limits.max, limits.min
    with np.errstate(invalid="ignore", over="ignore"):
        if numbers.dtype.kind == "f" and kind.kind in "iu":
            top, least = numbers.dtype.type(top), max(numbers.dtype.type(least), np.finfo(numbers.dtype).min)
            top = np.nextafter(top, 0, dtype=numbers.dtype) if float(top) > limits.max else top  # which there is
        return np.clip(numbers, least, top).astype(kind)


def i0(x: Any) -> Any:
    """The modified Bessel function of order 0, Σ (x / 2)^(2k) / (k!)²."""
    return np.i0(_floats(x)).astype(_floats(x).dtype)


def layer_normalization(x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: Any = None) -> Any:
    """(x - mean) / √(variance + epsilon) · gamma + beta, along axes (Ba, Kiros, Hinton: "Layer normalization", 2016).

    Parameters
    ----------
    x : array
    gamma, beta : array, optional
        Of the lengths of these axes.
    axis : int or sequence of int, default -1
    epsilon : float, default 1e-7
    """
    axes = _axes(axis, np.ndim(value_of(x)))
    centred = x - np.mean(x, axis=axes, keepdims=True)
    made = centred / np.sqrt(np.mean(np.square(centred), axis=axes, keepdims=True) + _epsilon(epsilon))
    made = made if gamma is None else made * _along(gamma, axes, made)
    return made if beta is None else made + _along(beta, axes, made)


def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: Any = None) -> Any:
    """x / √(mean x² + epsilon) · scale, along axes (Zhang, Sennrich: "Root mean square layer normalization", 2019).

    Parameters
    ----------
    x : array
    scale : array, optional
        Of the lengths of these axes.
    axis : int or sequence of int, default -1
    epsilon : float, default 1e-7
    """
    axes = _axes(axis, np.ndim(value_of(x)))
    made = x / np.sqrt(np.mean(np.square(x), axis=axes, keepdims=True) + _epsilon(epsilon))
    return made if scale is None else made * _along(scale, axes, made)


def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    """(x - mean) / √(variance + epsilon) · scale + offset (Ioffe, Szegedy: "Batch normalization", 2015).

    Parameters
    ----------
    x : array
    mean, variance, offset, scale : array (C,)
        Of the length of `axis`; the last two may be None.
    axis : int
    epsilon : float, default 1e-3
    """
    axes = _axes(axis, np.ndim(value_of(x)))
    made = (x - _along(mean, axes, x)) / np.sqrt(_along(variance, axes, x) + epsilon)
    made = made if scale is None else made * _along(scale, axes, x)
    return made if offset is None else made + _along(offset, axes, x)


def _axes(axis, count):
    return tuple(sorted(int(a) % count for a in np.ravel(axis)))


def _epsilon(given):
    return 1e-7 if given is None else given


def _along(numbers, axes, x):
    """Numbers of these axes, with an axis of length 1 for each of the others."""
    sizes = np.shape(value_of(x))
    return np.reshape(numbers, [n if at in axes else 1 for at, n in enumerate(sizes)])


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of numbers in rows, in their dtype: (n, N), by default n of them, the largest power first.

    Parameters
    ----------
    x : array (n,)
    N : int, optional
    increasing : bool, default False
    """
    x = x if isinstance(x, Recorded) else np.asarray(x)
    powers = np.arange(x.shape[0] if N is None else N)[:: 1 if increasing else -1]
    return (x[:, None] ** powers.astype("int8" if x.dtype == bool else x.dtype)).astype(x.dtype)


_HERE = (angle, append, cbrt, correlate, deg2rad, diff, divide_no_nan, erf, erfc, erfinv, exp2, fliplr, flipud)
_HERE += (batch_normalization, cholesky_inverse, hypot, i0, inv, layer_normalization, logaddexp2, rms_normalization)
_HERE += (logdet, lstsq, psnr, ptp, rad2deg, saturate_cast, segment_sum, solve)
_HERE += (solve_triangular, svd, trapezoid, vander)
_HERE += tuple(_extreme_of_segments(u, n) for u, n in ((np.maximum, "max"), (np.minimum, "min"), (np.multiply, "prod")))


def _with(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    made = _operations.by_place(of_tensors_too(in_kerass_dtype(function, name), name))
    made.__name__ = name
    return made


RARE: dict[str, Callable[..., Any]] = {each.__name__: _with(each.__name__, each) for each in _HERE}
RARE |= {
    name: _with(name, arranged(name, _operations.in_floats(name, OF_NUMPY.get(name, getattr(np, name)))))
    for name in _PLAIN
}
RARE |= {name: _with(name, function) for name, function in _OF_BITS.items()}
RARE |= {name: _with(name, arranged(name, OF_NUMPY.get(name, getattr(np.linalg, name)))) for name in _OF_MATRICES}
RARE["glu"] = _with("glu", OF_RECORDED["glu"])
RARE["ndim"] = _operations.entering(lambda x: len(np.shape(value_of(x))))
RARE["size"] = _operations.entering(lambda x: np.int32(math.prod(np.shape(value_of(x)))))
"""Name of ``keras.ops`` → function."""
