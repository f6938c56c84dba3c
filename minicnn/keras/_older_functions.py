"""What ``keras.backend`` has beyond ``keras.ops``: functions of arrays, as Keras 1 and 2 called them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import reduce
from itertools import chain
from operator import add
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met, value_of
from minicnn.dtype_policies import of_python
from minicnn.keras import ops
from minicnn.keras import random as numbers
from minicnn.keras._as_tensor import as_tensor
from minicnn.keras._data_format import or_current
from minicnn.keras._names import NotInMinicnn
from minicnn.keras._operations import is_symbolic
from minicnn.keras._settable import Settable
from minicnn.keras._updates import made_once, updated
from minicnn.keras._warning import warn_once
from minicnn.nested import mapped
from minicnn.settings import floatx
from minicnn.user_warnings import warn_user


def random_normal(
    shape: Sequence[int | None],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | None = None,
    std: float | None = None,
) -> Any:
    """Normally distributed numbers, as `keras.random.normal`; `std` is Keras 1's name of `stddev`."""
    if std is not None:
        warn_once("random_normal(std=…) is an argument of Keras 1: today it is stddev")
    return numbers.normal(shape, mean, stddev if std is None else std, dtype, seed)


random_uniform = numbers.uniform


def truncated_normal(
    shape: Sequence[int | None],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | None = None,
    std: float | None = None,
) -> Any:
    """Normally distributed numbers within two deviations; `std` is Keras 1's name of `stddev`."""
    return numbers.truncated_normal(shape, mean, stddev if std is None else std, dtype, seed)


def random_binomial(shape: Sequence[int], p: float = 0.0, dtype: Any = None, seed: int | None = None) -> Recorded:
    """1 with probability p, else 0."""
    return numbers.binomial(shape, 1, p, dtype, seed)


random_bernoulli = random_binomial


def random_normal_variable(
    shape: Sequence[int], mean: float, scale: float, dtype: Any = None, name: str | None = None, seed: int | None = None
) -> Settable:
    """A variable of normally distributed numbers."""
    return Settable(numbers.normal(shape, mean, scale, dtype, seed).value)


def random_uniform_variable(
    shape: Sequence[int], low: float, high: float, dtype: Any = None, name: str | None = None, seed: int | None = None
) -> Settable:
    """A variable of uniformly distributed numbers."""
    return Settable(numbers.uniform(shape, low, high, dtype, seed).value)


def zeros(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> np.ndarray:
    """An array of zeros, by default of `floatx`."""
    return made_once(np.zeros(shape, of_python(dtype) or floatx()).view(EagerArray))


def ones(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> np.ndarray:
    """An array of ones, by default of `floatx`."""
    return made_once(np.ones(shape, of_python(dtype) or floatx()).view(EagerArray))


def eye(size: int | Sequence[int], dtype: Any = None, name: str | None = None) -> np.ndarray:
    """An array with ones on the diagonal, by default of `floatx`."""
    return np.eye(*np.atleast_1d(size).tolist(), dtype=of_python(dtype) or floatx())


def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Zeros in the shape of an array or of a model's tensor."""
    return made_once(ops.zeros_like(x, dtype=dtype))


def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Ones in the shape of an array or of a model's tensor."""
    return made_once(ops.ones_like(x, dtype=dtype))


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None, name: str | None = None) -> np.ndarray:
    """An array of a value."""
    value = as_tensor(value, dtype or floatx())
    if shape is None:
        return value
    return value.reshape(tuple(shape)) if value.size != 1 else np.full_like(value, value.item(), shape=tuple(shape))


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: None = None) -> Settable:
    """A number or an array that `set_value` changes, of ``floatx()`` unless told."""
    return made_once(Settable(value, of_python(dtype) or floatx()))


def update(x: Any, new_x: Any) -> Any:
    """Set a variable."""
    return updated(x, new_x)


def update_add(x: Any, increment: Any) -> Any:
    """Add to a variable."""
    return update(x, np.asarray(value_of(met(x))) + value_of(met(increment)))


def update_sub(x: Any, decrement: Any) -> Any:
    """Subtract from a variable."""
    return update(x, np.asarray(value_of(met(x))) - value_of(met(decrement)))


def stop_gradient(variables: Any) -> Any:
    """The numbers, without their history; also of a list of them, and of a model's tensors."""
    return mapped(ops.stop_gradient, variables)


def l2_normalize(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x divided by its length along an axis, of a model's tensor, too.

    Raises
    ------
    NotInMinicnn
        For the length over all samples of a model's tensor.
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    if is_symbolic(x) and (axis is None or 0 in np.ravel(axis) % len(ops.shape(x))):
        raise NotInMinicnn(
            "keras.backend.l2_normalize of a model's tensor is along axes of each sample, axis=-1: over all samples "
            f"call it in a Lambda or a layer. Received: axis={axis}",
            name=None,
        )
    return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))


def batch_dot(x: Any, y: Any, axes: int | Sequence[int] | None = None) -> Any:
    """The products of the samples of x and y, along one axis of each; of vectors, (N, 1).

    The result has the other axes of x, then those of y, as in Keras since 2.3; before, it was the same for up to three
    axes, and of four a product for each place of the second one. That is what capsules are written with, (N, J, I) and
    (N, J, I, D): it is given for three axes beside four, with J in both.

    Parameters
    ----------
    x, y : array, or a model's tensor, of at least two axes
    axes : int or (int, int), optional
        Default: the last axis of x, and the last but one of y, or its only one.

    Raises
    ------
    ValueError
        For the axis of samples, or axes of different lengths.
    """
    first, second = ops.shape(x), ops.shape(y)
    axes = (axes, axes) if isinstance(axes, int) else axes or (len(first) - 1, max(len(second) - 2, 1))
    a, b = (axis % len(shape) for axis, shape in zip(axes, (first, second), strict=True))
    if (len(first), len(second)) == (3, 4) and first[1] == second[1] and first[a] == second[b] and min(a, b) > 1:
        warn_once(
            "batch_dot of three axes and four with the second one in both is that of Keras 2.0 to 2.2, a product for "
            "each place of the second axis, as capsules need; since 2.3 each place is beside all of the other's"
        )
        rows = ops.expand_dims(x, 2)  # (N, J, 1, I)
        return ops.matmul(rows, y if b == 2 else ops.transpose(y, (0, 1, 3, 2)))[:, :, 0]  # (N, J, D)
    if max(len(first), len(second)) > 3 and min(a, b) > 1 and first[1] == second[1]:
        warn_user(
            "batch_dot of four axes is that of Keras 2.3 and later: each place of the second axis of x is beside each "
            "of y; Keras 2.0 to 2.2 took it for one of samples, as capsules of that age need: tf.matmul does. "
            f"Received: axes={(a, b)} of shapes {tuple(first)} and {tuple(second)}"
        )
    if 0 in (a, b) or first[a] != second[b]:
        raise ValueError(
            "batch_dot sums along one axis of each, of one length, and not along the samples'. Received: "
            f"axes={tuple(axes)} of shapes {tuple(first)} and {tuple(second)}"
        )
    if is_symbolic(x) and is_symbolic(y):
        return layers.Dot(axes=(a, b))([x, y])
    left = first[1:a] + first[a + 1 :]
    right = second[1:b] + second[b + 1 :]
    x = np.reshape(np.moveaxis(x, a, -1), (first[0], -1, first[a]))
    y = np.reshape(np.moveaxis(y, b, 1), (second[0], second[b], -1))
    return np.reshape(x @ y, (first[0], *left, *right) if left or right else (first[0], 1))


def _windows(x: Any, size: Sequence[int], strides: Sequence[int], padding: str, fill: float) -> list[list[Any]]:
    """For each row and column of a window, what stands there in all windows of images (N, H, W, C)."""
    if padding not in ("valid", "same"):
        raise ValueError(f'padding is "valid" or "same". Received: padding={padding!r}')
    lengths, before, after = ops.shape(x)[1:3], [], []
    for length, k, s in zip(lengths, size, strides, strict=True):
        missing = max((-(-length // s) - 1) * s + k - length, 0) if padding == "same" else 0
        before.append(missing // 2)
        after.append(missing - missing // 2)
    if any(before) or any(after):
        sides = [(0, 0), *zip(before, after, strict=True), (0, 0)]
        x = np.pad(x, sides, constant_values=fill)
    height, width = (
        (length + b + a - k) // s + 1 for length, b, a, k, s in zip(lengths, before, after, size, strides, strict=True)
    )
    return [
        [
            x[:, i : i + (height - 1) * strides[0] + 1 : strides[0], j : j + (width - 1) * strides[1] + 1 : strides[1]]
            for j in range(size[1])
        ]
        for i in range(size[0])
    ]


def _on_channels_last(function: Any, x: Any, data_format: str | None) -> Any:
    """What a function of images (N, H, W, C) gives, where x has its channels where `data_format` says."""
    if or_current(data_format) == "channels_last":
        return function(x)
    return np.transpose(function(np.transpose(x, (0, 2, 3, 1))), (0, 3, 1, 2))


def pool2d(
    x: Any,
    pool_size: Sequence[int],
    strides: Sequence[int] = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """The largest number, or the mean, of each window of images; of a model's tensor, a pooling layer."""
    if pool_mode not in ("max", "avg"):
        raise ValueError(f'pool_mode is "max" or "avg". Received: pool_mode={pool_mode!r}')
    if is_symbolic(x):
        layer = layers.MaxPooling2D if pool_mode == "max" else layers.AveragePooling2D
        return layer(tuple(pool_size), tuple(strides), padding, or_current(data_format))(x)

    def pooled(x: Any) -> Any:
        parts = list(chain(*_windows(x, pool_size, strides, padding, -np.inf if pool_mode == "max" else 0.0)))
        if pool_mode == "max":
            return reduce(np.maximum, parts)
        inside = _windows(np.ones((1, *ops.shape(x)[1:3], 1), floatx()), pool_size, strides, padding, 0.0)
        return reduce(add, parts) / reduce(add, chain(*inside))

    return _on_channels_last(pooled, x, data_format)


def conv2d(
    x: Any,
    kernel: Any,
    strides: Sequence[int] = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sequence[int] = (1, 1),
) -> Any:
    """Images convolved with a kernel (height, width, channels, filters), of arrays and in layers that users write."""
    if is_symbolic(x):
        raise NotInMinicnn("keras.backend.conv2d works on arrays here: call it in a Lambda or a layer", name=None)
    if tuple(dilation_rate) != (1, 1):
        raise NotInMinicnn("keras.backend.conv2d(dilation_rate=…) is 1 here; use Conv2D(dilation_rate=…)", name=None)
    size = ops.shape(kernel)[:2]

    def convolved(x: Any) -> Any:
        rows = _windows(x, size, strides, padding, 0.0)
        return reduce(add, [rows[i][j] @ kernel[i, j] for i in range(size[0]) for j in range(size[1])])

    return _on_channels_last(convolved, x, data_format)


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """x with a number for each channel added."""
    return x + (np.reshape(bias, (-1, *[1] * (len(ops.shape(x)) - 2))) if data_format == "channels_first" else bias)


def dropout(x: Any, level: float, noise_shape: Sequence[int] | None = None, seed: int | None = None) -> Any:
    """x with a part of the numbers set to 0, and the others divided by the part that stays."""
    if is_symbolic(x):
        raise TypeError(f"K.dropout works on arrays: call it in a Lambda or a layer. Received: {x!r}")
    kept = numbers.binomial(noise_shape or ops.shape(x), 1, 1 - level, None, seed).value
    return x * (kept / (1 - level)).astype(floatx())


def gather(reference: Any, indices: Any) -> Any:
    """The entries of the first axis at these places."""
    return reference[np.asarray(value_of(indices)).astype(int)]


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each entry of an axis `rep` times."""
    return ops.repeat(x, rep, axis=axis)


def reverse(x: Any, axes: int | Sequence[int]) -> Any:
    """x turned round along axes."""
    every = range(len(ops.shape(x)))
    turned = [every[axis] for axis in ((axes,) if isinstance(axes, int) else axes)]
    return x[tuple(slice(None, None, -1) if axis in turned else slice(None) for axis in every)]


def resize_images(
    x: Any, height_factor: int, width_factor: int, data_format: str | None = None, interpolation: str = "nearest"
) -> Any:
    """Images made larger; of a model's tensor, `UpSampling2D`."""
    if is_symbolic(x) or interpolation != "nearest":
        return layers.UpSampling2D((height_factor, width_factor), data_format, interpolation)(x)
    height, width = (2, 3) if or_current(data_format) == "channels_first" else (1, 2)
    return np.repeat(np.repeat(x, height_factor, axis=height), width_factor, axis=width)


def spatial_2d_padding(
    x: Any, padding: Sequence[Sequence[int]] = ((1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Images with a margin of zeros; of a model's tensor, `ZeroPadding2D`."""
    if is_symbolic(x):
        return layers.ZeroPadding2D(padding, data_format)(x)
    sides = [(0, 0), *map(tuple, padding)]
    sides.insert(1 if or_current(data_format) == "channels_first" else 3, (0, 0))
    return np.pad(x, sides)


def cumprod(x: Any, axis: int = 0) -> Any:
    """Products of all numbers up to each."""
    return ops.cumprod(x, axis=axis)


def dtype(x: Any) -> str:
    """The name of the dtype; of a model's tensor, and of a number of Python, the one that models compute in."""
    return floatx() if is_symbolic(x) or isinstance(x, float | int) else str(np.asarray(value_of(x)).dtype)


def count_params(x: Any) -> int:
    """How many numbers there are."""
    return int(np.prod(ops.shape(x)))


def is_tensor(x: Any) -> bool:
    """Whether x is a model's tensor, or a recorded array."""
    return is_symbolic(x) or isinstance(x, Recorded)


def is_sparse(tensor: Any) -> bool:
    """False: nothing is sparse."""
    return False


def in_top_k(predictions: Any, targets: Any, k: int) -> np.ndarray:
    """Whether the class of each sample is among its k most probable ones, (N,)."""
    return ops.in_top_k(np.reshape(value_of(targets), -1), predictions, k)


def name_scope(name: str) -> Any:
    """Does nothing."""
    return nullcontext(name)


def manual_variable_initialization(value: bool) -> None:
    """Does nothing."""


__all__ = ["batch_dot", "bias_add", "constant", "conv2d", "count_params", "cumprod"]
__all__ += ["dropout", "dtype", "eye", "gather", "in_top_k"]
__all__ += ["is_sparse", "is_tensor", "l2_normalize", "manual_variable_initialization", "name_scope", "ones"]
__all__ += ["ones_like", "pool2d", "random_bernoulli", "random_binomial", "random_normal"]
__all__ += ["random_normal_variable", "random_uniform", "random_uniform_variable", "repeat_elements"]
__all__ += ["resize_images", "reverse", "spatial_2d_padding", "stop_gradient", "truncated_normal"]
__all__ += ["update", "update_add", "update_sub", "variable", "zeros", "zeros_like"]
