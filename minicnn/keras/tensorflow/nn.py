"""``tf.nn``: activations, which layers take as ``activation=`` too, and the cross-entropies of logits."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.keras import ops
from minicnn.keras._last_function import forgotten
from minicnn.keras._names import lookup
from minicnn.keras._operations import entering, is_symbolic
from minicnn.keras.random import uniform
from minicnn.keras.tensorflow import _added, _further, _nn_images, _nn_volumes, _nn_windows
from minicnn.keras.tensorflow._complex import squared
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow, renamed
from minicnn.keras.tensorflow._nn_images import *  # noqa: F403
from minicnn.keras.tensorflow._nn_volumes import *  # noqa: F403
from minicnn.keras.tensorflow._nn_windows import *  # noqa: F403
from minicnn.keras.tensorflow._of_1_arguments import today
from minicnn.layers.activations import stands_for

_OF_MATH = ("in_top_k", "top_k")

if TYPE_CHECKING:  # for checkers, which do not see what is made at run time

    def __getattr__(name: str) -> Any: ...

else:
    __getattr__ = lookup(__name__, names=dict.fromkeys(_OF_MATH, "minicnn.keras.tensorflow.math"))

_ACTIVATIONS = ("relu", "relu6", "elu", "selu", "sigmoid", "tanh", "softplus", "softsign")
_WITH_AXIS = ("softmax", "log_softmax")

globals().update({name: renamed(name, name, "features", "") for name in _ACTIVATIONS})


def _along(name: str) -> Any:
    """``softmax`` and ``log_softmax``, along the last axis where they are told None."""
    function = renamed(name, name, "logits", "axis name= dim=axis")

    @wraps(function)
    def call(logits: Any, axis: int | None = None, name: str | None = None, dim: int | None = None) -> Any:
        chosen = axis if dim is None else dim
        return function(logits, -1 if chosen is None else chosen)

    return call


globals().update({name: _along(name) for name in _WITH_AXIS})
leaky_relu = renamed("leaky_relu", "leaky_relu", "features", "alpha=negative_slope")


def gelu(features: Any, approximate: bool = False, name: str | None = None) -> Any:
    """x · Φ(x), Φ the normal distribution's, or its approximation by tanh."""
    return of_tensorflow(ops.gelu(features, approximate))


def silu(features: Any, beta: Any = 1.0, name: str | None = None) -> Any:
    """x · sigmoid (beta · x)."""
    if isinstance(beta, int | float) and beta == 1:
        return of_tensorflow(ops.silu(features))
    return of_tensorflow(ops.multiply(features, ops.sigmoid(ops.multiply(features, beta))))


stands_for(gelu, silu, *(globals()[name] for name in (*_ACTIVATIONS, *_WITH_AXIS, "leaky_relu")))
swish = silu


@today(keep_dims="keepdims")
@entering
def moments(x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: str | None = None) -> tuple[Any, Any]:
    """(the mean, the variance) along the axes."""
    x = as_tensor(x)
    axes = tuple(range(len(x.shape)) if axes is None else (int(axis) for axis in np.ravel(axes)))
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iuc":
        return tuple(map(of_tensorflow, ops.moments(x, axes, keepdims)))
    mean = np.mean(x, axes, keepdims=True).astype(x.dtype)  # of whole numbers whole, cut off
    variance = np.mean(squared(x - mean), axes, keepdims=keepdims).astype(x.dtype)
    return of_tensorflow(mean if keepdims else np.squeeze(mean, axes)), of_tensorflow(variance)


@entering
def dropout(
    x: Any,
    rate: Any = None,
    noise_shape: Any = None,
    seed: int | None = None,
    name: str | None = None,
    keep_prob: Any = None,
) -> Any:
    """x with a part `rate` of its numbers 0, drawn anew in each call, and the others divided by 1 - rate.

    Parameters
    ----------
    x : array
    rate : float
    noise_shape : tuple of int, optional
        Default: that of `x`.
    seed, name : optional
    keep_prob : float, optional
        1 - rate, as TensorFlow 1 has it.

    Raises
    ------
    TypeError
        For a model's tensor.
    """
    if is_symbolic(x):
        raise TypeError(
            "tf.nn.dropout drops in training and outside: for a model's tensor it is layers.Dropout(rate)(x, "
            "training=True). Received: a model's tensor"
        )
    if (rate is None) == (keep_prob is None):
        raise TypeError(f"tf.nn.dropout takes rate=, as 0.5. Received: rate={rate!r}, keep_prob={keep_prob!r}")
    rate = 1 - keep_prob if rate is None else rate
    x = as_tensor(x)
    drawn = np.asarray(uniform(x.shape if noise_shape is None else noise_shape, seed=seed))
    return of_tensorflow(x * (drawn >= rate).astype(x.dtype) / (1 - rate))


@today(dim="axis")
@entering
def l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None) -> Any:
    """x / √max(Σ x², epsilon), the sum along an axis."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    squares = ops.sum(squared(x), axis=axis, keepdims=True)
    squares = squares.real if isinstance(x, np.ndarray) and x.dtype.kind == "c" else squares  # as all are
    return of_tensorflow(x / ops.sqrt(ops.maximum(squares, epsilon)))


def l2_loss(t: Any, name: str | None = None) -> Any:
    """Σ t² / 2."""
    return of_tensorflow(ops.sum(ops.square(t)) / 2)


def sigmoid_cross_entropy_with_logits(labels: Any, logits: Any, name: str | None = None) -> Any:
    """The binary cross-entropy of each number, before the sigmoid."""
    return of_tensorflow(ops.binary_crossentropy(labels, forgotten(logits), from_logits=True))


@today(dim="axis")
def softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1, name: str | None = None) -> Any:
    """The cross-entropy of each sample, before the softmax."""
    return of_tensorflow(ops.categorical_crossentropy(labels, forgotten(logits), from_logits=True, axis=axis))


def sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any, name: str | None = None) -> Any:
    """The cross-entropy of each sample with a class number, before the softmax."""
    return of_tensorflow(ops.sparse_categorical_crossentropy(labels, forgotten(logits), from_logits=True))


__all__ = [
    *_ACTIVATIONS,
    *_WITH_AXIS,
    "dropout",
    "gelu",
    "leaky_relu",
    "moments",
    "silu",
    "swish",
    "l2_loss",
    "l2_normalize",
    "sigmoid_cross_entropy_with_logits",
]
__all__ += ["softmax_cross_entropy_with_logits", "sparse_softmax_cross_entropy_with_logits"]
__all__ += _nn_images.__all__ + _nn_volumes.__all__ + _nn_windows.__all__
globals().update(_further.NN | _added.NN)
__all__ += [*_further.NN, *_added.NN, *_OF_MATH]
